"""The API's door: who may come in, what every answer carries, and what an error of ours tells."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders

from halflap.api import problem
from halflap.errors import HalflapError
from halflap.model import Token
from halflap.store.pulse import Pulse
from halflap.store.scope import WHOLE, CustomerScope

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


SCOPE, ACCESS, ADMITTED = "halflap.scope", "halflap.access", "halflap.admitted"
"""Keys of the door's findings about a request: the rows in scope, its rights, and whether it still
may go on.
"""

# In JSON a slash may be escaped, and a link may stand percent-encoded in another address.
LINK = re.compile(
    rb"((?:/|%2[Ff])signals(?:\\?/|%2[Ff]))([A-Za-z0-9_-]+(?:(?:\.|%2[Ee])[A-Za-z0-9_-]+){2,})"
)
LINK_BEGUN = re.compile(
    rb"(?:/|%)(?:[A-Za-z0-9%\\]{0,12}|(?:2[Ff])?signals(?:\\?/|%2[Ff])[A-Za-z0-9_.%-]{0,4000})\Z"
)

Known = Callable[[str], Awaitable[Token | None]]


class Masked:
    """Sends an answer with the tokens of links that approve as asterisks: whoever has one may use it."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._rest = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        more = message.get("more_body", False)
        body = LINK.sub(_stars, self._rest + message.get("body", b""))
        # A link may go on in the next part: what could be the beginning of one waits for that.
        begun = LINK_BEGUN.search(body) if more else None
        at = len(body) if begun is None else begun.start()
        self._rest = body[at:]
        await self._send({**message, "body": body[:at]})


def _stars(found: re.Match[bytes]) -> bytes:
    """As many asterisks, so that the answer keeps its length."""
    return found[1] + b"*" * len(found[2])


class Door:
    """Lets in who has a token, and says what it is good for: the team's, or one of a customer.

    Nothing leaves without its headers, no error with its insides.
    """

    def __init__(self, app: App, token: str, known: Known, pulse: Pulse) -> None:
        self._app = app
        self._token = token.encode()
        self._known = known
        self._pulse = pulse

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

        try:
            await self._pulse.attend(self._enter(scope, receive, guarded), lambda: started)
        except HalflapError as error:
            await problem.answer_error(error)(scope, receive, guarded)
        except Exception:
            log.exception("the API failed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await problem.answer(problem.plain(500))(scope, receive, guarded)

    async def _enter(self, scope: Message, receive: Any, send: Any) -> None:
        if not await self._admits(scope):
            refused = problem.answer(problem.plain(401), {"WWW-Authenticate": "Bearer"})
            await refused(scope, receive, send)
            return
        masked = scope.get(ACCESS, "secrets") != "secrets"
        await self._app(scope, receive, Masked(send) if masked else send)

    async def _admits(self, scope: Message) -> bool:
        path: str = scope["path"]
        shown = await self._shows(scope)
        return shown or path in OPEN or not path.startswith("/api")

    async def _shows(self, scope: Message) -> bool:
        """Return whether a request shows a token that is good; the scope then says for what."""
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, shown = sent.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        shown = shown.strip()
        if secrets.compare_digest(shown, self._token):
            scope[SCOPE], scope[ACCESS] = WHOLE, "secrets"
            return True
        text = shown.decode("ascii", "replace")
        found = await self._known(text)
        if found is None:
            return False
        scope[SCOPE], scope[ACCESS] = CustomerScope(found.customer), found.access

        async def admitted() -> bool:
            return await self._known(text) is not None

        scope[ADMITTED] = admitted
        return True
