"""An API that keeps items, and tells of them in each way that the triggers of `http` know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web


class Api:
    """An API that keeps items, and tells of them in each way that the triggers know."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.refuses = False
        self.changed = asyncio.Event()
        self.asked: list[dict[str, str]] = []
        self.body = b""
        self.content_type = "application/json"

    async def put(self, bodies: Sequence[bytes]) -> None:
        for each in bodies:
            number = len(self.items)
            at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            self.items.append({"id": number, "at": at, **json.loads(each)})
        self.changed.set()
        self.changed = asyncio.Event()

    async def refuse(self, refuses: bool) -> None:
        self.refuses = refuses

    def check(self, request: web.Request) -> None:
        self.asked.append(dict(request.query))
        if self.refuses:
            raise web.HTTPUnauthorized

    async def one(self, request: web.Request) -> web.Response:
        self.check(request)
        response = web.Response(body=self.body, content_type=self.content_type)
        response.enable_compression()
        return response

    async def by_time(self, request: web.Request) -> web.Response:
        self.check(request)
        since = request.query.get("since", "")
        found = [each for each in self.items if each["at"] >= since]
        return web.json_response({"data": {"items": found}})

    async def by_time_in_pages(self, request: web.Request) -> web.Response:
        """The address of the next page stands in the answer, as nothing says it in a header."""
        self.check(request)
        since, at = request.query.get("since", ""), int(request.query.get("from", 0))
        found = [each for each in self.items if each["at"] >= since]
        after = request.path + f"?since={since}&from={at + 2}" if found[at + 2 :] else None
        return web.json_response({"items": found[at : at + 2], "links": {"next": after}})

    async def by_cursor(self, request: web.Request) -> web.Response:
        self.check(request)
        at = int(request.query.get("after", 0))
        found = self.items[at : at + 2]
        return web.json_response({"items": found, "next": at + len(found)})

    async def whole(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response(self.items)

    async def waiting(self, request: web.Request) -> web.Response:
        self.check(request)
        at = int(request.query.get("cursor", 0))
        if at == len(self.items):
            waits = asyncio.ensure_future(self.changed.wait())
            await asyncio.wait([waits], timeout=0.2)
            waits.cancel()
        found = self.items[at:]
        return web.json_response({"items": found, "next": at + len(found)})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.check(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\nretry: 20\n\n")
        at = int(request.headers.get("Last-Event-ID", -1)) + 1
        for _ in range(3):  # then it breaks off
            for each in self.items[at:]:
                event = f"id: {each['id']}\r\ndata: {json.dumps(each)}\r\n\r\n"
                await response.write(event.encode())
                at += 1
            waits = asyncio.ensure_future(self.changed.wait())
            await asyncio.wait([waits], timeout=0.1)
            waits.cancel()
        return response

    def app(self) -> web.Application:
        """Return an app with all of its paths."""
        made = web.Application()
        for path, handler in (
            ("/time", self.by_time),
            ("/pages", self.by_time_in_pages),
            ("/cursor", self.by_cursor),
            ("/whole", self.whole),
            ("/waiting", self.waiting),
            ("/stream", self.stream),
            ("/one", self.one),
        ):
            made.router.add_get(path, handler)
        return made
