"""Replays of what newer events of its order overtook: no record goes back to an older value unsaid."""

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from halflap.api.operations import executions
from halflap.model import NothingNewer
from halflap.store.protocol import Filter
from tests.api.conftest import ORDERS
from tests.polling import until

FLOW = '''

@integration.flow(trigger=webhook.request(key="body:/id"), order=fifo({order}))
async def {name}(ctx: Context[Settings], event: Any) -> Any:
    """Write the value of an order, and note that."""
    shop_ = ctx.config.shop
    # halflap: ignore[HF010]
    await shop.create_order(shop_, event["id"], event["amount"], SecretStr("no"))
    # halflap: ignore[HF010]
    return await shop.create_order(shop_, "note " + event["id"], event["amount"], SecretStr("no"))
'''
KINDS = {
    "goes_on": "by_key=True",
    "blocks": 'by_key=True, after_failure="block"',
    "by_function": 'by_key=pointer("/group")',
}
FLOWS = (
    ORDERS.replace("import Config,", "import Config, fifo, pointer,")
    + "".join(FLOW.format(name=name, order=order) for name, order in KINDS.items())
    + '''

@integration.flow(trigger=webhook.request(key="body:/id"), order=fifo(by_key=True))
async def in_parts(ctx: Context[Settings], event: Any) -> Any:
    """Note an order, and write its value in the next execution of a chain."""
    if "part" not in event:
        # halflap: ignore[HF010]
        await shop.create_order(ctx.config.shop, "note", event["amount"], SecretStr("no"))
        await ctx.continue_with({**event, "part": 2})
    # halflap: ignore[HF010]
    return await shop.create_order(ctx.config.shop, event["id"], event["amount"], SecretStr("no"))


@integration.flow(trigger=webhook.request(key="body:/id"))
async def unordered(ctx: Context[Settings], event: Any) -> Any:
    """Write the value of an order."""
    # halflap: ignore[HF010]
    return await shop.create_order(ctx.config.shop, event["id"], event["amount"], SecretStr("no"))
'''
)
SEEDS = [pytest.param(each, marks=[] if each < 4 else pytest.mark.soak) for each in range(50)]
"""Four for each commit, and all in the soak."""
CONTROL = 2


class Records:
    """A shop that has a value of each order, and refuses some requests."""

    def __init__(self, world: Any) -> None:
        self.values: dict[str, list[int]] = {}
        self.refuses: dict[int, str] = {}
        """By value: what begins the id of the order that it refuses; empty: all."""
        self.takes_notes = asyncio.Event()
        self.takes_notes.set()
        world.shop.order_answer = self.answer

    async def answer(self, request: Any) -> Any:
        text = await request.text()
        order = json.loads(text)
        if order["id"] == "note":
            await self.takes_notes.wait()
        refused = self.refuses.get(order["amount"])
        if refused is not None and order["id"].startswith(refused):
            return web.Response(status=404)
        if not order["id"].startswith("note"):
            self.values.setdefault(order["id"], []).append(order["amount"])
        return web.Response(text=text, content_type="application/json")

    def goes_back(self) -> bool:
        """Return whether any order had an older value after a newer one."""
        return any(each != sorted(each) for each in self.values.values())


@pytest.fixture
async def ordered(world: Any) -> Any:
    await world.publish(world.bundle(orders=FLOWS))
    return world


@pytest.fixture
async def ordered_on_either(either: Any) -> Any:
    await either.publish(either.bundle(orders=FLOWS))
    return either


async def send(world: Any, instance: Any, flow: str, amount: int, id: str = "a1") -> str:
    return await world.send(instance, {"id": id, "amount": amount, "group": f"g{id}"}, flow=flow)


async def quiet(world: Any, states: tuple[str, ...] = ("running", "waiting")) -> None:
    """Return once nothing runs, though some may wait behind a dead letter."""

    async def look() -> bool:
        live = await world.host.store.journal.executions(Filter(states=("queued", *states)))
        return all(each.held for each in live)

    await until(look)


async def replay(world: Any, execution: str, **draft: Any) -> Any:
    made = await world.api("POST", f"/api/executions/{execution}/replay", draft)
    await quiet(world)
    return made


async def bulk(world: Any) -> None:
    await world.bulk({"where": {"state": "failed"}})
    await quiet(world)


