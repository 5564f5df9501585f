"""`python -m bench.scale`: a queue of flows that take CPU time, by one worker process and by two.

The queue is filled while it is held back, the workers are up before it is let go, and time counts
from then until the last flow has ended. A line of JSON on stdout, kept in bench/results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.measure import Figures
from bench.process import REPOSITORY, Others, cpu_ms
from bench.server import keys_of
from bench.stores import Store, keeper
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate
from halflap.engine.bundle import pack
from halflap.model import Event, FlowKey, Start, new_id
from halflap.server.host import Host
from halflap.server.role import GATEWAY
from halflap.server.settings import Settings

LOOK_SECONDS = 0.05
NOWHERE = "http://127.0.0.1:9"
"""Where senders would reach the gateways; there are none."""
AT_ONCE = 100
ROOM = 8
"""Flows that a worker has at once: few, since each of these wants a core to itself."""


@dataclass(frozen=True, slots=True)
class Took:
    """Flows a second, and the CPU a flow took of the workers and of everything beside them."""

    per_s: float
    worker_ms: float
    beside_ms: float


async def measure(store: Store, workers: int, flows: int, ms: float) -> Took:
    """Measure how so many workers fare with the queue."""
    directory, keys = store.directory, keys_of(store.directory)
    settings = Settings(
        dir=directory, port=0, store=store.url, keys=keys, room=ROOM, public_url=NOWHERE
    )
    host = await Host.open(settings)
    async with host.served(grace=10.0):
        await activate(host, pack(INTEGRATIONS, "burn:integration"), "")
    host = await Host.open(settings, role=GATEWAY)
    async with host.served(grace=10.0):
        (instance,) = await host.store.catalogue.instances.list()
        key = FlowKey(
            instance.customer,
            instance.id,
            instance.integration,
            "orders",
            instance.version,
            instance.revision,
        )
        await host.engine.journal.hold(instance.id)
        for first in range(0, flows, AT_ONCE):
            await host.engine.start([start(key, ms) for _ in range(min(AT_ONCE, flows - first))])
        running = [await worker(directory / f"worker{each}", settings) for each in range(workers)]

        def used() -> tuple[float, float]:
            beside = store.cpu_ms() + cpu_ms(os.getpid())
            return sum(cpu_ms(each.pid) for each in running), beside

        try:
            began, before = time.monotonic(), used()
            await host.engine.release(instance.id)
            while await host.engine.journal.live(instance.id):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            seconds, after = time.monotonic() - began, used()
            worker_ms, beside_ms = ((b - a) / flows for a, b in zip(before, after, strict=True))
            return Took(flows / seconds, worker_ms, beside_ms)
        finally:
            for each in running:
                each.send_signal(signal.SIGTERM)
            await asyncio.gather(*(each.wait() for each in running))


def start(key: FlowKey, ms: float) -> Start:
    """One flow of the queue."""
    execution, now = new_id("exe"), time.time_ns() // 1000
    headers = (("content-type", "application/json"),)
    return Start(execution, key, Event("POST", "", "", headers, b'{"ms": %g}' % ms, now), execution)


async def worker(directory: Path, settings: Settings) -> asyncio.subprocess.Process:
    """A worker process, once it runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "halflap", "worker", "--dir", str(directory)),
        *("--json", "--no-supervisor"),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "HALFLAP_STORE": settings.store,
            "HALFLAP_KEYS": settings.keys,
            "HALFLAP_ROOM": str(ROOM),
            "HALFLAP_PUBLIC_URL": settings.public_url,
        },
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Linux shares the cores out between sessions first
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readline()
    return process


def run(directory: Path, *, flows: int, ms: float, runs: int) -> Figures:
    """One worker and two in turn, and the line of it."""
    directory.mkdir(parents=True, exist_ok=True)
    found: dict[int, list[Took]] = {1: [], 2: []}
    others = Others()
    with keeper("postgresql", directory) as stores:
        about = report.setting(directory, stores, quick=False)
        for number in range(runs):
            for workers, so_far in found.items():
                with stores.fresh() as store:
                    took = asyncio.run(measure(store, workers, flows, ms))
                so_far.append(took)
                report.say(f"run {number + 1}, {workers} workers: {took.per_s:,.1f} flows/s")
    one, two = (statistics.median(took.per_s for took in each) for each in found.values())
    worker_ms = statistics.median(took.worker_ms for took in found[2])
    beside_ms = statistics.median(took.beside_ms for took in found[2])
    most = min(2.0, about["cores"] * worker_ms / (worker_ms + beside_ms))
    title = f"flows/s of two workers ÷ of one, {ms:g} ms of CPU each"
    return about | report.all_rounded(
        {
            "row": "scale",
            "title": title,
            "value": two / one,
            "target": ">= 1.6",
            "flows": flows,
            "cpu_ms": ms,
            "runs": runs,
            "one_worker_per_s": one,
            "two_workers_per_s": two,
            "ratios": [
                round(two.per_s / one.per_s, 2) for one, two in zip(found[1], found[2], strict=True)
            ],
            "worker_ms": worker_ms,
            "beside_ms": beside_ms,
            "most": most,
            "others_cores": others.cores(),
        }
    )


def main() -> int:
    """Measure, print, keep; 1 where two are not as much faster as they are to be."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--flows", type=int, default=400, help="how long the queue is")
    parser.add_argument("--cpu-ms", type=float, default=20.0, help="CPU time of each")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many")
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".halflap", help="where it is kept"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where lines are kept")
    given = parser.parse_args()
    line = run(given.dir, flows=given.flows, ms=given.cpu_ms, runs=given.runs)
    print(json.dumps(line), flush=True)
    report.say(f"{report.table([line])}\nkept in {report.keep([line], given.results)}")
    return 0 if report.is_kept(line) else 1


if __name__ == "__main__":
    sys.exit(main())
