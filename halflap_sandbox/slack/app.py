"""The app, put together: the Web API, the installation, the backstage."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halflap_sandbox.answer import account_of, first, not_found, parse
from halflap_sandbox.faults import Exceeded, FaultBoard, Injected
from halflap_sandbox.rest import choose_account
from halflap_sandbox.server import Cut, application, read_body, suffer
from halflap_sandbox.slack.api import METHODS, SlackError
from halflap_sandbox.slack.model import (
    APP_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    Json,
    Settings,
    Team,
    Token,
    World,
    new_id,
)
from halflap_sandbox.slack.sender import Sender


class NewTeam(BaseModel):
    """A workspace that is to be added."""

    name: str


class Urls(BaseModel):
    """Where the app is to be sent things."""

    events: str
    interactions: str | None = None
    commands: str | None = None


class Written(BaseModel):
    """A message that a person writes; `event` is what is sent of it, where it is another one."""

    channel: str = "general"
    text: str = ""
    event: Json | None = None


class Clicked(BaseModel):
    """A click, or a submitted view: what is put into the payload."""

    payload: Json


class Commanded(BaseModel):
    """A slash command."""

    command: str
    text: str = ""


class AppToken(BaseModel):
    """The app-level token."""

    token: str | None = None


class Slack:
    """The routes."""

    def __init__(self, world: World, faults: FaultBoard, sender: Sender) -> None:
        self.world, self.faults, self.sender = world, faults, sender
        self._shown_tokens: dict[str, str] = {}

    async def call(self, request: Request) -> Response:
        """Answer a method of the Web API: 200, and `ok` says whether it was done."""
        name = request.path_params["method"]
        body = await read_body(request)
        given = arguments(request, body)
        if name == "oauth.v2.access":
            return JSONResponse(self._access(request, given))
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        if name == "apps.connections.open":
            return await self._open_socket(request, sent)
        token = self.world.tokens.get(sent if scheme == "Bearer" else given.get("token", ""))
        if token is None:
            return refused("invalid_auth" if sent else "not_authed")
        if token.ends and token.ends <= self.world.settings.clock():
            return refused("token_expired")
        return await self._answer(request, name, token, given)

    async def _answer(
        self, request: Request, name: str, token: Token, given: Mapping[str, Any]
    ) -> Response:
        plan, method = self.faults.of(token.team.id), METHODS.get(name)
        try:
            if cut := await suffer(request, plan, self.world.settings.clock()):
                return cut
        except Exceeded as error:
            headers = {"retry-after": str(error.retry_after)}
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, headers)
        except Injected as error:
            return Response("upstream error", error.status)
        if method is None:
            return refused("unknown_method")
        try:
            done = method(self.world, token.team, given)
        except SlackError as error:
            return refused(str(error))
        lost = name.startswith("chat.") and plan.loses_answer()
        return Cut() if lost else JSONResponse({"ok": True, **done})

    async def _open_socket(self, request: Request, sent: str) -> Response:
        """Give the URL of a WebSocket; the token is the app's, not that of a bot."""
        if sent.startswith("xoxb-"):
            return refused("not_allowed_token_type")
        if not sent or sent != self.world.app_token:
            return refused("invalid_auth")
        if self.world.urls:
            return refused("socket_mode_not_enabled")
        url = await self.sender.links.url(request.scope["server"][0])
        if url is None:
            return refused("too_many_websockets")
        return JSONResponse({"ok": True, "url": url})

    def _access(self, request: Request, given: Mapping[str, Any]) -> Json:
        """Give a token for a code, or for a refresh token."""
        client = (given.get("client_id"), given.get("client_secret"))
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        if client[0] is None and basic:
            client = tuple(base64.b64decode(basic).decode().split(":", 1))
        if client != (CLIENT_ID, CLIENT_SECRET):
            return {"ok": False, "error": "bad_client_secret"}
        if given.get("grant_type") == "refresh_token":
            team = self.world.refreshes.pop(str(given.get("refresh_token")), None)
            if team is None:
                return {"ok": False, "error": "invalid_refresh_token"}
            return {"ok": True, **self.world.grant(team)}
        found = self.world.codes.pop(str(given.get("code")), None)
        if found is None or found[2] < self.world.settings.clock():
            return {"ok": False, "error": "invalid_code"}
        if given.get("redirect_uri") != found[1]:
            return {"ok": False, "error": "bad_redirect_uri"}
        return {"ok": True, **self.world.grant(found[0])}

    async def authorize(self, request: Request) -> Response:
        """Show the page on which a workspace installs the app; `team` in the query is at once."""
        world = self.world

        def grant(id: str, back: str) -> str:
            ends = world.settings.clock() + world.settings.code_lasts
            world.codes[code := secrets.token_hex(16)] = (world.teams[id], back, ends)
            return code

        names = {id: each.name for id, each in world.teams.items()}
        return choose_account(request, "Slack", CLIENT_ID, "team", names, grant)

    # Backstage ------------------------------------------------------------------------------

    async def account(self, request: Request) -> Response:
        """Tell what a connection to the first workspace is made of; its bot's token is given once."""
        team = first(self.world.teams.values())
        if team.id not in self._shown_tokens:
            self._shown_tokens[team.id] = self.world.grant(team)["access_token"]
        auth = {"kind": "api_key", "key": self._shown_tokens[team.id]}
        values = {"base_url": f"{request.base_url}api", "auth": auth, "app_token": APP_TOKEN}
        return JSONResponse(account_of("slack", team.name, **values))

    async def list_teams(self, _: Request) -> Response:
        """List the workspaces."""
        return JSONResponse([seen(each) for each in self.world.teams.values()])

    async def add_team(self, request: Request) -> Response:
        """Add a workspace."""
        made = parse(request, await read_body(request), NewTeam)
        team = self.world.add(made.name)
        return JSONResponse(
            {**seen(team), "bot_token": self.world.grant(team)["access_token"]}, 201
        )

    async def set_urls(self, request: Request) -> Response:
        """Have the app's URLs called, which ends Socket Mode; the challenge is sent at once."""
        given = parse(request, await read_body(request), Urls)
        await self.sender.links.disable()
        self.world.urls = {name: each or given.events for name, each in given}
        found = await self.sender.verify("events")
        return JSONResponse(found, 200 if found["verified"] else 422)

    async def write(self, request: Request) -> Response:
        """Have a person write a message, and send the event."""
        team = self._team(request)
        given = parse(request, await read_body(request), Written)
        channel = team.channel(given.channel)
        if channel is None:
            raise not_found("channel", given.channel)
        user = next(iter(team.users))
        message = self.world.post(team, channel, {"user": user, "text": given.text})
        event = given.event or {**message, "channel": channel, "channel_type": "channel"}
        return JSONResponse({"event_id": self.sender.event(team, event), "ts": message["ts"]})

    async def click(self, request: Request) -> Response:
        """Have a person click on an element, or submit a view."""
        team = self._team(request)
        given = parse(request, await read_body(request), Clicked)
        user = {"id": next(iter(team.users)), "team_id": team.id}
        common = {"team": {"id": team.id}, "user": user, "trigger_id": self._trigger(team)}
        return JSONResponse(await self.sender.interaction({**common, **given.payload}))

    async def order(self, request: Request) -> Response:
        """Have a person send a slash command."""
        team = self._team(request)
        given = parse(request, await read_body(request), Commanded)
        fields = {
            "command": given.command,
            "text": given.text,
            "team_id": team.id,
            "user_id": next(iter(team.users)),
            "channel_id": next(iter(team.channels)),
            "trigger_id": self._trigger(team),
        }
        return JSONResponse(await self.sender.command(fields))

    async def count_sockets(self, _: Request) -> Response:
        """Show how many WebSockets are open, without those that are about to be closed."""
        return JSONResponse({"open": self.sender.links.open})

    async def refresh(self, _: Request) -> Response:
        """Have the WebSockets replaced, as Slack does each few hours."""
        return JSONResponse({"refreshed": await self.sender.links.refresh()})

    async def set_app_token(self, request: Request) -> Response:
        """Revoke the app-level token (`null`), or make it valid again."""
        given = parse(request, await read_body(request), AppToken)
        self.world.app_token = given.token or ""
        return JSONResponse({"token": given.token})

    async def sent(self, _: Request) -> Response:
        """List what was sent to the app, the oldest first."""
        return JSONResponse(self.world.sent)

    def _team(self, request: Request) -> Team:
        id = request.path_params["team"]
        if id not in self.world.teams:
            raise not_found("workspace", id)
        return self.world.teams[id]

    def _trigger(self, team: Team) -> str:
        made = new_id("trigger.")
        team.triggers.add(made)
        return made


