"""Canaries: unique secrets in every place that a secret can be, and an app that repeats them all.

Whatever the app echoes, in whatever spelling, no secret is in a table of the store, in a large blob,
in a line of the log (of a suspect's child process, too), in an answer of the API, in the metrics or
in a backup. The control runs the same without redaction. Secrets are taken out before any store is given
anything: the soak looks into PostgreSQL.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import pytest
import structlog
from aiohttp import web
from fastapi.routing import APIRoute

from halflap.api.app import ROUTERS
from halflap.api.operations.draft_runs import FORKS
from halflap.cli.serve import configure_log
from halflap.model import Start, new_id
from halflap.sdk.redact import Redactor
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.backup import back_up
from tests.api.conftest import KEYS, TOKEN, Client, Shop, World, world_on
from tests.cluster import ordinary_url
from tests.loopback import on_loopback

CANARY = '''
"""Canary: an integration whose app repeats whatever it knows."""

import base64
import hashlib
import hmac
import os
from typing import Any

from pydantic import SecretStr

import halflap
from halflap import (
    BearerToken, Component, Config, Connection, Context, Endpoint, Integration, Request, Subscription,
    step, webhook,
)
from halflap.components import http
from halflap.sdk.oauth import ClientCredentials, OAuth2Code


class Parrot(Connection):
    """An app that repeats what it knows."""

    base_url: str
    api_key: SecretStr
    pem: SecretStr
    auth: ClientCredentials

    def headers(self) -> dict[str, str]:
        digest = hmac.digest(self.api_key.get_secret_value().encode(), b"static", "sha256").hex()
        return {**super().headers(), "X-Made-Of": digest}

    async def test(self) -> None:
        await self.get("/me")


class Team(Connection):
    """The same app, signed in to through the team's own OAuth app."""

    base_url: str
    auth: OAuth2Code


component = Component("parrot", connection=Parrot)
team = Component("team", connection=Team)


@team.action(title="Repeat for the team")
async def repeat_for_team(team: Team, what: Any) -> Any:
    """Repeat."""
    return {"process": os.getpid(), **await team.post("/repeat", json=what)}


@component.action
async def repeat(parrot: Parrot, what: Any) -> Any:
    """Repeat."""
    signed = hmac.digest(parrot.api_key.get_secret_value().encode(), b"body", "sha256").hex()
    return await parrot.post("/repeat", json=what, headers={"X-Signature": signed})


@component.action
async def refuse(parrot: Parrot, what: Any) -> Any:
    """Refuse, with all that is known."""
    return await parrot.post("/refuse", json=what)


@component.action
async def fail(parrot: Parrot) -> Any:
    """Raise what an SDK would."""
    key = parrot.api_key.get_secret_value()
    raise RuntimeError(f"the SDK failed with {parrot.auth.headers()} and {key}")


@component.trigger(verify=BearerToken(header="X-Gitlab-Token", prefix=""))
async def changed(request: Request) -> Any:
    """Something changed."""
    return request.json()


@component.trigger(verify=BearerToken(header="X-Subscribed", prefix=""))
async def subscribed(request: Request) -> Any:
    """Something changed, signed as the app chose."""
    return request.json()


@subscribed.subscribe
async def _(parrot: Parrot, endpoint: Endpoint) -> Subscription:
    made = await parrot.post("/hooks", json={"url": endpoint.url})
    return Subscription(id=made["id"], secret=SecretStr(made["secret"]), data={"made": made["id"]})


class Settings(Config):
    parrot: Parrot
    web: http.Http
    team: Team


integration = Integration("canary", config=Settings)


@integration.flow(trigger=changed)
async def go(ctx: Context[Settings], event: Any) -> Any:
    """Ask for everything, and keep it wherever something can be kept."""
    found = await repeat(ctx.config.parrot, event)
    digest = hashlib.sha256(found["spelled"][0].encode()).hexdigest()
    assert digest == event["digest"], "the flow does not get what the app said"
    also = await http.post(ctx.config.web, "/repeat", json=event)
    theirs = await repeat_for_team(ctx.config.team, event)
    ctx.log.info(f"process {theirs['process']}", theirs=theirs)
    ctx.log.warning(f"got {found}", found=found, also=also)
    await ctx.state.put("found", found)
    await repeat(ctx.config.parrot, {"again": found})
    await ctx.start(child, found)
    try:
        await refuse(ctx.config.parrot, event)
    except halflap.StepFailed as error:
        ctx.log.error(str(error))
    return found


