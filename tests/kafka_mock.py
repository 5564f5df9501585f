"""librdkafka's mock cluster in a process of its own: a broker whose answers can be told to fail.

    python tests/kafka_mock.py TOPIC…

It prints its address, then takes a command a line: `errors API CODE…` has so many next requests of an API
answered by these codes; `down`, `up`; `rtt MILLISECONDS`. Each is answered by a line.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PRODUCE, FETCH, COMMIT, JOIN, HEARTBEAT, SYNC = 0, 1, 8, 11, 12, 14


class MockCluster:
    """The process, as tests see it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.servers = self.read()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        assert self.read() == "done"


@contextmanager
def mock_cluster(*topics: str) -> Iterator[MockCluster]:
    """A cluster of one broker that runs."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, __file__, *topics],
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield MockCluster(process)
        finally:
            process.kill()


def library() -> Any:
    """Load the library that the client's package brings."""
    found = importlib.util.find_spec("confluent_kafka")
    assert found is not None
    assert found.origin is not None
    [path] = (Path(found.origin).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    loaded: Any = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    for name, result, *arguments in (
        ("conf_new", pointer),
        ("new", pointer, ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t),
        ("mock_cluster_new", pointer, pointer, ctypes.c_int),
        ("mock_cluster_bootstraps", ctypes.c_char_p, pointer),
        ("mock_topic_create", ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
        ("mock_group_initial_rebalance_delay_ms", None, pointer, ctypes.c_int32),
        ("mock_push_request_errors_array", None, pointer, ctypes.c_int16, ctypes.c_size_t, pointer),
        ("mock_broker_set_down", ctypes.c_int, pointer, ctypes.c_int32),
        ("mock_broker_set_up", ctypes.c_int, pointer, ctypes.c_int32),
        ("mock_broker_set_rtt", ctypes.c_int, pointer, ctypes.c_int32, ctypes.c_int),
    ):
        function = getattr(loaded, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded


def main(topics: list[str]) -> None:
    """Run the cluster until its input ends."""
    kafka, text = library(), ctypes.create_string_buffer(512)
    client = kafka.rd_kafka_new(0, kafka.rd_kafka_conf_new(), text, len(text))
    cluster = kafka.rd_kafka_mock_cluster_new(client, 1)
    kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    for each in topics:
        kafka.rd_kafka_mock_topic_create(cluster, each.encode(), 1, 1)
    print(kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["errors", api, *codes]:
                numbers = (ctypes.c_int * len(codes))(*map(int, codes))
                kafka.rd_kafka_mock_push_request_errors_array(
                    cluster, int(api), len(codes), numbers
                )
            case ["down"]:
                kafka.rd_kafka_mock_broker_set_down(cluster, 1)
            case ["up"]:
                kafka.rd_kafka_mock_broker_set_up(cluster, 1)
            case ["rtt", milliseconds]:
                kafka.rd_kafka_mock_broker_set_rtt(cluster, 1, int(milliseconds))
            case _:
                raise SystemExit(f"no such command: {line}")
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
