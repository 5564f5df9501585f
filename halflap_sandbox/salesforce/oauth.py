"""OAuth 2: a user allows a connected app, which gets an access token, and perhaps a refresh token.

The web-server flow with PKCE, JWT bearer, client credentials, user name and password; tokens are
refreshed, revoked and introspected. A connected app works for the users of every org.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import Response

from halflap_sandbox.salesforce import assertion, identity, signin
from halflap_sandbox.salesforce.call import Call, Route, answer
from halflap_sandbox.salesforce.model import ConnectedApp, Grant, Json, Org

FULL_SCOPE = "full refresh_token"
Form = Mapping[str, str]


class OAuthError(Exception):
    """OAuth says no, in its own form."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status

    def response(self) -> Response:
        """Give the refusal as it goes out."""
        return answer({"error": self.error, "error_description": self.description}, self.status)


async def authorize(call: Call) -> Response:
    """Show the page on which the user allows the app, or refuse the app."""
    asked = dict(call.request.query_params)
    app = _asking(call, asked)
    if isinstance(app, Response):
        return app
    if (refused := _refusal(app, asked)) is not None:
        return _back(asked, **refused)
    return signin.page(asked, app.client_id, username=asked.get("login_hint", ""))


async def decide(call: Call) -> Response:
    """Take the user's answer back to the app, with a code where it is yes."""
    form = _form(call)
    answered, username = form.get("answer"), form.get("username", "")
    asked = {n: v for n, v in form.items() if n not in ("answer", "username", "password")}
    app = _asking(call, asked)
    if isinstance(app, Response):
        return app
    if (refused := _refusal(app, asked)) is not None:
        return _back(asked, **refused)
    if answered != "allow":
        return _back(
            asked, error="access_denied", error_description="end-user denied authorization"
        )
    found = call.world.user(username)
    if found is None or not hmac.compare_digest(
        found[1].password.encode(), form.get("password", "").encode()
    ):
        message = "Please check your username and password. If you still can't log in, contact"
        message += " your Salesforce administrator."
        return signin.page(asked, app.client_id, error=message, username=username)
    code = "aPrx" + secrets.token_urlsafe(40)
    call.world.codes[code] = Grant(
        org=found[0],
        user=found[1],
        client_id=app.client_id,
        scope=asked.get("scope") or FULL_SCOPE,
        redirect_uri=asked["redirect_uri"],
        challenge=asked.get("code_challenge"),
        expires_at=call.settings.clock() + call.settings.code_lasts,
    )
    return _back(asked, code=code)


async def token(call: Call) -> Response:
    """Give an access token for a code, a refresh token, an assertion, or credentials."""
    form = _form(call)
    flow = _FLOWS.get(form.get("grant_type", ""))
    try:
        if flow is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        given = flow(call, form)
    except OAuthError as error:
        return error.response()
    return answer(given, headers={"Cache-Control": "no-store"})


async def revoke(call: Call) -> Response:
    """End a session, or a refresh token with the sessions that came of it."""
    given = dict(call.request.query_params) | _form(call)
    wanted, world = given.get("token", ""), call.world
    if world.refresh_tokens.pop(wanted, None) is not None:
        for each in [s for s in world.sessions.values() if s.refresh_token == wanted]:
            del world.sessions[each.token]
    elif world.sessions.pop(wanted, None) is None:
        return OAuthError("invalid_token", "invalid token").response()
    return Response(None, 200)


async def introspect(call: Call) -> Response:
    """Tell what a token opens, and until when."""
    form = _form(call)
    try:
        app = _client(call, form)
    except OAuthError as error:
        return error.response()
    wanted = form.get("token", "")
    grant, session = call.world.refresh_tokens.get(wanted), call.world.session(wanted)
    if grant is not None:
        kind, user, org, ends = "refresh_token", grant.user, grant.org, None
    elif session is not None:
        kind, user, org = "access_token", session.user, session.org
        ends = int(session.expires_at)
    else:
        return answer({"active": False})
    return answer(
        {
            "active": True,
            "scope": grant.scope if grant else FULL_SCOPE,
            "client_id": app.client_id,
            "username": user.username,
            "sub": identity.address(call, org, user),
            "token_type": kind,
            **({} if ends is None else {"exp": ends}),
        }
    )


