"""Trigger inputs, schedules and filters that read the config: each instance has its own."""

from typing import Any

import pytest

from tests.api.conftest import SHOP, World
from tests.polling import DEADLINE

SHOP_BY_REGION = (
    SHOP.replace("order_changed(request: Request)", "order_changed(request: Request, region: str)")
    .replace(
        "async def _(shop: Shop, endpoint: Endpoint) -> Subscription:",
        "async def _(\n    shop: Shop, endpoint: Endpoint, region: str, former: Subscription | None\n"
        ") -> Subscription:\n"
        '    if former is not None and former.data["region"] == region:\n        return former',
    )
    .replace('{"url": endpoint.url}', '{"url": f"{endpoint.url}?region={region}"}')
    .replace('Subscription(id=made["id"])', 'Subscription(id=made["id"], data={"region": region})')
)
PYTHON = '''
"""Orders: of one region, and once a day."""

from typing import Any

import shop
from halflap import Config, Context, Integration, schedule, webhook


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    shop: shop.Shop
    region: str
    cron: str = "0 6 * * *"
    zone: str = "UTC"
    label: str = ""


integration = Integration("orders", config=Settings)


@integration.flow(
    trigger=webhook.request(),
    filter=lambda request, config: request.json()["region"] == config.region,
)
async def incoming(ctx: Context[Settings], event: Any) -> str:
    """An order that arrived."""
    return ctx.config.region


@integration.flow(trigger=shop.order_changed(region=Settings.region))
async def changed(ctx: Context[Settings], order: shop.Order) -> str:
    """An order of the region that changed in the shop."""
    return order.id


@integration.flow(trigger=schedule.cron(Settings.cron, tz=Settings.zone))
async def daily(ctx: Context[Settings], tick: schedule.Tick) -> None:
    """The customer's own hour."""
'''
YAML = """
name: orders
config:
  shop:
    shop: {connection: shop}
    region: {}
    cron: {default: 0 6 * * *}
    zone: {default: UTC}
    label: {default: ""}
flows:
  incoming:
    trigger: webhook.request
    filter: =event.region = config.region
    steps:
      - stop: {answer: =config.region}
  changed:
    trigger: shop.order_changed
    with: {region: =config.region}
    steps:
      - log: =config.label
      - stop: {answer: =event.id}
  daily:
    trigger: schedule.cron
    with: {expression: =config.cron, tz: =config.zone}
    steps:
      - log: a new day
"""
WRITTEN = [
    pytest.param(("orders:integration", {"orders.py": PYTHON}), id="python"),
    pytest.param(("orders.yaml", {"orders.yaml": YAML}), id="yaml"),
]


async def publish(world: World, written: Any) -> None:
    entry, files = written
    await world.publish(world.packed(entry, {**files, "shop.py": SHOP_BY_REGION}))


def draft(customer: str, **config: Any) -> dict[str, Any]:
    return {
        "customer": customer,
        "integration": "orders",
        "config": {"region": "eu", **config},
        "connections": {"shop": "shop"},
    }


async def settled(world: World, id: str) -> dict[str, Any]:
    found = await world.host.deployer.settled(id, within=DEADLINE)
    assert found.state == "active", found.error
    return await world.api.get(f"/api/instances/{id}")


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_config_that_changes_a_triggers_input_renews_its_subscription(
    world: World, written: Any
) -> None:
    await publish(world, written)
    customer = await world.customer()
    await world.connection(customer)
    # What a trigger refuses is refused as the config is saved.
    for config, field, words in [
        ({"cron": "61 * * * *"}, "cron", "'61 * * * *' is no cron expression"),
        ({"zone": "Mars/Base"}, "zone", "no time zone 'Mars/Base'; an IANA name is wanted"),
    ]:
        refused = await world.api("POST", "/api/instances", draft(customer, **config))
        assert (refused.status, refused.kind) == (422, "ConfigError")
        assert [*refused.json["fields"]] == [field]
        assert words in refused.json["fields"][field]
    assert await world.api.items("/api/instances") == []

    id = (await world.add(**draft(customer)))["id"]
    active = await world.activate(id)
    url = active["urls"]["changed"]
    assert [*world.shop.hooks.values()] == [f"{url}?region=eu"]
    assert (await world.ended(await world.send(active, {"region": "eu"})))["result"] == "eu"

    refused = await world.configure(id, draft(customer, zone="berlin"))
    assert refused.status == 422
    assert (await world.api.get(f"/api/instances/{id}"))["config"] == active["config"]

    # What no subscription reads changes nothing at the app.
    same = await world.configure(id, draft(customer, label="x"))
    assert (same.json["state"], same.json["deployment"]) == ("active", active["deployment"])
    assert world.shop.made == 1

    moved = await world.configure(id, draft(customer, region="us"))
    assert (moved.status, moved.json["state"]) == (200, "upgrading"), moved.body
    active = await settled(world, id)
    assert [*world.shop.hooks.values()] == [f"{url}?region=us"]
    assert world.shop.made == 2
    assert (await world.ended(await world.send(active, {"region": "us"})))["result"] == "us"
    await world.hook(active, {"region": "eu"})
    page = await world.api.items("/api/executions", instance=id, flow="incoming")
    assert len(page) == 2

    await world.disable(id)
    assert world.shop.hooks == {}


async def test_a_config_that_renews_a_subscription_waits_for_the_move_under_way(
    world: World,
) -> None:
    await publish(world, ("orders:integration", {"orders.py": PYTHON}))
    customer = await world.customer()
    await world.connection(customer)
    id = (await world.add(**draft(customer)))["id"]
    instances = world.host.store.catalogue.instances
    assert await instances.move(id, ("configured",), "activating", deployment="exe_none")
    refused = await world.configure(id, draft(customer, region="us"))
    assert (refused.status, refused.kind) == (422, "ConfigError")
    assert "is activating" in refused.json["detail"]
    taken = await world.configure(id, draft(customer, label="x"))
    assert taken.status == 200
