"""The API's door: who may come in, what every answer carries, and what an error of ours tells."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders

from halflap.api import problem

log = structlog.get_logger("halflap.api")

Message = Any
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

OPEN = frozenset({"/api/health"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Door:
    """Lets in who has the token; nothing leaves without its headers, no error with its insides."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if not self._admits(scope):
            refused = problem.answer(problem.plain(401), {"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception:
            log.exception("the API failed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await problem.answer(problem.plain(500))(scope, receive, guarded)

    def _admits(self, scope: Message) -> bool:
        path: str = scope["path"]
        if path in OPEN or not path.startswith("/api"):
            return True
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = sent.partition(b" ")
        return scheme.lower() == b"bearer" and secrets.compare_digest(token.strip(), self._token)
