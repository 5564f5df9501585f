"""Instances through the API: every wrong field named, every move until it is settled."""

from decimal import Decimal
from typing import Any

from halflap.api.view import SubscriptionView, rfc3339
from halflap.model import ENDED
from halflap.store.shards import ListenerKey, ShardCursor
from tests.api.conftest import ORDERS, PLAIN, SHOP, on_its_way
from tests.polling import until


async def test_an_instance_takes_its_integrations_name_and_shows_what_it_made(world: Any) -> None:
    hash = await world.publish()
    customer = await world.customer()
    connection = await world.connection(customer)
    draft = {
        "customer": "Initech",
        "integration": "orders",
        "config": {"label": "a", "discount": Decimal("12.50")},
        "connections": {"shop": "shop"},
    }

    made = await world.api("POST", "/api/instances", draft)

    assert made.status == 201
    shown = made.json
    assert (shown["name"], shown["state"], shown["revision"]) == ("orders", "configured", 1)
    assert shown["version"] == {"hash": hash, "number": 1}
    assert shown["connections"] == {"shop": connection}
    assert b'"discount":12.50' in made.body
    assert shown["created_at"].endswith("Z")
    assert len(shown["created_at"]) == len("2026-01-01T00:00:00.000000Z")

    active = await world.activate("orders")

    assert set(active["urls"]) == {"incoming", "waiting", "changed"}
    assert [each["flow"] for each in active["subscriptions"]] == ["changed"]
    assert list(world.shop.hooks.values()) == [active["urls"]["changed"]]


async def test_every_wrong_field_of_a_config_is_named_at_once(world: Any) -> None:
    await world.publish()
    customer, other = await world.customer(), await world.customer("Globex")
    theirs = await world.connection(other, "theirs")
    web = {"customer": customer, "component": "http", "name": "web"}
    await world.api("POST", "/api/connections", {**web, "values": {"base_url": world.shop.url}})

    async def refused(config: Any, connections: Any) -> dict[str, str]:
        draft = {"config": config, "connections": connections}
        draft |= {"customer": customer, "integration": "orders"}
        answer = await world.api("POST", "/api/instances", draft)
        assert (answer.status, answer.kind) == (422, "ConfigError")
        return answer.json["fields"]

    wrong = await refused({"discount": 101, "colour": "red"}, {"shop": theirs, "crm": "x"})
    assert set(wrong) == {"discount", "colour", "label", "shop", "crm"}
    assert await refused({"label": "x"}, {"shop": "web"}) == {
        "shop": "'web' is a connection to http, not to shop:Shop"
    }
    assert await world.api.items("/api/instances") == []