def party(call: Call) -> Org | None:
    """Find the org that a request about tokens is of: its user's where that is told, or the app's."""
    form = dict(call.request.query_params) | _form(call)
    grant = call.world.codes.get(form.get("code", ""))
    grant = grant or call.world.refresh_tokens.get(form.get("refresh_token", ""))
    claims = assertion.unchecked(form.get("assertion", ""))
    user = call.world.user(str(claims.get("sub") or form.get("username", "")))
    app = call.world.app(str(claims.get("iss") or form.get("client_id", "")))
    session = call.world.session(form.get("token", ""))
    if grant is not None:
        return grant.org
    return session.org if session else user[0] if user else app[0] if app else None


def _by_code(call: Call, form: Form) -> Json:
    app = _client(call, form)
    grant = call.world.codes.pop(form.get("code", ""), None)
    if grant is None or grant.client_id != app.client_id:
        raise OAuthError("invalid_grant", "invalid authorization code")
    if grant.expires_at is not None and grant.expires_at <= call.settings.clock():
        raise OAuthError("invalid_grant", "expired authorization code")
    if grant.redirect_uri != form.get("redirect_uri"):
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
    if grant.challenge is not None:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=")
        if not hmac.compare_digest(proof, grant.challenge.rstrip("=").encode()):
            raise OAuthError("invalid_grant", "invalid code verifier")
    refresh = None
    if {"refresh_token", "offline_access"} & set(grant.scope.split()):
        refresh = _refresh_token(call, grant)
    return _signed_in(call, app, grant, refresh=refresh, tells_refresh=True)


def _by_refresh_token(call: Call, form: Form) -> Json:
    app, given = _client(call, form), form.get("refresh_token", "")
    grant = call.world.refresh_tokens.get(given)
    if grant is None or grant.client_id != app.client_id:
        raise OAuthError("invalid_grant", "expired access/refresh token")
    if app.rotates:
        del call.world.refresh_tokens[given]
        given = _refresh_token(call, grant)
    return _signed_in(call, app, grant, refresh=given, tells_refresh=app.rotates)


def _by_assertion(call: Call, form: Form) -> Json:
    given = form.get("assertion", "")
    claims = assertion.unchecked(given)
    found = call.world.app(str(claims.get("iss", "")))
    if found is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    app = found[1]
    try:
        claims = assertion.check(
            given,
            certificate=app.certificate,
            instance_url=call.instance_url,
            now=call.settings.clock(),
        )
    except assertion.Invalid as invalid:
        raise OAuthError("invalid_grant", str(invalid)) from invalid
    grant = _grant(call, app, str(claims.get("sub", "")))
    if grant is None:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")
    given_out = _signed_in(call, app, grant)
    return {n: v for n, v in given_out.items() if n not in ("issued_at", "signature")}


def _by_client_credentials(call: Call, form: Form) -> Json:
    app = _client(call, form)
    grant = _grant(call, app, app.run_as or "")
    if grant is None:
        raise OAuthError("invalid_grant", "no client credentials user enabled")
    return _signed_in(call, app, grant)


def _by_password(call: Call, form: Form) -> Json:
    app, given = _client(call, form), form.get("password", "")
    grant = _grant(call, app, form.get("username", ""))
    if grant is None or given not in (
        grant.user.password,
        grant.user.password + grant.user.security_token,
    ):
        raise OAuthError("invalid_grant", "authentication failure")
    return _signed_in(call, app, grant)


_FLOWS: dict[str, Callable[[Call, Form], Json]] = {
    "authorization_code": _by_code,
    "refresh_token": _by_refresh_token,
    "urn:ietf:params:oauth:grant-type:jwt-bearer": _by_assertion,
    "client_credentials": _by_client_credentials,
    "password": _by_password,
}