@pytest.mark.parametrize(
    ("either", "flow"),
    [*(("file", each) for each in KINDS), ("postgresql", "by_function")],
    indirect=["either"],
)
async def test_what_newer_events_overtook_is_replayed_only_if_that_is_said(
    ordered_on_either: Any, flow: str
) -> None:
    ordered = ordered_on_either
    instance, shop = await ordered.instance(), Records(ordered)
    shop.refuses = {1: ""}
    ids = [await send(ordered, instance, flow, n) for n in (1, 2, 3)]
    await send(ordered, instance, flow, 9, "other")
    if flow == "blocks":
        await ordered.ended(ids[0])
        await ordered.api("POST", f"/api/executions/{ids[0]}/dismiss")
    await ordered.ended(ids[2])
    assert shop.values["a1"] == [2, 3]
    shop.refuses = {}
    refused = await replay(ordered, ids[0])
    key = "ga1" if flow == "by_function" else "a1"
    assert refused.status == 409
    assert (
        f"{ids[2]}, the last of 2, came later with the same key, {key}:" in refused.json["detail"]
    )
    assert "`again: true`" in refused.json["detail"]
    where = {"state": "failed", "key": "a1"}
    if flow != "blocks":  # what was dismissed is in no bulk
        [left] = (await ordered.plan({"where": where}))["left_out"]
        assert (left["count"], "came later with the same key" in left["why"]) == (1, True)
        plan = await ordered.plan({"where": where, "again": True})
        assert (plan["left_out"], plan["overwrites"][0]["count"]) == ([], 1)
    assert shop.values["a1"] == [2, 3]
    made = await replay(ordered, ids[0], again=True)
    assert (made.status, made.json["overwrites"] is not None) == (201, True)
    assert shop.values["a1"] == [2, 3, 1]
    refused = await replay(ordered, made.json["execution"])  # its event is as old
    assert refused.status == 409
    newest = await replay(ordered, ids[2])
    assert (newest.status, newest.json["overwrites"]) == (201, None)


async def test_those_of_one_key_that_failed_are_replayed_in_their_order(ordered: Any) -> None:
    instance, shop = await ordered.instance(), Records(ordered)
    shop.refuses = dict.fromkeys((1, 2, 3), "")
    ids = [await send(ordered, instance, "goes_on", n) for n in (1, 2, 3)]
    await ordered.ended(ids[2])
    shop.refuses = {}
    assert (await replay(ordered, ids[0])).status == 201
    await bulk(ordered)
    assert shop.values["a1"] == [1, 2, 3]


async def test_what_failed_behind_its_write_is_not_written_over(ordered: Any) -> None:
    instance, shop = await ordered.instance(), Records(ordered)
    shop.refuses = {1: "", 2: "note"}
    ids = [await send(ordered, instance, "goes_on", n) for n in (1, 2)]
    await ordered.ended(ids[1])
    shop.refuses = {}
    assert (await replay(ordered, ids[0])).status == 409
    assert (await replay(ordered, ids[1])).status == 201
    assert shop.values["a1"] == [2]


async def test_a_later_one_of_a_chain_is_as_old_as_its_first(ordered_on_either: Any) -> None:
    ordered = ordered_on_either
    instance, shop = await ordered.instance(), Records(ordered)
    shop.refuses = {1: "a"}
    shop.takes_notes.clear()
    await send(ordered, instance, "in_parts", 1)
    whole = {"id": "a1", "amount": 2, "part": 2}  # it comes before the second part of the first
    newer = await ordered.send(instance, whole, flow="in_parts")
    shop.takes_notes.set()
    await ordered.ended(newer)
    shop.refuses = {}
    [failed] = await ordered.host.store.journal.executions(Filter(states=("failed",)))
    assert shop.values["a1"] == [2]
    refused = await replay(ordered, failed.id)
    assert refused.status == 409
    assert "came later with the same key, a1:" in refused.json["detail"]
    assert (await replay(ordered, failed.id, again=True)).status == 201
    assert (await replay(ordered, newer)).status == 201
    assert shop.values["a1"] == [2, 1, 2]


