"""Runs an ASGI app on the guarded edge, inside whatever event loop is running."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from halflap.errors import HalflapError
from halflap.gateway.edge import Edge, EdgeCounters, EdgeLimits, ForwardedLimit
from halflap.gateway.guard import GuardedProtocol
from halflap.gateway.refusal import RequestRefusal
from halflap.sdk.deadline import came

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

log = structlog.get_logger("halflap.gateway")

T = TypeVar("T")
IDLE_SECONDS = 1.0
"""Seconds in which an idle connection of a server that stops may still bring a request."""


class Server:
    """Serves one app on one address until it is stopped.

    It shares its event loop with others: it installs no signal handlers, configures no logging
    and ends no process. `sweep_seconds` is how often deadlines are looked at; `on_refusal` is called
    with each refusal of the edge.
    """

    def __init__(self, *, sweep_seconds: float = 1.0) -> None:
        self.port: int | None = None
        self.on_refusal: Callable[[RequestRefusal], object] | None = None
        self._sweep_seconds = sweep_seconds
        self._state = ServerState()
        self._edge: Edge | None = None
        self._listener: asyncio.Server | None = None
        self._stopped = asyncio.Event()

    @property
    def counters(self) -> EdgeCounters:
        """Counters of the requests that the edge accepted and refused since this server started."""
        return self._edge.counters if self._edge else EdgeCounters()

    async def serve(
        self,
        app: ASGI3Application,
        host: str,
        port: int,
        limits: EdgeLimits | None = None,
        *,
        ready: Callable[[int], object] | None = None,
    ) -> None:
        """Listen, call `ready` with the real port (`port` may be 0), and serve until `stop`.

        Cancelling it stops at once. Raises HalflapError if the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        limits = limits or EdgeLimits()
        edge = self._edge = Edge(
            limits, sweep_seconds=self._sweep_seconds, on_refusal=self.on_refusal
        )
        if limits.trusted_proxies:
            app = ForwardedLimit(app, edge)
        config = _uvicorn_config(app, limits)
        state = self._state

        def connect() -> GuardedProtocol:
            return GuardedProtocol(config, state, {}, loop, edge=edge)

        self._tell_time()
        try:
            listener = await loop.create_server(connect, host, port, backlog=2048)
        except OSError as error:
            raise HalflapError(
                f"Cannot listen on {host}:{port}: {_why(error)}. "
                "Stop what uses the port, or choose another host or port."
            ) from error
        self._listener = listener
        self.port = bound = int(listener.sockets[0].getsockname()[1])
        try:
            if ready is not None:
                ready(bound)
            while not self._stopped.is_set():
                edge.sweep(loop.time())
                self._tell_time()
                await came(self._stopped, self._sweep_seconds)
        finally:
            await self.stop(0)

    async def stop(self, grace: float) -> None:
        """Accept nothing new, and end what is connected: running requests have `grace` seconds.

        From now on each answer says that its connection closes. An idle connection is closed a
        moment later, as a request may be on its way on it. What is not done in time gets cancelled.
        `serve` returns afterwards.
        """
        listener, self._listener = self._listener, None
        if listener is None or (edge := self._edge) is None:
            if self._edge is None:
                self._stopped.set()
            return
        try:
            listener.close()
            edge.draining = True
            for connection in list(edge.connections):
                connection.drain()
            await _until_empty(edge, min(grace, IDLE_SECONDS))
            for connection in list(edge.connections):
                connection.shutdown()
            await _until_empty(edge, max(grace - IDLE_SECONDS, 0))
        finally:
            for task in list(self._state.tasks):
                task.cancel()
            if self._state.tasks:
                log.warning("the stop cut off requests", requests=len(self._state.tasks))
                await asyncio.wait(self._state.tasks, timeout=1.0)
            for connection in list(edge.connections):
                connection.transport.abort()
            await _until_empty(edge, 1.0)
            await listener.wait_closed()
            self._stopped.set()

    def _tell_time(self) -> None:
        self._state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a new event loop: uvloop's where it is installed."""
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    with _tuned():
        return run(main)


@contextmanager
def _tuned() -> Generator[None]:
    """Python's own settings, for a loop that is busy with short-lived objects.

    What is loaded by now lives as long as the process, so the collector need not look at it; and
    with its usual threshold it would run several times for every request. The store's thread wants
    the interpreter for microseconds at a time, and by default may wait 5 ms for each of them.
    """
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    frozen = gc.get_freeze_count() > 0
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.002)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        if not frozen:
            gc.unfreeze()


def _why(error: OSError) -> str:
    """Return the system's text of an error; asyncio's names the address a second time."""
    return os.strerror(error.errno) if error.errno else str(error)


def _uvicorn_config(app: ASGI3Application, limits: EdgeLimits) -> Config:
    config = Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=bool(limits.trusted_proxies),
        forwarded_allow_ips=list(limits.trusted_proxies),
    )
    config.load()
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    return config


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Return False for the traceback that uvicorn logs of each request that a stop cuts off."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is not asyncio.CancelledError


async def _until_empty(edge: Edge, seconds: float) -> None:
    if edge.connections:
        await came(edge.empty, seconds)