def _signed_in(
    call: Call,
    app: ConnectedApp,
    grant: Grant,
    *,
    refresh: str | None = None,
    tells_refresh: bool = False,
) -> Json:
    session = call.world.open(
        grant.org, grant.user, lasts=call.settings.session_lasts, refresh_token=refresh
    )
    who = identity.address(call, grant.org, grant.user)
    issued_at = str(int(call.settings.clock() * 1000))
    signed = hmac.digest(app.client_secret.encode(), (who + issued_at).encode(), "sha256")
    return {
        "access_token": session.token,
        **({"refresh_token": refresh} if refresh and tells_refresh else {}),
        "signature": base64.b64encode(signed).decode(),
        "scope": grant.scope,
        "instance_url": call.instance_url,
        "id": who,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }


def _refresh_token(call: Call, grant: Grant) -> str:
    refresh = "5Aep" + secrets.token_urlsafe(48)
    call.world.refresh_tokens[refresh] = replace(grant, expires_at=None, challenge=None)
    return refresh


def _grant(call: Call, app: ConnectedApp, username: str) -> Grant | None:
    if (found := call.world.user(username)) is None:
        return None
    return Grant(org=found[0], user=found[1], client_id=app.client_id, scope=FULL_SCOPE)


def _client(call: Call, form: Form) -> ConnectedApp:
    client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, encoded = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        except ValueError:
            raise OAuthError("invalid_client", "invalid client credentials") from None
    found = call.world.app(client_id)
    if found is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(found[1].client_secret.encode(), secret.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")
    return found[1]


def _asking(call: Call, asked: Form) -> ConnectedApp | Response:
    found = call.world.app(asked.get("client_id", ""))
    if found is None:
        return signin.problem("invalid_client_id", "client identifier invalid")
    wanted = asked.get("redirect_uri", "")
    if not any(_matches(each, wanted) for each in found[1].redirect_uris):
        message = "redirect_uri must match configuration"
        return signin.problem("redirect_uri_mismatch", message)
    return found[1]


def _refusal(app: ConnectedApp, asked: Form) -> dict[str, str] | None:
    if asked.get("response_type") != "code":
        message = "response type not supported"
        return {"error": "unsupported_response_type", "error_description": message}
    if app.requires_pkce and not asked.get("code_challenge"):
        message = "missing required code challenge"
        return {"error": "invalid_request", "error_description": message}
    if asked.get("code_challenge_method", "S256") != "S256":
        message = "code challenge method not supported"
        return {"error": "invalid_request", "error_description": message}
    return None


def _matches(configured: str, wanted: str) -> bool:
    """Compare exactly, but for a bare loopback address, which stands for all its ports and paths."""
    if configured == wanted:
        return True
    own, asked = urlsplit(configured), urlsplit(wanted)
    bare = not (own.path or own.query or own.port) and own.hostname in ("127.0.0.1", "localhost")
    return (
        bare
        and (own.scheme, own.hostname) == (asked.scheme, asked.hostname)
        and not (asked.username or asked.password or asked.fragment)
    )


def _back(asked: Form, **more: str) -> Response:
    state = {"state": asked["state"]} if "state" in asked else {}
    joint = "&" if urlsplit(asked["redirect_uri"]).query else "?"
    location = asked["redirect_uri"] + joint + urlencode(more | state)
    return Response(None, 302, {"Location": location, "Cache-Control": "no-store"})


def _form(call: Call) -> dict[str, str]:
    try:
        return dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    except ValueError:
        return {}


_OAUTH = "/services/oauth2"
ROUTES: tuple[Route, ...] = (
    ("GET", f"{_OAUTH}/authorize", authorize),
    ("POST", f"{_OAUTH}/authorize", decide),
    ("POST", f"{_OAUTH}/token", token),
    ("GET", f"{_OAUTH}/revoke", revoke),
    ("POST", f"{_OAUTH}/revoke", revoke),
    ("POST", f"{_OAUTH}/introspect", introspect),
)
