"""Replays of parents and children in any order: an app that knows no keys gets each order once."""

import json
import random
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from halflap.api.operations import family
from halflap.store.protocol import Filter
from tests.api.conftest import ORDERS
from tests.polling import until

FAMILIES = (
    ORDERS
    + '''

@integration.flow(trigger=webhook.request())
async def place(ctx: Context[Settings], event: Any) -> Any:
    """Place one order: its first effect is the order."""
    shop_ = ctx.config.shop
    # halflap: ignore[HF010]
    return await shop.create_order(shop_, event["id"], event["amount"], SecretStr("no"))


async def order(ctx: Context[Settings], event: Any, part: str) -> Any:
    """Place a part of an order."""
    shop_, id = ctx.config.shop, f"{event['id']}.{part}"
    # halflap: ignore[HF010]
    return await shop.create_order(shop_, id, event["amount"], SecretStr("no"))


@integration.flow(trigger=webhook.request())
async def two(ctx: Context[Settings], event: Any) -> Any:
    """Place two orders: the first is there where the second fails."""
    await order(ctx, event, "a")
    return await order(ctx, event, "b")


@integration.flow(trigger=webhook.request())
async def caught(ctx: Context[Settings], event: Any) -> Any:
    """Place three orders, behind one that may fail; each at the time of then."""
    async def part(name: str) -> Any:
        return await order(ctx, {**event, "amount": round(ctx.now().timestamp() * 1e6)}, name)

    try:
        await part("maybe")
    except StepFailed:
        await part("maybe not")
    await ctx.gather(["a", "b"], part)
    return await part("c")


@integration.flow(trigger=webhook.request())
async def settled(ctx: Context[Settings], event: Any) -> Any:
    """Place two orders, behind some that may fail: by branches, and by other flows."""
    async def part(name: str) -> Any:
        return await order(ctx, {**event, "amount": round(ctx.now().timestamp() * 1e6)}, name)

    await ctx.gather(["maybe 1", "maybe 2"], part, settle=True)
    await part("a")
    child = await ctx.start("place", {**event, "id": event["id"] + ".maybe 3"})
    try:
        await child.result()
        await ctx.call("place", {**event, "id": event["id"] + ".maybe 4"})
    except StepFailed:
        await part("maybe 5")
    return await part("b")


@integration.flow(trigger=webhook.request())
async def deeper(ctx: Context[Settings], event: Any) -> Any:
    """Place orders by other flows, beside one of its own."""
    await ctx.call("two", {**event, "id": event["id"] + "/1"})
    await order(ctx, event, "own")
    return await ctx.call("caught", {**event, "id": event["id"] + "/2"})


@integration.flow(trigger=webhook.request())
async def chain(ctx: Context[Settings], event: Any) -> Any:
    """Place an order a page, three times."""
    page = event.get("page", 1)
    await order(ctx, event, str(page))
    if page < 3:
        await ctx.continue_with({**event, "page": page + 1})
    return page


@integration.flow(trigger=webhook.request())
async def above(ctx: Context[Settings], event: Any) -> Any:
    """Place orders by pages, and by another flow."""
    await ctx.call("chain", event)
    return await ctx.call("deeper", event)


@integration.flow(trigger=webhook.request())
async def calls(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by another flow."""
    return await ctx.call("place", event)


@integration.flow(trigger=webhook.request())
async def waits(ctx: Context[Settings], event: Any) -> Any:
    """Start a flow that places an order, and wait for it."""
    child = await ctx.start("calls", event)
    return await child.result()


@integration.flow(trigger=webhook.request())
async def pages(ctx: Context[Settings], event: Any) -> Any:
    """Place an order on the second page."""
    if "page" not in event:
        await ctx.continue_with({**event, "page": 2})
    return await ctx.call("place", event)


@integration.flow(trigger=webhook.request())
async def several(ctx: Context[Settings], event: Any) -> Any:
    """Place three orders, each by another flow."""
    some = [{**event, "id": f"{event['id']}.{each}"} for each in ("a", "b", "c")]
    return await ctx.gather(some, lambda each: ctx.call("waits", each))


@integration.flow(trigger=webhook.request())
async def over(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by pages."""
    return await ctx.call("pages", event)
'''
)
FLOWS = {"calls": 1, "waits": 1, "pages": 1, "over": 1, "several": 3}
LONGER = {"two": 2, "caught": 3, "settled": 2, "deeper": 6, "chain": 3, "above": 9}
"""Flows with several effects, and how many orders each places; one more where they may fail."""
SEEDS = [pytest.param(each, marks=[] if each < 2 else pytest.mark.soak) for each in range(50)]
"""Two for each commit, and all in the soak."""


