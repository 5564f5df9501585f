"""Hostile bodies at one customer's endpoint: what they cost another customer's acknowledgements.

    python -m bench.experiments.hostile_bodies

A server with one integration for two customers, whose trigger reads an id in the body and whose flow
reads the whole event; on SQLite and on PostgreSQL. One customer's events (1 KB) come in at 20 a
second: first by themselves, then while 100 bodies of up to 6 MB are sent to the other customer's
endpoint over 4 connections; once for each kind of body, and once with all kinds in turn. One table:
percentiles of the acknowledgements, the longest time for which the loop computed without a pause
(CPU time of its thread, so that other work on the machine counts nothing), what became of the
bodies, and how often the server's process ended. `--guard off` decodes as before the bounds and the
process that decodes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import structlog

from bench.measure import quantile
from bench.process import REPOSITORY, end
from bench.stores import keeper
from bench.workload import INTEGRATIONS
from halflap.cli.bench import activate, order
from halflap.engine.bundle import pack
from halflap.gateway.server import run_loop
from halflap.sdk.request import Request
from halflap.server.host import Host
from halflap.server.settings import Settings

RATE = 20.0
SECONDS = 20.0
BODIES = 100
CONNECTIONS = 4
BEAT_SECONDS = 0.001
TIMEOUT = aiohttp.ClientTimeout(total=120)
MOST = 6 * 1024 * 1024
ALL = "all kinds"
COLUMNS = (
    *("store", "bodies", "quiet p50 ms", "quiet p99 ms", "hostile p99 ms", "ratio"),
    *("quiet stall ms", "hostile stall ms", "answers", "deaths"),
)
TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain")
"""The content types of the bodies, in turn, whatever they are."""
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def filled(unit: bytes, most: int = MOST, count: int = 1 << 62) -> bytes:
    """A body that holds a unit as often as fits."""
    times = min((most - 64) // (len(unit) + 1), count)
    return b'{"id":"1","a":[' + b",".join([unit] * times) + b"]}"


KINDS: dict[str, Callable[[], bytes]] = {
    "nested: 33,000 x 90 brackets": lambda: filled(b"[" * 90 + b"]" * 90, count=33_000),
    "wide: arrays": lambda: filled(b"[]"),
    "wide: objects": lambda: filled(b"{}"),
    "wide: numbers": lambda: filled(b"1.5"),
    "within the bounds: arrays": lambda: filled(b"[]", count=249_000),
    "within the bounds: objects": lambda: filled(b'{"a":"bcdefghijklmno"}', count=249_000),
    "within the bounds: numbers": lambda: filled(b"1.5", count=1_000_000),
    "long numbers": lambda: filled(b"9" * 4_299),
    "within the bounds: long numbers": lambda: filled(b"9" * 500),
    "one text": lambda: b'{"id":"1","a":"' + b'\\"' * (MOST // 2 - 64) + b'"}',
}


async def serve(directory: Path, store: str, guard: str) -> None:
    """Serve the integration for two customers until the process is ended.

    For each line that comes in, the longest stall since the line before is printed.
    """
    if guard == "off":
        import halflap.engine.executor as executor
        import halflap.gateway.app as gateway
        from halflap.sdk import _json

        async def undecoded(request: Request, only: object = None) -> Request:
            return request

        _json.MAX_VALUES = _json.MAX_CONTAINERS = 1 << 60
        gateway.predecode = executor.predecode = undecoded
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    host = await Host.open(Settings(dir=directory, port=0, store=store, keys=KEYS))
    async with host.served() as serving:
        bundle = pack(INTEGRATIONS, "hostile:integration")
        urls = [await activate(host, bundle, "", each) for each in ("Initech", "Mallory")]
        answers = os.fdopen(os.dup(1), "w")
        print(json.dumps(urls), file=answers, flush=True)
        os.dup2(2, 1)
        stalls = Stalls()
        watching = asyncio.create_task(stalls.watch())
        loop = asyncio.get_running_loop()
        loop.add_reader(
            0, lambda: os.read(0, 64) and print(f"{stalls.taken():.1f}", file=answers, flush=True)
        )
        await serving
        watching.cancel()


class Stalls:
    """The longest time for which a loop computed between two of its turns, by its thread's CPU time."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Look at every turn, until cancelled."""
        while True:
            began = time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            self.longest = max(self.longest, time.thread_time() - began)

    def taken(self) -> float:
        """Return the longest since this was asked last, in ms."""
        longest, self.longest = self.longest, 0.0
        return longest * 1e3


