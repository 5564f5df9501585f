"""One request and its response, as the app sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from halflap.gateway import refusal

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class GuardedCycle(RequestResponseCycle):
    """One request and its response; a crash of the app is answered as a problem."""

    async def send_500_response(self) -> None:
        """Answer for an app that failed before it answered."""
        body = refusal.APP_FAILED.body()
        await self.send(
            {
                "type": "http.response.start",
                "status": 500,
                "headers": [
                    (b"content-type", b"application/problem+json"),
                    (b"content-length", b"%d" % len(body)),
                    (b"connection", b"close"),
                ],
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
