"""A server with the console, an app behind it, executions of each kind: `python -m tests.console.place`.

Orders go to a shop by a flow in YAML. What an order's body says decides how it ends: its `wish` is done
(`fine`, `refuse`, `crash`, `wait`, `free`), so that a test has an execution of each state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from halflap.engine.bundle import Bundle, pack, pack_components
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.loopback import on_loopback
from tests.polling import DEADLINE

TOKEN = "the-token-of-these-tests"

ORDERS = """
name: orders
title: Orders to the shop
description: Orders of the web site go to the shop's books.

config:
  Connect:
    shop: {connection: http}

flows:
  order:
    description: An order arrived.
    trigger: webhook.request # halflap: ignore[HF114]
    with: {key: "body:/number"}
    steps:
      - title: Nothing to pay?
        if: =event.wish = "free"
        then:
          - stop: {ignore: ="the order " & event.number & " is free"}
      - title: Find the customer
        id: buyer
        action: http.get
        with: {path: ="/customers/" & event.customer}
      - title: Each line
        for: line
        in: =event.lines
        do:
          - title: Reserve the goods
            id: reserved
            action: http.post
            with:
              path: /reservations
              json: {item: =line.item, quantity: =line.quantity}
      - title: Ask for approval?
        if: =event.wish = "wait"
        then:
          - title: Wait for the approval
            wait: approved
            timeout: 3d
      - log: ="booking the order " & event.number
      - title: Create the order
        id: made
        action: http.post
        with:
          path: /orders
          json: {number: =event.number, name: =buyer.name, wish: =event.wish}
"""


@dataclass
class Shop:
    """The app behind the flow: it does what an order wishes, until it is told to be kind."""

    url: str = ""
    kind: bool = False
    """True where it takes every order."""
    orders: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def customer(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"], "name": request.match_info["id"]})

    async def reservation(self, request: web.Request) -> web.Response:
        return web.json_response({"id": 9007199254740993, "asked": await request.json()})

    async def order(self, request: web.Request) -> web.Response:
        order = await request.json()
        wish = str(order.get("wish", ""))
        if wish.startswith("refuse") and not self.kind:
            status, _, text = wish.removeprefix("refuse").strip().partition(" ")
            return web.Response(status=int(status or 422), text=text or "the total is missing")
        self.orders.append(order)
        return web.json_response({"id": f"A-{order['number']}", "number": order["number"]})


@dataclass
class Place:
    """The running server, and how to fill it."""

    url: str
    host: Host
    shop: Shop
    http: aiohttp.ClientSession
    hooks: dict[str, str] = field(default_factory=dict[str, str])
    """By customer's name, the URL of its flow."""

    async def api(self, method: str, path: str, json: Any = None, **query: str) -> Any:
        """Call the API by the team's token."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        url = f"{self.url}/api{path}"
        async with self.http.request(method, url, json=json, params=query, headers=headers) as got:
            text = await got.text()
            assert got.status < 300, text
            return text and _json(text)

    async def link(self, email: str | None = None) -> str:
        """Return the address that signs somebody in once; without an email, the built-in owner."""
        made = await self.api("POST", "/links", {"email": email} if email else {})
        return f"{self.url}/console/sign-in#link={made['link']}"

    async def publish(self, folder: Path, text: str = ORDERS, **query: str) -> None:
        """Publish the integration, as its next version."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orders.yaml").write_text(text)
        await self._send("versions", pack(folder, "orders.yaml"), **query)

    async def deploy_components(self, folder: Path, name: str, **sources: str) -> None:
        """Send modules with a component as a set, as `halflap deploy --components` does."""
        folder.mkdir(parents=True, exist_ok=True)
        for module, text in sources.items():
            (folder / f"{module}.py").write_text(text)
        await self._send("component-sets", pack_components(folder), name=name)

    async def _send(self, where: str, bundle: Bundle, **query: str) -> None:
        headers = {"authorization": f"Bearer {TOKEN}"}
        url, data = f"{self.url}/api/{where}", bundle.to_bytes()
        async with self.http.post(url, data=data, params=query, headers=headers) as got:
            assert got.status == 201, await got.text()

    async def customer(self, name: str) -> str:
        """Make a customer whose orders go to the shop; return its id."""
        made = await self.api("POST", "/customers", {"name": name})
        connection = {
            "customer": made["id"],
            "integration": "orders",
            "field": "shop",
            "name": f"shop of {made['id']}",
            "values": {"base_url": self.shop.url},
            "test": False,
        }
        await self.api("POST", "/connections", connection)
        instance = {
            "customer": made["id"],
            "integration": "orders",
            "name": "orders",
            "connections": {"shop": connection["name"]},
        }
        draft = await self.api("POST", "/instances", instance)
        active = await self.api("POST", f"/instances/{draft['id']}/activate", wait="30")
        assert active["state"] == "active", active
        self.hooks[name] = active["urls"]["order"]
        return made["id"]

    async def send(self, to: str, number: str, wish: str = "fine", **more: Any) -> str:
        """Send a customer an order; return its execution."""
        order = {"number": number, "customer": "ada", "wish": wish, "lines": LINES, **more}
        async with self.http.post(self.hooks[to], json=order) as got:
            assert got.status < 300, await got.text()
            return got.headers["halflap-execution"]

    async def until(self, execution: str, *states: str) -> dict[str, Any]:
        """Return an execution once it has one of these states."""
        async with asyncio.timeout(DEADLINE):
            while True:
                found = await self.api("GET", f"/executions/{execution}")
                if found["state"] in states:
                    return found
                await asyncio.sleep(0.05)


