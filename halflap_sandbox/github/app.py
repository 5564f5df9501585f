"""The app, put together: the REST API, signing in through the app, the backstage."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halflap_sandbox.answer import account_of, first, not_found, parse
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.github.api import METHODS, Call, Method, opened, owner_of
from halflap_sandbox.github.model import (
    APP_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    Json,
    Repo,
    Session,
    Settings,
    World,
)
from halflap_sandbox.github.sender import Sender
from halflap_sandbox.rest import RestApp, choose_account
from halflap_sandbox.server import application, read_body

PAGE = 30
TOO_FAST = (403, "You have exceeded a secondary rate limit.", {"x-ratelimit-remaining": "0"})


class NewAccount(BaseModel):
    """A person, or an organization and who owns it."""

    login: str
    owner: str | None = None
    members: list[str] = []
    repositories: list[str] = []
    install: bool = False


class AppHook(BaseModel):
    """Where the app's webhook sends things."""

    url: str


class Happened(BaseModel):
    """An event of a repository."""

    event: str
    payload: Json = {}


class Opened(BaseModel):
    """An issue that a person opens."""

    title: str = "It breaks"
    body: str | None = None


class GitHub:
    """The routes."""

    def __init__(self, world: World, rest: RestApp, sender: Sender) -> None:
        self.world, self.rest, self.sender = world, rest, sender

    async def call(self, method: Method, status: int, request: Request) -> Response:
        """Answer a request of the REST API."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() in ("bearer", "token")
        session = self.world.tokens.get(token) if known else None
        if request.url.path.startswith("/app/") and known and self._is_app(token):
            session = Session(next(iter(self.world.accounts.values())))
        if session is None:
            message = "Bad credentials" if token else "Requires authentication"
            return self.rest.refused(401, message)
        base = f"{request.url.scheme}://{request.url.netloc}"
        places = request.path_params

        def done(given: Json) -> tuple[int, Any]:
            found: Any = method(Call(self.world, self.sender, session, base, places, given))
            if isinstance(found, list):
                found = paged(request, cast("list[Any]", found))
            return status, found

        return await self.rest.answer(request, owner_of(places, session), done)

    async def authorize(self, request: Request) -> Response:
        """Show the page on which a person signs in; `login` in the query is at once."""
        accounts = self.world.accounts

        def grant(login: str, back: str) -> str:
            self.world.codes[code := secrets.token_hex(10)] = (accounts[login], back)
            return code

        names = {login: login for login, each in accounts.items() if each.kind == "User"}
        return choose_account(request, "GitHub", CLIENT_ID, "login", names, grant)

    async def access_token(self, request: Request) -> Response:
        """Give a token for a code: as a form, unless JSON is asked for."""
        given = dict(parse_qsl((await read_body(request)).decode()))
        found = self.world.codes.pop(given.get("code", ""), None)
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            answer = {"error": "incorrect_client_credentials"}
        elif found is None or given.get("redirect_uri") != found[1]:
            answer = {
                "error": "bad_verification_code",
                "error_description": "The code is incorrect.",
            }
        else:
            token = f"ghu_{secrets.token_hex(18)}"
            self.world.tokens[token] = Session(found[0], through_app=True)
            answer = {"access_token": token, "token_type": "bearer", "scope": ""}
        if "json" in request.headers.get("accept", ""):
            return JSONResponse(answer)
        return Response(urlencode(answer), media_type="application/x-www-form-urlencoded")

    async def installation_token(self, request: Request) -> Response:
        """Give the app a token of an installation, for an hour."""
        id = request.path_params["installation"]
        if not self._is_app(request.headers.get("authorization", "").removeprefix("Bearer ")):
            return self.rest.refused(401, "A JSON web token could not be decoded")
        if id not in self.world.installations:
            return self.rest.refused(404, "Not Found")
        token = f"ghs_{secrets.token_hex(18)}"
        self.world.tokens[token] = Session(self.world.installations[id], installation=id)
        return JSONResponse({"token": token, "expires_at": "2099-01-01T00:00:00Z"}, 201)

    def _is_app(self, token: str) -> bool:
        """Return whether a JWT is the app's: signed by its key, and good for ten minutes at most."""

        def decoded(part: str) -> bytes:
            return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

        head, _, signature = token.rpartition(".")
        if not self.world.settings.public_key or head.count(".") != 1:
            return False
        key = serialization.load_pem_public_key(self.world.settings.public_key.encode())
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(decoded(signature), head.encode(), padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(decoded(head.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return False
        now = self.world.settings.clock()
        mine = str(claims.get("iss")) in (CLIENT_ID, str(APP_ID))
        return mine and claims["iat"] <= now < claims["exp"] <= now + 600

    # Backstage ------------------------------------------------------------------------------

    async def add_account(self, request: Request) -> Response:
        """Add a person or an organization, with repositories, and perhaps the app installed."""
        given = parse(request, await read_body(request), NewAccount)
        kind = "Organization" if given.owner else "User"
        made = self.world.add_account(given.login, kind, given.owner)
        made.members |= dict.fromkeys(given.members, "member")
        for each in given.repositories:
            self.world.add_repo(given.login, each)
        installation = self.world.install(given.login) if given.install else None
        return JSONResponse({**made.json(), "installation": installation}, 201)

    async def set_app_hook(self, request: Request) -> Response:
        """Have the app's webhook called, and ping it."""
        given = parse(request, await read_body(request), AppHook)
        self.world.app_hook.url = given.url
        self.sender.ping(self.world.app_hook, "")
        return JSONResponse(given.model_dump())

    async def happen(self, request: Request) -> Response:
        """Send an event of a repository."""
        given = parse(request, await read_body(request), Happened)
        self.sender.event(self._repo(request), given.event, given.payload)
        return JSONResponse({}, 202)

    async def open_issue(self, request: Request) -> Response:
        """Have the owner open an issue."""
        given = parse(request, await read_body(request), Opened)
        repo = self._repo(request)
        base = f"{request.url.scheme}://{request.url.netloc}"
        call = Call(self.world, self.sender, Session(repo.owner), base, {}, {})
        return JSONResponse(opened(call, repo, given.model_dump()), 201)

    async def deliveries(self, _: Request) -> Response:
        """List every try to deliver, by webhook."""
        hooks = [self.world.app_hook]
        for each in (*(e.hooks for e in self.world.repos.values()), *self.world.org_hooks.values()):
            hooks += each.values()
        return JSONResponse([{"hook": h.id, **d.json()} for h in hooks for d in h.deliveries])

    async def account(self, request: Request) -> Response:
        """Tell what a connection of the first person, and to their first repository, is made of."""
        repo = first(each for each in self.world.repos.values() if each.owner.kind == "User")
        url, login = str(request.base_url).rstrip("/"), repo.owner.login
        auth = {"kind": "api_key", "key": f"ghp_{login}"}
        found = account_of("github", login, base_url=url, auth=auth, repository=repo.full_name)
        return JSONResponse(found)

    def _repo(self, request: Request) -> Repo:
        name = f"{request.path_params['owner']}/{request.path_params['repo']}"
        if name not in self.world.repos:
            raise not_found("repository", name)
        return self.world.repos[name]


def paged(request: Request, found: list[Any]) -> Response:
    """Give a page of a list; the next one is named by the `Link` header."""
    given = request.query_params
    size = min(int(given.get("per_page") or PAGE), 100)
    page = int(given.get("page") or given.get("cursor") or 1)
    part = found[(page - 1) * size : page * size]
    headers: dict[str, str] = {}
    if page * size < len(found):
        place = "cursor" if request.url.path.endswith("/deliveries") else "page"
        following = request.url.include_query_params(**{place: page + 1})
        headers["link"] = f'<{following}>; rel="next"'
    return JSONResponse(part, headers=headers)


def refuse(status: int, message: str) -> Json:
    """Give the body of a refusal."""
    documentation = "https://docs.github.com/rest"
    return {"message": message, "documentation_url": documentation, "status": str(status)}


def create_app(settings: Settings | None = None, *, accounts: Sequence[str] = ()) -> Starlette:
    """Make a GitHub of its own, with these people, who have a repository `hello` each."""
    world = World(settings or Settings())
    rest = RestApp(FaultBoard("account"), refuse, world.settings.clock, TOO_FAST)
    sender = Sender(world, rest.faults)
    for name in accounts:
        world.add_account(name)
        world.add_repo(name, "hello")
        world.install(name)
    github = GitHub(world, rest, sender)
    routes = [
        Route("/login/oauth/authorize", github.authorize, methods=["GET"]),
        Route("/login/oauth/access_token", github.access_token, methods=["POST"]),
        Route(
            "/app/installations/{installation:int}/access_tokens",
            github.installation_token,
            methods=["POST"],
        ),
        Route("/sandbox/account", github.account, methods=["GET"]),
        Route("/sandbox/accounts", github.add_account, methods=["POST"]),
        Route("/sandbox/app", github.set_app_hook, methods=["POST"]),
        Route("/sandbox/deliveries", github.deliveries, methods=["GET"]),
        Route("/sandbox/repos/{owner}/{repo}/events", github.happen, methods=["POST"]),
        Route("/sandbox/repos/{owner}/{repo}/issues", github.open_issue, methods=["POST"]),
        *(
            Route(path, partial(github.call, method, status), methods=[verb])
            for verb, path, status, method in METHODS
        ),
    ]
    app = application(routes, rest.faults, sender.close)
    app.state.world = world
    return app