async def test_an_instance_that_is_there_is_configured_and_not_added_again(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    draft = {"config": {"label": "other"}, "connections": instance["connections"]}
    again = {"customer": "Initech", "integration": "orders", **draft}

    refused = await world.api("POST", "/api/instances", again)

    assert (refused.status, refused.kind) == (409, "Conflict")
    mend = f"halflap instances configure {instance['id']}"
    said = f"Initech has an instance 'orders' already, of orders. To change its config: {mend}"
    assert said in refused.json["detail"]
    same = await world.api.get("/api/instances/orders")
    assert (same["revision"], same["config"]) == (1, {"label": "x"})
    await world.add("Initech", name="orders of the branch", **draft)
    changed = await world.api("PUT", "/api/instances/orders/config", draft, customer="Initech")
    assert (changed.status, changed.json["id"]) == (200, instance["id"])
    assert (changed.json["revision"], changed.json["config"]) == (2, {"label": "other"})
    assert (changed.json["state"], changed.json["deployment"]) == ("active", instance["deployment"])


async def test_a_name_that_two_customers_use_is_answered_with_the_candidates(world: Any) -> None:
    await world.publish()
    first = await world.instance(await world.customer("Initech"))
    second = await world.instance(await world.customer("Globex"))

    ambiguous = await world.api("GET", "/api/instances/orders")
    one = await world.api.get("/api/instances/orders", customer="Globex")

    assert (ambiguous.status, ambiguous.kind) == (409, "Conflict")
    for each in (first["id"], second["id"], "Initech/orders", "Globex/orders"):
        assert each in ambiguous.json["detail"]
    assert one["id"] == second["id"]


async def test_an_upgrade_waits_for_the_config_that_the_new_version_needs(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    await world.publish(orders_with_more(world), target="")
    path = f"/api/instances/{instance['id']}"

    refused = await world.api("POST", f"{path}/upgrade", {"version": "2"})
    many = await world.upgraded({"version": "2"})

    assert (refused.status, refused.json["fields"]) == (422, {"more": "Field required"})
    [left] = many["refusals"]
    assert (left["id"], "more" in left["why"]) == (instance["id"], True)
    assert left["why"].startswith("Initech/orders: ")
    assert (many["state"], many["done"]) == ("failed", 0)
    assert (await world.api.get(path))["version"]["number"] == 1
    # One that is disabled has it, too, once it is active again.
    await world.disable()
    draft = {"version": "2", "config": {"more": 7}}
    moved = await world.api("POST", f"{path}/upgrade", draft)
    assert (moved.json["state"], moved.json["config"]["more"]) == ("disabled", 7)
    assert (await world.activate("orders"))["version"]["number"] == 2


async def test_an_upgrade_takes_the_config_that_the_new_version_needs(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    sleeper = await world.send(instance, {"id": "1"}, flow="waiting")
    await world.publish(orders_with_more(world), target="")
    path = f"/api/instances/{instance['id']}"
    draft = {"version": "2", "config": {"more": 7, "colour": "red"}}

    refused = await world.api("POST", f"{path}/upgrade", draft, wait=30)
    unmoved = await world.api.get(path)
    draft["config"] = {"more": 7}
    moved = await world.api("POST", f"{path}/upgrade", draft, wait=30)

    assert (refused.status, set(refused.json["fields"])) == (422, {"colour"})
    assert (unmoved["version"]["number"], unmoved["revision"]) == (1, 1)
    assert (moved.status, moved.json["state"]) == (200, "active"), moved.body
    now = moved.json
    assert (now["version"]["number"], now["revision"]) == (2, 2)
    assert now["config"] == {"label": "x", "more": 7}
    assert now["connections"] == instance["connections"]
    asleep = await world.api.get(f"/api/executions/{sleeper}")
    assert (asleep["version"]["number"], asleep["revision"]) == (1, 1)
    deployment = await world.api.get(f"/api/executions/{now['deployment']}")
    assert (deployment["version"]["number"], deployment["revision"]) == (2, 2)
    execution = await world.send(now, {"id": "2", "amount": 1})
    ended = await world.ended(execution)
    assert (ended["state"], ended["revision"]) == ("succeeded", 2), ended


async def test_an_upgrade_drops_what_the_new_version_no_longer_has(world: Any) -> None:
    await world.publish(orders_with_more(world))
    customer = await world.customer()
    await world.connection(customer)
    id = (await world.add(customer, config={"label": "x", "more": 7}))["id"]
    active = await world.activate(id)
    assert [each["flow"] for each in active["subscriptions"]] == ["changed"]
    await world.publish(world.bundle(orders=PLAIN), target="")

    moved = await world.upgraded({"version": "2"})

    assert (moved["state"], moved["done"], moved["refusals"]) == ("succeeded", 1, [])
    now = await world.api.get(f"/api/instances/{id}")
    assert (now["config"], now["connections"]) == ({"label": "x"}, {})
    assert (now["subscriptions"], world.shop.hooks) == ([], {})


def orders_with_more(world: Any) -> Any:
    return world.bundle(
        orders=ORDERS.replace("    label: str\n", "    label: str\n    more: int\n")
    )


async def test_an_activation_that_catches_up_names_what_cannot_be_asked(world: Any) -> None:
    source = world.packed(
        "orders:integration",
        {
            "shop.py": SHOP + CATCHING_UP,
            "orders.py": ORDERS,
        },
    )
    await world.publish(source)
    instance = await world.instance()
    path = f"/api/instances/{instance['id']}"
    never = await world.api("POST", f"{path}/activate", catch_up="true")
    await world.api("POST", f"{path}/disable", wait=30)

    asked = await world.api("POST", f"{path}/activate", catch_up="true", wait=30)

    assert (never.status, list(never.json["fields"])) == (422, ["since"])
    told = asked.json["catch_up"]
    assert (asked.json["state"], told["flows"]) == ("active", ["changed"])
    assert sorted(told["cannot"]) == ["incoming", "waiting"]
    assert told["since"] < asked.json["changed_at"]
    listed = await world.api.items("/api/executions", instance=instance["id"], flow="$catch_up")
    [caught] = listed
    assert (await world.ended(caught["id"]))["state"] == "succeeded"
    missed = await world.api.items("/api/executions", instance=instance["id"], flow="changed")
    [one] = missed
    assert (await world.ended(one["id"]))["state"] == "succeeded"
    plain = await world.api("POST", f"{path}/activate", wait=30)
    assert plain.json["catch_up"] is None


CATCHING_UP = """

from collections.abc import AsyncGenerator
from datetime import datetime

from halflap import Missed


@order_changed.catch_up
async def _(shop: Shop, since: datetime) -> AsyncGenerator[Missed]:
    yield Missed({"id": "missed", "amount": 1}, since)
"""


async def test_a_deploy_that_fails_is_told_and_can_be_run_again(world: Any) -> None:
    await world.publish()
    customer = await world.customer()
    await world.connection(customer)
    id = (await world.add(customer))["id"]
    world.shop.broken = True

    failed = await world.api("POST", f"/api/instances/{id}/activate", wait=30)

    assert (failed.status, failed.json["state"]) == (200, "failed")
    assert "no more hooks for you" in failed.json["error"]
    world.shop.broken = False
    done = await world.api("POST", f"/api/instances/{id}/redeploy", wait=30)
    assert (done.json["state"], done.json["error"]) == ("active", None)
    assert len(world.shop.hooks) == 1


async def test_an_active_instance_is_disabled_before_it_is_removed(world: Any) -> None:
    await world.publish()
    instance = await world.instance()
    path = f"/api/instances/{instance['id']}"

    refused = await world.api("DELETE", path)
    disabled = await world.api("POST", f"{path}/disable", wait=30)
    removed = await world.api("DELETE", path)

    assert (refused.status, "disable it first" in refused.json["detail"]) == (422, True)
    assert (disabled.json["state"], world.shop.hooks) == ("disabled", {})
    assert removed.status == 204
    assert (await world.api("GET", path)).status == 404


async def test_an_event_whose_instance_is_removed_on_its_way_ends_with_the_reason(
    either: Any,
) -> None:
    world = either
    await world.publish()
    instance = await world.instance()
    hook = world.hook(instance, {"id": "1", "amount": 1})
    async with on_its_way(world, hook, behind="_starts") as sending:
        await world.disable()
        assert (await world.api("DELETE", "/api/instances/orders")).status == 204

    accepted = await sending
    assert accepted.status == 200, accepted.body

    async def ended() -> Any:
        found = await world.api.items("/api/executions")
        return [e for e in found if e["flow"] == "incoming" and e["state"] in ENDED]

    [shown] = await until(ended)
    assert (shown["state"], shown["reason"]) == ("cancelled", "the instance was removed")


async def test_what_was_refused_is_listed_without_credentials(world: Any) -> None:
    signed = world.bundle(orders=SIGNED)
    await world.publish(signed)
    instance = await world.instance()
    headers = {"authorization": "Bearer mine", "x-note": "kept"}

    sent = await world.hook(instance, {"id": "1"}, **headers)
    listed = await world.api("GET", "/api/rejections", instance="orders")

    assert sent.status == 401
    [refused] = listed.json["items"]
    names = ("integration", "instance_name", "customer_name", "flow", "status")
    assert [refused[each] for each in names] == ["orders", "orders", "Initech", "incoming", 401]
    assert ["x-note", "kept"] in refused["headers"]
    assert b"Bearer mine" not in listed.body
    for query, count in (
        ({}, 1),
        ({"customer": "Initech", "integration": "orders", "status": 401, "q": "SIGN"}, 1),
        ({"integration": "others"}, 0),
        ({"status": 403}, 0),
        ({"q": "nothing"}, 0),
        ({"before": refused["id"]}, 0),
    ):
        found = await world.api.get("/api/rejections", **query)
        assert len(found["items"]) == count, query
    assert (await world.api("GET", "/api/rejections", before="x")).status == 422
    assert (await world.api("GET", "/api/rejections", endpoint="hk_none")).status == 404
    assert await world.api.get("/api/counters", instance="orders") == {}


SIGNED = '''
from typing import Any

import shop
from halflap import Config, Context, Integration, webhook


class Settings(Config):
    shop: shop.Shop
    label: str


integration = Integration("orders", config=Settings)


@integration.flow(trigger=webhook.request(signature="github"))
async def incoming(ctx: Context[Settings], event: Any) -> None:
    """Signed."""
'''


def test_what_an_app_says_of_a_webhook_is_hidden_with_payloads() -> None:
    made: Any = {"flow": "incoming", "remote_id": "1", "version": "v", "made_at": rfc3339(0)}
    view = SubscriptionView(**made, left_because="Ada is gone", renewal_error="422: Ada")
    hidden = view.without_payload()
    assert hidden.left_because == hidden.renewal_error == "you may not see its error"
    assert SubscriptionView(**made).without_payload() == SubscriptionView(**made)


async def test_what_an_instance_listens_to_is_shown(world: Any) -> None:
    await world.publish()
    instance = (await world.instance())["id"]
    where = f"/api/instances/{instance}/listeners"
    assert await world.api.get(where) == {"items": [], "next": None}
    shards, customer = world.host.store.journal.shards, await world.api.get(where[:-10])
    former = ListenerKey(instance, customer["customer"], "incoming", "s0")
    key = ListenerKey(instance, customer["customer"], "incoming", "s1")
    await shards.share("w1", [former], (), 60_000_000)
    (owned,) = (await shards.share("w1", [key], (), 60_000_000)).taken
    assert await shards.move([ShardCursor(owned.key, owned.fence, "41", 1_000_000)])
    assert await shards.skip(owned.key, owned.fence, "earliest", "kept for 3 days")
    await shards.note(owned.key, owned.fence, "parked", "refused", "connection:con_1")
    [shown] = await world.api.items(where)
    assert (shown["flow"], shown["shard"], shown["state"]) == ("incoming", "", "parked")
    assert (shown["error"], shown["connection"], shown["owner"]) == ("refused", "con_1", "w1")
    assert (shown["cursor"], shown["last_message_at"]) == (None, "1970-01-01T00:00:01.000000Z")
    assert shown["position"] is None
    [gap] = shown["gaps"]
    assert (gap["cursor"], gap["start"], gap["reason"]) == ("41", "earliest", "kept for 3 days")
    viewer = await world.key("read")
    for path in (where, "/api/listeners"):
        [hidden] = await world.api.items(path, token=viewer)
        assert (hidden["state"], hidden["payload_hidden"]) == ("parked", True)
        assert hidden["error"] == "you may not see its error"
        assert [(each["start"], each["reason"]) for each in hidden["gaps"]] == [("earliest", "")]
    [halted] = await world.api.items("/api/listeners")
    assert {each: halted[each] for each in shown} == shown
    assert (halted["instance"], halted["instance_name"]) == (instance, customer["name"])
    assert halted["customer_name"] == "Initech"
    whose = {"customer": halted["customer"]}
    assert await world.api.items("/api/listeners", **whose) == [halted]
    other = (await world.api("POST", "/api/customers", {"name": "Hooli"})).json["id"]
    assert await world.api.items("/api/listeners", customer=other) == []
    page = await world.api.get("/api/listeners", state="parked", limit=1)
    behind = await world.api.items("/api/listeners", after=page["next"])
    assert (len(page["items"]), behind) == (1, [])
    assert await world.api.items("/api/listeners", state="listening") == []
    for wrong in ({"state": "asleep"}, {"after": "x"}):
        assert (await world.api("GET", "/api/listeners", **wrong)).status == 422
    poll = '{"cursor":"2026-11-30T01:00:00Z","seen":["a","b"],"began":null}'
    first = '{"cursor":null,"seen":[],"began":null}'
    for cursor, position in (
        (poll, "2026-11-30T01:00:00Z"),
        (first, "the beginning"),
        ("41", "41"),
        ("x" * 90, "x" * 59 + "…"),
    ):
        assert await shards.move([ShardCursor(owned.key, owned.fence, cursor, 1_000_000)])
        [shown] = await world.api.items(where)
        assert (shown["cursor"], shown["position"]) == (cursor, position)

    decide = f"{where}/incoming"
    early = await world.api("POST", decide, {"start": "latest"})
    assert (early.status, "waits for a person" in early.json["detail"]) == (409, True)
    await shards.note(owned.key, owned.fence, "stopped", "kept for 3 days")
    wrong = await world.api("POST", decide, {"start": "latest", "cursor": "7"})
    assert wrong.status == 422
    [shown] = (await world.api("POST", decide, {"start": "cursor", "cursor": "7"})).json["items"]
    assert (shown["state"], shown["cursor"], shown["owner"]) == ("starting", "7", None)
    assert [each["start"] for each in shown["gaps"]] == ["earliest", "7"]
