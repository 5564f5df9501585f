"""A chat app that sends the events of all teams to one URL, and two integrations that use it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from halflap import SlackSignature
from halflap.engine.bundle import pack
from halflap.model import Instance
from halflap.sdk import codec
from halflap.server.host import Host
from tests.api.conftest import Answer, Client

SECRET = "the-apps-signing-secret"
CHAT = '''
"""Chat: a component whose app sends everything to one URL."""

from typing import Any, ClassVar

from pydantic.json_schema import SkipJsonSchema

from halflap import (
    AppEndpoint, Component, Connection, OAuth2Code, Reply, Request, SlackSignature, pointer,
)


class SignIn(OAuth2Code):
    """Sign in."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"team_id"}
    authorize_url: str = "https://chat.example/authorize"
    token_url: str = "https://chat.example/token"
    team_id: SkipJsonSchema[str] = ""


def challenged(request: Request) -> Reply | None:
    """Answer the challenge."""
    body = request.json()
    return Reply(200, {"challenge": body["challenge"]}) if "challenge" in body else None


class Chat(Connection):
    """A team."""

    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=SlackSignature(),
        account=pointer("/team"),
        field="auth.team_id",
        handshake=challenged,
        split=lambda request: request.json().get("batch"),
    )
    auth: SignIn


component = Component("chat", connection=Chat)


@component.trigger(
    verify=SlackSignature(), dedupe=pointer("/id"), key=pointer("/channel"), app_endpoint=True
)
async def message(request: Request) -> Any:
    """A message."""
    return request.json()


@component.trigger(verify=SlackSignature())
async def own(request: Request) -> Any:
    """A message to a URL of the flow's own."""
    return request.json()
'''
INTEGRATION = '''
"""NAME."""

from typing import Any

from chat import Chat, message, own
from halflap import Config, Context, Integration, fifo


class Settings(Config):
    """The settings that a customer fills in."""

    chat: Chat


integration = Integration("NAME", config=Settings)


@integration.flow(trigger=message, filter=lambda request: "NAME" != request.json().get("not"),
                  order=fifo(by_key=True))
async def told(ctx: Context[Settings], event: Any) -> Any:
    """A message of the team."""
    return [ctx.customer.name, event["text"]]


@integration.flow(trigger=own)
async def aside(ctx: Context[Settings], event: Any) -> Any:
    """A request to the URL of the flow itself."""
    return event["text"]
'''


class Chats:
    """A server with the two integrations, the app that signs, and customers."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.api = Client(host)
        self.url = ""
        self.hashes: dict[str, str] = {}
        self.sent = 0

    async def publish(self) -> None:
        """Publish both integrations, and store the team's OAuth app with its signing secret."""
        for name in ("left", "right"):
            root = self.folder / name
            root.mkdir()
            (root / "chat.py").write_text(CHAT)
            (root / f"{name}.py").write_text(INTEGRATION.replace("NAME", name))
            bundle = pack(root, f"{name}:integration")
            await self.host.store.catalogue.versions.publish(
                name, bundle.hash, bundle.to_bytes(), ""
            )
            self.hashes[name] = bundle.hash
        self.url = await self.sign(SECRET)

    async def sign(self, secret: str | None) -> str:
        """Give the OAuth app a signing secret; return its URL."""
        apps = self.host.operations.oauth_apps
        stored = await apps.put("chat:Chat", "the-team", "cs", "", [], secret)
        url = await apps.url(stored)
        assert url is not None
        return url

    async def instance(
        self, customer: str, team: str, integration: str = "left", *, state: str = "active"
    ) -> Instance:
        """An instance of a customer that has signed in to a team."""
        catalogue = self.host.store.catalogue
        known = [each for each in await catalogue.customers.list() if each.name == customer]
        owner = known[0] if known else await catalogue.customers.add(customer)
        saved = await catalogue.connections.save(
            owner.id, "chat:Chat", f"{team}-{integration}", fields_of(team), {}, account=team
        )
        hash = self.hashes[integration]
        made = await catalogue.instances.add(owner.id, integration, integration, hash)
        await catalogue.instances.set_revision(made.id, {}, {"chat": saved.id})
        if state == "active":
            await self.activate(made.id)
        return made

    async def activate(self, instance: str) -> None:
        await self.host.deployer.activate(instance)
        settled = await self.host.deployer.settled(instance)
        assert settled.state == "active", settled.error

    async def post(self, event: Any, *, secret: str = SECRET, at: float = 0) -> Answer:
        """Send an event, signed at a time so many seconds from now."""
        body = codec.encode(event)
        when = datetime.fromtimestamp(datetime.now(UTC).timestamp() + at, UTC)
        headers = {"content-type": "application/json", "x-trace": "1"}
        headers |= SlackSignature().sign(body, secret, when)
        return await self.api(
            "POST", "/hooks/" + self.url.partition("/hooks/")[2], body=body, headers=headers,
            token=None,
        )  # fmt: skip

    def message(self, team: str, text: str = "hi", **more: Any) -> dict[str, Any]:
        self.sent += 1
        return {"id": f"Ev{self.sent}", "team": team, "text": text, "channel": "C1", **more}

    async def executions(self, **which: Any) -> list[dict[str, Any]]:
        listed = await self.api("GET", "/api/executions", limit=100, flow="told", **which)
        return listed.json["items"]

    async def unrouted(self) -> list[dict[str, Any]]:
        return await self.api.items("/api/oauth-apps/chat:Chat/unrouted")

    async def started(self, instances: Sequence[Instance]) -> list[int]:
        """The number of executions of each instance."""
        return [len(await self.executions(instance=each.id)) for each in instances]


def fields_of(team: str) -> dict[str, Any]:
    """The plain fields of a connection to a team."""
    return {
        "auth": {
            "kind": "oauth2_code",
            "authorize_url": "https://chat.example/authorize",
            "token_url": "https://chat.example/token",
            "client_id": "",
            "scopes": [],
            "team_id": team,
        }
    }
