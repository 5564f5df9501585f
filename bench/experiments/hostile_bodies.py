"""Hostile bodies at one customer's endpoint: what they cost another customer's acknowledgements.

    python -m bench.experiments.hostile_bodies

A server on SQLite with one integration for two customers, whose trigger reads an id in the body and
whose flow reads the whole event. One customer's events (1 KB) come in at 20 a second: first by
themselves, then while 100 bodies of up to 6 MB are sent to the other customer's endpoint over 4
connections. Printed: percentiles of the acknowledgements, what became of the bodies, and whether the
server is the process that it was. `--guard off` decodes as before the bounds and the process that
decodes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import structlog

from bench.process import REPOSITORY, end
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
TIMEOUT = aiohttp.ClientTimeout(total=120)
MOST = 6 * 1024 * 1024


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


async def serve(directory: Path, guard: str) -> None:
    """Serve the integration for two customers until the process is ended."""
    if guard == "off":
        import halflap.engine.executor as executor
        import halflap.gateway.app as gateway
        from halflap.sdk import _json

        async def undecoded(request: Request, only: object = None) -> Request:
            return request

        _json.MAX_VALUES = _json.MAX_CONTAINERS = 1 << 60
        gateway.predecode = executor.predecode = undecoded
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    host = await Host.open(Settings(dir=directory, port=0))
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(host.serve(ready=bound.set_result))
    await asyncio.wait([bound, serving], return_when=asyncio.FIRST_COMPLETED)
    bundle = pack(INTEGRATIONS, "hostile:integration")
    urls = [await activate(host, bundle, "", each) for each in ("Initech", "Mallory")]
    print(json.dumps(urls), flush=True)
    os.dup2(2, 1)
    await serving


@asynccontextmanager
async def server(
    directory: str, guard: str
) -> AsyncGenerator[tuple[subprocess.Popen[str], list[str]]]:
    """A server process, and the URLs of both customers."""
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", __spec__.name, "--serve", directory, "--guard", guard],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(await asyncio.to_thread(process.stdout.readline))
    finally:
        if process.poll() is None:
            end(process)


async def regular(http: aiohttp.ClientSession, url: str, until: Callable[[], bool]) -> list[float]:
    """Send events at a constant rate, whatever the server does; how long each took, in ms."""
    taken: list[float] = []

    async def one(number: int, due: float) -> None:
        try:
            async with http.post(url, data=order(number, f"{due}")) as answer:
                assert answer.status == 202 or answer.status == 200, answer.status
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


async def attacked(url: str, kind: str) -> Counter[str]:
    """Have a process of its own send the bodies, so that this one only measures."""
    command = (sys.executable, "-m", __spec__.name, "--attack", url, "--kind", kind)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    return Counter(json.loads(answer))


async def attack(url: str, kind: str) -> None:
    """Send the bodies, as fast as they are taken; print what became of them."""
    made = [make() for name, make in KINDS.items() if name.startswith(kind)]
    bodies = iter([made[n % len(made)] for n in range(BODIES)])
    seen: Counter[str] = Counter()

    async def sender(http: aiohttp.ClientSession) -> None:
        for body in bodies:
            try:
                async with http.post(url, data=body) as answer:
                    seen[str(answer.status)] += 1
            except aiohttp.ClientError as error:
                seen[type(error).__name__] += 1
                await asyncio.sleep(1)

    async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
        await asyncio.gather(*(sender(http) for _ in range(CONNECTIONS)))
    print(json.dumps(seen))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def main(guard: str, kind: str) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as directory:
        async with (
            server(directory, guard) as (process, (ours, theirs)),
            aiohttp.ClientSession(timeout=TIMEOUT) as http,
        ):
            await regular(http, ours, until=after(3))
            quiet = await regular(http, ours, until=after(SECONDS))
            attacking = asyncio.create_task(attacked(theirs, kind))
            least = after(SECONDS)
            busy = await regular(http, ours, until=lambda: attacking.done() and least())
            seen = await attacking
            rest = await regular(http, ours, until=after(SECONDS))
        for name, values in (("quiet", quiet), ("attacked", busy), ("after", rest)):
            print(
                f"{name:9} {len(values):5} acks  p50 {statistics.median(values):7.1f} ms  "
                f"p99 {percentile(values, 0.99):7.1f} ms  worst {max(values):7.1f} ms"
            )
        print(f"bodies: {dict(seen)}; the server ended: {process.returncode not in (0, -15)}")


def after(seconds: float) -> Callable[[], bool]:
    """Whether so many seconds are over, from now on."""
    at = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= at


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--guard", choices=["on", "off"], default="on")
    parser.add_argument("--kind", default="", help="only bodies whose name begins so")
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--attack", help="send the bodies to this URL, and do nothing else")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if given.serve is not None:
            run_loop(serve(given.serve, given.guard))
        elif given.attack:
            asyncio.run(attack(given.attack, given.kind))
        else:
            asyncio.run(main(given.guard, given.kind))
