"""Web apps of the tests' own and sandboxes, on loopback, for what is tested to call."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from starlette.applications import Starlette

from halflap.sdk.egress import Egress, Policy
from halflap_sandbox import serving

PORTS = range(10_000, 32_768)
"""Ports below those that the kernel gives to clients, and to servers that take any."""


@functools.cache
def own_ports() -> Iterator[int]:
    """Return ports to take in turn, none of which another worker of this run has."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    mine = PORTS[number::count]
    start = random.SystemRandom().randrange(len(mine))
    return itertools.cycle([*mine[start:], *mine[:start]])


def free_port() -> int:
    """Return a port that nobody listens on, and that stays free while a server of ours is down."""
    while True:
        port = next(own_ports())
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def on_loopback(app: web.Application) -> AsyncIterator[str]:
    """Serve an app, and give its URL; its end waits for no request that is under way."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


class LoopbackSandbox:
    """A sandbox on loopback, with clients for a test and for a connection."""

    def __init__(self, url: str, http: aiohttp.ClientSession, egress: Egress) -> None:
        self.url, self.http, self.egress = url, http, egress

    async def post(self, path: str, body: Any) -> Any:
        """Ask the backstage to do something."""
        async with self.http.post(f"{self.url}/sandbox{path}", json=body) as response:
            assert response.status < 300, await response.text()
            return await response.json(content_type=None)

    async def look(self, path: str, **params: str) -> Any:
        """Look at something in the backstage."""
        async with self.http.get(f"{self.url}/sandbox{path}", params=params) as response:
            assert response.status == 200, await response.text()
            return await response.json()


@asynccontextmanager
async def sandbox_on_loopback(
    app: Starlette,
) -> AsyncIterator[tuple[str, aiohttp.ClientSession, Egress]]:
    """Run one of the sandboxes: its URL, and clients for a test and for a connection."""
    egress = Egress(Policy(allow=("127.0.0.1",)))
    # A connection that is kept may be closed by the sandbox just as a request is sent on it.
    connector = aiohttp.TCPConnector(force_close=True)
    async with serving(app) as url:
        try:
            async with aiohttp.ClientSession(connector=connector) as http:
                yield url, http, egress
        finally:
            await egress.close()
