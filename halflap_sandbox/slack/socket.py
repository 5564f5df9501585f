"""Socket Mode: the app's WebSockets, each event and interaction by one of them, until it is acknowledged.

They have a port of their own, as Slack's have a host of their own.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from halflap_sandbox.answer import dump
from halflap_sandbox.slack.model import APP_ID, Json, new_id

MOST_LINKS = 10
LASTS = 18_000
"""The seconds that Slack says a WebSocket lasts; here it lasts until it is refreshed."""
CLOSED_WITHIN = 10.0
"""The seconds that a WebSocket which is refreshed stays open at most, for its successor to be opened."""


@dataclass(eq=False, slots=True)
class Link:
    """A WebSocket, and the envelopes that it has to acknowledge."""

    socket: web.WebSocketResponse
    awaited: dict[str, asyncio.Future[Any]] = field(default_factory=dict[str, asyncio.Future[Any]])
    refreshed: bool = False


class Links:
    """The WebSockets of the app."""

    def __init__(self) -> None:
        self._links: list[Link] = []
        self._changed = asyncio.Event()
        self._turn = itertools.count()
        self._tickets: set[str] = set()
        self._runner: web.AppRunner | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """The number of WebSockets that stay open."""
        return len([each for each in self._links if not each.refreshed])

    async def url(self, host: str) -> str | None:
        """Give the URL of a WebSocket, which is good once; None where there are too many."""
        if len(self._links) >= MOST_LINKS:
            return None
        if self._runner is None:
            app = web.Application()
            app.router.add_get("/link/", self._serve)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            await web.TCPSite(self._runner, host, 0).start()
        self._tickets.add(ticket := secrets.token_hex(16))
        at, port = self._runner.addresses[0][:2]
        return f"ws://{f'[{at}]' if ':' in at else at}:{port}/link/?ticket={ticket}&app_id={APP_ID}"

    async def send(self, kind: str, payload: Json, retry: int, reason: str, within: float) -> Json:
        """Send an envelope by one of the WebSockets, and wait until it is acknowledged."""
        open_links = [each for each in self._links if not each.refreshed] or self._links
        if not open_links:
            return {"status": None, "error": "no WebSocket is open"}
        link, id = open_links[next(self._turn) % len(open_links)], new_id("E")
        envelope = {
            "envelope_id": id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": reason}
        acknowledged = link.awaited[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                await link.socket.send_str(dump(envelope).decode())
                answer = await acknowledged
            return {"status": 200, "body": dump(answer).decode() if answer else ""}
        except (ConnectionError, TimeoutError) as error:
            return {"status": None, "error": str(error) or type(error).__name__}
        finally:
            link.awaited.pop(id, None)
            self._changed.set()

    async def refresh(self) -> int:
        """Say that the WebSockets are about to be closed, and close them once they are replaced."""
        leaving = [each for each in self._links if not each.refreshed]
        for link in leaving:
            link.refreshed = True
            await self._disconnect(link, "refresh_requested")
        closing = asyncio.create_task(self._replaced(leaving), name="slack sockets close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return len(leaving)

    async def disable(self) -> None:
        """End Socket Mode: the app is sent what happens to its URLs."""
        for link in self._links:
            await self._disconnect(link, "link_disabled")
        await self._close(list(self._links))

    async def close(self) -> None:
        """Close all, and listen no longer."""
        for each in self._closing:
            each.cancel()
        await self._close(list(self._links))
        if self._runner is not None:
            await self._runner.cleanup()

    async def _replaced(self, links: list[Link]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_WITHIN):
                while self.open < len(links) or any(each.awaited for each in links):
                    self._changed.clear()
                    await self._changed.wait()
        await self._close(links)

    async def _close(self, links: list[Link]) -> None:
        for each in links:
            with suppress(ConnectionError):
                await each.socket.close(drain=False)

    async def _disconnect(self, link: Link, reason: str) -> None:
        note = {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
        with suppress(ConnectionError):
            await link.socket.send_str(dump(note).decode())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        if request.query.get("ticket") not in self._tickets:
            raise web.HTTPForbidden
        self._tickets.discard(request.query["ticket"])
        socket = web.WebSocketResponse(heartbeat=10)
        await socket.prepare(request)
        link = Link(socket)
        self._links.append(link)
        self._changed.set()
        hello = {
            "type": "hello",
            "num_connections": len(self._links),
            "connection_info": {"app_id": APP_ID},
            "debug_info": {"host": "sandbox", "approximate_connection_time": LASTS},
        }
        try:
            await socket.send_str(dump(hello).decode())
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    self._take(link, message.json())
        finally:
            self._links.remove(link)
            for each in link.awaited.values():
                if not each.done():
                    each.set_exception(ConnectionError("the WebSocket was closed"))
        return socket

    def _take(self, link: Link, said: Any) -> None:
        awaited = link.awaited.get(str(said.get("envelope_id")))
        if awaited is not None and not awaited.done():
            awaited.set_result(said.get("payload"))
