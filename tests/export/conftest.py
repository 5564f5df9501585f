"""A server with an integration that listens to the product's events, and clients of the product."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from halflap.engine.bundle import pack
from halflap.errors import StoreError
from halflap.export import AsyncPublisher, EventTypes
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.api.conftest import KEYS, TOKEN, Client
from tests.cluster import emptied_url, kept_sessions
from tests.journals import new_store
from tests.polling import DEADLINE

ORDERS = '''
"""Orders: what happens in the product."""

from decimal import Decimal
from typing import Any

from halflap import Config, Context, Integration, Model, app, fifo


class Settings(Config):
    """The settings that a customer fills in."""

    region: str = "eu"


class Order(Model):
    id: str
    total: Decimal


integration = Integration("orders", config=Settings)


@integration.flow(trigger=app.event("order.created"), order=fifo(by_key=True))
async def created(ctx: Context[Settings], event: app.AppEvent[Order]) -> Any:
    """An order was placed."""
    return [ctx.customer.name, event.id, event.data.id, event.data.total, event.subject]


@integration.flow(
    trigger=app.events(["order.*"]), filter=lambda request: request.json()["data"]["id"] != "o-quiet"
)
async def anything(ctx: Context[Settings], event: app.AppEvent[Any]) -> Any:
    """Anything happened with an order."""
    return [event.type, event.data]
'''

types = EventTypes()


@types.event("order.created", subject="id", example={"id": "o-1", "total": "22.10"})
class OrderCreated(BaseModel):
    """An order was placed."""

    id: str
    total: Decimal


@types.event("order.paid", subject="id")
class OrderPaid(BaseModel):
    """An order was paid."""

    id: str


class Product:
    """The team's server with its customers, and the product that publishes to it."""

    def __init__(self, host: Host, url: str, folder: Path) -> None:
        self.host, self.url, self.folder = host, url, folder
        self.api = Client(host)
        self.key = ""

    async def integration(self, text: str = ORDERS, name: str = "orders") -> str:
        """Publish a version of an integration; returns its hash."""
        root = self.folder / f"project-{len(list(self.folder.iterdir()))}"
        root.mkdir()
        (root / f"{name}.py").write_text(text)
        bundle = pack(root, f"{name}:integration")
        await self.host.store.catalogue.versions.publish(name, bundle.hash, bundle.to_bytes(), "")
        return bundle.hash

    async def customer(self, name: str) -> str:
        """A customer, whose id in the product is `t-` and the name."""
        made = await self.api("POST", "/api/customers", {"name": name, "external_id": f"t-{name}"})
        assert made.status == 201, made.body
        return made.json["id"]

    async def instance(
        self, customer: str, integration: str = "orders", *, active: bool = True
    ) -> dict[str, Any]:
        """An instance of an integration."""
        draft = {"customer": customer, "integration": integration, "name": integration}
        made = await self.api("POST", "/api/instances", draft)
        assert made.status == 201, made.body
        return await self.activate(made.json) if active else made.json

    async def activate(self, instance: dict[str, Any]) -> dict[str, Any]:
        """Activate an instance."""
        answer = await self.api("POST", f"/api/instances/{instance['id']}/activate", wait=9)
        assert answer.json["state"] == "active", answer.body
        return answer.json

    async def publish(self, customer: str, **event: Any) -> Any:
        """Publish an event over the API; returns the answer."""
        path = f"/api/customers/external:t-{customer}/events"
        return await self.api("POST", path, {"type": "order.created", **event})

    async def results(self, **which: Any) -> list[Any]:
        """The results of executions, as they ended, once all did."""
        async with asyncio.timeout(DEADLINE):
            while True:
                page = await self.api("GET", "/api/executions", limit=200, **which)
                assert page.status == 200, page.body
                items = [each for each in page.json["items"] if not each["flow"].startswith("$")]
                if all(each["ended_at"] for each in items):
                    break
                await asyncio.sleep(0.02)
        shown = [await self.api.get(f"/api/executions/{each['id']}") for each in items]
        return [each["result"] for each in sorted(shown, key=lambda each: each["ended_at"])]

    def publisher(self) -> AsyncPublisher:
        """A client of the product."""
        return AsyncPublisher(self.url, self.key or TOKEN, types)


@asynccontextmanager
async def product_on(store: str, folder: Path, **settings: Any) -> AsyncIterator[Product]:
    """A product whose server has a store of a kind, and listens on a port."""
    url = emptied_url() if store == "postgresql" else ""
    made = Settings(
        dir=folder / "store",
        token=TOKEN,
        store=url,
        keys=KEYS if url else "",
        port=0,
        egress_allow=("127.0.0.1",),
        **settings,
    )
    if not url:
        await new_store(made.dir)
    with kept_sessions():
        host = await Host.open(made, probation=False)
        (folder / "projects").mkdir()
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(host.serve(ready=ready.set_result))
        port = await asyncio.wait_for(ready, DEADLINE)
        try:
            yield Product(host, f"http://127.0.0.1:{port}", folder / "projects")
        finally:
            await host.stop(1)
            with contextlib.suppress(asyncio.CancelledError, StoreError):
                await serving


@pytest.fixture
async def product(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Product]:
    """A product with the types declared, and the integration published."""
    async with product_on(getattr(request, "param", "file"), tmp_path) as made:
        await made.integration()
        async with made.publisher() as publisher:
            await publisher.declare()
        yield made


@pytest.fixture
async def ada(product: Product) -> str:
    """The customer `ada`."""
    return await product.customer("ada")


ON_BOTH_STORES = pytest.mark.parametrize("product", ["file", "postgresql"], indirect=True)
