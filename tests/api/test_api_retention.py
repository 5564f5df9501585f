"""Retention through the API: said, shown, refused; and what is removed is said to be."""

from typing import Any

import pytest

from halflap.store.classes import DAY
from tests.api.conftest import ORDERS
from tests.api.test_api_replays import done, driving, failed

__all__ = ["driving"]
NOTHING: dict[str, Any] = dict.fromkeys(("execution", "event", "steps", "logs", "blobs"))
LARGE = "x" * 100_000


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish()
    return await world.instance()


async def aged(world: Any, days: int) -> None:
    """Have it be so many days ago that whatever has ended did so, and prune."""
    await world.host.store.database.write(
        lambda c: c.execute("UPDATE executions SET ended_at = ended_at - ?", (days * DAY,)).rowcount
    )
    while await world.host.store.journal.prune(100):
        pass


async def test_an_instance_says_how_long_above_its_customer_and_the_server(
    world: Any, instance: Any
) -> None:
    assert instance["retention"] == NOTHING
    assert instance["kept"] == {**NOTHING, "execution": 30}
    path = f"/api/customers/{instance['customer']}/retention"
    customer = await world.api("PUT", path, {"event": 7, "logs": 3})
    assert customer.json["retention"] == {**NOTHING, "event": 7, "logs": 3}
    assert customer.json["default_retention"] == {**NOTHING, "execution": 30}

    path = f"/api/instances/{instance['id']}/retention"
    mine = await world.api("PUT", path, {"steps": 60, "event": 2})

    assert mine.json["retention"] == {**NOTHING, "steps": 60, "event": 2}
    kept = {**NOTHING, "execution": 60, "event": 2, "steps": 60, "logs": 3}
    assert mine.json["kept"] == kept
    assert (await world.api("GET", f"/api/instances/{instance['id']}")).json["kept"] == kept
    back = await world.api("PUT", path, {})
    assert back.json["kept"] == {**NOTHING, "execution": 30, "event": 7, "logs": 3}


async def test_what_the_integration_declares_holds_from_its_activation(world: Any) -> None:
    declares = "config=Settings, retention=Retention(event=5))"
    orders = ORDERS.replace("config=Settings)", declares)
    orders = orders.replace("from halflap import", "from halflap import Retention,", 1)
    await world.publish(world.bundle(orders=orders))
    instance = await world.instance()
    assert instance["kept"] == {**NOTHING, "execution": 30, "event": 5}
    bundle = world.bundle(label="2", orders=orders.replace("event=5", "logs=1"))
    other = await world.publish(bundle, expect=instance["version"]["hash"])
    path = f"/api/instances/{instance['id']}/upgrade"
    upgraded = await world.api("POST", path, {"version": other}, wait=9)
    assert upgraded.json["kept"] == {**NOTHING, "execution": 30, "logs": 1}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"event": 0}, "event"),
        ({"event": 40_000}, "event"),
        ({"steps": 1.5}, "steps"),
        ({"execution": 5, "logs": 6}, "logs"),
        ({"events": 6}, "events"),
    ],
)
async def test_nonsense_is_refused(world: Any, instance: Any, said: Any, field: str) -> None:
    refused = await world.api("PUT", f"/api/instances/{instance['id']}/retention", said)
    assert refused.status == 422
    assert field in refused.json["fields"]
    assert (await world.api("GET", f"/api/instances/{instance['id']}")).json["retention"] == NOTHING


async def test_what_cannot_hold_is_not_said(world: Any, instance: Any) -> None:
    for days in range(1, 9):
        await world.host.store.journal.retain({f"ins_{days}": _only(days)})
    path = f"/api/customers/{instance['customer']}/retention"
    refused = await world.api("PUT", path, {"event": 20})
    assert (refused.status, "different retentions" in refused.json["detail"]) == (422, True)
    customer = await world.api("GET", f"/api/customers/{instance['customer']}")
    assert customer.json["retention"] == NOTHING


def _only(days: int) -> Any:
    from halflap import Retention

    return Retention(event=days)