class Shop:
    """A shop without idempotency keys, which refuses the orders that it does not take yet."""

    def __init__(self, world: Any, chance: random.Random) -> None:
        self.chance, self.taken = chance, Counter[str]()
        self.mended = 0.0
        world.shop.order_answer = self.answer

    async def answer(self, request: Any) -> Any:
        text = await request.text()
        if self.chance.random() >= self.mended:
            return web.Response(status=404)
        self.taken[json.loads(text)["id"]] += 1
        return web.Response(text=text, content_type="application/json")


async def quiet(world: Any) -> None:
    """Return once nothing runs."""

    async def look() -> bool:
        live = Filter(states=("queued", "running", "waiting"))
        return not await world.host.store.journal.executions(live)

    await until(look)


async def bulk(world: Any, flow: str | None) -> None:
    await world.bulk({"where": {"state": "failed", **({"flow": flow} if flow else {})}})
    await quiet(world)


async def after_replays(world: Any, seed: int, flows: dict[str, int] = FLOWS) -> Counter[str]:
    """Return how often each order was placed, after people replayed what failed as they liked."""
    chance = random.Random(seed)
    orders = FAMILIES.replace("import Config, Context,", "import Config, Context, StepFailed,")
    await world.publish(world.bundle(orders=orders))
    instance, shop = await world.instance(), Shop(world, chance)
    wanted = 0
    for number, flow in enumerate(chance.choices(list(flows), k=3)):
        wanted += flows[flow]
        await world.send(instance, {"id": f"o{number}", "amount": 1}, flow=flow)
    await quiet(world)
    journal = world.host.store.journal
    for _ in range(12):
        shop.mended = chance.choice([0.0, 0.5, 1.0])
        if chance.random() < 0.2:
            await bulk(world, chance.choice([None, "place", "calls"]))
        else:
            failed = await journal.executions(Filter(states=("failed",), limit=200))
            id = chance.choice(failed).id  # some were dismissed: then it may be refused
            made = await world.api("POST", f"/api/executions/{id}/replay")
            assert made.status in (201, 409), made.body
            if chance.random() < 0.7:
                await quiet(world)
    await quiet(world)
    shop.mended = 1.0
    for _ in range(4):
        await bulk(world, None)
    dead = await journal.executions(Filter(dead_letters=True))
    assert {each.flow.flow for each in dead} <= {"place"}  # whose failure was caught
    assert sum(".maybe" not in each for each in shop.taken) == wanted, shop.taken
    return shop.taken


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_order_is_placed_once(world: Any, seed: int) -> None:
    taken = await after_replays(world, seed)
    assert set(taken.values()) == {1}, taken


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_done_before_a_failure_is_not_done_again(world: Any, seed: int) -> None:
    taken = await after_replays(world, seed, LONGER)
    assert set(taken.values()) == {1}, taken


async def test_without_what_became_of_children_orders_are_placed_twice(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a parent's replay that knows nothing of the replays of its children calls them again."""

    class Forgetful(family.Family):
        async def _children(self, parents: Any) -> Any:
            return {}

    monkeypatch.setattr("halflap.api.operations.executions.Family", Forgetful)
    assert set((await after_replays(world, 0)).values()) != {1}
