"""A host on a store of its own, a client that calls it in this process, and an app to connect to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from aiohttp import web
from argon2 import PasswordHasher

from halflap.api.driving import BulkDriver
from halflap.api.operations import passwords
from halflap.api.operations.draft_runs import DraftRuns
from halflap.engine.bundle import Bundle, pack, pack_components
from halflap.engine.integration import VersionDescription
from halflap.errors import StoreError
from halflap.sdk import codec
from halflap.sdk.lint import Finding
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.cluster import emptied_url, kept_sessions
from tests.journals import new_store
from tests.loopback import on_loopback
from tests.polling import DEADLINE, until

UPGRADE = "/api/integrations/orders/upgrade"
TOKEN = "the-token-of-these-tests"
KEYS = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

SHOP = '''
"""Shop: an app of these tests, its component inside the project."""

from decimal import Decimal

from pydantic import SecretStr

from halflap import Component, Connection, Endpoint, Model, Request, Subscription


class Shop(Connection):
    """A key of the shop."""

    base_url: str
    api_key: SecretStr
    region: str = "eu"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}

    async def test(self) -> None:
        await self.get("/me")


class Order(Model):
    id: str
    amount: Decimal


component = Component("shop", connection=Shop)


@component.action
async def find_order(shop: Shop, id: str) -> Order | None:
    """Find an order."""
    return None


@component.action
async def create_order(shop: Shop, id: str, amount: Decimal, secret: SecretStr) -> Order:
    """Create an order."""
    return Order.model_validate(await shop.post("/orders", json={"id": id, "amount": amount}))


@component.action
async def issue_key(shop: Shop) -> SecretStr:
    """Issue a key."""
    return SecretStr("a-key-nobody-may-see")  # halflap: ignore[HF010]


@component.trigger()
async def order_changed(request: Request) -> Order:
    """An order changed in the shop."""
    return Order.model_validate(request.json())


@order_changed.subscribe
async def _(shop: Shop, endpoint: Endpoint) -> Subscription:
    made = await shop.post("/hooks", json={"url": endpoint.url})
    return Subscription(id=made["id"])


@order_changed.unsubscribe
async def _(shop: Shop, subscription: Subscription) -> None:
    await shop.delete(f"/hooks/{subscription.id}")
'''

ORDERS = '''
"""Orders: what arrives here goes to the shop."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, SecretStr

import shop
from halflap import Config, Context, Integration, webhook


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    shop: shop.Shop
    label: str
    discount: Annotated[Decimal, Field(title="Discount (%)", ge=0, le=100)] = Decimal(0)


integration = Integration("orders", title="Orders to the shop", config=Settings)


@integration.flow(trigger=webhook.request(key="body:/id"))
async def incoming(ctx: Context[Settings], event: Any) -> shop.Order:
    """An order that arrived."""
    await shop.find_order(ctx.config.shop, event["id"])
    key = await shop.issue_key(ctx.config.shop)
    ctx.log.info("creating", id=event["id"], amount=event["amount"])
    return await shop.create_order(ctx.config.shop, event["id"], event["amount"], key)


@integration.flow(trigger=webhook.request())
async def waiting(ctx: Context[Settings], event: Any) -> None:
    """Waits for long."""
    ctx.log.info("it sleeps for an hour")
    await ctx.sleep(3_600)


@integration.flow(trigger=shop.order_changed)
async def changed(ctx: Context[Settings], order: shop.Order) -> None:
    """An order that changed in the shop."""
'''

PLAIN = '''
from typing import Any

from halflap import Config, Context, Deployment, Integration, instance, webhook


class Settings(Config):
    label: str


integration = Integration("orders", config=Settings)


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Settings], event: Any) -> None:
    """Nothing of any app."""
'''
"""An `orders` that needs no app."""
OUR_CLIENT = {"client_id": "us", "client_secret": "our-secret"}
CLOUD = '''
"""Cloud: an app that people sign in to."""

from typing import Any

import halflap
from halflap import Config, Connection, Context, Integration, webhook
from halflap.sdk.oauth import ApiKey, ClientCredentials, OAuth2Code


class Cloud(Connection):
    """An account in the cloud."""

    base_url: str
    auth: OAuth2Code | ClientCredentials | ApiKey

    async def test(self) -> None:
        await self.get("/me")


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    cloud: Cloud


