"""A customer whose app hangs, and another one beside it; with a control without the bound."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from halflap.server.settings import Settings
from tests.api.conftest import TOKEN, Shop, world_on
from tests.polling import stays, until

ROOM = 20


@pytest.mark.parametrize("share", [0.5, 1.0], ids=["shared", "control"])
async def test_all_of_one_customer_is_done_while_anothers_app_hangs(
    tmp_path: Path, shop: Shop, share: float
) -> None:
    let_go, hanging, done = asyncio.Event(), Counter[str](), Counter[str]()

    async def order(request: web.Request) -> web.Response:
        text = await request.text()
        name = (await request.json())["id"][0]
        if name == "a":
            hanging[name] += 1
            await let_go.wait()
        done[name] += 1
        return web.Response(text=text, content_type="application/json")

    async def reached(counter: Counter[str], name: str, count: int) -> Any:
        async def look() -> bool:
            return counter[name] >= count

        await until(look)

    shop.order_answer = order
    settings = Settings(
        dir=tmp_path / "store",
        token=TOKEN,
        egress_allow=("127.0.0.1",),
        room=ROOM,
        customer_share=share,
    )
    async with world_on(settings, shop, tmp_path / "projects") as world:
        await world.publish()
        a, b = [
            await world.instance(await world.customer(each), f"orders of {each}") for each in "ab"
        ]
        for number in range(30):
            await world.send(a, {"id": f"a{number}", "amount": 1})
        await reached(hanging, "a", round(ROOM * share))
        for number in range(10):
            await world.send(b, {"id": f"b{number}", "amount": 1})
        if share == 1.0:  # the hanging customer has all the room: the other one must wait here
            await stays(lambda: (hanging["a"], done["b"]) == (ROOM, 0), 0.5)
            let_go.set()
        await reached(done, "b", 10)
        if share < 1.0:
            assert (done["a"], hanging["a"]) == (0, ROOM // 2)
            let_go.set()
        await reached(done, "a", 30)
