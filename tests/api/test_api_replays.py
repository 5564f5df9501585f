"""Replays through the API: edited, on other versions, with their lineage; and many at once."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from halflap.api.driving import BulkDriver
from halflap.api.operations import bulks
from halflap.errors import StoreError
from halflap.model import new_id
from halflap.store.protocol import Filter
from tests.served import until


@pytest.fixture
async def instance(world: Any) -> Any:
    await world.publish()
    return await world.instance()


@pytest.fixture
async def driving(world: Any) -> AsyncIterator[None]:
    """The world, with its bulks being done."""
    task = asyncio.create_task(world.host.crew.bulks.run())
    yield
    world.host.crew.bulks.stop()
    await task


async def failed(world: Any, instance: Any, count: int, first: int = 0) -> list[str]:
    """Executions that failed at the shop, oldest first; the shop is mended then."""
    world.shop.broken = True
    ids = [
        await world.send(instance, {"id": f"o{n}", "amount": n})
        for n in range(first, first + count)
    ]
    for each in ids:
        await world.ended(each)
    world.shop.broken = False
    return ids


async def done(world: Any, bulk: str) -> dict[str, Any]:
    """A bulk once it has ended."""

    async def look() -> Any:
        found = (await world.api("GET", f"/api/replays/{bulk}")).json
        return found if found["state"] != "running" else None

    return await until(look)


async def replays_of(world: Any, execution: str) -> list[Any]:
    return await world.host.store.journal.executions(Filter(replay_of=execution))


async def test_a_replay_runs_with_another_body_and_other_headers(world: Any, instance: Any) -> None:
    id = await world.send(instance, {"id": "o1", "amount": 1}, **{"x-source": "till"})
    await world.ended(id)
    edit = {"body": '{"id": "o1", "amount": 2}', "headers": {"X-Source": "desk", "x-new": "1"}}
    new = (await world.api("POST", f"/api/executions/{id}/replay", {"event": edit})).json
    shown = await world.ended(new["execution"])
    assert shown["event"]["body"] == edit["body"]
    headers = dict(shown["event"]["headers"])
    assert (headers["X-Source"], headers["x-new"]) == ("desk", "1")
    assert "x-source" not in headers
    assert (shown["root"], shown["replay_of"]) == (shown["id"], id)
    assert world.shop.orders[-1] == '{"id":"o1","amount":2}'

    raw = {"body": base64.b64encode(b"\xff").decode(), "encoding": "base64"}
    broken = (await world.api("POST", f"/api/executions/{id}/replay", {"event": raw})).json
    assert (await world.ended(broken["execution"]))["state"] == "failed"
    secret = {"headers": {"Authorization": "Bearer x"}}
    refused = await world.api("POST", f"/api/executions/{id}/replay", {"event": secret})
    assert (refused.status, set(refused.json["fields"])) == (422, {"event.headers"})


async def test_an_edited_replay_from_the_failed_step_keeps_steps_with_a_new_root(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    edit = {"from": "failed", "event": {"body": '{"id": "o0", "amount": 7}'}}
    new = (await world.api("POST", f"/api/executions/{id}/replay", edit)).json
    shown = await world.ended(new["execution"])
    steps = {each["name"]: each for each in shown["steps"]}
    assert steps["shop.find_order"]["copied_from"] == id
    assert world.shop.orders == ['{"id":"o0","amount":7}']
    assert shown["root"] == shown["id"]


async def test_a_replay_on_the_same_version_has_its_config_too(world: Any, instance: Any) -> None:
    id = await world.send(instance, {"id": "o1", "amount": 1})
    await world.ended(id)
    draft = {
        "customer": instance["customer"],
        "integration": "orders",
        "name": "orders",
        "config": {"label": "y"},
        "connections": {"shop": "shop of orders"},
    }
    await world.api("POST", "/api/instances", draft)
    await world.publish(world.bundle(label="2"), expect=instance["version"]["hash"])
    await world.api("POST", "/api/instances/orders/upgrade", {"version": "2"}, wait=9)

    found = {}
    for version in ("same", "current", "1"):
        path = f"/api/executions/{id}/replay"
        new = (await world.api("POST", path, {"version": version})).json["execution"]
        shown = await world.ended(new)
        found[version] = (shown["version"]["number"], shown["revision"])
    before = (await world.api("GET", f"/api/executions/{id}")).json["revision"]
    now = (await world.api("GET", "/api/instances/orders")).json["revision"]
    assert found == {"same": (1, before), "current": (2, now), "1": (1, now)}
    assert before != now


async def test_lineage_links_ancestors_and_descendants_and_says_how(
    world: Any, instance: Any
) -> None:
    [first] = await failed(world, instance, 1)
    world.shop.broken = True
    second = await world.api("POST", f"/api/executions/{first}/replay", {"from": "failed"})
    await world.ended(second.json["execution"])
    world.shop.broken = False
    path = f"/api/executions/{second.json['execution']}/replay"
    edit = {"version": "same", "event": {"headers": {"x-a": "1"}}}
    third = await world.api("POST", path, edit)
    await world.ended(third.json["execution"])
    ids = [first, second.json["execution"], third.json["execution"]]
    for each in ids:
        shown = (await world.api("GET", f"/api/executions/{each}")).json
        assert [e["id"] for e in shown["lineage"]] == ids
    told = [(e["replay_of"], e["from"], e["on"], e["edited"]) for e in shown["lineage"]]
    assert told == [
        (None, None, None, False),
        (ids[0], "failed", "current", False),
        (ids[1], "start", "same", True),
    ]


async def test_a_plan_says_how_many_and_changes_nothing(world: Any, instance: Any) -> None:
    ids = await failed(world, instance, 3)
    await world.ended(await world.send(instance, {"id": "fine", "amount": 1}))
    draft = {"where": {"state": "failed", "flow": "incoming"}, "dry_run": True}
    plan = await world.api("POST", "/api/replays", draft)
    assert (plan.status, plan.json["total"]) == (200, 3)
    [group] = plan.json["groups"]
    assert (group["flow"], group["instance_name"], group["count"]) == ("incoming", "orders", 3)
    assert "not to our taste" in group["reason"]
    assert [each["id"] for each in plan.json["samples"]] == ids[::-1]
    assert (await world.api("GET", "/api/replays")).json == []
    assert not await replays_of(world, ids[0])
    keyed = {"where": {"key": "o1"}, "dry_run": True}
    assert (await world.api("POST", "/api/replays", keyed)).json["total"] == 1
    none = {"where": {"until": "2020-01-01T00:00:00Z"}, "dry_run": True}
    assert (await world.api("POST", "/api/replays", none)).json["total"] == 0
    for wrong in ({"state": "running"}, {"since": "yesterday"}, {"since": "2026-01-01"}):
        refused = await world.api("POST", "/api/replays", {"where": wrong})
        assert refused.status == 422


@pytest.mark.usefixtures("driving")
async def test_many_are_replayed_each_once_from_the_failed_step(world: Any, instance: Any) -> None:
    """F15: the same bytes, a new id, a link; the same root, so the same idempotency keys."""
    ids = await failed(world, instance, 5)
    begun = await world.api("POST", "/api/replays", {"where": {"state": "failed"}, "rate": 1000})
    assert (begun.status, begun.json["state"], begun.json["total"]) == (201, "running", 5)
    bulk = await done(world, begun.json["id"])
    assert (bulk["state"], bulk["done"], bulk["refused"]) == ("succeeded", 5, 0)
    journal = world.host.store.journal
    for each in ids:
        [new] = await replays_of(world, each)
        shown = await world.ended(new.id)
        old = (await world.api("GET", f"/api/executions/{each}")).json
        assert (shown["state"], shown["root"], shown["replay_of"]) == ("succeeded", each, each)
        assert (await journal.event(new.id)) == (await journal.event(each))
        assert old["dismissed"]
        assert shown["lineage"][1]["bulk"] == bulk["id"]
        assert shown["lineage"][1]["from"] == "failed"
    assert len(world.shop.orders) == 5
    whole = {"where": {"state": "succeeded", "flow": "incoming"}, "from": "start"}
    again = await done(world, (await world.api("POST", "/api/replays", whole)).json["id"])
    assert again["done"] == 5
    [new] = await replays_of(world, (await replays_of(world, ids[0]))[0].id)
    assert (await world.ended(new.id))["root"] == new.id


@pytest.mark.usefixtures("driving")
async def test_what_cannot_be_replayed_is_counted_with_its_reason(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    other = await world.instance(await world.customer("Globex"), "other")
    [gone] = await failed(world, other, 1)
    await world.api("POST", f"/api/instances/{other['id']}/disable", wait=9)
    bulk = (await world.api("POST", "/api/replays", {})).json
    ended = await done(world, bulk["id"])
    assert (ended["state"], ended["done"], ended["refused"]) == ("succeeded", 1, 1)
    [refusal] = ended["refusals"]
    assert (refusal["execution"], "activate it" in refusal["why"]) == (gone, True)
    assert len(await replays_of(world, id)) == 1


@pytest.mark.usefixtures("driving")
async def test_many_are_cancelled_and_dismissed_by_the_same_filter(
    world: Any, instance: Any
) -> None:
    waiting = [await world.send(instance, {}, flow="waiting") for _ in range(3)]
    ids = await failed(world, instance, 2)
    cancel = {"do": "cancel", "where": {"flow": "waiting"}, "reason": "a mistake"}
    bulk = await done(world, (await world.api("POST", "/api/replays", cancel)).json["id"])
    assert (bulk["do"], bulk["done"]) == ("cancel", 3)
    for each in waiting:
        shown = await world.ended(each)
        assert (shown["state"], shown["reason"]) == ("cancelled", "a mistake")
    dismiss = {"do": "dismiss", "where": {"instance": "orders"}}
    bulk = await done(world, (await world.api("POST", "/api/replays", dismiss)).json["id"])
    assert (bulk["do"], bulk["done"]) == ("dismiss", 2)
    assert (await world.api("GET", f"/api/executions/{ids[0]}")).json["dismissed"]


@pytest.mark.usefixtures("driving")
async def test_a_bulk_that_is_cancelled_does_no_further_page(world: Any, instance: Any) -> None:
    ids = await failed(world, instance, 3)
    bulk = (await world.api("POST", "/api/replays", {"rate": 0.02})).json["id"]

    async def first() -> bool:
        return (await world.api("GET", f"/api/replays/{bulk}")).json["done"] == 1

    await until(first)
    ended = (await world.api("POST", f"/api/replays/{bulk}/cancel")).json
    assert (ended["state"], ended["done"], ended["total"]) == ("cancelled", 1, 3)
    assert [len(await replays_of(world, each)) for each in ids] == [1, 0, 0]
    unknown = await world.api("POST", "/api/replays/blk_no/cancel")
    assert (unknown.status, unknown.kind) == (404, "NotFound")


@pytest.mark.parametrize("state", ["failed", "succeeded"])
@pytest.mark.parametrize("known", [True, False])
async def test_what_a_bulk_did_before_it_died_is_not_done_again(
    world: Any, instance: Any, monkeypatch: pytest.MonkeyPatch, state: str, known: bool
) -> None:
    """Dead between a page's commit and the note of it. Control: with ids that do not repeat."""
    if state == "failed":
        ids = await failed(world, instance, 4)
    else:
        ids = [await world.send(instance, {"id": f"o{n}", "amount": n}) for n in range(4)]
        for each in ids:
            await world.ended(each)
    if not known:
        monkeypatch.setattr(bulks, "replay_id", lambda *_: new_id("exe"))
    catalogue, operations = world.host.store.catalogue, world.host.operations
    where = {"where": {"state": state, "flow": "incoming"}, "from": "start"}
    bulk = (await world.api("POST", "/api/replays", where)).json["id"]

    async def dies(*_: Any) -> bool:
        raise StoreError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue.bulks, "go_on", dies)
        died = await catalogue.bulks.get(bulk)
        driver = BulkDriver(catalogue, operations.bulks)
        with pytest.raises(StoreError):
            await driver._page(await operations.bulks.taken(died))
    if state == "succeeded" and known:
        assert [len(await replays_of(world, each)) for each in ids] == [1] * 4
    task = asyncio.create_task(world.host.crew.bulks.run())
    ended = await done(world, bulk)
    world.host.crew.bulks.stop()
    await task
    counts = [len(await replays_of(world, each)) for each in ids]
    if known:
        assert counts == [1] * 4
        assert (ended["state"], ended["done"]) == ("succeeded", 4)
    elif state == "succeeded":
        assert counts == [2] * 4