async def failed_first(world: Any, flow: str = "goes_on") -> tuple[Any, Records, str]:
    """An instance, the shop, which is mended, and an execution that failed at it."""
    instance, shop = await world.instance(), Records(world)
    shop.refuses = {1: ""}
    first = await send(world, instance, flow, 1)
    await world.ended(first)
    shop.refuses = {}
    return instance, shop, first


def come_between(world: Any, instance: Any, monkeypatch: pytest.MonkeyPatch, *, ends: bool) -> None:
    """Have a newer event come once a replay is decided, before it is accepted."""
    decide, came = executions.overtaking, list[str]()

    async def decide_first(*given: Any) -> Any:
        decided = await decide(*given)
        if not came:
            came.append(await send(world, instance, "goes_on", 2))
            if ends:
                await world.ended(came[0])
        return decided

    monkeypatch.setattr(executions, "overtaking", decide_first)


@pytest.mark.parametrize(
    ("either", "ends", "many"),
    [
        ("file", False, True),
        ("file", True, False),
        ("postgresql", False, False),
        ("postgresql", True, True),
    ],
    indirect=["either"],
)
async def test_what_comes_once_a_replay_is_decided_is_not_written_over(
    ordered_on_either: Any, monkeypatch: pytest.MonkeyPatch, ends: bool, many: bool
) -> None:
    ordered = ordered_on_either
    instance, shop, first = await failed_first(ordered)
    come_between(ordered, instance, monkeypatch, ends=ends)
    if many:
        await bulk(ordered)
    else:
        refused = await replay(ordered, first)
        assert (refused.status, "came later with" in refused.json["detail"]) == (409, True)
    assert shop.values["a1"] == [2]


async def test_without_a_look_as_a_replay_is_accepted_what_came_meanwhile_is_written_over(
    ordered_on_either: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a replay is accepted whatever has come since it was decided."""
    ordered = ordered_on_either
    instance, shop, first = await failed_first(ordered)
    come_between(ordered, instance, monkeypatch, ends=True)
    decide = executions.overtaking

    async def decide_for_good(*given: Any) -> Any:
        decided = await decide(*given)
        is_free = isinstance(decided, NothingNewer)
        return replace(decided, event_at=2**62) if is_free else decided

    monkeypatch.setattr(executions, "overtaking", decide_for_good)
    assert (await replay(ordered, first)).status == 201
    assert shop.values["a1"] == [2, 1]


async def test_a_replay_without_an_order_says_what_it_writes_over(ordered: Any) -> None:
    _, _, first = await failed_first(ordered, "unordered")
    made = await replay(ordered, first)
    accepted = (await ordered.api.get(f"/api/executions/{first}"))["accepted_at"]
    assert made.json["overwrites"] == accepted


async def after_replays(world: Any, seed: int) -> Records:
    """Return the shop after events failed, were dismissed and replayed as people liked."""
    chance = random.Random(seed)
    instance, shop = await world.instance(), Records(world)
    journal, flow = world.host.store.journal, chance.choice(["goes_on", "blocks"])
    for amount in range(1, 9):
        fault = chance.choice(["", "note", None])
        if fault is not None:
            shop.refuses[amount] = fault
        await send(world, instance, flow, amount)
        await quiet(world)
        for _ in range(chance.randint(0, 2)):
            failed = await journal.executions(Filter(states=("failed",), limit=99))
            if not failed:
                break
            one = chance.choice(failed)
            match chance.choice(["dismiss", "replay", "replay", "mend", "bulk"]):
                case "dismiss":
                    await world.api("POST", f"/api/executions/{one.id}/dismiss")
                case "replay":
                    made = await replay(world, one.id)
                    assert made.status in (201, 409), made.body
                case "mend":
                    shop.refuses.clear()
                case _:
                    await bulk(world)
            await quiet(world)
    return shop


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_record_goes_back_to_an_older_value(ordered: Any, seed: int) -> None:
    shop = await after_replays(ordered, seed)
    assert not shop.goes_back(), shop.values


async def test_without_the_look_at_its_order_a_record_goes_back(
    ordered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a replay does not ask what came later."""

    async def nothing(*_: Any) -> NothingNewer:
        return NothingNewer(2**62, 0)

    monkeypatch.setattr(executions, "overtaking", nothing)
    shop = await after_replays(ordered, CONTROL)
    assert shop.goes_back()
