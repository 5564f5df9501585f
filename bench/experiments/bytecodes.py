"""Count the bytecodes of Python that a flow costs on the event loop, by function.

    python -m bench.experiments.bytecodes 1026a36f

The count is the same on every machine and under any load, within a thousandth, so it says what a
change costs where no time can. What C, the store's thread and the kernel do costs without a bytecode.
With a revision, the same of its checkout stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench import counted
from bench.counted import COUNTED
from bench.experiments.revisions import checked_out, serving
from bench.measure import drain
from bench.process import REPOSITORY, BenchError
from bench.stores import keeper
from bench.stores.store import KINDS, Kind
from bench.workload import WORKLOADS, Workload

WARM_FLOWS = 100
PATIENCE = 60.0

Counts = Counter[str]
"""Bytecodes a flow, by `file function`."""


def count(workload: Workload, tree: Path, flows: int, kind: Kind) -> Counts:
    """Serve a checkout, send it events one after another, and return what each of them cost."""
    place = REPOSITORY / ".halflap"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        written = Path(made) / "counted"
        os.environ[COUNTED] = str(written)
        stores = stack.enter_context(keeper(kind, place))
        server = serving(stack, stores, workload, tree, module="bench.counted")
        url = urlsplit(server.url)
        client = HTTPConnection(url.netloc, timeout=PATIENCE)

        def send(number: int) -> None:
            for _ in range(number):
                event = workload.event(f"{secrets.token_hex(4)}-{0:08}")
                client.request("POST", url.path, event, {"Content-Type": "application/json"})
                client.getresponse().read()
            drain(server.store)

        send(WARM_FLOWS)
        os.kill(server.pid, signal.SIGUSR1)
        send(flows)
        os.kill(server.pid, signal.SIGUSR2)
        until = time.monotonic() + PATIENCE
        while not written.exists():
            if time.monotonic() > until:
                raise BenchError(f"the server of {tree} has not written what it counted")
            time.sleep(0.1)
        rows: list[tuple[str, str, int]] = json.loads(written.read_text())
    found: Counts = Counter()
    for file, function, number in rows:
        is_ours = file.startswith(f"{tree}/halflap")
        shown = file.removeprefix(f"{tree}/") if is_ours else Path(file).name
        found[f"{shown} {function}"] += number
    return Counter({name: round(number / flows) for name, number in found.items()})


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.experiments.bytecodes")
    parser.add_argument("revision", nargs="?", help="what to compare the working tree with")
    parser.add_argument("--workload", choices=WORKLOADS, default="W2")
    parser.add_argument("--store", choices=KINDS, default="sqlite")
    parser.add_argument("--flows", type=int, default=200)
    parser.add_argument("--top", type=int, default=30, help="functions that are printed")
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    now, then = count(workload, REPOSITORY, given.flows, given.store), Counts()
    if given.revision:
        with tempfile.TemporaryDirectory() as made:
            old = checked_out(given.revision, Path(made))
            shutil.copy(counted.__file__, old / "bench")
            then = count(workload, old, given.flows, given.store)
    print(f"{workload.name}: {now.total():,} bytecodes a flow; then: {then.total():,}")
    for name, number in now.most_common(given.top):
        print(f"{number:6,} {then[name]:6,} {name}")


if __name__ == "__main__":
    main()
