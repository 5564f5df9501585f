"""One request and its response, as the app sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from halflap.gateway import refusal

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent


class GuardedCycle(RequestResponseCycle):
    """One request and its response; a crash of the app is answered as a problem.

    A response that is whole is written in one go: a second write would be a second packet, and wake
    the client twice.
    """

    _head: HTTPResponseStartEvent | None = None
    _promised = 0

    async def send(self, message: ASGISendEvent) -> None:
        """Write a response, or a part of one."""
        if message["type"] == "http.response.start":
            length = None if self.response_started else _length(message)
            if length is not None and self.scope["method"] != "HEAD":
                self._head, self._promised = message, length
                return
        elif message["type"] == "http.response.body" and self._head is not None:
            head, self._head = self._head, None
            body = message.get("body", b"")
            if len(body) == self._promised and not message.get("more_body"):
                if self.flow.write_paused and not self.disconnected:
                    await self.flow.drain()
                if not self.disconnected:
                    self._write(head, body)
                return
            await super().send(head)
        await super().send(message)

    def _write(self, head: HTTPResponseStartEvent, body: bytes) -> None:
        headers = [*self.default_headers, *head.get("headers", ())]
        names, values = zip(*headers, strict=True)  # the length is one of them
        if HEADER_RE.search(b"".join(names)):
            raise RuntimeError("invalid name of a header in a response")
        if HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("invalid value of a header in a response")
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"\r\n".join(map(b": ".join, headers))
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(b"".join((STATUS_LINE[head["status"]], lines, b"\r\n\r\n", body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    async def send_500_response(self) -> None:
        """Answer for an app that failed before it answered."""
        body = refusal.APP_FAILED.body()
        await self.send(
            {
                "type": "http.response.start",
                "status": 500,
                "headers": [*refusal.problem_headers(body), (b"connection", b"close")],
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


class ExpectingCycle(GuardedCycle):
    """A request whose client awaits a 100 Continue before it sends the body."""

    async def send(self, message: ASGISendEvent) -> None:
        """Pass on; an answer in place of the 100 leaves open whether a body follows, so close."""
        if self.waiting_for_100_continue:
            self.keep_alive = False
        await super().send(message)


def _length(head: HTTPResponseStartEvent) -> int | None:
    """Return the body's length where the head gives it unambiguously, else None.

    ASGI has the names in lower case.
    """
    headers = dict(head.get("headers", ()))
    if b"connection" in headers or b"transfer-encoding" in headers:
        return None
    length = headers.get(b"content-length")
    return None if length is None else int(length)
