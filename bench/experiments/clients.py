"""Compare what HTTP clients ask of a flow that POSTs some JSON: ours, aiohttp, httpx, pyreqwest.

    python -m bench.experiments.clients

Each sends the same small POST with the same headers to the benchmark's destination, over 32 connections
that are kept, on uvloop, and reads status and body; three times in turn. Printed: the CPU of this
process a request (all its threads), and requests a second. Those that are not installed are left
out: `pip install httpx pyreqwest`.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from bench.process import started
from halflap.sdk.egress import Egress, Policy

REQUESTS = 6_400
CONNECTIONS = 32
ROUNDS = 3
BOOKING = {"id": "0123abcd-00000042", "who": "Initech", "cents": 420_000}
HEADERS = {"Content-Type": "application/json", "Idempotency-Key": "exe_01-0123456789abcdef01234567"}

Post = Callable[[], Awaitable[tuple[int, bytes]]]
Close = Callable[[], Awaitable[Any]]


async def ours(url: str) -> tuple[Post, Close]:
    egress = Egress(Policy(allow=("127.0.0.1",)))

    async def post() -> tuple[int, bytes]:
        answer = await egress.request("POST", url, json=BOOKING, headers=HEADERS)
        return answer.status, answer.body

    return post, egress.close


async def with_aiohttp(url: str) -> tuple[Post, Close]:
    import aiohttp

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    )

    async def post() -> tuple[int, bytes]:
        body = msgspec.json.encode(BOOKING)
        async with session.post(url, data=body, headers=HEADERS) as answer:
            return answer.status, await answer.read()

    return post, session.close


async def with_httpx(url: str) -> tuple[Post, Close]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx.AsyncClient(trust_env=False, limits=limits)

    async def post() -> tuple[int, bytes]:
        answer = await client.post(url, content=msgspec.json.encode(BOOKING), headers=HEADERS)
        return answer.status_code, answer.content

    return post, client.aclose


async def with_pyreqwest(url: str) -> tuple[Post, Close]:
    client: Any = importlib.import_module("pyreqwest.client").ClientBuilder().build()

    async def post() -> tuple[int, bytes]:
        request = client.post(url).headers(HEADERS).body_bytes(msgspec.json.encode(BOOKING))
        answer = await request.build().send()
        return int(answer.status), bytes(await answer.bytes())

    return post, client.close


CLIENTS: dict[str, Callable[[str], Awaitable[tuple[Post, Close]]]] = {
    "halflap": ours,
    "aiohttp": with_aiohttp,
    "pyreqwest": with_pyreqwest,
    "httpx": with_httpx,
}


async def measure(make: Callable[[str], Awaitable[tuple[Post, Close]]], url: str):
    post, close = await make(url)

    async def ask(times: int) -> None:
        for _ in range(times):
            assert await post() == (200, b"{}")

    await asyncio.gather(*(ask(20) for _ in range(CONNECTIONS)))
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask(REQUESTS // CONNECTIONS) for _ in range(CONNECTIONS)))
    cpu, passed = time.process_time() - cpu, time.perf_counter() - begun
    await close()
    return cpu / REQUESTS * 1e6, REQUESTS / passed


def main() -> None:
    import uvloop

    found: dict[str, list[tuple[float, float]]] = {
        name: [] for name in CLIENTS if name == "halflap" or importlib.util.find_spec(name)
    }
    with started("bench.destination") as (_, destination):
        for _ in range(ROUNDS):
            for name, runs in found.items():
                runs.append(uvloop.run(measure(CLIENTS[name], f"{destination}/bookings")))
    for name, runs in found.items():
        cpu = statistics.median(each[0] for each in runs)
        rate = statistics.median(each[1] for each in runs)
        print(f"{name:12} {cpu:8,.1f} µs of CPU a request {rate:10,.0f} requests/s")


if __name__ == "__main__":
    main()
