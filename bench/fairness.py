"""`python -m bench.fairness`: what one customer feels of another that floods, or whose app hangs.

Customer B sends 5 events a second, each with one POST to its own app: alone; beside customer A, who
sends 500 a second; beside A, whose app answers nothing for 30 s. Printed are B's times from sending
to its app, and how they compare. `--share 1` takes the bound off A, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from aiohttp import web

from bench.process import started
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate, order
from halflap.cli.host import Host
from halflap.cli.load import Client
from halflap.cli.settings import Settings
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop

RATE, FLOOD = 5, 500
MOST_UNDER_WAY = 200
"""A server that is slower than A sends is not to be overrun by connections instead of events."""
HANGS = 30.0
PHASES = ("alone", "flood", "hang")


async def serve(directory: Path, share: float, apps: dict[str, str]) -> None:
    """A server with an instance for each customer; its first line says where their flows are."""
    settings = Settings(
        dir=directory, port=0, egress_allow=("127.0.0.1",), customer_share=share, log="json"
    )
    host = await Host.open(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    bound: asyncio.Future[int] = loop.create_future()
    serving = asyncio.create_task(host.serve(ready=bound.set_result))
    await bound
    bundle = pack(INTEGRATIONS, "forward:integration")
    urls = {name: await activate(host, bundle, app, name) for name, app in apps.items()}
    print(json.dumps({"url": json.dumps(urls)}), flush=True)
    await stopping.wait()
    await host.stop(0)
    await serving


async def flood(url: str) -> None:
    """Send as A until the process is ended."""
    client, loop = Client(url), asyncio.get_running_loop()
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
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; returns the address."""
        app = web.Application()
        app.router.add_post("/b/{path:.*}", self._answer)
        app.router.add_post("/hang/{path:.*}", self._hang)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        at = time.monotonic()
        self.came[(await request.json())["id"]] = at
        return web.json_response({})

    async def _hang(self, request: web.Request) -> web.Response:
        await asyncio.sleep(HANGS)
        return web.json_response({})


async def measure(seconds: float, share: float) -> dict[str, tuple[float, float]]:
    """B's p50 and p99 in milliseconds, in each phase."""
    apps = Apps()
    here = await apps.start()
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as made:
        for phase in PHASES:
            with ExitStack() as stack:
                open_ = asyncio.to_thread
                _, quick = await open_(stack.enter_context, started("bench.destination"))
                of_a = f"{here}/hang" if phase == "hang" else quick
                where = json.dumps({"A": of_a, "B": f"{here}/b"})
                arguments = ("bench.fairness", "--serve", f"{made}/{phase}", f"--share={share}")
                server = started(*arguments, "--apps", where)
                _, urls = await open_(stack.enter_context, server)
                url = json.loads(urls)
                if phase != "alone":
                    load = started("bench.fairness", "--flood", url["A"])
                    await open_(stack.enter_context, load)
                    await asyncio.sleep(3)  # until A has whatever it can get
                found[phase] = await _times(apps, url["B"], seconds, phase)
    await apps.stop()
    return found


async def _times(apps: Apps, url: str, seconds: float, phase: str) -> tuple[float, float]:
    client, loop = Client(url), asyncio.get_running_loop()
    sent: dict[str, float] = {}
    first = loop.time()

    async def one(number: int) -> None:
        event = f"{phase}-{number:08}"
        sent[event] = time.monotonic()
        await client.post(order(number, phase))

    for number in range(5):  # connections, caches
        await client.post(order(number, f"{phase}-warm"))
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(first + number / RATE - loop.time())
            group.create_task(one(number))
    deadline = loop.time() + 60
    while sent.keys() - apps.came.keys() and loop.time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    await client.close()
    missing = sent.keys() - apps.came.keys()
    times = sorted((apps.came[each] - at) * 1e3 for each, at in sent.items() if each in apps.came)
    times += [float("inf")] * len(missing)
    return statistics.median(times), times[min(int(len(times) * 0.99), len(times) - 1)]


def main() -> int:
    """Measure and print; 1 where B feels more of A than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.fairness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase (default 30)")
    parser.add_argument("--share", type=float, default=0.5, help="HALFLAP_CUSTOMER_SHARE (0.5)")
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
    found = run_loop(measure(given.seconds, given.share))
    alone = found["alone"]
    for phase, (p50, p99) in found.items():
        ratios = f"  {p50 / alone[0]:5.2f} × {p99 / alone[1]:5.2f} ×"
        print(
            f"{phase:6}  p50 {p50:8.1f} ms  p99 {p99:8.1f} ms{ratios if phase != 'alone' else ''}"
        )
    flooded, hung = found["flood"][1], found["hang"][1]
    kept = flooded <= max(2 * alone[1], 25.0) and hung <= 1.5 * alone[1]
    said = "kept" if kept else "NOT kept"
    print(f"beside a flood at most 2 × or 25 ms, beside one that hangs 1.5 ×: {said}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
