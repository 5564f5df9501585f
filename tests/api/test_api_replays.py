"""Replays through the API: edited, on other versions, with their lineage; and many at once."""

import asyncio
import base64
import json
from typing import Any

import pytest
from aiohttp import web

from halflap.api.driving import BulkDriver
from halflap.api.operations import bulks
from halflap.api.operations.replay import LEFT_TO_PARENT
from halflap.errors import StoreError
from halflap.model import new_id
from halflap.store.protocol import Filter
from tests.api import conftest
from tests.api.conftest import ORDERS, SHOP
from tests.polling import until


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


async def test_replays_are_found_by_their_bulk_however_late_it_began(world: Any) -> None:
    await world.publish(world.bundle())
    await failed(world, await world.instance(), 2)
    operations = world.host.operations.bulks
    id, clock = operations.make_id(), operations.clock
    operations.clock = lambda: clock() + 5_000  # begun so much later

    options = {"rate": None, "from": None, "version": None, "repeat": False, "again": False}
    await operations.begin(id, "replay", Filter(), options)
    bulk = await world.driven(id)
    found = await world.api.items("/api/executions", bulk=id)

    assert (bulk["done"], len(found)) == (2, 2)


async def test_a_customer_that_is_being_erased_stops_no_others_replays(world: Any) -> None:
    await world.publish(world.bundle())
    instances = [await world.instance(), await world.instance(await world.customer("Globex"), "b")]
    for each in instances:
        await failed(world, each, 1)
    await world.host.store.journal.shut(instances[0]["customer"])

    bulk = await world.bulk({"where": {"state": "failed"}})

    assert (bulk["state"], bulk["done"], bulk["refused"]) == ("succeeded", 1, 1)
    assert "was erased meanwhile" in bulk["refusals"][0]["why"]


async def test_bulks_are_listed_by_what_they_do_and_by_their_state(either: Any) -> None:
    made = (await either.api("POST", "/api/bulks", {"do": "dismiss"})).json["id"]
    await either.api("POST", f"/api/bulks/{made}/cancel")

    async def listed(**query: str) -> list[str]:
        found = await either.api.items("/api/bulks", **query)
        return [each["id"] for each in found]

    assert await listed(do="dismiss,replay", state="cancelled,succeeded") == [made]
    assert await listed(do="replay") == await listed(state="running,paused") == []
    refused = await either.api("GET", "/api/bulks", do="eat")
    assert (refused.status, [*refused.json["fields"]]) == (422, ["do"])


async def replays_of(world: Any, execution: str) -> list[Any]:
    return await world.host.store.journal.executions(Filter(replay_of=execution))


async def test_a_replay_runs_with_another_body_and_other_headers(world: Any, instance: Any) -> None:
    id = await world.send(instance, {"id": "o1", "amount": 1}, **{"x-source": "till"})
    await world.ended(id)
    edit = {"body": '{"id": "o1", "amount": 2}', "headers": {"X-Source": "desk", "x-new": "1"}}
    shown = await world.replayed(id, {"event": edit})
    assert shown["event"]["body"] == edit["body"]
    headers = dict(shown["event"]["headers"])
    assert (headers["X-Source"], headers["x-new"]) == ("desk", "1")
    assert "x-source" not in headers
    assert (shown["root"], shown["replay_of"]) == (shown["id"], id)
    assert world.shop.orders[-1] == '{"id":"o1","amount":2}'

    raw = {"body": base64.b64encode(b"\xff").decode(), "encoding": "base64"}
    assert (await world.replayed(id, {"event": raw}))["state"] == "failed"
    secret = {"headers": {"Authorization": "Bearer x"}}
    refused = await world.api("POST", f"/api/executions/{id}/replay", {"event": secret})
    assert (refused.status, set(refused.json["fields"])) == (422, {"event.headers"})


