"""Compare the CPU that a flow costs with what it cost at an earlier revision.

    python -m bench.experiments.revisions 1026a36f --pairs 10 --store postgresql

Both servers are up, each from its own checkout with a store and a destination of its own, and the
same Python. They are loaded in turn, a few seconds each, the first of a pair changing from pair to
pair, so that a machine whose speed varies slows both. Printed: the CPU a flow of both, for each pair
and as medians, and the median of the ratios; then the same of the database's processes alone.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.load import flood
from bench.measure import drain
from bench.process import REPOSITORY, Others, cpu_ms, started
from bench.stores import keeper
from bench.stores.store import KINDS, Keeper, Store
from bench.workload import WORKLOADS, Workload

WARM_SECONDS = 2.0


class Cost(NamedTuple):
    """Milliseconds of CPU a flow: all of it, and the part of the database's processes."""

    whole: float
    database: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server of one revision, with its store."""

    store: Store
    pid: int
    url: str

    def cost(self, workload: Workload, seconds: float) -> Cost:
        """Load it, and return the milliseconds of CPU that each flow cost until all had ended."""
        server, database = cpu_ms(self.pid), self.store.cpu_ms()
        sent = flood(self.url, workload, secrets.token_hex(4), seconds)
        drain(self.store)
        server, database = cpu_ms(self.pid) - server, self.store.cpu_ms() - database
        return Cost((server + database) / len(sent.executions), database / len(sent.executions))


def checked_out(revision: str, folder: Path) -> Path:
    """Write the files of a revision into a folder, and return it."""
    command = ["git", "archive", "--format=tar", revision]
    archive = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def serving(
    stack: ExitStack,
    stores: Keeper,
    workload: Workload,
    tree: Path,
    module: str = "bench.server",
) -> Candidate:
    """Serve the workload's integration by the code of a checkout, until the stack is closed."""
    store = stack.enter_context(stores.fresh())
    _, destination = stack.enter_context(started("bench.destination"))
    given = (str(store.directory), workload.module, destination, "--store", store.url)
    server, url = stack.enter_context(started(module, *given, cwd=tree))
    return Candidate(store, server.pid, url)


def pairs_of(
    now: Callable[[], Cost], then: Callable[[], Cost], count: int
) -> list[tuple[Cost, Cost]]:
    """Measure both `count` times, in alternating order; returns (now, then) of each pair."""
    found: list[tuple[Cost, Cost]] = []
    for number in range(count):
        if number % 2:
            other = then()
            found.append((now(), other))
        else:
            found.append((now(), then()))
        mine, other = found[-1]
        print(f"{number + 1:3}  now {mine.whole:.4f}  then {other.whole:.4f}", flush=True)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.experiments.revisions")
    parser.add_argument("revision", help="what to compare the working tree with")
    parser.add_argument("--workload", choices=WORKLOADS, default="W2")
    parser.add_argument("--store", choices=KINDS, default="sqlite")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load, each time")
    given = parser.parse_args()
    workload, others = WORKLOADS[given.workload], Others()
    place = REPOSITORY / ".halflap"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        stores = stack.enter_context(keeper(given.store, place))
        old = checked_out(given.revision, Path(made) / "then")
        then = serving(stack, stores, workload, old)
        now = serving(stack, stores, workload, REPOSITORY)
        for each in (then, now):
            each.cost(workload, WARM_SECONDS)
        found = pairs_of(
            lambda: now.cost(workload, given.seconds),
            lambda: then.cost(workload, given.seconds),
            given.pairs,
        )
    print(f"{workload.name} on {given.store}, CPU ms a flow, medians of {len(found)} pairs:")
    for what, part in (("all", 0), ("the database's", 1)):
        costs = [(mine[part], other[part]) for mine, other in found]
        if any(map(all, costs)):
            ours, theirs = (median(each) for each in zip(*costs, strict=True))
            ratio = median(mine / other for mine, other in costs if other)
            print(f"{what}: {ours:.4f} now, {theirs:.4f} then, ratio {ratio:.3f}")
    print(f"others used {others.cores():.2f} cores")


if __name__ == "__main__":
    main()