LINES = [{"item": "anvil", "quantity": 2}, {"item": "rope", "quantity": 12.50}]
_json = json.loads


@asynccontextmanager
async def running(
    folder: Path, port: int = 0, *, is_empty: bool = False, sandboxes: tuple[str, ...] = ()
) -> AsyncIterator[Place]:
    """Run a server and the shop, with the integration published unless it is to be empty."""
    shop = Shop()
    app = web.Application()
    app.add_routes(
        [
            web.get("/customers/{id}", shop.customer),
            web.post("/reservations", shop.reservation),
            web.post("/orders", shop.order),
        ]
    )
    settings = Settings(
        dir=folder / "store",
        token=TOKEN,
        port=port,
        egress_allow=("127.0.0.1",),
        sandboxes=sandboxes,
    )
    async with on_loopback(app) as shop.url:
        host = await Host.open(settings)
        async with host.served(grace=1), aiohttp.ClientSession() as http:
            place = Place(host.base_url, host, shop, http)
            if not is_empty:
                await place.publish(folder / "project")
            yield place


STORY: Mapping[str, list[str]] = {
    "Initech": ["fine", "refuse 401 the token expired", "wait", "fine", "free"],
    "Globex": ["refuse 422 the total is missing", "refuse 422 the total is missing", "fine"],
    "Umbrella": ["fine", "refuse 401 the token expired", "fine"],
}


async def fill(place: Place, many: int) -> None:
    """Make customers, an execution of each kind for them, and so many more."""
    for name, wishes in STORY.items():
        await place.customer(name)
        for at, wish in enumerate(wishes):
            await place.send(name, f"{4711 + at}", wish)
    names = list(STORY)
    gate = asyncio.Semaphore(20)

    async def one(at: int) -> None:
        async with gate:
            wish = "fine" if at % 20 else f"refuse 4{at % 40 + 1:02} order {at} is not to our taste"
            await place.send(names[at % 3], f"{10_000 + at}", wish)

    await asyncio.gather(*(one(at) for at in range(many)))
    await crowd(place, many // 4)


async def crowd(place: Place, many: int) -> None:
    """Make so many more customers, each with a connection and an instance that is not active yet."""
    catalogue = place.host.store.catalogue
    version = await catalogue.versions.latest("orders")
    assert version is not None
    gate = asyncio.Semaphore(50)

    async def one(at: int) -> None:
        async with gate:
            customer = await catalogue.customers.add(f"Customer {at:05} Ltd", f"ext-{at}")
            fields = {"base_url": place.shop.url}
            made = await catalogue.connections.save(customer.id, "http", "the shop", fields, {})
            instance = await catalogue.instances.add(customer.id, "orders", "orders", version.hash)
            await catalogue.instances.set_revision(instance.id, {}, {"shop": made.id})

    await asyncio.gather(*(one(at) for at in range(many)))


async def main(arguments: argparse.Namespace) -> None:
    """Serve until the end of the input."""
    async with running(Path(arguments.folder), arguments.port) as place:
        await fill(place, arguments.many)
        print(await place.link(), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=8455)
    parser.add_argument("--many", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
