"""The API's door: who may come in, what every answer carries, and what an error of ours tells.

A request comes from a program with a token, or from a browser with a session's cookie. A browser sends
the cookie with whatever any page makes it send, so what changes something needs two things more that
another site's page cannot give: its origin, and the session's CSRF token.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from halflap.api import problem
from halflap.api.auditing import AuditedSend
from halflap.api.masking import LinkMask
from halflap.api.operations.people import People
from halflap.api.principal import PRINCIPAL, ROOT, Principal
from halflap.errors import HalflapError
from halflap.store.pulse import Pulse

log = structlog.get_logger("halflap.api")

Message = Any
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

OPEN = frozenset(
    {
        ("/api/health", "GET"),
        ("/api/health", "HEAD"),
        ("/api/session", "GET"),
        ("/api/session", "POST"),
        ("/api/session/oidc", "POST"),
    }
)
"""The requests that need no principal."""
SAFE = frozenset({"GET", "HEAD"})
CHALLENGE = {"WWW-Authenticate": "Bearer"}
UNKNOWN = (
    "The token that was sent is none that is good now: it is mistyped, has ended or was revoked."
)
SESSION = "halflap_session"
"""The name of the session's cookie."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


SCOPE, ADMITTED = "halflap.scope", "halflap.admitted"
"""Keys of the door's findings about a request: the rows in scope, and whether who sends it still may."""
COOKIE = "halflap.cookie"
"""The key of a Set-Cookie for the answer."""


class Door:
    """Finds who sends a request, by its token, and lets in nobody else.

    Nothing leaves without its headers, no error with its insides.
    """

    def __init__(self, app: App, token: str, people: People, origin: str, pulse: Pulse) -> None:
        """`token` is the team's; `origin` is where browsers reach the server, beside its host's name."""
        self._app = app
        self._token = token.encode()
        self._people = people
        self._origin = origin
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
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if (cookie := scope.get(COOKIE)) is not None and "set-cookie" not in headers:
                    headers.append("Set-Cookie", cookie)
            await send(message)

        audited = AuditedSend(self._people.catalogue.audit, scope, guarded)

        try:
            await self._pulse.attend(self._enter(scope, receive, audited), lambda: started)
        except HalflapError as error:
            await problem.answer_error(error)(scope, receive, audited)
        except Exception:
            log.exception("the API failed", method=scope["method"], path=scope["path"])
            if started:
                raise
            await problem.answer(problem.plain(500))(scope, receive, audited)

    async def _enter(self, scope: Message, receive: Any, send: Any) -> None:
        refused = await self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return
        principal: Principal | None = scope.get(PRINCIPAL)
        if principal is not None and "secrets" not in principal.rights:
            mask = LinkMask()

            async def masked(message: Message) -> None:
                if message["type"] == "http.response.body":
                    body = mask.feed(message.get("body", b""), more=message.get("more_body", False))
                    message = {**message, "body": body}
                await send(message)

            await self._app(scope, receive, masked)
        else:
            await self._app(scope, receive, send)

    async def _refusal(self, scope: Message) -> Response | None:
        """Find who sends a request; returns the answer where it may not come in."""
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":  # a session beside it counts for nothing
            await self._by_token(scope, token.strip())
        elif (cookie := cookie_in(scope)) is not None:
            await self._by_session(scope, cookie)
        principal: Principal | None = scope.get(PRINCIPAL)
        if principal is None:
            is_open = (scope["path"], scope["method"]) in OPEN or not scope["path"].startswith(
                "/api"
            )
            why = UNKNOWN if "authorization" in headers else None
            return None if is_open else problem.answer(problem.plain(401, why), CHALLENGE)
        scope[SCOPE] = principal.scope
        if principal.session is not None and scope["method"] not in SAFE:
            why = self._forged(scope, headers, principal.session)
            if why is not None and (scope["path"], scope["method"]) not in OPEN:
                return problem.answer(problem.plain(403, why, "RequestForged"))
        return None

    async def _by_token(self, scope: Message, shown: str) -> None:
        """Find the principal of a token."""
        if secrets.compare_digest(shown.encode("utf-8", "replace"), self._token):
            scope[PRINCIPAL] = ROOT
            return
        found = await self._people.bearer(shown)
        if found is not None:

            async def admitted() -> bool:
                return await self._people.bearer(shown) == found

            scope[PRINCIPAL], scope[ADMITTED] = found, admitted

    async def _by_session(self, scope: Message, cookie: str) -> None:
        """Find the principal of a session; its cookie is replaced where it is due, or ended."""
        session = await self._people.catalogue.sessions.known(cookie)
        if session is None:
            scope[COOKIE] = cookie_of("", scope, 0)
            return
        if session.fresh is not None:
            scope[COOKIE] = cookie_of(session.fresh, scope)
        found = self._people.member(session)

        async def admitted() -> bool:
            now = await self._people.catalogue.sessions.get(session.id)
            return now is not None and self._people.member(now) == found

        scope[PRINCIPAL], scope[ADMITTED] = found, admitted

    def _forged(self, scope: Message, headers: Headers, session: str) -> str | None:
        """Return why a request with a session's cookie may come from another site's page."""
        if (why := foreign(scope, headers, self._origin)) is not None:
            return why
        if not self._people.is_csrf(session, headers.get("x-csrf-token", "")):
            return "Send the `csrf` of /api/me as X-CSRF-Token."
        return None


def cookie_name(scope: Message, name: str) -> str:
    """Return the name that a cookie goes by: over https one that no other host of the site can set."""
    return f"__Host-{name}" if scope["scheme"] == "https" else name


def cookie_in(scope: Message, name: str = SESSION) -> str | None:
    """Return a cookie; None where there is none, or more than one value claims to be it."""
    headers, name = Headers(scope=scope), cookie_name(scope, name)
    pairs = (each.partition("=") for line in headers.getlist("cookie") for each in line.split(";"))
    found = {value.strip() for key, _, value in pairs if key.strip() == name}
    return found.pop() if len(found) == 1 else None


def cookie_of(value: str, scope: Message, seconds: int | None = None, name: str = SESSION) -> str:
    """Return the Set-Cookie of a session's token, or of another value."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{cookie_name(scope, name)}={value}; HttpOnly; SameSite=Strict; Path=/{age}{secure}"


def foreign(scope: Message, headers: Headers, own: str) -> str | None:
    """Return why a browser's request is not from a page of this server; None where it is."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        return "A request with a session's cookie needs Origin or Sec-Fetch-Site."
    here = (f"{scope['scheme']}://{headers.get('host', '')}", own)
    if site not in (None, "same-origin") or origin not in (None, *here):
        return "The request comes from a page of another site."
    return None
