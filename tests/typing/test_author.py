"""The type checker's knowledge of an author's code; `make check` runs it over this file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type
from uuid import UUID

from pydantic import SecretStr

from halflap import (
    Action,
    BoundTrigger,
    Child,
    Component,
    Config,
    Connection,
    Context,
    Deployment,
    File,
    Flow,
    FlowOrder,
    Ignore,
    Integration,
    Model,
    Records,
    Request,
    Response,
    Settled,
    Trigger,
    at,
    code,
    expr,
    fifo,
    http,
    instance,
    parallel,
    pointer,
    schedule,
    step,
    webhook,
)
from halflap.testing import Fake, Receive, Received, Result, Run


class Shop(Connection):
    key: SecretStr


class Order(Model):
    id: str


class Settings(Config):
    shop: Shop
    api: http.Http
    limit: int = 3


shop = Component("shop", connection=Shop)
integration = Integration("typed", config=Settings)
assert_type(integration, Integration[Settings])


@shop.action
async def find(shop: Shop, id: str) -> Order | None:
    """Find an order."""
    response = await shop.request("GET", f"/orders/{id}")
    assert_type(response, Response)
    return Order.model_validate(response.json())


@shop.action(batch=10)
async def find_many(shop: Shop, ids: list[str]) -> Records[Order]:
    """Find many orders."""
    records = Records.of(ids, {each: Order(id=each) for each in ids})
    assert_type(records, Records[Order])
    assert_type(records.found, dict[str, Order])
    return records


@shop.action(pure=True, title="Count")
def count(orders: list[Order]) -> int:
    """Count orders, in a thread."""
    return len(orders)


@step
async def draw(most: int) -> int:
    """Draw a number."""
    return most


@step(title="Read a file")
def read(name: str) -> File:
    """Read a file."""
    return File(name.encode())


@shop.trigger()
async def placed(request: Request, kinds: list[str]) -> Order | Ignore:
    """An order was placed."""
    return Order(id=request.text)


assert_type(placed(kinds=["a"]), BoundTrigger[Order])
assert_type(schedule.every(hours=1), BoundTrigger[schedule.Tick])
assert_type(fifo(by_key=pointer("/id"), after_failure="block"), FlowOrder)


weigh = code("return len(order['id'])", title="Weigh it", inputs=["order"], actions=[find])


@integration.flow(trigger=placed(kinds=["new"]), order=parallel(3))
async def sync(ctx: Context[Settings], order: Order) -> int:
    """Use everything that has a type."""
    config = ctx.config
    assert_type(config, Settings)
    assert_type(config.limit, int)
    assert_type(ctx.now(), datetime)
    assert_type(ctx.uuid(), UUID)
    assert_type(ctx.url(raw), str)
    assert_type(ctx.secret("tick"), SecretStr)
    found = await assert_type(find(config.shop, id="1"), Coroutine[Any, Any, Order | None])
    assert_type(found, Order | None)
    assert_type(await find.titled("Look for it")(config.shop, "1"), Order | None)
    assert_type(find.fitted(), Action[..., Order | None])
    assert_type(at(order, "id"), Any)
    assert_type(expr.truth("order.id = 'a'", order=order), bool)
    assert_type(expr.text("order.id", order=order), str)
    assert_type(expr.items("order.lines", order=order), list[Any])
    assert_type(expr.duration("2 * 60"), timedelta)
    assert_type(expr.filter("event.id != null"), Callable[[Request], bool])
    assert_type(await weigh(ctx, order=order), Any)
    assert_type(await count([order]), int)
    assert_type(await find_many(config.shop, ["1"]), Records[Order])
    assert_type(await draw(most=3), int)
    assert_type(await read("a"), File)
    assert_type(
        await ctx.gather(["a", "b"], lambda each: find(config.shop, each)), list[Order | None]
    )
    assert_type((await http.request(config.api, "GET", "/")).status, int)
    return 1


@integration.flow(trigger=schedule.every(minutes=5))
async def tick(ctx: Context[Settings], due: schedule.Tick) -> str | Ignore:
    """Tell the time."""
    assert_type(due.local, datetime)
    return Ignore("night") if due.local.hour < 6 else "day"


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], deployment: Deployment) -> None:
    """Say why."""
    assert_type(deployment.previous_version, str | None)


@integration.flow(trigger=webhook.raw())
async def raw(ctx: Context[Settings], request: Request) -> None:
    """Take a request as it is."""
    assert_type(request.params, dict[str, str])


assert_type(sync, Flow[Settings, Order, int])
assert_type(tick, Flow[Settings, schedule.Tick, str | Ignore])


async def uses(run: Run, fake: Fake, receive: Receive) -> None:
    """The plugin's fixtures, as a test has them."""
    result = await run(sync, Order(id="1"), stubs={find: None, "shop.count": 3}, fake=fake)
    assert_type(result, Result)
    assert_type(result.ran(find), int)
    assert_type(fake.connection(Shop, key="k"), Shop)
    assert_type(await receive(placed(kinds=[]), {}), Received)


def test_what_is_typed_is_what_is_there() -> None:
    assert isinstance(find, Action)
    assert isinstance(count, Action)
    assert isinstance(placed, Trigger)
    assert isinstance(sync, Flow)
    assert inspect.iscoroutinefunction(uses)


async def test_the_typed_flow_runs(run: Run) -> None:
    result = await run(
        sync,
        Order(id="1"),
        stubs={find: None, find_many: {}, http.request: {"status": 200, "headers": {}, "body": 1}},
    )
    result.raise_for_failure()
    assert [each.title for each in result.steps if each.action == "shop.find"] == [
        "Find",
        "Look for it",
        "Find",
        "Find",
    ]


@integration.flow(trigger=webhook.request())
async def parcel(ctx: Context[Settings], order: Order) -> int:
    """Another flow calls it."""
    return len(order.id)


@integration.flow(trigger=webhook.request())
async def counts(ctx: Context[Settings], order: Order) -> int:
    """Continue, which returns nothing, whatever the flow does."""
    if order.id:
        return 1
    return await ctx.continue_with(Order(id="2"))


@integration.flow(trigger=webhook.request())
async def waits(ctx: Context[Settings], event: Any) -> None:
    """Wait, with the types that each wait gives."""
    assert_type(await ctx.wait_for("approved", type=Order), Order)
    assert_type(await ctx.wait_for("approved"), Any)
    assert_type(await ctx.call(parcel, Order(id="1")), int)
    child = await ctx.start(parcel, Order(id="1"), detached=True)
    assert_type(child, Child[int])
    assert_type(await child.result(), int)
    assert_type(await ctx.call("parcel", {"id": "1"}), Any)

    async def weigh(order: Order) -> int:
        return await ctx.call(parcel, order)

    assert_type(await ctx.gather([Order(id="1")], weigh), list[int])
    for each in await ctx.gather([Order(id="1")], weigh, settle=True, limit=3):
        assert_type(each, Settled[int])
        assert_type(each.result, int)
        assert_type(each.error, Exception | None)