async def test_an_edited_replay_from_the_failed_step_keeps_steps_with_a_new_root(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    edit = {"from": "failed", "event": {"body": '{"id": "o0", "amount": 7}'}}
    shown = await world.replayed(id, edit)
    steps = {each["name"]: each for each in shown["steps"]}
    assert steps["shop.find_order"]["copied_from"] == id
    assert world.shop.orders == ['{"id":"o0","amount":7}']
    assert shown["root"] == shown["id"]


async def test_a_replay_on_the_same_version_has_its_config_too(world: Any, instance: Any) -> None:
    id = await world.send(instance, {"id": "o1", "amount": 1})
    before = (await world.ended(id))["revision"]
    draft = {"config": {"label": "y"}, "connections": {"shop": "shop of orders"}}
    await world.configure(instance["id"], draft)
    await world.publish(world.bundle(label="2"), expect=instance["version"]["hash"])
    now = (await world.upgrade("2"))["revision"]

    found = {}
    for version in (None, "same", "current", "1"):
        shown = await world.replayed(id, {"version": version} if version else ...)
        assert shown["root"] == shown["id"]
        found[version] = (shown["version"]["number"], shown["revision"])
    assert found == {None: (2, now), "same": (1, before), "current": (2, now), "1": (1, now)}
    assert before != now
    assert len(world.shop.orders) == 5


async def test_a_replay_that_was_refused_goes_on_with_the_config_of_then(world: Any) -> None:
    """It did nothing itself, so its own version and config are those of what it replays."""
    by_label = ORDERS.replace('event["id"])\n    key', "ctx.config.label)\n    key")
    await world.publish(world.bundle(orders=by_label))
    instance = await world.instance()
    [first] = await failed(world, instance, 1)
    draft = {"config": {"label": "y"}, "connections": {"shop": "shop of orders"}}
    await world.configure(instance["id"], draft)
    last = first
    for version in ("current", "current", "same"):
        plan = await world.plan({"where": {"state": "failed"}, "version": version})
        path = f"/api/executions/{last}/replay"
        made = (await world.api("POST", path, {"version": version})).json
        assert (made["changed"], plan["changed"]) == (version != "same",) * 2
        last = made["execution"]
        shown = await world.ended(last)
        if version == "current":
            assert "was carried out with other inputs" in shown["reason"]
            assert world.shop.orders == []
    before = await world.api.get(f"/api/executions/{first}")
    assert (shown["state"], shown["revision"]) == ("succeeded", before["revision"])
    steps = {each["name"]: each for each in shown["steps"]}
    assert steps["shop.find_order"]["copied_from"]
    assert world.shop.orders == ['{"id":"o0","amount":0}']


async def test_a_step_in_doubt_that_moved_is_not_repeated_by_a_second_replay_either(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(request: web.Request) -> web.Response:
        sent.append(await request.text())
        return web.Response(status=500, text="it may have been made")

    keyed = SHOP.replace('= "eu"', '= "eu"\n    idempotency_header = "Idempotency-Key"')
    keyed = keyed.replace("import Component", "import Retry, Component")
    once = keyed.replace(
        "action\nasync def create", "action(retry=Retry(attempts=1))\nasync def create"
    )
    monkeypatch.setattr(conftest, "SHOP", once)
    await world.publish()
    instance = await world.instance()
    sent: list[str] = []
    world.shop.order_answer = lose
    last = await world.send(instance, {"id": "o1", "amount": 1})
    assert (await world.ended(last))["state"] == "failed"
    made = 'return await shop.create_order(ctx.config.shop, event["id"], event["amount"], key)'
    moved = f"async def make(_: int) -> Any:\n        {made}\n    return (await ctx.gather([1], make))[0]"
    await world.publish(
        world.bundle(orders=ORDERS.replace(made, moved)), expect=instance["version"]["hash"]
    )
    await world.api("POST", "/api/instances/orders/upgrade", {"version": "2"}, wait=30)
    for _ in range(2):
        last = await world.replay(last)
        shown = await world.ended(last)
        assert "may have been carried out, and this version does it again" in shown["reason"]
    assert sent == ['{"id":"o1","amount":1}']


async def test_lineage_links_ancestors_and_descendants_and_says_how(
    world: Any, instance: Any
) -> None:
    [first] = await failed(world, instance, 1)
    world.shop.broken = True
    second = await world.replayed(first, {"from": "failed"})
    world.shop.broken = False
    edit = {"from": "start", "version": "same", "event": {"headers": {"x-a": "1"}}}
    third = await world.replayed(second["id"], edit)
    ids = [first, second["id"], third["id"]]
    for each in ids:
        shown = await world.api.get(f"/api/executions/{each}")
        assert [e["id"] for e in shown["lineage"]] == ids
    told = [(e["replay_of"], e["from"], e["on"], e["edited"]) for e in shown["lineage"]]
    assert told == [
        (None, None, None, False),
        (ids[0], "failed", "current", False),
        (ids[1], "start", "same", True),
    ]
    # A replay of that one has the edited event, too: each says so, wherever it is listed.
    shown = await world.replayed(ids[2], {"from": "start"})
    assert [e["edited"] for e in shown["lineage"]] == [False, False, True, False]
    editors = [None, None, "HALFLAP_TOKEN", "HALFLAP_TOKEN"]
    assert [e["edited_by"] for e in shown["lineage"]] == editors
    listed = await world.api.items("/api/executions", flow="incoming")
    assert {e["id"]: e["edited_by"] for e in listed} == dict(
        zip([*ids, shown["id"]], editors, strict=True)
    )


async def test_a_plan_says_how_many_and_changes_nothing(world: Any, instance: Any) -> None:
    ids = await failed(world, instance, 3)
    await world.ended(await world.send(instance, {"id": "fine", "amount": 1}))
    plan = await world.plan({"where": {"state": "failed", "flow": "incoming"}})
    assert plan["total"] == 3
    [group] = plan["groups"]
    assert (group["flow"], group["instance_name"], group["count"]) == ("incoming", "orders", 3)
    assert "not to our taste" in group["reason"]
    assert [each["id"] for each in plan["samples"]] == ids[::-1]
    assert await world.api.items("/api/bulks") == []
    assert not await replays_of(world, ids[0])
    for where, count in (
        ({"key": "o1"}, 1),
        ({"state": "failed", "integration": "orders"}, 3),
        ({"state": "failed", "integration": "others"}, 0),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
    ):
        assert (await world.plan({"where": where}))["total"] == count, where
    for wrong in ({"state": "running"}, {"since": "yesterday"}, {"since": "2026-01-01"}):
        refused = await world.api("POST", "/api/bulks", {"where": wrong})
        assert refused.status == 422


BLOCKED = (
    ORDERS.replace("import Config,", "import fifo, Config,")
    + '''

@integration.flow(trigger=webhook.request(), order=fifo(after_failure="block"))
async def ordered(ctx: Context[Settings], event: Any) -> Any:
    """One after another."""
    # halflap: ignore[HF010]
    return await shop.create_order(ctx.config.shop, event["id"], event["amount"], SecretStr("no"))


@integration.flow(trigger=shop.component.triggers["order_changed"])
async def unordered(ctx: Context[Settings], event: shop.Order) -> Any:
    """All at once."""
    # halflap: ignore[HF010]
    return await shop.create_order(ctx.config.shop, event.id, event.amount, SecretStr("no"))
'''
)


async def test_a_plan_says_where_older_values_would_be_written_over_newer_ones(world: Any) -> None:
    await world.publish(world.bundle(orders=BLOCKED))
    instance = await world.instance()
    world.shop.broken = True
    ids: list[str] = []
    for flow in ("ordered", "unordered", "unordered"):
        ids.append(await world.send(instance, {"id": "o1", "amount": len(ids)}, flow=flow))
        await world.ended(ids[-1])
    plan = await world.plan({"where": {"state": "failed"}})
    assert (plan["total"], plan["left_out"]) == (3, [])
    [over] = plan["overwrites"]
    assert (over["integration"], over["flow"], over["count"]) == ("orders", "unordered", 2)
    times = [(await world.api.get(f"/api/executions/{each}"))["accepted_at"] for each in ids]
    assert [over["first_at"], over["last_at"]] == times[1:]
    one = {"where": {"state": "failed", "flow": "ordered"}}
    assert (await world.plan(one))["overwrites"] == []


async def test_many_are_replayed_each_once_from_the_failed_step(world: Any, instance: Any) -> None:
    """F15: the same bytes, a new id, a link; the same root, so the same idempotency keys."""
    ids = await failed(world, instance, 5)
    begun = await world.api("POST", "/api/bulks", {"where": {"state": "failed"}, "rate": 1000})
    assert (begun.status, begun.json["state"], begun.json["total"]) == (201, "running", 5)
    bulk = await world.driven(begun.json["id"])
    assert (bulk["state"], bulk["done"], bulk["refused"]) == ("succeeded", 5, 0)
    journal = world.host.store.journal
    for each in ids:
        [new] = await replays_of(world, each)
        shown = await world.ended(new.id)
        old = await world.api.get(f"/api/executions/{each}")
        assert (shown["state"], shown["root"], shown["replay_of"]) == ("succeeded", each, each)
        assert (await journal.event(new.id)) == (await journal.event(each))
        assert old["dismissed"]
        assert shown["lineage"][1]["bulk"] == bulk["id"]
        assert shown["lineage"][1]["from"] == "failed"
    assert len(world.shop.orders) == 5
    whole = {"where": {"state": "succeeded", "flow": "incoming"}, "from": "start"}
    again = await world.bulk(whole)
    assert again["done"] == 5
    [new] = await replays_of(world, (await replays_of(world, ids[0]))[0].id)
    assert (await world.ended(new.id))["root"] == new.id


async def test_what_cannot_be_replayed_is_counted_with_its_reason(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    other = await world.instance(await world.customer("Globex"), "other")
    [gone] = await failed(world, other, 1)
    await world.api("POST", f"/api/instances/{other['id']}/disable", wait=30)
    ended = await world.bulk({})
    assert (ended["state"], ended["done"], ended["refused"]) == ("succeeded", 1, 1)
    [refusal] = ended["refusals"]
    assert (refusal["id"], "activate it" in refusal["why"]) == (gone, True)
    assert len(await replays_of(world, id)) == 1


async def test_what_a_replay_has_mended_is_replayed_only_if_that_is_said(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    mended = await world.replay(id)
    assert (await world.ended(mended))["state"] == "succeeded"
    refused = await world.api("POST", f"/api/executions/{id}/replay")
    assert (refused.status, refused.kind) == (409, "Conflict")
    assert f"{mended} replays it, and succeeded" in refused.json["detail"]
    assert "`again: true`" in refused.json["detail"]

    many = {"where": {"state": "failed,cancelled"}}
    plan = await world.plan(many)
    assert [(each["count"], each["execution"]) for each in plan["left_out"]] == [(1, id)]
    [group] = plan["groups"]
    assert (group["customer_name"], len(group["cause"])) == ("Initech", 12)
    ended = await world.bulk(many)
    assert (ended["done"], ended["refused"], ended["started"]) == (0, 1, {})

    again = await world.bulk(many | {"again": True})
    assert (again["done"], again["refused"]) == (1, 0)
    [listed] = await world.api.items("/api/executions", bulk=again["id"])
    assert (await world.ended(listed["id"]))["replay_of"] == id
    shown = await world.api.get(f"/api/bulks/{again['id']}")
    assert shown["started"] == {"succeeded": 1}
    await world.replay(id, {"again": True})


async def test_after_a_replay_that_failed_that_one_is_replayed_and_not_the_first(
    world: Any, instance: Any
) -> None:
    [id] = await failed(world, instance, 1)
    world.shop.broken = True
    path = f"/api/executions/{id}/replay"
    second = await world.replay(id)
    assert (await world.ended(second))["state"] == "failed"
    refused = await world.api("POST", path)
    assert (refused.status, refused.kind) == (409, "Conflict")
    assert f"{second} replayed it, and did not succeed; replay that one" in refused.json["detail"]
    plan = await world.plan({"where": {"state": "failed,cancelled"}})
    assert [each["execution"] for each in plan["left_out"]] == [id]
    world.shop.broken = False
    assert (await world.replayed(second))["replay_of"] == second
    # The control: what is said is done.
    await world.replay(id, {"again": True})


async def test_many_are_cancelled_and_dismissed_by_the_same_filter(
    world: Any, instance: Any
) -> None:
    waiting = [await world.send(instance, {}, flow="waiting") for _ in range(3)]
    ids = await failed(world, instance, 2)
    cancel = {"do": "cancel", "where": {"flow": "waiting"}, "reason": "a mistake"}
    bulk = await world.bulk(cancel)
    assert (bulk["do"], bulk["done"]) == ("cancel", 3)
    for each in waiting:
        shown = await world.ended(each)
        assert (shown["state"], shown["reason"]) == ("cancelled", "a mistake")
    dismiss = {"do": "dismiss", "where": {"instance": "orders"}}
    bulk = await world.bulk(dismiss)
    assert (bulk["do"], bulk["done"]) == ("dismiss", 2)
    assert (await world.api.get(f"/api/executions/{ids[0]}"))["dismissed"]


async def test_a_bulk_that_is_cancelled_does_no_further_page(world: Any, instance: Any) -> None:
    ids = await failed(world, instance, 3)
    bulk = (await world.api("POST", "/api/bulks", {"rate": 0.02})).json["id"]

    async def first() -> bool:
        return (await world.api.get(f"/api/bulks/{bulk}"))["done"] == 1

    doing = asyncio.create_task(world.driven(bulk))
    await until(first)
    ended = (await world.api("POST", f"/api/bulks/{bulk}/cancel")).json
    assert (ended["state"], ended["done"], ended["total"]) == ("cancelled", 1, 3)
    await doing
    assert [len(await replays_of(world, each)) for each in ids] == [1, 0, 0]
    unknown = await world.api("POST", "/api/bulks/blk_no/cancel")
    assert (unknown.status, unknown.kind) == (404, "NotFound")


@pytest.mark.parametrize(
    ("state", "known"), [("failed", True), ("succeeded", True), ("succeeded", False)]
)
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
    bulk = (await world.api("POST", "/api/bulks", where)).json["id"]

    async def dies(*_: Any) -> bool:
        raise StoreError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue.bulks, "go_on", dies)
        died = await catalogue.bulks.get(bulk)
        driver = BulkDriver(catalogue, operations.bulks)
        with pytest.raises(StoreError):
            await driver._page(await operations.bulks.taken(died))
    first = [await replays_of(world, each) for each in ids]
    if state == "succeeded" and known:
        assert [len(each) for each in first] == [1] * 4
    for [each] in filter(None, first):  # while one is live, another is refused in any case
        await world.ended(each.id)
    ended = await world.driven(bulk)
    counts = [len(await replays_of(world, each)) for each in ids]
    if known:
        assert counts == [1] * 4
        assert (ended["state"], ended["done"]) == ("succeeded", 4)
    else:
        assert counts == [2] * 4


async def test_what_a_former_worker_does_late_is_counted_in_the_end(
    world: Any, instance: Any
) -> None:
    """A page that was under way as its worker's lease ran out is committed after the next one took."""
    ids = await failed(world, instance, 4)
    catalogue, operations = world.host.store.catalogue, world.host.operations
    where = {"where": {"state": "failed", "flow": "incoming"}, "from": "start"}
    id = (await world.api("POST", "/api/bulks", where)).json["id"]
    driver = BulkDriver(catalogue, operations.bulks)
    assert await catalogue.bulks.take(id, driver._worker, 60_000_000)
    seen = await operations.bulks.taken(await catalogue.bulks.get(id))
    late = await operations.bulks.step(seen, 100)
    assert late is not None
    assert (seen.done, late.done) == (0, len(ids))
    assert await driver._page(seen) is None
    ended = await catalogue.bulks.get(id)
    assert (ended.state, ended.done, ended.refused) == ("succeeded", len(ids), 0)


# Keys, and families ----------------------------------------------------------------------------

FAMILY = (
    ORDERS
    + '''

@integration.flow(trigger=webhook.request())
async def place(ctx: Context[Settings], event: Any) -> Any:
    """Place one order: its first effect is the order."""
    shop_ = ctx.config.shop
    # halflap: ignore[HF010]
    return await shop.create_order(shop_, event["id"], event["amount"], SecretStr("no"))


@integration.flow(trigger=webhook.request())
async def together(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by another flow."""
    return await ctx.call("place", event)


@integration.flow(trigger=webhook.request())
async def waits(ctx: Context[Settings], event: Any) -> Any:
    """Start a flow that places an order, and wait for it."""
    child = await ctx.start("place", event)
    return await child.result()


@integration.flow(trigger=webhook.request())
async def above(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by another flow's other flow."""
    return await ctx.call("together", event)


@integration.flow(trigger=webhook.request())
async def in_parts(ctx: Context[Settings], event: Any) -> Any:
    """Place an order in the second execution of a chain."""
    if "part" not in event:
        await ctx.continue_with({**event, "part": 2})
    # halflap: ignore[HF010]
    return await shop.create_order(ctx.config.shop, event["id"], event["amount"], SecretStr("no"))


@integration.flow(trigger=webhook.request())
async def calls_parts(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by a flow that continues."""
    return await ctx.call("in_parts", event)


@integration.flow(trigger=webhook.request())
async def beside(ctx: Context[Settings], event: Any) -> Any:
    """Place an order by another flow, and one beside it."""
    shop_ = ctx.config.shop

    async def part(name: str) -> Any:
        if name == "call":
            return await ctx.call("place", event)
        # halflap: ignore[HF010]
        return await shop.create_order(shop_, "o2", 2, SecretStr("no"))

    return await ctx.gather(["call", "own"], part)
'''
)


class Lossy:
    """A shop that takes orders, and whose answers cannot be read until it is mended."""

    def __init__(self, world: Any) -> None:
        self.keys: dict[str, set[str]] = {}
        self.calls = 0
        self.mended = False
        world.shop.order_answer = self.answer

    async def answer(self, request: Any) -> Any:
        self.calls += 1
        text = await request.text()
        order = json.loads(text)["id"]
        self.keys.setdefault(order, set()).add(request.headers["idempotency-key"])
        return web.Response(text=text if self.mended else "<html>", content_type="application/json")


async def test_a_step_in_doubt_that_was_done_is_said_to_be_and_nothing_is_sent(world: Any) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance, shop = await world.instance(), Lossy(world)
    id = await world.send(instance, {"id": "o1", "amount": 1}, flow="place")
    await world.ended(id)
    path, order = f"/api/executions/{id}/replay", {"id": "o1", "amount": 1}
    for wrong in ({"id": 1}, None, {"id": {"$secret": "x"}, "amount": 1}):
        refused = await world.api("POST", path, {"done": {"result": wrong}})
        assert (refused.status, list(refused.json["fields"])) == (422, ["done.result"])
    for other in ({"repeat": True}, {"from": "start"}, {"event": {"body": "{}"}}):
        refused = await world.api("POST", path, {"done": {"result": order}, **other})
        assert refused.status == 422
    unknown = {"done": {"result": order, "step": "shop.find_order"}}
    refused = await world.api("POST", path, unknown)
    assert (refused.status, refused.kind) == (409, "Conflict")
    assert "in doubt: shop.create_order" in refused.json["detail"]

    new = await world.api("POST", path, {"done": {"result": order, "by": "Ada"}})
    assert (new.status, new.json["from"], new.json["root"]) == (201, "failed", id)
    shown = await world.ended(new.json["execution"])
    assert (shown["state"], shown["result"], shop.calls) == ("succeeded", order, 1)
    [step] = [each for each in shown["steps"] if each["name"] == "shop.create_order"]
    assert (step["said_by"], step["result"], step["copied_from"]) == ("Ada", order, None)
    assert shown["lineage"][1]["done"] == {"shop.create_order": "Ada"}
    first = await world.api.get(f"/api/executions/{id}")
    assert {each["said_by"] for each in first["steps"]} == {None}


async def test_a_call_that_was_mended_is_none_of_the_steps_that_may_be_said_done(
    world: Any,
) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance, calls = await world.instance(), list[str]()

    async def lost(request: Any) -> Any:
        calls.append(await request.text())
        return web.Response(status=500)

    world.shop.order_answer = lost
    parent = await world.send(instance, {"id": "o1", "amount": 1}, flow="beside")
    await world.ended(parent)
    [child] = (await world.api.get(f"/api/executions/{parent}"))["children"]
    await world.ended(child["id"])
    order = {"id": "o1", "amount": 1}
    await world.replayed(child["id"], {"done": {"result": order}})
    path, own = f"/api/executions/{parent}/replay", {"id": "o2", "amount": 2}
    refused = await world.api("POST", path)
    assert (refused.status, child["id"] in refused.json["detail"]) == (409, False)
    call = {"result": own, "step": "gather[call]/call(place)"}
    refused = await world.api("POST", path, {"done": call})
    assert "no step gather[call]/call(place) in doubt" in refused.json["detail"]
    shown = await world.replayed(parent, {"done": {"result": own}})
    assert (shown["state"], shown["result"], len(calls)) == ("succeeded", [order, own], 2)


@pytest.mark.parametrize("flow", ["together", "above", "waits", "calls_parts"])
async def test_what_a_call_that_was_said_done_had_called_is_no_dead_letter_any_more(
    world: Any, flow: str
) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance, calls = await world.instance(), list[str]()

    async def lost(request: Any) -> Any:
        calls.append(await request.text())
        return web.Response(status=500 if len(calls) == 1 else 404)

    world.shop.order_answer = lost
    await world.ended(await world.send(instance, {"id": "o1", "amount": 1}, flow=flow))
    parent, *below = await all_failed(world)
    order = {"id": "o1", "amount": 1}
    draft = {"done": {"result": order, "by": "Ada"}}
    ended = await world.replayed(parent, draft)
    assert (ended["state"], ended["result"], len(calls)) == ("succeeded", order, 1)
    assert await all_failed(world) == []
    for each in below:
        refused = await world.api("POST", f"/api/executions/{each}/replay", {"repeat": True})
        assert (refused.status, "was told that it is done" in refused.json["detail"]) == (409, True)
        shown = await world.api.get(f"/api/executions/{each}")
        assert (shown["dismissed"], shown["moot_by"]) == (True, ended["id"])
    again = {"repeat": True, "again": True}
    await world.replay(below[-1], again)


@pytest.mark.parametrize(("keyed", "start"), [(False, None), (False, "start"), (True, None)])
async def test_what_would_fail_in_doubt_again_is_refused(
    world: Any, keyed: bool, start: str | None
) -> None:
    honours = '    idempotency_header = "Idempotency-Key"\n' if keyed else ""
    files = {
        "orders.py": FAMILY,
        "shop.py": SHOP.replace("    base_url: str\n", f"    base_url: str\n{honours}", 1),
    }
    await world.publish(world.packed("orders:integration", files))
    instance, mended = await world.instance(), False

    async def lost(request: Any) -> Any:
        text = await request.text()
        return web.Response(text=text if mended else "<html>", content_type="application/json")

    async def broken(request: Any) -> Any:
        return await lost(request) if mended else web.Response(status=500)

    world.shop.order_answer = lost if keyed else broken
    id = await world.send(instance, {"id": "o1", "amount": 1}, flow="place")
    await world.ended(id)
    mended = True
    plan = await world.plan({"where": {"state": "failed"}, "from": start})
    answer = await world.api("POST", f"/api/executions/{id}/replay", {"from": start})
    if keyed:
        assert (plan["left_out"], answer.status) == ([], 201), answer.body
        return
    assert (answer.status, plan["left_out"][0]["count"]) == (409, 1)
    for why in (answer.json["detail"], plan["left_out"][0]["why"]):
        assert "shop.create_order may have been carried out" in why
        assert "`repeat: true`" in why
        assert ("do again what precedes it" in why) is (start == "start")
    draft = {"from": start, "repeat": True}
    assert (await world.replayed(id, draft))["state"] == "succeeded"


async def test_a_result_is_checked_whatever_the_module_of_the_component_is_called(
    world: Any,
) -> None:
    files = {"orders.py": FAMILY, "shop.py": SHOP.replace('Component("shop"', 'Component("till"')}
    await world.publish(world.packed("orders:integration", files))
    instance, shop = await world.instance(), Lossy(world)
    id = await world.send(instance, {"id": "o1", "amount": 1}, flow="place")
    await world.ended(id)
    path = f"/api/executions/{id}/replay"
    refused = await world.api("POST", path, {"done": {"result": {"nope": 1}}})
    assert (refused.status, list(refused.json["fields"])) == (422, ["done.result"]), refused.body
    order = {"id": "o1", "amount": 1}
    assert (await world.replayed(id, {"done": {"result": order}}))["result"] == order
    assert shop.calls == 1


@pytest.mark.parametrize(("flow", "start"), [("together", None), ("above", "start")])
async def test_a_parent_that_is_chosen_with_its_children_is_replayed_once(
    world: Any, flow: str, start: str | None
) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance, shop = await world.instance(), Lossy(world)
    ids = [await world.send(instance, {"id": f"o{n}", "amount": n}, flow=flow) for n in range(3)]
    for each in ids:
        assert (await world.ended(each))["state"] == "failed"
    deep = {"together": 2, "above": 3}[flow]
    where = {"where": {"state": "failed"}, "from": start}
    plan = await world.plan(where)
    assert (plan["total"], plan["examined"]) == (3 * deep, 3 * deep)
    [left] = plan["left_out"]
    assert (left["count"], left["why"]) == (3 * (deep - 1), LEFT_TO_PARENT)
    shop.mended = True
    bulk = await world.bulk(where)
    assert (bulk["done"], bulk["refused"]) == (3, 3 * (deep - 1))
    assert {each["why"] for each in bulk["refusals"]} == {LEFT_TO_PARENT}
    for each in ids:
        [new] = await replays_of(world, each)
        assert (await world.ended(new.id))["state"] == "succeeded"
    assert shop.calls == 6
    assert {order: len(keys) for order, keys in shop.keys.items()} == {"o0": 1, "o1": 1, "o2": 1}


async def test_children_that_are_chosen_alone_are_replayed(world: Any) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance, shop = await world.instance(), Lossy(world)
    parent = await world.send(instance, {"id": "o0", "amount": 0}, flow="together")
    await world.ended(parent)
    shop.mended = True
    where = {"where": {"state": "failed", "flow": "place"}}
    assert (await world.plan(where))["left_out"] == []
    assert (await world.bulk(where))["done"] == 1
    assert (await world.replayed(parent))["state"] == "succeeded"
    assert [len(keys) for keys in shop.keys.values()] == [1]


ALSO_FAILS = '''

@integration.flow(trigger=webhook.request())
async def also(ctx: Context[Settings], event: Any) -> Any:
    """Start a flow that places an order, and fail beside it."""
    await ctx.start("place", event)
    raise RuntimeError("no")

@integration.flow(trigger=webhook.request())
async def many(ctx: Context[Settings], event: Any) -> Any:
    """Start a flow that places an order thrice, and fail beside it."""
    for _ in range(3):
        await ctx.start("place", event)
    raise RuntimeError("no")
'''


async def test_a_child_is_not_left_to_a_parent_that_fails_of_another_kind(world: Any) -> None:
    await world.publish(world.bundle(orders=FAMILY + ALSO_FAILS))
    instance, _ = await world.instance(), Lossy(world)
    parent = await world.send(instance, {"id": "o0", "amount": 0}, flow="also")
    await world.ended(parent)
    found = await world.host.store.journal.executions(Filter(parent=parent))
    await world.ended(found[0].id)
    for kind, left in (("ValidationError", 0), (None, 1)):
        plan = await world.plan({"where": {"failure_kind": kind}, "from": "start"})
        assert (plan["total"], len(plan["left_out"])) == (left + 1, left)


async def test_whether_a_parent_is_chosen_is_asked_once(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.publish(world.bundle(orders=FAMILY + ALSO_FAILS))
    instance, _ = await world.instance(), Lossy(world)
    parent = await world.send(instance, {"id": "o0", "amount": 0}, flow="many")
    await world.ended(parent)
    journal = world.host.store.journal
    children = await journal.executions(Filter(parent=parent))
    for each in children:
        await world.ended(each.id)
    asked: list[Filter] = []
    executions = type(journal).executions

    async def noted(self: Any, which: Filter) -> Any:
        asked.append(which)
        return await executions(self, which)

    monkeypatch.setattr(type(journal), "executions", noted)
    for kind, left in (("ValidationError", 0), (None, 3)):
        asked.clear()
        plan = await world.plan({"where": {"failure_kind": kind}, "from": "start"})
        assert (plan["total"], sum(each["count"] for each in plan["left_out"])) == (
            3 + bool(left),
            left,
        )
        assert [each.ids for each in asked].count((parent,)) == 1


class Keyless:
    """A shop that knows no idempotency keys, and refuses every order until it is mended."""

    def __init__(self, world: Any) -> None:
        self.orders: list[str] = []
        self.mended = False
        world.shop.order_answer = self.answer

    async def answer(self, request: Any) -> Any:
        text = await request.text()
        if not self.mended:
            return web.Response(status=404)
        self.orders.append(json.loads(text)["id"])
        return web.Response(text=text, content_type="application/json")


async def all_failed(world: Any) -> list[str]:
    """The dead letters, each after the one that started it."""
    found = await world.host.store.journal.executions(Filter(dead_letters=True))
    below = {each.parent: each.id for each in found}
    ids: list[str] = []
    above: str | None = None
    while above in below:
        ids.append(above := below[above])
    return ids


async def test_a_child_that_its_parents_replay_mended_is_no_dead_letter_any_more(
    world: Any,
) -> None:
    await world.publish(world.bundle(orders=FAMILY))
    instance = await world.instance()
    for flow in ("together", "above", "waits"):
        await mended_with_its_parent(world, instance, flow)


async def mended_with_its_parent(world: Any, instance: Any, flow: str) -> None:
    """Have an execution fail with what it called, and be replayed by a bulk."""
    shop = Keyless(world)
    await world.ended(await world.send(instance, {"id": "o0", "amount": 0}, flow=flow))
    parent, *below = await all_failed(world)
    shop.mended = True
    where = {"where": {"state": "failed"}}
    for _ in range(2):
        bulk = await world.bulk(where)
        for new in await replays_of(world, parent):
            await world.ended(new.id)
        assert await all_failed(world) == []
        assert shop.orders == ["o0"]
    assert bulk["total"] == 0
    for each in [parent, *below]:
        [new] = await replays_of(world, each)
        assert new.state == "succeeded"
        again = await world.api("POST", f"/api/executions/{each}/replay")
        assert (again.status, new.id in again.body.decode()) == (409, True), again.body
        shown = await world.api.get(f"/api/executions/{each}")
        assert shown["replays"] == [new.id]
    assert shop.orders == ["o0"]


async def test_a_second_replay_is_refused_while_the_first_is_live(
    world: Any, instance: Any
) -> None:
    id = await world.send(instance, {}, flow="waiting")
    path = f"/api/executions/{id}/replay"
    early = await world.api("POST", path)
    assert (early.status, early.kind) == (409, "Conflict")
    assert "wait until it has ended, or cancel it" in early.json["detail"]
    cancel = {"reason": "not needed"}
    assert (await world.api("POST", f"/api/executions/{id}/cancel", cancel)).status == 200
    shown = await world.ended(id)  # one that runs is cancelled at its next step
    assert (shown["state"], shown["reason"]) == ("cancelled", "not needed")
    again = await world.api("POST", f"/api/executions/{id}/cancel")
    assert (again.status, again.json["detail"]) == (
        409,
        f"{id} has ended already: it was cancelled",
    )
    first = await world.replay(id)
    refused = await world.api("POST", path)
    assert (refused.status, refused.kind) == (409, "Conflict")
    assert first in refused.json["detail"]
    where = {"where": {"state": "cancelled", "flow": "waiting"}}
    [left] = (await world.plan(where))["left_out"]
    assert (left["execution"], first in left["why"]) == (id, True)
    await world.api("POST", f"/api/executions/{first}/cancel")
    await world.ended(first)
    await world.replay(first)


async def test_dead_letters_are_grouped_by_cause_and_replayed_by_it(
    world: Any, instance: Any
) -> None:
    ids = await failed(world, instance, 3)
    [group] = await world.api.get("/api/executions/causes")
    assert (group["count"], group["example"], group["flows"]) == (3, ids[-1], ["incoming"])
    where = {"id": instance["id"], "name": instance["name"], "customer_name": "Initech"}
    assert group["instances"] == [where]
    assert "o2" not in group["text"]
    assert "shop." in group["text"]
    shown = await world.api.get(f"/api/executions/{ids[0]}")
    assert (shown["cause"], shown["failure"]["cause"]) == (group["cause"], group["text"])
    status = shown["failure"]["status"]
    assert status == 422, shown["failure"]
    for by, found in (({"cause": group["cause"]}, 3), ({"status": 422}, 3), ({"status": 418}, 0)):
        listed = await world.api.items("/api/executions", **by)
        assert len(listed) == found, by
    assert (await world.api("GET", "/api/executions", status=7)).status == 422
    assert await world.api.get("/api/executions/causes", flow="waiting") == []

    assert (await world.plan({"where": {"cause": "0" * 12}}))["total"] == 0
    where = {"cause": group["cause"], "status": status}
    assert (await world.bulk({"where": where}))["done"] == 3
    assert await world.api.get("/api/executions/causes") == []
    [again] = await world.api.get("/api/executions/causes", dismissed="true")
    assert again["count"] == 3