def arguments(request: Request, body: bytes) -> dict[str, Any]:
    """Read a method's arguments: of the query, a form, or JSON."""
    given: dict[str, Any] = dict(request.query_params)
    if "json" in request.headers.get("content-type", ""):
        return given | json.loads(body or b"{}")
    given |= dict(parse_qsl(body.decode()))
    for name in ("view", "blocks"):  # JSON within a form
        if isinstance(given.get(name), str):
            given[name] = json.loads(given[name])
    return given


def seen(team: Team) -> Json:
    """Give a workspace as the backstage shows it."""
    messages = [{"channel": channel, **each} for (channel, _), each in team.messages.items()]
    return {
        "id": team.id,
        "name": team.name,
        "channels": list(team.channels.values()),
        "users": list(team.users.values()),
        "messages": messages,
        "views": list(team.views.values()),
    }


def refused(error: str) -> Response:
    """Refuse as Slack does: with status 200 and a code."""
    return JSONResponse({"ok": False, "error": error})


def create_app(settings: Settings | None = None, *, teams: Sequence[str] = ()) -> Starlette:
    """Make a Slack of its own, with these workspaces to begin with."""
    world, faults = World(settings or Settings()), FaultBoard("team", "drop_event_rate")
    sender = Sender(world, faults)
    for name in teams:
        world.add(name)
    slack = Slack(world, faults, sender)
    routes = [
        Route("/api/{method}", slack.call, methods=["GET", "POST"]),
        Route("/oauth/v2/authorize", slack.authorize, methods=["GET"]),
        Route("/sandbox/account", slack.account, methods=["GET"]),
        Route("/sandbox/teams", slack.list_teams, methods=["GET"]),
        Route("/sandbox/teams", slack.add_team, methods=["POST"]),
        Route("/sandbox/urls", slack.set_urls, methods=["POST"]),
        Route("/sandbox/teams/{team}/messages", slack.write, methods=["POST"]),
        Route("/sandbox/teams/{team}/interactions", slack.click, methods=["POST"]),
        Route("/sandbox/teams/{team}/commands", slack.order, methods=["POST"]),
        Route("/sandbox/sockets", slack.count_sockets, methods=["GET"]),
        Route("/sandbox/sockets", slack.refresh, methods=["POST"]),
        Route("/sandbox/app_token", slack.set_app_token, methods=["POST"]),
        Route("/sandbox/sent", slack.sent, methods=["GET"]),
    ]
    app = application(routes, faults, sender.close)
    app.state.world = world
    return app
