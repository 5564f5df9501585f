"""`python -m bench.fairness`: what one customer feels of another that floods, or whose app hangs.

Customer B sends 5 events a second, each with one POST to its own app: alone; beside customer A, who
sends 500 a second; beside A, whose app answers nothing for 30 s; and all that again, so that a slow
minute hurts all alike. Printed are B's times from sending to its app, and how they compare; they are
kept in bench/results. `--share 1` takes the bound off A, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from bench import report
from bench.measure import Figures, quantile
from bench.process import REPOSITORY, Others, started
from bench.stores import keeper
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate, order
from halflap.cli.load import LoadClient
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.loopback import on_loopback

RATE, FLOOD = 5, 500
MOST_UNDER_WAY = 200
"""A server that is slower than A sends is not to be overrun by connections instead of events."""
HANGS = 30.0
WARM = 300
"""Events that a server has had before: it is one that runs, not one that has just begun."""
PHASES = ("alone", "flood", "hang")


async def serve(directory: Path, share: float, apps: dict[str, str]) -> None:
    """A server with an instance for each customer; its first line says where their flows are."""
    settings = Settings(
        dir=directory, port=0, egress_allow=("127.0.0.1",), customer_share=share, log="json"
    )
    host = await Host.open(settings)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with host.served(grace=0):
        bundle = pack(INTEGRATIONS, "forward:integration")
        urls = {name: await activate(host, bundle, app, name) for name, app in apps.items()}
        print(json.dumps({"url": json.dumps(urls)}), flush=True)
        await stopping.wait()


async def flood(url: str) -> None:
    """Send as A until the process is ended."""
    client, loop = LoadClient(url), asyncio.get_running_loop()
    print(json.dumps({"url": url}), flush=True)
    began, tasks = loop.time(), set[asyncio.Task[tuple[int, str]]]()
    number = 0
    while True:
        while number < (loop.time() - began) * FLOOD and len(tasks) < MOST_UNDER_WAY:
            task = asyncio.create_task(client.post(order(number, "a")))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.sleep(0.005)


class Apps:
    """The apps of B (answers at once) and of A, where it hangs."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.app = web.Application()
        self.app.router.add_post("/b/{path:.*}", self._answer)
        self.app.router.add_post("/hang/{path:.*}", self._hang)

    async def _answer(self, request: web.Request) -> web.Response:
        at = time.monotonic()
        self.came[(await request.json())["id"]] = at
        return web.json_response({})

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(HANGS)
        return web.json_response({})


async def measure(directory: Path, seconds: float, rounds: int, share: float) -> Figures:
    """B's p50 and p99 in milliseconds, in each phase."""
    apps = Apps()
    times: dict[str, list[float]] = {phase: [] for phase in PHASES}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as made:
        async with on_loopback(apps.app) as here:
            for number in range(rounds):
                for phase, found in times.items():
                    place = Path(made) / f"{phase}{number}"
                    found += await _phase(apps, here, place, phase, seconds, share)
    return {
        f"{phase}_p{percent}_ms": quantile(found, percent / 100)
        for phase, found in times.items()
        for percent in (50, 99)
    }


async def _phase(
    apps: Apps, here: str, place: Path, phase: str, seconds: float, share: float
) -> list[float]:
    """B's times, with a server, and an A, of its own."""
    with ExitStack() as stack:
        open_ = asyncio.to_thread
        _, quick = await open_(stack.enter_context, started("bench.destination"))
        of_a = f"{here}/hang" if phase == "hang" else quick
        where = json.dumps({"A": of_a, "B": f"{here}/b"})
        arguments = ("bench.fairness", "--serve", str(place), f"--share={share}")
        server = started(*arguments, "--apps", where)
        _, urls = await open_(stack.enter_context, server)
        url = json.loads(urls)
        if phase != "alone":
            load = started("bench.fairness", "--flood", url["A"])
            await open_(stack.enter_context, load)
            await asyncio.sleep(min(3.0, seconds))  # until A has whatever it can get
        return await _times(apps, url["B"], seconds, place.name)


async def _times(apps: Apps, url: str, seconds: float, run: str) -> list[float]:
    client, loop = LoadClient(url), asyncio.get_running_loop()
    sent: dict[str, float] = {}

    async def one(number: int) -> None:
        event = f"{run}-{number:08}"
        sent[event] = time.monotonic()
        await client.post(order(number, run))

    for number in range(WARM):  # connections, caches, the length of the store's log
        await client.post(order(number, f"{run}-warm"))
    first = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(first + number / RATE - loop.time())
            group.create_task(one(number))
    deadline = loop.time() + 60
    while sent.keys() - apps.came.keys() and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await client.close()
    missing = sent.keys() - apps.came.keys()
    times = [(apps.came[each] - at) * 1e3 for each, at in sent.items() if each in apps.came]
    return times + [float("inf")] * len(missing)


def lines(about: Figures, found: Figures) -> list[Figures]:
    """Return the lines that are kept: how B fares beside a flood, and beside an app that hangs."""
    alone, flood, hang = (found[f"{phase}_p99_ms"] for phase in PHASES)
    most = max(2 * alone, 25.0)
    title = f"p99 of {RATE}/s beside another customer's {FLOOD}/s, ms (alone: {alone:.1f})"
    flooded = {"row": "flood", "title": title, "value": flood, "target": f"<= {most:.1f}"}
    title = "the same p99, where that customer's app hangs, ÷ alone"
    hung = {"row": "hang", "title": title, "value": hang / alone, "target": "<= 1.5"}
    return [about | report.all_rounded(each | found) for each in (flooded, hung)]


def run(directory: Path, *, seconds: float, rounds: int, share: float = 0.5) -> list[Figures]:
    """Measure, and the lines of it."""
    directory.mkdir(parents=True, exist_ok=True)
    others = Others()
    with keeper("sqlite", directory) as stores:
        about = report.setting(directory, stores, quick=False)
    found = run_loop(measure(directory, seconds, rounds, share))
    samples = int(seconds * RATE) * rounds
    about |= {"share": share, "samples": samples, "others_cores": round(others.cores(), 2)}
    return lines(about, found)


def main() -> int:
    """Measure and print; 1 where B feels more of A than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase (default 30)")
    parser.add_argument("--rounds", type=int, default=2, help="of all phases (default 2)")
    parser.add_argument("--share", type=float, default=0.5, help="HALFLAP_CUSTOMER_SHARE (0.5)")
    parser.add_argument(
        "--dir", type=Path, default=REPOSITORY / ".halflap", help="where stores are made"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="where lines are kept")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--apps", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        run_loop(serve(given.serve, given.share, given.apps))
        return 0
    if given.flood is not None:
        run_loop(flood(given.flood))
        return 0
    found = run(given.dir, seconds=given.seconds, rounds=given.rounds, share=given.share)
    one = found[0]
    for phase in PHASES:
        p50, p99 = one[f"{phase}_p50_ms"], one[f"{phase}_p99_ms"]
        ratios = f"  {p50 / one['alone_p50_ms']:5.2f} × {p99 / one['alone_p99_ms']:5.2f} ×"
        print(f"{phase:6}  p50 {p50:8.1f} ms  p99 {p99:8.1f} ms{ratios}")
    print(report.table(found))
    if given.share == 0.5:
        report.keep(found, given.results)
    return 0 if all(report.is_kept(each) for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
