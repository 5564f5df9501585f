"""Following: every change of an execution as it happens, as Server-Sent Events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response

from halflap.api.asking import Ops, Whose, for_customers, router_of
from halflap.api.door import ADMITTED
from halflap.api.execution_view import ChangeView
from halflap.api.executions import whose
from halflap.api.operations.following import Following, KeepAlive, Which
from halflap.model import Change
from halflap.sdk import codec

router = router_of("/api", "executions", 404, 409)
stream = {
    200: {
        "description": "Server-Sent Events; each `data` is a ChangeView.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


LOOK_SECONDS = 15.0
"""Seconds between checks that a follower may still follow."""

Admitted = Callable[[], Awaitable[bool]]


class EventStream(Response):
    """Server-Sent Events of what is followed, for as long as the client stays.

    It ends with its last byte: nothing of it is left to do once the connection is closed.
    """

    media_type = "text/event-stream"

    def __init__(self, following: Following, which: Which, admitted: Admitted | None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._following = following
        self._which = which
        self._admitted = admitted

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        gone = asyncio.ensure_future(self._over(receive))
        try:
            await send(start)
            async with aclosing(self._following.changes(self._which, gone)) as changes:
                async for each in changes:
                    body = line(each)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _over(self, receive: Any) -> None:
        """Return once the client has gone, or may not come in any more."""
        gone = asyncio.ensure_future(left(receive))
        try:
            while self._admitted is not None and not gone.done():
                await asyncio.wait([gone], timeout=LOOK_SECONDS)
                if not await self._admitted():
                    return
            await gone
        finally:
            gone.cancel()


@router.get("/follow", response_class=Response, responses={**stream})
@for_customers
async def follow(
    request: Request,
    operations: Ops,
    customer: Whose = None,
    instance: str | None = None,
    execution: str | None = None,
) -> EventStream:
    """Every change from now on. Comments are heartbeats; `event: dropped` ends a slow reader."""
    owner, within = await whose(operations, customer, instance)
    if execution is not None:
        execution = (await operations.executions.find(execution)).id
    which = Which(owner, within, execution)
    return EventStream(operations.following, which, request.scope.get(ADMITTED))


async def left(receive: Any) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def line(heard: Change | KeepAlive) -> bytes:
    """Return a change as an event of the stream."""
    match heard:
        case KeepAlive.HEARTBEAT:
            return b": following\n\n"
        case KeepAlive.DROPPED:
            return b"event: dropped\ndata: {}\n\n"
        case _:
            return b"data: " + codec.encode(change_view(heard).model_dump()) + b"\n\n"


def change_view(change: Change) -> ChangeView:
    """A change as it is told."""
    reason = change.outcome.reason if change.outcome is not None else ""
    return ChangeView.of(change, change.start.flow, reason=reason)