class Served:
    """A server process, started again where it ends."""

    def __init__(self, directory: str, store: str, guard: str) -> None:
        self.deaths = 0
        self.urls: list[str] = []
        self._command = (
            *(sys.executable, "-m", __spec__.name, "--serve", directory),
            *("--guard", guard, "--url", store),
        )
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        """Start it, and learn the URLs of both customers."""
        self._process = subprocess.Popen(  # noqa: ASYNC220
            self._command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.urls = json.loads(await self._line() or "[]")

    async def look(self) -> float:
        """Return the longest stall since the last look, in ms; where it died, it counts and NaN."""
        assert self._process is not None
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            if answer := await self._line():
                return float(answer)
        self.deaths += 1
        return float("nan")

    def is_dead(self) -> bool:
        """Return whether the process has ended."""
        return self._process is None or self._process.poll() is not None

    def end(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            end(self._process)

    async def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return await asyncio.to_thread(self._process.stdout.readline)


async def regular(http: aiohttp.ClientSession, url: str, until: Callable[[], bool]) -> list[float]:
    """Send events at a constant rate, whatever the server does; how long each took, in ms."""
    taken: list[float] = []

    async def one(number: int, due: float) -> None:
        try:
            async with http.post(url, data=order(number, f"{due}")) as answer:
                answer.raise_for_status()
        except aiohttp.ClientError:
            taken.append(float("inf"))
        else:
            taken.append((time.perf_counter() - due) * 1e3)  # from when it should have been sent

    async with asyncio.TaskGroup() as group:
        began, number = time.perf_counter(), 0
        while not until():
            due = began + number / RATE
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            group.create_task(one(number, due))
            number += 1
    return taken


async def attacked(url: str, kind: str, bodies: int) -> Counter[str]:
    """Have a process of its own send the bodies, so that this one only measures."""
    command = (
        *(sys.executable, "-m", __spec__.name, "--attack", url),
        *("--kind", kind, "--bodies", str(bodies)),
    )
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    return Counter(json.loads(answer))


async def attack(url: str, kind: str, count: int) -> None:
    """Send so many bodies, as fast as they are taken; print what became of them."""
    made = [make() for name, make in KINDS.items() if kind in (name, ALL)]
    bodies = iter([made[n % len(made)] for n in range(count)])
    types = itertools.cycle(TYPES)
    seen: Counter[str] = Counter()

    async def sender(http: aiohttp.ClientSession) -> None:
        for body in bodies:
            try:
                headers = {"content-type": next(types)}
                async with http.post(url, data=body, headers=headers) as answer:
                    seen[str(answer.status)] += 1
            except aiohttp.ClientError as error:
                seen[type(error).__name__] += 1
                await asyncio.sleep(1)

    async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
        await asyncio.gather(*(sender(http) for _ in range(CONNECTIONS)))
    print(json.dumps(seen))


@contextmanager
def stores(wanted: str) -> Generator[dict[str, str]]:
    """The stores to measure on, by their names: their URLs, none for a file."""
    found = {"SQLite": ""} if wanted in ("sqlite", "both") else {}
    if wanted == "sqlite":
        yield found
        return
    with (
        keeper("postgresql", Path(tempfile.gettempdir())) as kept,
        kept.fresh() as store,
    ):
        yield {**found, "PostgreSQL": store.url}


async def measure(
    name: str, store: str, guard: str, kinds: list[str], bodies: int, seconds: float
) -> list[str]:
    """Measure on one store: the rows of the table."""
    rows: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        served = Served(directory, store, guard)
        await served.start()
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
                ours, theirs = served.urls
                await regular(http, ours, until=after(3))
                for number, kind in enumerate(kinds, 1):
                    progress(f"{name} {number}/{len(kinds)}: {kind}")
                    await served.look()
                    quiet = await regular(http, ours, until=after(seconds))
                    still = await served.look()
                    attacking = asyncio.create_task(attacked(theirs, kind, bodies))
                    least = after(seconds)
                    busy = await regular(
                        http,
                        ours,
                        until=lambda least=least, attacking=attacking: (
                            served.is_dead() or (attacking.done() and least())
                        ),
                    )
                    stall, seen = await served.look(), await attacking
                    rows.append(row(name, kind, quiet, busy, (still, stall), seen, served.deaths))
                    progress(rows[-1])
                    if served.is_dead():
                        break
        finally:
            served.end()
    return rows


def row(
    store: str,
    kind: str,
    quiet: list[float],
    busy: list[float],
    stalls: tuple[float, float],
    seen: Counter[str],
    deaths: int,
) -> str:
    """A row of the table."""
    before, hostile = quantile(quiet, 0.99) or 0.0, quantile(busy, 0.99) or 0.0
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(seen.items()))
    cells = (
        *(store, kind, f"{statistics.median(quiet):.1f}", f"{before:.1f}", f"{hostile:.1f}"),
        *(f"{hostile / before:.1f}", f"{stalls[0]:.1f}", f"{stalls[1]:.1f}", answers, str(deaths)),
    )
    return f"| {' | '.join(cells)} |"


def progress(line: str) -> None:
    """Say how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


async def main(given: argparse.Namespace) -> None:
    """Measure, and print."""
    kinds = [each for each in (*KINDS, ALL) if each.startswith(given.kind)]
    rows: list[str] = []
    with stores(given.store) as found:
        for name, url in found.items():
            rows += await measure(name, url, given.guard, kinds, given.bodies, given.seconds)
    print(f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}", *rows, sep="\n")


def after(seconds: float) -> Callable[[], bool]:
    """Return a function that says whether so many seconds are over, from now on."""
    at = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= at


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--guard", choices=["on", "off"], default="on")
    parser.add_argument("--store", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--kind", default="", help="only bodies whose name begins so")
    parser.add_argument("--bodies", type=int, default=BODIES, help="how many of each kind")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="the least of each part")
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--url", default="", help="the store of `--serve`")
    parser.add_argument("--attack", help="send the bodies to this URL, and do nothing else")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if given.serve is not None:
            run_loop(serve(given.serve, given.url, given.guard))
        elif given.attack:
            asyncio.run(attack(given.attack, given.kind, given.bodies))
        else:
            asyncio.run(main(given))