integration = Integration("cloud-sync", config=Settings)


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Settings], event: Any) -> None:
    """Anything."""
'''


@dataclass
class Answer:
    """The status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, with exact numbers."""
        return codec.decode(self.body)

    @property
    def kind(self) -> str:
        """The kind of the problem that came back."""
        assert self.headers["content-type"] == "application/problem+json", self.body
        return self.json["kind"]


@dataclass
class Stream:
    """An event stream that is being read."""

    chunks: asyncio.Queue[bytes]
    started: asyncio.Future[dict[str, Any]]
    rest: bytes = b""
    last: str = ""
    """The id of the last event."""

    async def event(self) -> str:
        """The next event or comment, as it was sent."""
        async with asyncio.timeout(DEADLINE):
            while b"\n\n" not in self.rest:
                self.rest += await self.chunks.get()
        event, _, self.rest = self.rest.partition(b"\n\n")
        return event.decode()

    async def named(self) -> tuple[str, Any]:
        """The name and the data of the next event that is no heartbeat."""
        while (event := await self.event()) == ": following":
            pass
        *above, name, data = event.split("\n")
        self.last = above[0].removeprefix("id: ") if above else self.last
        return name.removeprefix("event: "), codec.decode(data.removeprefix("data: "))

    async def data(self) -> Any:
        """The data of the next event."""
        return (await self.named())[1]


class Client:
    """Calls an ASGI app in this process."""

    def __init__(self, app: Any, token: str | None = TOKEN) -> None:
        self.app = app
        self.token = token

    async def __call__(
        self,
        method: str,
        path: str,
        json: Any = ...,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        token: str | None = ...,  # type: ignore[assignment]
        **query: Any,
    ) -> Answer:
        """Send a request; `from_` in a query is `from`."""
        if json is not ...:
            body = codec.encode(json)
            headers = {"content-type": "application/json", **(headers or {})}
        sent: list[dict[str, Any]] = []
        requests = [{"type": "http.request", "body": body, "more_body": False}]

        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                over.set()

        token = self.token if token is ... else token
        async with asyncio.timeout(DEADLINE):
            await self.app(self.scope(method, path, query, headers or {}, token), receive, send)
        start = sent[0]
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(each.get("body", b"") for each in sent[1:]),
        )

    async def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of an answer, which has to be a 200."""
        answer = await self("GET", path, **query)
        assert answer.status == 200, answer.body
        return answer.json

    async def items(self, path: str, **query: Any) -> list[Any]:
        """Return the items of a page."""
        return (await self.get(path, **query))["items"]

    @asynccontextmanager
    async def stream(
        self, path: str, headers: dict[str, str] | None = None, **query: Any
    ) -> AsyncIterator[Stream]:
        """Read an event stream until the block's end, when the client goes away."""
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        started: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        gone = asyncio.Event()
        requests = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.set_result(message)
            else:
                chunks.put_nowait(message.get("body", b""))

        scope = self.scope("GET", path, query, headers or {}, self.token)
        task = asyncio.create_task(self.app(scope, receive, send))
        try:
            yield Stream(chunks, started)
        finally:
            gone.set()
            async with asyncio.timeout(DEADLINE):
                await task

    def scope(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        headers: dict[str, str],
        token: str | None,
    ) -> dict[str, Any]:
        if token is not None:
            headers = {"authorization": f"Bearer {token}", **headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode({k.rstrip("_"): v for k, v in query.items()}).encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8400),
        }


@dataclass
class Browser:
    """A browser on a page of the server: it keeps the session's cookie, and shows its CSRF token."""

    api: Client
    cookie: str = ""
    csrf: str = ""
    user: str = ""
    origin: str = "http://127.0.0.1:8400"
    cookie_name: str = "halflap_session"

    async def __call__(
        self, method: str, path: str, json: Any = ..., *, headers: Any = None, **query: Any
    ) -> Answer:
        """Send a request, and keep what the answer sets."""
        own = {"host": "127.0.0.1:8400", "origin": self.origin, "x-csrf-token": self.csrf}
        if self.cookie:
            own["cookie"] = f"{self.cookie_name}={self.cookie}"
        given = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        answer = await self.api(method, path, json, headers=given, token=None, **query)
        if (cookie := answer.headers.get("set-cookie")) is not None:
            self.cookie_name, _, self.cookie = cookie.partition(";")[0].partition("=")
            if answer.status == 200 and self.cookie and b'"csrf"' in answer.body:
                self.csrf = answer.json["csrf"]
        return answer

    async def sign_in(self, **draft: str) -> Answer:
        """Sign in, and keep the session."""
        answer = await self("POST", "/api/session", draft)
        if answer.status == 200:
            self.user = answer.json["user"]["id"]
        return answer


async def signed_in(world: "World", role: str, email: str = "") -> Browser:
    """A browser in which a new user of a role has signed in."""
    draft = {"email": email or f"{role}@example.com", "role": role}
    added = await world.api("POST", "/api/users", draft)
    assert added.status == 201, added.body
    browser = Browser(world.api)
    assert (await browser.sign_in(link=added.json["link"])).status == 200
    return browser


@dataclass
class Shop:
    """The app that connections reach: it knows its keys, and its orders."""

    url: str = ""
    keys: set[str] = field(default_factory=lambda: {"good-key"})
    orders: list[str] = field(default_factory=list)
    hooks: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """The credentials with which each hook was made."""
    made: int = 0
    """The number of hooks ever made."""
    codes: list[dict[str, str]] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request to `/me`."""
    given: str = "fresh-token"
    """The token that whoever signs in gets."""
    broken: bool = False
    refuses_hooks: bool = False
    me_status: int = 0
    order_answer: Any = None
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def refuses(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key in self.keys:
            return None
        return web.Response(status=401, text=f"the key {key} is not known here")

    async def me(self, request: web.Request) -> web.Response:
        self.seen.append(dict(request.headers))
        if self.me_status:
            return web.Response(status=self.me_status)
        return self.refuses(request) or web.Response(text='{"name": "me"}')

    async def order(self, request: web.Request) -> web.Response:
        if self.order_answer is not None:
            return await self.order_answer(request)
        if self.broken:
            return web.Response(status=422, text="this order is not to our taste")
        self.orders.append(await request.text())
        await self.hold.wait()
        return self.refuses(request) or web.Response(
            text=self.orders[-1], content_type="application/json"
        )

    async def hook(self, request: web.Request) -> web.Response:
        if self.broken:
            return web.Response(status=422, text="no more hooks for you")
        if self.refuses_hooks:
            return web.Response(status=401, text="no access any more")
        self.made += 1
        id = f"h{self.made}"
        self.hooks[id] = (await request.json())["url"]
        self.owners[id] = request.headers["authorization"]
        return web.json_response({"id": id})

    async def unhook(self, request: web.Request) -> web.Response:
        if self.refuses_hooks:
            return web.Response(status=401, text="no access any more")
        if (refused := self.refuses(request)) is not None:
            return refused
        id = request.match_info["id"]
        if self.owners.get(id) != request.headers["authorization"]:
            return web.Response(status=404)  # another account does not see it
        del self.hooks[id], self.owners[id]
        return web.Response(status=204)

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.codes.append(form)
        if form["grant_type"] == "authorization_code" and form["code"] != "the-code":
            return web.json_response(
                {"error": "invalid_grant", "error_description": f"{form['code']} is no code"},
                status=400,
            )
        self.keys.add(self.given)
        return web.json_response(
            {"access_token": self.given, "refresh_token": "again", "expires_in": 3600}
        )


@dataclass
class World:
    """Everything that a test needs."""

    host: Host
    api: Client
    shop: Shop
    folder: Path

    def bundle(self, *, label: str = "1", orders: str = ORDERS) -> Bundle:
        """A version of the integration `orders`; another label makes another version."""
        return self.packed("orders:integration", {"orders.py": f"{orders}\n# {label}\n"})

    def cloud(self) -> Bundle:
        """A version of the integration `cloud-sync`."""
        return self.packed("cloud:integration", {"cloud.py": CLOUD})

    def packed(self, entry: str, files: dict[str, str]) -> Bundle:
        """A bundle of these files and the shop's component."""
        root = self.folder / f"project-{len(list(self.folder.iterdir()))}"
        root.mkdir()
        for name, text in {"shop.py": SHOP, **files}.items():
            (root / name).write_text(text)
        return pack(root, entry)

    def components(self, shop: str | None = None) -> Bundle:
        """The shop's component, or one with other sources, without an integration."""
        root = self.folder / f"components-{len(list(self.folder.iterdir()))}"
        root.mkdir()
        (root / "shop.py").write_text(SHOP if shop is None else shop)
        return pack_components(root)

    async def publish(self, bundle: Bundle | None = None, **query: Any) -> str:
        """Publish a version; returns its hash."""
        body = (bundle or self.bundle()).to_bytes()
        answer = await self.api("POST", "/api/versions", body=body, **query)
        assert answer.status == 201, answer.body
        return answer.json["hash"]

    async def customer(self, name: str = "Initech") -> str:
        """A customer; returns its id."""
        answer = await self.api("POST", "/api/customers", {"name": name})
        assert answer.status == 201, answer.body
        return answer.json["id"]

    async def connection(
        self,
        customer: str | None,
        name: str = "shop",
        values: dict[str, Any] | None = None,
        *,
        integration: str = "orders",
        field: str = "shop",
        token: Any = ...,
    ) -> str:
        """A tested connection to the shop; returns its id."""
        draft = {
            "customer": customer,
            "integration": integration,
            "field": field,
            "name": name,
            "values": values or {"base_url": self.shop.url, "api_key": "good-key"},
        }
        answer = await self.api("POST", "/api/connections", draft, token=token)
        assert answer.status == 201, answer.body
        return answer.json["id"]

    async def cloud_connection(
        self, customer: str | None = None, *, token: Any = ..., **auth: str
    ) -> str:
        """A connection to the cloud that nobody has signed in to yet; returns its path."""
        auth = {
            "kind": "oauth2_code",
            "token_url": f"{self.shop.url}/token",
            "authorize_url": f"{self.shop.url}/authorize",
            **auth,
        }
        values = {"base_url": self.shop.url, "auth": auth}
        of = {"integration": "cloud-sync", "field": "cloud", "token": token}
        return f"/api/connections/{await self.connection(customer, 'cloud', values, **of)}"

    async def add(
        self, customer: str, integration: str = "orders", *, token: Any = ..., **draft: Any
    ) -> dict[str, Any]:
        """An instance that is only configured; of `orders`, its config and connection are filled in."""
        if integration == "orders":
            draft = {"config": {"label": "x"}, "connections": {"shop": "shop"}, **draft}
        draft = {"customer": customer, "integration": integration, **draft}
        made = await self.api("POST", "/api/instances", draft, token=token)
        assert made.status == 201, made.body
        return made.json

    async def activate(self, instance: str, *, token: Any = ...) -> dict[str, Any]:
        """An instance once it is active."""
        path = f"/api/instances/{instance}/activate"
        active = await self.api("POST", path, token=token, wait=30)
        assert (active.status, active.json["state"]) == (200, "active"), active.body
        return active.json

    async def instance(self, customer: str | None = None, name: str = "orders") -> dict[str, Any]:
        """An active instance of the newest `orders`."""
        customer = customer or await self.customer()
        await self.connection(customer, f"shop of {name}")
        links = {"shop": f"shop of {name}"}
        return await self.activate((await self.add(customer, name=name, connections=links))["id"])

    async def disable(self, instance: str = "orders") -> None:
        """Have an instance disabled."""
        answer = await self.api("POST", f"/api/instances/{instance}/disable", wait=30)
        assert (answer.status, answer.json["state"]) == (200, "disabled"), answer.body

    async def upgrade(self, version: str, instance: str = "orders") -> dict[str, Any]:
        """An instance once it runs another version."""
        path = f"/api/instances/{instance}/upgrade"
        moved = await self.api("POST", path, {"version": version}, wait=30)
        assert (moved.status, moved.json["state"]) == (200, "active"), moved.body
        return moved.json

    async def key(self, *rights: str) -> str:
        """A key of the team's with these rights."""
        made = await self.api("POST", "/api/keys", {"name": "k", "rights": rights})
        assert made.status == 201, made.body
        return made.json["key"]

    async def token(self, customer: str, access: str = "manage") -> str:
        """A token that acts for a customer."""
        made = await self.api("POST", "/api/tokens", {"customer": customer, "access": access})
        assert made.status == 201, made.body
        return made.json["token"]

    async def draft(self, integration: str = "orders") -> dict[str, Any]:
        """A draft of the version that the target `dev` has."""
        begin = {"integration": integration, "version": "dev"}
        made = await self.api("POST", "/api/drafts", begin)
        assert made.status == 201, made.body
        return made.json

    async def replay(self, execution: str, draft: Any = ..., *, token: Any = ...) -> str:
        """Replay an execution; returns the new one's id."""
        path = f"/api/executions/{execution}/replay"
        made = await self.api("POST", path, draft, token=token)
        assert made.status == 201, made.body
        return made.json["execution"]

    async def replayed(self, execution: str, draft: Any = ...) -> dict[str, Any]:
        """Replay an execution; returns the new one, once it has ended."""
        return await self.ended(await self.replay(execution, draft))

    async def bulk(self, draft: Any = ..., path: str = "/api/bulks") -> dict[str, Any]:
        """Begin a bulk, and do it until it has ended or is paused."""
        begun = await self.api("POST", path, draft)
        assert begun.status == 201, begun.body
        return await self.driven(begun.json["id"])

    async def upgraded(self, draft: dict[str, Any]) -> dict[str, Any]:
        """Upgrade the instances of `orders`: the bulk, once it has ended or is paused."""
        return await self.bulk(draft, UPGRADE)

    async def driven(self, bulk: str) -> dict[str, Any]:
        """A bulk once it has been done, or is paused; others are done meanwhile."""
        driver = BulkDriver(self.host.store.catalogue, self.host.operations.bulks)
        driving = asyncio.create_task(driver.run())
        try:
            return await self.done(bulk)
        finally:
            driver.stop()
            await driving

    async def plan(self, draft: dict[str, Any], path: str = "/api/bulks") -> dict[str, Any]:
        """The plan of a bulk: what it would do."""
        planned = await self.api("POST", path, {**draft, "dry_run": True})
        assert planned.status == 200, planned.body
        return planned.json

    async def done(self, bulk: str) -> dict[str, Any]:
        """A bulk once it is no longer running."""

        async def look() -> Any:
            found = await self.api.get(f"/api/bulks/{bulk}")
            return found if found["state"] != "running" else None

        return await until(look)

    async def configure(self, id: str, draft: dict[str, Any], **query: Any) -> Any:
        """Give an instance the config of a draft; returns the answer."""
        config = {each: draft[each] for each in ("config", "connections")}
        return await self.api("PUT", f"/api/instances/{id}/config", config, **query)

    async def send(
        self, instance: dict[str, Any], body: Any, flow: str = "incoming", **headers: str
    ) -> str:
        """Send an event to a flow; returns its execution's id, once it is accepted."""
        sent = await self.hook(instance, body, flow, **headers)
        assert sent.status < 300, sent.body
        found = await self.api.items("/api/executions", instance=instance["id"], flow=flow)
        return found[0]["id"]

    async def hook(
        self, instance: dict[str, Any], body: Any, flow: str = "incoming", **headers: str
    ) -> Answer:
        """Send a request to the URL of a flow."""
        path = urlsplit(instance["urls"][flow]).path
        raw = body if isinstance(body, bytes) else codec.encode(body)
        return await self.api("POST", path, body=raw, headers=headers, token=None)

    async def state(self, execution: str, state: str) -> None:
        """Return once the execution has a state."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.host.store.journal.execution(execution)
                if found is not None and found.state == state:
                    return
                await asyncio.sleep(0.01)

    async def ended(self, execution: str) -> dict[str, Any]:
        """The execution, once it has ended."""
        assert await self.host.engine.outcome(execution, within=DEADLINE) is not None
        return await self.api.get(f"/api/executions/{execution}")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make hashes that cost little: some tests make many."""
    hasher = PasswordHasher(1, 1024, 1)
    monkeypatch.setattr(passwords, "hasher", lambda: hasher)
    monkeypatch.setattr(passwords, "NOBODYS", hasher.hash("nobody's"))


@asynccontextmanager
async def on_its_way(
    world: World, sent: Coroutine[Any, Any, Answer], *, before: str = "", behind: str = ""
) -> AsyncIterator[asyncio.Task[Answer]]:
    """Hold a request in the gateway, before or behind one of its methods, until the block's end."""
    gateway, found, go_on = world.host.gateway, asyncio.Event(), asyncio.Event()
    method = getattr(gateway, before or behind)

    async def hold() -> None:
        found.set()
        await go_on.wait()

    async def held(*given: Any) -> Any:
        if before:
            await hold()
        made = await method(*given)
        if behind:
            await hold()
        return made

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(gateway, before or behind, held)
        sending = asyncio.create_task(sent)
        await found.wait()
        try:
            yield sending
        finally:
            go_on.set()
            await sending


DESCRIBING = ("test_api_publishing.py", "test_api_draft_runs.py", "test_api_canary.py")
"""The modules whose subject is how, and with what, a version is described."""

_documents: list[dict[str, Any]] = []


def document_of(world: World) -> dict[str, Any]:
    """The OpenAPI document: the same for every host, and half a second's work."""
    if not _documents:
        _documents.append(world.host.api.openapi())
    return _documents[0]


@pytest.fixture(autouse=True)
def forks(forked: None) -> None:
    """Fork the processes that lint, describe components and run drafts."""


_describe = DraftRuns.describe_version
_described: dict[bytes, tuple[VersionDescription, list[Finding]]] = {}


async def describe_once(
    runs: DraftRuns,
    bundle: bytes,
    caller: Hashable,
    show: Callable[[Sequence[Finding]], None] | None = None,
) -> VersionDescription:
    """Describe a version in a process of its own, the first time that this process is sent its bytes."""
    if bundle in _described:
        described, found = _described[bundle]
        if show is not None:
            show(found)
        return described
    found = list[Finding]()

    def keep(findings: Sequence[Finding]) -> None:
        found.extend(findings)
        if show is not None:
            show(findings)

    described = await _describe(runs, bundle, caller, keep)
    _described[bundle] = described, found
    return described


@pytest.fixture(autouse=True)
def descriptions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe a version that many tests publish once: nothing but its bytes decides what it is."""
    if request.path.name not in DESCRIBING:
        monkeypatch.setattr(DraftRuns, "describe_version", describe_once)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    app = Shop()
    server = web.Application()
    server.add_routes(
        [
            web.get("/me", app.me),
            web.post("/orders", app.order),
            web.post("/hooks", app.hook),
            web.delete("/hooks/{id}", app.unhook),
            web.post("/token", app.token),
        ]
    )
    async with on_loopback(server) as app.url:
        yield app


@asynccontextmanager
async def world_on(settings: Settings, shop: Shop, folder: Path) -> AsyncIterator[World]:
    """A world on the store of these settings."""
    if not settings.store and not settings.dir.exists():
        await new_store(settings.dir)
    host = await Host.open(settings)
    running = asyncio.create_task(host.engine.run(host.executor))
    folder.mkdir()
    yield World(host, Client(host), shop, folder)
    await host.stop(1)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError, StoreError):
        await running


@pytest.fixture
async def world(tmp_path: Path, shop: Shop) -> AsyncIterator[World]:
    settings = Settings(dir=tmp_path / "store", token=TOKEN, egress_allow=("127.0.0.1",))
    async with world_on(settings, shop, tmp_path / "projects") as world:
        yield world


@pytest.fixture
async def instance(world: World) -> dict[str, Any]:
    """An active instance of `orders`."""
    await world.publish()
    return await world.instance()


@pytest.fixture(params=["file", "postgresql"])
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, shop: Shop
) -> AsyncIterator[World]:
    """A world on either kind of store; PostgreSQL's user is bound by row-level security."""
    settings = Settings(dir=tmp_path / "store", token=TOKEN, egress_allow=("127.0.0.1",))
    if request.param == "postgresql":
        settings = replace(settings, store=emptied_url(), keys=KEYS)
    with kept_sessions():
        async with world_on(settings, shop, tmp_path / "projects") as world:
            yield world


ON_ONE_STORE = pytest.mark.parametrize("either", ["file"], indirect=True)
"""For tests of a fixture on either store that ask of it nothing that the others do not: of tokens, rights
and offers, which are decided before any store is asked.
"""

RUNS = DraftRuns()
"""One for all tests of a process."""


@pytest.fixture
async def runs(monkeypatch: pytest.MonkeyPatch) -> DraftRuns:
    """Runs of drafts, whose process is there already; for worlds that are made after this."""
    monkeypatch.setattr("halflap.api.operations.DraftRuns", lambda: RUNS)
    worker = RUNS.workers.take()
    await worker.ready()
    RUNS.workers.give(worker)
    return RUNS
