"""Compare what HTTP servers ask of a webhook: ours on uvicorn, plain uvicorn, aiohttp, granian.

    python -m bench.experiments.servers

The same answer to the same POST of 1 KB, from one process with uvloop, under 32 connections of wrk; each
server by itself, three times in turn. Printed: the server's CPU a request (all its processes), and
requests a second. granian is left out where it is not installed: `pip install granian`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

from bench.load import flood
from bench.peers.peer import free_port
from bench.process import REPOSITORY, BenchError, cpu_ms, processes
from bench.workload import WORKLOADS

SECONDS = 2.0
ROUNDS = 3
STARTS_WITHIN = 20.0
BODY = b'{"accepted":true}'
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(BODY)),
    (b"halflap-execution", b"exe_01m8brxdzde6f8n8q01jkv74bn"),
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app: reads the body whole, answers 202."""
    if scope["type"] != "http":
        return
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    await send({"type": "http.response.start", "status": 202, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def halflap(port: int) -> None:
    from halflap.gateway.server import Server, run_loop

    run_loop(Server().serve(app, "127.0.0.1", port))


def uvicorn(port: int) -> None:
    import uvicorn as server

    server.run(app, port=port, http="httptools", loop="uvloop", access_log=False, log_level="error")


def aiohttp(port: int) -> None:
    import uvloop
    from aiohttp import web

    async def accept(request: web.Request) -> web.Response:
        await request.read()
        headers = {name.decode(): value.decode() for name, value in HEADERS[::2]}
        return web.Response(status=202, body=BODY, headers=headers)

    async def serve() -> None:
        served = web.Application()
        served.router.add_post("/{path:.*}", accept)
        runner = web.AppRunner(served, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


def granian(port: int) -> None:
    given = ["--interface", "asgi", "--loop", "uvloop", "--no-log", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "granian", *given, f"{__spec__.name}:app"])


SERVERS = {each.__name__: each for each in (halflap, uvicorn, aiohttp, granian)}


def measure(name: str) -> tuple[float, float]:
    """CPU (µs) a request, and requests a second."""
    port = free_port()
    url, workload = f"http://127.0.0.1:{port}/hooks/it", WORKLOADS["W1"]
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, name, str(port)],
        cwd=REPOSITORY,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(url, workload.event("probe"))
        flood(url, workload, secrets.token_hex(4), 1.0)
        used = sum(map(cpu_ms, processes(session=process.pid)))
        sent = flood(url, workload, secrets.token_hex(4), SECONDS)
        used = sum(map(cpu_ms, processes(session=process.pid))) - used
    finally:
        for pid in [*processes(session=process.pid), process.pid]:
            os.kill(pid, 9)
        process.wait()
    if sent.refused:
        raise BenchError(f"{name} refused {sent.refused} requests")
    return used / len(sent.executions) * 1e3, len(sent.executions) / sent.seconds


def wait_for(url: str, body: bytes) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            urlopen(Request(url, body)).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"nobody answers at {url}: {error}") from error
            time.sleep(0.05)
        else:
            return


def main() -> None:
    there = [name for name in SERVERS if importlib.util.find_spec(name)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in there}
    for _ in range(ROUNDS):
        for name, runs in found.items():
            runs.append(measure(name))
    for name, runs in found.items():
        cpu = statistics.median(each[0] for each in runs)
        rate = statistics.median(each[1] for each in runs)
        print(f"{name:12} {cpu:8,.1f} µs of CPU a request {rate:10,.0f} requests/s")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        SERVERS[sys.argv[1]](int(sys.argv[2]))
    else:
        main()