@integration.flow(trigger=subscribed)
async def failing(ctx: Context[Settings], event: Any) -> Any:
    """Fail with all of it."""
    if event.get("how") == "raise":
        await fail(ctx.config.parrot)
    if event.get("how") == "here":
        raise ValueError(f"the flow knows {ctx.config.parrot.auth.headers()}")
    await refuse(ctx.config.parrot, event)


@integration.flow(trigger=webhook.request())
async def child(ctx: Context[Settings], event: Any) -> Any:
    """Take what is handed on."""
    return await repeat(ctx.config.parrot, {"child": event})
'''

SHOWS_SECRETS = ("get_endpoint_secrets", "get_endpoint_example", "follow")
"""Routes that show a secret to whoever has the right to it; and the stream, which does not end."""

PEM = "-----BEGIN PRIVATE KEY-----\nCANARYpemCANARYpemCANARYpem/1+2\n-----END PRIVATE KEY-----"
SPELLED = {
    "raw": lambda s: s,
    "JSON": lambda s: json.dumps({"said": s}),
    "HTML": lambda s: escape(f"<{s}>"),
    "percent": lambda s: quote(s, safe=""),
    "form": lambda s: quote_plus(s),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "Basic": lambda s: "Basic " + base64.b64encode(f"me:{s}".encode()).decode(),
    "hex": lambda s: s.encode().hex(),
}


CARELESS = """
from halflap.sdk.redact import Redactor

Redactor.finds = lambda *_: False
Redactor.hits = lambda *_: []
"""


@dataclass
class Parrot:
    """The app: it repeats every secret that it ever heard or knows, in every spelling."""

    secrets: dict[str, str]
    heard: set[str] = field(default_factory=set[str])
    asked: list[str] = field(default_factory=list[str])

    def known(self, request: web.Request) -> list[str]:
        """All spellings of all that is secret."""
        for name in ("X-Signature", "X-Made-Of", "Authorization"):
            if value := request.headers.get(name):
                self.heard.add(value.rpartition(" ")[2])
        texts = [*self.secrets.values(), *sorted(self.heard)]
        return [spell(text) for text in texts for spell in SPELLED.values()]

    async def repeat(self, request: web.Request) -> web.Response:
        spelled = self.known(request)
        data = {"spelled": spelled, "whole": " ".join(spelled), spelled[0]: {"in": spelled}}
        if b"fill" in await request.read():  # so that it is stored as a blob
            data["whole"] += "x" * 100_000
        return web.json_response(data)

    async def refuse(self, request: web.Request) -> web.Response:
        return web.json_response({"error": self.known(request)}, status=422)

    async def refuse_own(self, request: web.Request) -> web.Response:
        sent = request.headers["Authorization"].rpartition(" ")[2]
        own = [self.secrets["password"], self.secrets["header"], sent]
        spelled = [spell(text) for text in own for spell in SPELLED.values()]
        return web.json_response({"error": spelled}, status=422)

    async def token(self, request: web.Request) -> web.Response:
        self.asked.append((await request.read()).decode())
        made = {"access_token": self.secrets["token"], "expires_in": 3600}
        return web.json_response({**made, "said": self.known(request)})

    async def hooks(self, request: web.Request) -> web.Response:
        return web.json_response({"id": "h1", "secret": self.secrets["subscription"]})


SECRETS = {
    "key": 'CANARYkey/+=?&"<é>0123456789',
    "pem": PEM,
    "client": "CANARYclient-secret-0123456789",
    "token": "CANARYtoken.eyJhbGciOi-0123456789_x",
    "password": "CANARYpassword$1",
    "header": "CANARYheader~key~42",
    "subscription": "CANARYsubscription==0123",
    "team": "CANARYteams-own-app-secret-0123",
}


@pytest.fixture
async def parrot() -> AsyncIterator[tuple[Parrot, str]]:
    app = Parrot(dict(SECRETS))
    server = web.Application()
    server.add_routes(
        [
            web.post("/repeat", app.repeat),
            web.get("/me", app.repeat),
            web.post("/refuse", app.refuse),
            web.get("/refuse", app.refuse_own),
            web.post("/token", app.token),
            web.post("/hooks", app.hooks),
        ]
    )
    async with on_loopback(server) as url:
        yield app, url


@dataclass
class Story:
    """The world of one run, and all that is left of it."""

    world: World
    app: Parrot
    settings: Settings
    log: io.StringIO
    answers: list[bytes] = field(default_factory=list[bytes])
    of_suspects: list[bytes] = field(default_factory=list[bytes])
    instance: Any = None
    executions: list[str] = field(default_factory=list[str])

    async def ask(self, method: str, path: str, *given: Any, **more: Any) -> Any:
        answer = await self.world.api(method, path, *given, **more)
        self.answers.append(answer.body)
        return answer

    async def places(self) -> Mapping[str, bytes]:
        """Everything that is stored, was logged or was answered, by where that is."""
        found = {f"answer {at}": body for at, body in enumerate(self.answers)}
        found |= {f"suspect's answer {at}": body for at, body in enumerate(self.of_suspects)}
        found["log"] = self.log.getvalue().encode()
        if self.settings.store:
            found |= tables(self.settings.store)
        for path in Path(self.settings.dir).rglob("*"):
            if path.is_file():
                found[str(path)] = path.read_bytes()
        return found


def tables(url: str) -> dict[str, bytes]:
    """Every table of a database, as bytes."""
    found: dict[str, bytes] = {}
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT relname::text FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = current_schema()::regnamespace"
        ).fetchall()
        for (name,) in names:
            rows = connection.execute(f'SELECT * FROM "{name}"'.encode()).fetchall()
            found[name] = b"\n".join(
                each if isinstance(each, bytes) else str(each).encode()
                for row in rows
                for each in row
            )
    return found


def hits(places: Mapping[str, bytes], app: Parrot) -> Iterator[str]:
    """Where a secret is, whatever its spelling; without our own redactor."""
    for name, secret in [*app.secrets.items(), *(("sent", each) for each in app.heard)]:
        for form, spell in SPELLED.items():
            text = spell(secret)
            for written in {
                text,
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
            }:
                for place, data in places.items():
                    if written.encode() in data:
                        yield f"{name} as {form} in {place}"


async def live(world: World, url: str, story: Story) -> None:
    """Make a customer with an instance, run its flows, ask the API for everything."""
    await world.publish(world.packed("canary:integration", {"canary.py": CANARY}))
    customer = await world.customer("Canary Inc")
    auth = {
        "kind": "client_credentials",
        "token_url": f"{url}/token",
        "client_id": "us",
        "client_secret": SECRETS["client"],
    }
    parrot = {"base_url": url, "api_key": SECRETS["key"], "pem": PEM, "auth": auth}
    web_ = {
        "base_url": url,
        "username": "me",
        "password": SECRETS["password"],
        "header": "X-Own",
        "key": SECRETS["header"],
    }
    await sign_in_through_the_team(story, customer, url)
    for name, values in (("parrot", parrot), ("web", web_)):
        draft = {"customer": customer, "integration": "canary", "field": name, "name": name}
        made = await story.ask("POST", "/api/connections", {**draft, "values": values})
        assert made.status == 201, made.body
        refused = (
            {**values, "probe": "/refuse"} if name == "web" else {**values, "base_url": f"{url}/x"}
        )
        draft |= {"name": "other", "values": refused}
        assert (await story.ask("POST", "/api/connections", draft)).status == 502
    draft = {
        "customer": customer,
        "integration": "canary",
        "name": "canary",
        "connections": {"parrot": "parrot", "web": "web", "team": "team"},
    }
    made = await story.ask("POST", "/api/instances", draft)
    active = await story.ask("POST", f"/api/instances/{made.json['id']}/activate", wait=30)
    assert active.json["state"] == "active", active.body
    shown = await world.api.get(f"/api/instances/{made.json['id']}/secrets")  # which may be seen
    own = shown.get("secrets", shown)
    story.app.secrets["endpoint"] = own["go"]
    instance = active.json
    event = {"digest": hashlib.sha256(SECRETS["key"].encode()).hexdigest()}
    header = {"X-Gitlab-Token": own["go"]}
    sent = [await world.send(instance, event, "go", **header)]
    filled = [await world.send(instance, {**event, "fill": True}, "go", **header)]
    for how in ("refuse", "raise", "here"):
        header = {"X-Subscribed": SECRETS["subscription"]}
        sent.append(await world.send(instance, {"how": how}, "failing", **header))
    states = [(await world.ended(each))["state"] for each in sent]
    assert states == ["succeeded", "failed", "failed", "failed"]
    assert [(await world.ended(each))["state"] for each in filled] == ["succeeded"]
    story.instance, story.executions = instance, sent[:1] + filled
    # Refused requests are kept for support, with their headers.
    _, _, path = instance["urls"]["go"].partition("/hooks/")
    for header in ({"X-Gitlab-Token": f"x{own['go']}"}, {"X-Other": own["go"]}):
        await world.api("POST", f"/hooks/{path}", body=b"{}", headers=header, token=None)
    page = await world.api.items("/api/executions", instance=instance["id"], limit=100)
    executions = [each["id"] for each in page]
    for each in executions:
        await world.ended(each)
    await world.api("POST", f"/api/executions/{sent[1]}/replay")
    await world.host.store.catalogue.settled()
    await everything(story, instance, executions)


async def sign_in_through_the_team(story: Story, customer: str, url: str) -> None:
    """Store the team's OAuth app, and have a customer's connection sign in through it."""
    app = {
        "client_id": "the-team",
        "client_secret": SECRETS["team"],
        "callback": "https://product.example/callback",
        "origins": [url],
    }
    stored = await story.ask("PUT", "/api/oauth-apps/canary:Team", app)
    assert stored.status == 200, stored.body
    urls = {"token_url": f"{url}/token", "authorize_url": f"{url}/authorize"}
    draft = {
        "customer": customer,
        "integration": "canary",
        "field": "team",
        "name": "team",
        "values": {"base_url": url, "auth": {"kind": "oauth2_code", **urls}},
    }
    made = await story.ask("POST", "/api/connections", draft)
    assert made.status == 201, made.body
    begun = await story.ask("POST", f"/api/connections/{made.json['id']}/authorize", {})
    answer = {"state": begun.json["state"], "code": "the-code"}
    ended = await story.ask("POST", "/api/connections/authorized", answer)
    assert ended.status == 200, ended.body
    assert any(SECRETS["team"] in each for each in story.app.asked)


async def as_suspects(story: Story, world: World) -> None:
    """Run the events again, as a process that was killed while it ran them left them."""
    journal = world.host.store.journal
    starts: list[Start] = []
    for each in story.executions:
        found, event = await journal.execution(each), await journal.event(each)
        assert found is not None
        assert event is not None
        id = new_id("exe")
        starts.append(Start(id, found.flow, event, id))
    await journal.accept(starts, claim=len(starts), lease=1)
    await journal.void()
    probation = world.host.probation
    assert probation is not None
    tasks = [
        asyncio.create_task(world.host.engine.run(world.host.executor)),
        asyncio.create_task(probation.run()),
    ]
    for start in starts:
        assert (await world.ended(start.execution))["state"] == "succeeded"
        lines = (await world.api("GET", f"/api/executions/{start.execution}/logs")).body
        story.of_suspects.append(lines)
        assert f"process {os.getpid()}".encode() not in lines
        assert b"process " in lines
    await everything(story, story.instance, [each.execution for each in starts])
    story.answers.append((await world.api("GET", "/metrics")).body)
    probation.stop()
    await probation.close()
    for each in tasks:
        each.cancel()


async def everything(story: Story, instance: Any, executions: list[str]) -> None:
    """Ask every route that only looks, for each of the executions."""
    names = {
        "instance": instance["id"],
        "connection": "parrot",
        "integration": "canary",
        "version": instance["version"],
        "customer": instance["customer"],
        "pairs": "none",
        "bulk": "none",
        "draft": "none",
        "node": "n1",
        "event_type": "none",
        "receiver": "none",
        "component": "canary:Team",
        "flow": "go",
    }
    for part in ROUTERS:
        for route in part.router.routes:
            assert isinstance(route, APIRoute)
            if "GET" not in route.methods or route.name in SHOWS_SECRETS:
                continue
            if route.path.startswith("/api/executions/{") or "{execution}" in route.path:
                for each in executions:
                    shown = (await story.ask("GET", f"/api/executions/{each}")).json
                    path = route.path.format(execution=each, endpoint="none")
                    paths = [step["path"] for step in shown.get("steps", [])]
                    if not any(given.name == "step" for given in route.dependant.query_params):
                        paths = []
                    for step in paths or ["none"]:
                        await story.ask("GET", path, step=step)
                continue
            paths = dict.fromkeys(
                route.path.format_map({**names, "endpoint": endpoint, "execution": "none"})
                for endpoint in (url.rpartition("/")[2] for url in instance["urls"].values())
            )
            for path in paths:
                await story.ask("GET", path, instance=instance["id"])
    recording = await story.ask("GET", f"/api/executions/{executions[0]}/recording")
    assert recording.status in (200, 404)


async def lived(
    kind: str,
    tmp_path: Path,
    app: Parrot,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Mapping[str, bytes]:
    """Run the story on a store; returns all that is left of it."""
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    blobs = str(tmp_path / "store" / "blobs")
    settings = Settings(
        dir=tmp_path / "store", token=TOKEN, egress_allow=("127.0.0.1",), log="json", blobs=blobs
    )
    if kind == "postgresql":
        settings = replace(settings, store=ordinary_url(), keys=KEYS)
    before = structlog.get_config()
    configure_log(settings)
    try:
        async with world_on(settings, Shop(url=url), tmp_path / "projects") as world:
            story = Story(world, app, settings, log)
            await live(world, url, story)
        host = await Host.open(settings)
        story.world = World(host, Client(host), world.shop, world.folder)
        try:
            await as_suspects(story, story.world)
        finally:
            await host.stop(1)
        if kind == "file":
            back_up(Path(settings.dir), tmp_path / "store" / "backup")
        places = await story.places()
        child = capfd.readouterr()
        return {**places, "a child's output": f"{child.out}{child.err}".encode()}
    finally:
        structlog.configure(**before)


@pytest.fixture(autouse=True, scope="module")
def forks() -> None:
    """Have real processes, as what they leave behind is searched."""
    FORKS.close()


@pytest.mark.parametrize("kind", ["file", pytest.param("postgresql", marks=pytest.mark.soak)])
async def test_no_secret_is_stored_logged_or_answered(
    kind: str,
    tmp_path: Path,
    parrot: tuple[Parrot, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    app, url = parrot
    places = await lived(kind, tmp_path, app, url, monkeypatch, capfd)

    assert any("/blobs/" in place and b"$secret" in data for place, data in places.items())
    assert len(app.heard) >= 3, "the signatures and credentials that were sent"
    assert sorted(hits(places, app)) == []
    assert any("•••".encode() in data for data in places.values())


async def test_without_redaction_the_same_story_leaves_secrets_everywhere(
    tmp_path: Path,
    parrot: tuple[Parrot, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The control."""
    app, url = parrot
    monkeypatch.setattr(Redactor, "finds", lambda *_: False)
    monkeypatch.setattr(Redactor, "hits", lambda *_: [])
    (tmp_path / "sitecustomize.py").write_text(CARELESS)
    monkeypatch.syspath_prepend(tmp_path)
    places = await lived("file", tmp_path, app, url, monkeypatch, capfd)

    found = "\n".join(hits(places, app))
    for name in (*app.secrets, "sent"):
        assert f"{name} as " in found
    for place in (
        "store/halflap.db",
        "backup/halflap.db",
        "/blobs/",
        "in answer",
        "suspect's answer",
    ):
        assert place in found
