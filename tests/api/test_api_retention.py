"""Retention through the API: said, shown, refused; and what is removed is said to be."""

from typing import Any

from halflap.store.retention import DAY
from tests.api.conftest import ORDERS
from tests.api.test_api_replays import failed
from tests.cases import for_each

NOTHING: dict[str, Any] = {"execution": None, "payload": None}
LARGE = "x" * 100_000


async def aged(world: Any, days: int) -> None:
    """Have it be so many days ago that whatever has ended did so, and prune."""
    await world.host.store.database.write(
        lambda c: c.execute("UPDATE executions SET ended_at = ended_at - ?", (days * DAY,)).rowcount
    )
    store = world.host.store
    while await store.journal.prune(await store.catalogue.retentions.rules(), 100):
        pass


async def test_an_instance_says_how_long_above_its_customer_and_the_server(
    world: Any, instance: Any
) -> None:
    assert instance["retention"] == NOTHING
    assert instance["kept"] == {**NOTHING, "execution": 30}
    path = f"/api/customers/{instance['customer']}/retention"
    customer = await world.api("PUT", path, {"payload": 7})
    assert customer.json["retention"] == {**NOTHING, "payload": 7}
    assert customer.json["default_retention"] == {**NOTHING, "execution": 30}

    path = f"/api/instances/{instance['id']}/retention"
    mine = await world.api("PUT", path, {"payload": 60})

    assert mine.json["retention"] == {**NOTHING, "payload": 60}
    kept = {"execution": 60, "payload": 60}
    assert mine.json["kept"] == kept
    assert (await world.api.get(f"/api/instances/{instance['id']}"))["kept"] == kept
    back = await world.api("PUT", path, {})
    assert back.json["kept"] == {"execution": 30, "payload": 7}


async def test_what_the_integration_declares_holds_from_its_activation(world: Any) -> None:
    declares = "config=Settings, retention=Retention(event=5, steps=9))"  # as 0.1.0 wrote it
    orders = ORDERS.replace("config=Settings)", declares)
    orders = orders.replace("from halflap import", "from halflap import Retention,", 1)
    await world.publish(world.bundle(orders=orders))
    instance = await world.instance()
    assert instance["kept"] == {"execution": 30, "payload": 5}
    bundle = world.bundle(label="2", orders=orders.replace("event=5, steps=9", "payload=1"))
    other = await world.publish(bundle, expect=instance["version"]["hash"])
    upgraded = await world.upgrade(other)
    assert upgraded["kept"] == {"execution": 30, "payload": 1}


@for_each(
    ("said", "field"),
    [
        ({"payload": 0}, "payload"),
        ({"payload": 40_000}, "payload"),
        ({"execution": 1.5}, "execution"),
        ({"execution": 5, "payload": 6}, "payload"),
        ({"event": 6}, "event"),
    ],
)
async def test_nonsense_is_refused(world: Any, instance: Any, said: Any, field: str) -> None:
    refused = await world.api("PUT", f"/api/instances/{instance['id']}/retention", said)
    assert refused.status == 422
    assert field in refused.json["fields"]
    assert (await world.api.get(f"/api/instances/{instance['id']}"))["retention"] == NOTHING


async def test_what_is_removed_is_said_to_be_wherever_it_is_asked_for(
    world: Any, instance: Any
) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"payload": 7})
    id = await world.send(instance, {"id": "o1", "amount": 1, "note": LARGE})
    whole = await world.ended(id)
    assert not whole["payload_removed"]
    await aged(world, 9)

    shown = await world.api.get(f"/api/executions/{id}")
    assert shown["payload_removed"]
    assert (shown["event"], shown["state"]) == (None, "succeeded")
    assert [each["path"] for each in shown["steps"]] == [each["path"] for each in whole["steps"]]
    assert {each["result"] for each in shown["steps"]} == {None}
    assert shown["result"] == whole["result"]
    assert len(await world.api.items(f"/api/executions/{id}/logs")) == 1
    listed = await world.api.items("/api/executions", flow="incoming")
    assert [each["id"] for each in listed] == [id]
    assert await world.api.items("/api/executions", key="o1") != []
    for part, query in (("body", {}), ("result", {"step": "shop.find_order#1"})):
        gone = await world.api("GET", f"/api/executions/{id}/{part}", **query)
        assert (gone.status, gone.kind) == (410, "Removed"), part
        assert "halflap instances retention" in gone.json["detail"]
    last = await world.api("GET", "/api/events/last")
    assert (last.status, last.kind) == (410, "Removed")
    for replay in ({}, {"from": "start"}):
        refused = await world.api("POST", f"/api/executions/{id}/replay", replay)
        assert (refused.status, refused.kind) == (410, "Removed")
        assert "cannot be replayed" in refused.json["detail"]
    page = await world.api.get("/api/recordings", integration="orders")
    assert (page["items"], page["removed"]) == ([], 1)


async def test_a_dead_letter_can_be_replayed_until_it_is_dismissed(
    world: Any, instance: Any
) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"payload": 2})
    (id,) = await failed(world, instance, 1)
    await aged(world, 9)
    assert not (await world.api.get(f"/api/executions/{id}"))["payload_removed"]
    await world.api("POST", f"/api/executions/{id}/dismiss")
    await aged(world, 0)
    made = world.shop.orders.copy()

    refused = await world.api("POST", f"/api/executions/{id}/replay", {"from": "failed"})
    assert (refused.status, refused.kind) == (410, "Removed"), refused.body
    assert world.shop.orders == made


async def test_a_bulk_replay_goes_on_past_what_is_removed(world: Any, instance: Any) -> None:
    old = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(old)
    await aged(world, 9)
    path = f"/api/instances/{instance['id']}/retention"
    await world.api("PUT", path, {"payload": 2})
    await aged(world, 0)
    fresh = await world.send(instance, {"id": "o2", "amount": 1})
    await world.ended(fresh)

    bulk = await world.bulk({"where": {"state": "succeeded", "flow": "incoming"}})

    assert (bulk["done"], bulk["refused"]) == (1, 1), bulk
    assert "was removed, as the retention of" in str(bulk["refusals"])