async def test_what_is_removed_is_said_to_be_wherever_it_is_asked_for(
    world: Any, instance: Any
) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"event": 7, "steps": 7})
    id = await world.send(instance, {"id": "o1", "amount": 1})
    whole = await world.ended(id)
    assert whole["removed"] == {}
    await aged(world, 9)

    shown = (await world.api("GET", f"/api/executions/{id}")).json
    assert shown["removed"] == {
        "event": "was removed after 7 days",
        "steps": "was removed after 7 days",
    }
    assert (shown["event"], shown["steps"], shown["state"]) == (None, [], "succeeded")
    assert shown["result"] == whole["result"]
    assert len((await world.api("GET", f"/api/executions/{id}/logs")).json) == 1
    listed = (await world.api("GET", "/api/executions", flow="incoming")).json["executions"]
    assert [each["id"] for each in listed] == [id]
    assert (await world.api("GET", "/api/executions", key="o1")).json["executions"] != []
    for part, query in (("body", {}), ("result", {"step": "shop.find_order#1"})):
        gone = await world.api("GET", f"/api/executions/{id}/{part}", **query)
        assert (gone.status, gone.kind) == (410, "Removed"), part
        assert "after 7 days" in gone.json["detail"]
    last = await world.api("GET", "/api/events/last")
    assert (last.status, last.kind) == (410, "Removed")
    replay = await world.api("POST", f"/api/executions/{id}/replay", {})
    assert (replay.status, replay.kind) == (410, "Removed")
    assert "cannot be replayed" in replay.json["detail"]
    page = await world.api("GET", "/api/recordings", integration="orders")
    assert page.json["recordings"] == []
    assert page.json["removed"] == {"event was removed after 7 days": 1}


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("steps", "steps was removed after 2 days"),
        ("blobs", "large payload was removed, as its retention says"),
    ],
)
async def test_what_a_shadow_run_lacks_is_counted(
    world: Any, instance: Any, part: str, said: str
) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {part: 2})
    await world.ended(await world.send(instance, {"id": "o1", "amount": 1, "note": LARGE}))
    whole = (await world.api("GET", "/api/recordings", integration="orders")).json
    assert (len(whole["recordings"]), whole["removed"]) == (1, {})
    await aged(world, 5)
    page = (await world.api("GET", "/api/recordings", integration="orders")).json
    assert (page["recordings"], page["removed"]) == ([], {said: 1})


async def test_a_replay_from_the_failed_step_needs_the_steps(world: Any, instance: Any) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"steps": 2})
    (id,) = await failed(world, instance, 1)
    await aged(world, 9)
    assert (await world.api("GET", f"/api/executions/{id}")).json["removed"] == {}  # a dead letter
    await world.api("POST", f"/api/executions/{id}/dismiss")
    await aged(world, 0)
    made = world.shop.orders.copy()

    for start in ({"from": None}, {"from": "failed"}):
        refused = await world.api("POST", f"/api/executions/{id}/replay", start)
        assert (refused.status, refused.kind) == (410, "Removed"), refused.body
        assert "replay it from the start" in refused.json["detail"]
    assert world.shop.orders == made
    again = await world.api("POST", f"/api/executions/{id}/replay", {"from": "start"})
    assert again.status == 201, again.body


async def test_a_bulk_replay_goes_on_past_what_is_removed(
    world: Any, instance: Any, driving: None
) -> None:
    old = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(old)
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"event": 2})
    gone = await world.send(instance, {"id": "o2", "amount": 1})
    await world.ended(gone)
    await aged(world, 9)

    began = await world.api(
        "POST", "/api/replays", {"where": {"state": "succeeded", "flow": "incoming"}}
    )
    bulk = await done(world, began.json["id"])

    assert (bulk["done"], bulk["refused"]) == (1, 1), bulk
    assert "was removed after 2 days" in str(bulk["refusals"])


async def test_large_payloads_may_go_before_what_they_belong_to(world: Any, instance: Any) -> None:
    await world.api("PUT", f"/api/instances/{instance['id']}/retention", {"blobs": 3})
    id = await world.send(instance, {"id": "o1", "amount": 1, "note": LARGE})
    await world.ended(id)
    await aged(world, 5)

    shown = await world.api("GET", f"/api/executions/{id}")
    assert shown.status == 200
    assert "was removed after 3 days" in str(shown.json)
    assert shown.json["removed"] == {}
    replay = await world.api("POST", f"/api/executions/{id}/replay", {})
    assert (replay.status, replay.kind) == (410, "Removed"), replay.body
