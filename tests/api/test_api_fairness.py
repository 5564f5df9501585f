"""Over HTTP: a customer whose app hangs, and another one beside it; with a control without the bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.api.conftest import TOKEN, Client, Shop, World

ROOM = 20
EVENTS = 50


class Apps:
    """A's app answers nothing until it is let go, B's at once; both at the same address."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.hanging = 0
        self.done = {"key-a": 0, "key-b": 0}
        self.changed = asyncio.Event()

    async def order(self, request: web.Request) -> web.Response:
        key = request.headers["authorization"].removeprefix("Bearer ")
        if key == "key-a":
            self._note(1)
            await self.let_go.wait()
            self._note(-1)
        self.done[key] += 1
        self.changed.set()
        return web.Response(text=await request.text(), content_type="application/json")

    def _note(self, by: int) -> None:
        self.hanging += by
        self.changed.set()

    async def until(self, holds: Any, seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def served(tmp_path: Path, shop: Shop, share: float) -> AsyncIterator[World]:
    settings = Settings(
        dir=tmp_path / "store",
        token=TOKEN,
        port=0,
        egress_allow=("127.0.0.1",),
        room=ROOM,
        customer_share=share,
    )
    host = await Host.open(settings)
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(host.serve(ready=bound.set_result))
    await bound
    (tmp_path / "projects").mkdir()
    try:
        yield World(host, Client(host), shop, tmp_path / "projects")
    finally:
        await host.stop(5)
        await serving


async def hook(world: World, name: str) -> str:
    """The URL of an active instance of a customer of that name, with a key of its own."""
    customer = await world.customer(name)
    world.shop.keys.add(f"key-{name}")
    draft = {
        "customer": customer,
        "integration": "orders",
        "field": "shop",
        "name": f"shop of {name}",
        "values": {"base_url": world.shop.url, "api_key": f"key-{name}"},
    }
    assert (await world.api("POST", "/api/connections", draft)).status == 201
    made = await world.api(
        "POST",
        "/api/instances",
        {
            "customer": customer,
            "integration": "orders",
            "name": name,
            "config": {"label": "x"},
            "connections": {"shop": f"shop of {name}"},
        },
    )
    active = await world.api("POST", f"/api/instances/{made.json['id']}/activate", wait=9)
    assert active.json["state"] == "active", active.body
    return active.json["urls"]["incoming"]


async def send(http: aiohttp.ClientSession, url: str, count: int) -> None:
    async def one(number: int) -> None:
        async with http.post(url, json={"id": str(number), "amount": 1}) as answer:
            assert answer.status < 300, await answer.text()

    await asyncio.gather(*(one(number) for number in range(count)))


@pytest.mark.parametrize("share", [0.5, 1.0], ids=["shared", "control"])
async def test_all_of_one_customer_is_done_while_anothers_app_hangs(
    tmp_path: Path, shop: Shop, share: float
):
    apps = Apps()
    shop.order_answer = apps.order
    async with served(tmp_path, shop, share) as world, aiohttp.ClientSession() as http:
        await world.publish()
        a, b = await hook(world, "a"), await hook(world, "b")
        await send(http, a, 100)
        await apps.until(lambda: apps.hanging == (ROOM if share == 1.0 else ROOM // 2))
        await send(http, b, EVENTS)
        if share == 1.0:  # A has all the room: the test must fail here
            with pytest.raises(TimeoutError):
                await apps.until(lambda: apps.done["key-b"] > 0, seconds=0.5)
            apps.let_go.set()
        await apps.until(lambda: apps.done["key-b"] == EVENTS)
        if share == 0.5:
            assert (apps.done["key-a"], apps.hanging) == (0, ROOM // 2)
            apps.let_go.set()
        await apps.until(lambda: apps.done["key-a"] == 100)
