"""Two-way: echoes are ignored, people's edits arrive, both apps end equal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from halflap import Conflict, Context, UpstreamError
from halflap.engine import echo
from halflap.engine.echo import MAKING_LASTS, MOST_HOPS, parsed
from halflap.model import Execution
from halflap.sdk.gate import Away
from tests.engine.twins import Twins, drained, outcomes, own, twins_on
from tests.polling import until


@pytest.fixture
async def twins(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Twins]:
    nested = getattr(request, "param", "flat") == "nested"
    async with twins_on("memory", tmp_path, nested=nested) as made:
        yield made


NESTED_TOO = pytest.mark.parametrize("twins", ["flat", "nested"], indirect=True)
"""For what reads events, results and the record as it is now, whose fields may lie within another."""


@NESTED_TOO
async def test_an_own_write_that_comes_back_is_ignored_visibly(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    made, echo = await twins.settle()
    assert made.state == "succeeded"
    assert (echo.state, echo.reason) == (
        "ignored",
        f"echo: right.thing right_1 is as {made.id} left it",
    )
    assert twins.equal
    assert twins.writes == 1


async def test_a_persons_edit_that_shares_an_event_with_our_write_arrives(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    await twins.ended(await twins.send(twins.left.told.pop()))
    twins.right.edit("right_1", name="Initrode")  # before the app has told of our write
    twins.right.told.pop(0)  # the app sends one event for both
    await twins.settle()
    assert twins.left.records["left_1"] == {"name": "Initrode", "amount": Decimal("300.00")}
    assert twins.equal


async def test_the_digest_of_a_long_text_is_another_text(twins: Twins) -> None:
    text = "A description. " * 20
    twins.left.edit(name=text, amount="220")
    await twins.settle()
    digest = echo.short(text)
    twins.right.edit("right_1", name=digest)
    await twins.settle()
    assert twins.left.records["left_1"]["name"] == digest
    twins.left.edit("left_1", name=text)
    await twins.settle()
    assert twins.right.records["right_1"]["name"] == text.strip()
    assert twins.equal


@NESTED_TOO
async def test_there_and_back_again_arrives(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    for amount in ("300", "220", "300", "220"):
        twins.right.edit("right_1", amount=amount)
        await twins.settle()
        assert twins.left.records["left_1"]["amount"] == Decimal(amount)
    assert twins.writes == 5


@NESTED_TOO
async def test_rounding_and_trimming_by_the_app_cause_no_loop(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()

    async def flow(ctx: Context[Any], thing: Any) -> None:
        update = twins.components["right"].actions["update"]
        await update(ctx.config.right, "right_1", name="  Initech  ", amount=Decimal("198.005"))

    twins.integration.flows["left_to_right"].function = flow
    twins.left.edit("left_1", amount="221")
    executions = await twins.settle()
    assert twins.right.records["right_1"] == {"name": "Initech", "amount": Decimal("198.01")}
    assert outcomes(executions) == {"succeeded": 1, "ignored: echo": 1}


@NESTED_TOO
async def test_an_app_that_says_nothing_of_what_it_saved_causes_no_loop_either(
    twins: Twins,
) -> None:
    twins.build(mute=True)
    twins.left.edit(name="  Initech  ", amount="198.005")
    twins.left.records["left_1"] = {"name": "  Initech  ", "amount": Decimal("198.005")}
    twins.left.told = [{"id": "left_1", "name": "  Initech  ", "amount": "198.005"}]
    executions = await twins.settle(most=5)
    assert twins.equal
    assert twins.writes <= 3
    assert executions[-1].reason.startswith("echo: ")


async def test_an_echo_that_is_faster_than_the_answer_is_one(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    early: list[str] = []

    async def busy() -> None:
        early.append(await twins.send(twins.right.told.pop()))

    twins.left.edit("left_1", amount="300")
    twins.right.busy = busy
    await twins.ended(await twins.send(twins.left.told.pop()))
    assert (await twins.ended(early[0])).reason.startswith("echo: ")
    assert twins.writes == 2


async def test_an_echo_of_a_new_record_that_is_faster_than_its_id_is_one(twins: Twins) -> None:
    early: list[str] = []

    async def busy() -> None:
        early.append(await twins.send(twins.right.told.pop()))

    twins.right.busy = busy
    twins.left.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.left.told.pop()))
    assert (await twins.ended(early[0])).reason.startswith("echo: ")
    assert len(twins.left.records) == len(twins.right.records) == 1


async def test_an_event_of_an_unknown_record_waits_for_the_step_that_may_make_it(
    twins: Twins,
) -> None:
    early: list[str] = []
    states: set[str] = set()

    async def busy() -> None:
        if not early:
            early.append(await twins.send(twins.right.told.pop()))
            for _ in range(20):  # it would run now, if it did not wait
                await asyncio.sleep(0.002)
                states.add((await twins.execution(early[0])).state)

    twins.right.busy = busy
    twins.left.records["left_1"] = {"name": " Initech ", "amount": Decimal("220.001")}
    await twins.ended(await twins.send({"id": "left_1", **twins.left.records["left_1"]}))
    assert states <= {"queued", "running"}
    assert (await twins.ended(early[0])).reason.startswith("echo: ")
    assert len(twins.left.records) == 1


@pytest.mark.parametrize("lasts", [MAKING_LASTS, 20_000])
async def test_an_edit_of_a_new_record_that_is_faster_than_its_id_arrives(
    twins: Twins, lasts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of a field that the step did not write, so all that the step wrote is as it wrote it."""
    monkeypatch.setattr(echo, "MAKING_LASTS", lasts)

    async def flow(ctx: Context[Any], thing: Any) -> None:
        create = twins.components["right"].actions["create"]
        await create(ctx.config.right, name=own(thing)["name"])

    twins.integration.flows["left_to_right"].function = flow
    early: list[str] = []

    async def busy() -> None:
        if not early:
            twins.right.told.clear()
            twins.right.edit("right_1", amount="9")
            early.append(await twins.send(twins.right.told.pop()))

    twins.right.busy = busy
    twins.right.lose = 5
    twins.left.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.left.told.pop()))
    await twins.ended(early[0])
    assert twins.left.records["left_1"]["amount"] == Decimal(9)


@pytest.mark.parametrize("forgetful", [False, True])
async def test_a_lost_answer_makes_no_echo_run(twins: Twins, forgetful: bool) -> None:
    twins.build(forgetful=forgetful)
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.right.lose = 1
    twins.left.edit("left_1", amount="300")
    executions = await twins.settle()
    assert twins.equal
    assert all(each.state == "ignored" for each in executions[1:])


async def test_a_write_that_failed_for_good_may_have_been_made(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.right.lose = 10
    twins.left.edit("left_1", amount="300")
    failed = await twins.ended(await twins.send(twins.left.told.pop()))
    assert failed.state == "failed"
    twins.right.lose = 0
    executions = await twins.settle()
    assert {each.reason.partition(":")[0] for each in executions} == {"echo"}
    twins.right.edit("right_1", amount="220")
    (arrived, echo) = await twins.settle()  # it was made, as its echo said: this edit is later
    assert (arrived.state, echo.reason.partition(":")[0]) == ("succeeded", "echo")
    assert twins.left.records["left_1"]["amount"] == Decimal(220)
    event = {"id": "left_1", "name": "Initech", "amount": "300"}
    await twins.ended(await twins.send(event, replay_of=failed.id))
    await twins.settle()
    assert twins.equal


async def test_what_a_failed_execution_was_told_of_is_news_when_it_is_told_again(
    twins: Twins,
) -> None:
    twins.right.refuse = 10
    twins.left.edit(name="Initech", amount="220")
    (failed,) = await twins.settle()
    assert failed.state == "failed"
    twins.right.refuse = 0
    twins.left.edit("left_1", name="Initech")
    assert outcomes(await twins.settle()) == {"succeeded": 1, "ignored: echo": 1}
    assert twins.equal


@pytest.mark.parametrize("refused", [10, 2])
async def test_a_write_that_surely_was_not_made_is_not_taken_for_made(
    twins: Twins, refused: int
) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    twins.right.refuse = refused
    found = await twins.ended(await twins.send(twins.left.told.pop()))
    assert found.state == ("failed" if refused == 10 else "succeeded")
    twins.right.refuse = 0
    rows = await twins.engine.journal.list_state(f"records:{found.flow.instance}")
    assert rows
    assert not [name for row in rows.values() for name in parsed(row) if name.startswith("~")]
    if refused == 10:
        twins.right.edit("right_1", amount="300")  # what we did not write is a person's edit
        edited, *_ = await twins.settle()
        assert not edited.reason.startswith("echo")
    assert twins.equal


async def test_a_write_that_may_have_been_made_stays_pending(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    twins.right.lose = 1
    writes = twins.right.writes

    async def then_refuses() -> None:
        twins.right.refuse = 10

    twins.right.busy = then_refuses
    found = await twins.ended(await twins.send(twins.left.told.pop()))
    assert (found.state, twins.right.writes) == ("failed", writes + 1)
    rows = await twins.engine.journal.list_state(f"records:{found.flow.instance}")
    assert [name for row in rows.values() for name in parsed(row) if name.startswith("~")]


async def test_an_event_that_comes_late_says_nothing_new(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", amount="300")
    twins.left.edit("left_1", amount="400")
    twins.left.told.reverse()
    first, second = [await twins.ended(await twins.send(each)) for each in twins.left.told]
    twins.left.told.clear()
    assert first.state == "succeeded"
    assert second.reason.startswith("superseded: left.thing left_1 has changed since: ")
    assert twins.right.records["right_1"]["amount"] == Decimal(400)


@NESTED_TOO
async def test_a_flow_gets_the_record_as_it_is_now(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    late = twins.left.told.pop()
    twins.left.edit("left_1", name="Initrode")
    await twins.ended(await twins.send(late))
    assert twins.right.records["right_1"]["name"] == "Initrode"


async def test_a_record_that_is_gone_is_not_written_elsewhere(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    twins.left.records.clear()
    (gone,) = await twins.settle()
    assert (gone.state, gone.reason) == ("ignored", "gone: left.thing left_1 is not there any more")
    assert twins.writes == 0


@pytest.mark.parametrize("first", ["left", "right"])
async def test_both_edited_at_once_end_as_the_master_says(twins: Twins, first: str) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", name="Of the master")
    twins.right.edit("right_1", name="Of the other")
    events = [twins.left.told.pop(), twins.right.told.pop()]
    if first == "right":
        events.reverse()
    both = [await twins.ended(await twins.send(each)) for each in events]
    await twins.settle()
    assert twins.left.records["left_1"]["name"] == "Of the master"
    assert twins.equal
    lost = both[0] if first == "right" else both[1]
    history = b"".join((each.inputs or b"") for each in await twins.history(lost.id))
    assert b"Of the other" in history
    assert "Of the master" in lost.reason
    if first == "right":
        assert lost.reason == (
            'conflict: left.thing left_1 was edited meanwhile: name "Of the master" stands'
        )


@pytest.mark.parametrize("master", ["left", "right", None])
async def test_edits_of_different_fields_at_once_both_arrive(
    twins: Twins, master: str | None
) -> None:
    twins.build(master)
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", name="Of the master")
    twins.right.edit("right_1", amount="300")
    right = await twins.ended(await twins.send(twins.right.told.pop()))
    assert right.state == "succeeded"
    assert (await twins.lines(right.id)) == [
        'left.thing left_1 was edited meanwhile: name "Of the master" stands'
    ]
    await twins.settle()
    assert twins.left.records["left_1"] == {"name": "Of the master", "amount": Decimal(300)}
    assert twins.equal


async def test_without_a_master_the_last_write_wins(twins: Twins) -> None:
    twins.build(master=None)
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.left.edit("left_1", name="A")
    twins.right.edit("right_1", name="B")
    await twins.ended(await twins.send(twins.right.told.pop()))
    await twins.settle()
    assert twins.equal
    assert twins.left.records["left_1"]["name"] == "B"


async def test_both_directions_of_a_record_run_one_after_another(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    running: list[str] = []
    states: set[str] = set()

    async def busy() -> None:
        if not running:
            running.append(await twins.send({"id": "right_1", "name": "B", "amount": 1}))
            for _ in range(20):
                await asyncio.sleep(0.002)
                states.add((await twins.execution(running[0])).state)

    twins.right.busy = busy
    twins.left.edit("left_1", name="A")
    await twins.settle()
    await twins.ended(running[0])
    assert states == {"queued"}


async def test_two_integrations_that_answer_each_other_are_stopped(twins: Twins) -> None:
    def counts(here: str, there: str) -> Any:
        async def flow(ctx: Context[Any], thing: Any) -> None:
            update = twins.components[there].actions["update"]
            await update(getattr(ctx.config, there), f"{there}_1", amount=own(thing)["amount"] + 1)

        flow.__name__ = f"count_{there}"
        trigger: Any = twins.components[here].triggers["changed"]
        return twins.integration.flow(trigger=trigger)(flow)

    flows = {"left": counts("left", "right"), "right": counts("right", "left")}
    twins.right.edit("right_1", amount=0)
    twins.right.told.clear()
    twins.left.edit("left_1", amount=0)
    executions: list[Execution] = []
    while twins.left.told or twins.right.told:
        place = twins.left if twins.left.told else twins.right
        sent = await twins.send(
            place.told.pop(), flow=flows[place.name], instance=f"ins_{place.name}"
        )
        executions.append(await twins.ended(sent))
        assert len(executions) < 50
    assert outcomes(executions[:-1]) == {"succeeded": MOST_HOPS + 1}
    assert executions[-1].state == "failed"
    assert executions[-1].failure is not None
    assert executions[-1].failure.kind == "TooManyHops"
    replay = await twins.send(
        {"id": "right_1", **twins.right.records["right_1"]},
        flow=flows["right"],
        instance="ins_right",
        replay_of=executions[-1].id,
        copied=await twins.history(executions[-1].id),
    )
    assert (await twins.ended(replay)).state == "succeeded"
    twins.left.told.clear()
    twins.left.edit("left_1", amount=0)  # somebody's edit begins anew
    sent = await twins.send(twins.left.told.pop(), flow=flows["left"], instance="ins_left")
    assert (await twins.ended(sent)).state == "succeeded"


async def test_a_replay_runs_though_nothing_is_new(twins: Twins) -> None:
    event = {"id": twins.left.edit(name="Initech", amount="220"), "name": "Initech", "amount": 220}
    (made, _) = await twins.settle()
    del twins.right.records["right_1"]["name"]
    twins.right.records["right_1"]["name"] = "broken by hand"
    replay = await twins.ended(await twins.send(event, replay_of=made.id))
    assert replay.state == "succeeded"
    assert twins.right.records["right_1"]["name"] == "Initech"


async def test_records_are_paired_by_hand_and_parted_again(twins: Twins) -> None:
    found: list[str | None] = []

    async def flow(ctx: Context[Any], thing: Any) -> None:
        await ctx.pair(twins.pairs, left=thing["id"], right="right_7")
        await ctx.pair(twins.pairs, left=thing["id"], right="right_7")
        found.append(await ctx.paired(twins.pairs, right="right_7"))
        with pytest.raises(Conflict):
            await ctx.pair(twins.pairs, left="left_2", right="right_7")
        await ctx.unpair(twins.pairs, right="right_7")
        found.append(await ctx.paired(twins.pairs, left=thing["id"]))
        await ctx.unpair(twins.pairs, left="left_9")

    twins.integration.flows["left_to_right"].function = flow
    twins.left.edit(name="Initech")
    (done,) = await twins.settle()
    assert (done.state, done.reason) == ("succeeded", "")
    assert found == ["left_1", None]


async def test_a_paired_record_that_was_deleted_is_told_with_what_to_do(twins: Twins) -> None:
    async def gone() -> None:
        raise UpstreamError("no such record", status=404)

    twins.left.edit(name="Initech")
    await twins.settle()
    twins.left.edit("left_1", name="Globex")
    twins.right.busy = gone
    failed = next(each for each in await twins.settle() if each.state == "failed")
    lines = [line.message for _, line in await twins.engine.journal.logs(failed.id)]
    assert any("right_1 is not there" in each and "--id right_1 --forget" in each for each in lines)


async def test_a_crash_at_any_point_makes_no_second_record_and_no_echo(tmp_path: Path) -> None:
    crash = 0
    while True:
        async with twins_on("memory", tmp_path) as twins:
            twins.left.busy = twins.right.busy = lambda: twins.point("in the call")
            twins.crash_at = crash
            twins.left.edit(name="Initech", amount="220")
            executions = await twins.settle()
            twins.left.edit("left_1", amount="300")
            executions += await twins.settle()
            assert twins.equal, crash
            assert len(twins.right.records) == 1, crash
            done = [each for each in executions if each.state == "succeeded"]
            assert len(done) == 2, crash
            if len(twins.points) <= crash:
                break
        crash += 1
    assert crash > 8


async def test_an_event_does_not_wait_for_records_that_others_begin_to_make(twins: Twins) -> None:
    hers: list[str] = []
    ended: list[str] = []
    waited: list[int] = []

    async def busy() -> None:
        if hers:  # in the second call, which began after her event was accepted
            twins.right.busy = None
            began = twins.clock()
            ended.append((await twins.ended(hers[0])).state)
            waited.append(twins.clock() - began)
            return
        twins.clock.advance(0.001)
        twins.right.edit(name="Hers", amount="7")
        hers.append(await twins.send(twins.right.told.pop()))
        twins.clock.advance(0.001)
        twins.left.edit(name="His", amount="8")
        await twins.send(twins.left.told.pop())

    twins.right.busy = busy
    twins.left.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.left.told.pop()))
    await drained(twins)
    assert ended == ["succeeded"]
    assert waited[0] < MAKING_LASTS


async def test_a_long_text_is_known_again(twins: Twins) -> None:
    twins.left.edit(name="long " * 1_000, amount="220")
    assert outcomes(await twins.settle()) == {"succeeded": 1, "ignored: echo": 1}
    twins.left.edit("left_1", name="long " * 1_000 + "and longer")
    assert outcomes(await twins.settle()) == {"succeeded": 1, "ignored: echo": 1}
    assert twins.equal


async def test_the_check_is_tried_again_as_any_step_is(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten tries by the default; and none is spent while the app is away."""
    asked = 0

    account = type(twins.config.left)
    current = account.current

    async def away(self: Any, kind: str, id: str, fields: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Away("left is away", waiting_for="connection:con_1")
        if asked <= 10:
            raise UpstreamError(status=503)
        return await current(self, kind, id, fields)

    monkeypatch.setattr(account, "current", away)
    twins.left.edit(name="Initech", amount="220")
    execution = await twins.send(twins.left.told.pop())

    async def waits() -> bool:
        found = await twins.execution(execution)
        return found.waiting_for == "connection:con_1"

    await until(waits)
    assert await twins.engine.unpark("con_1", 1) == [execution]
    assert (await twins.ended(execution)).state == "succeeded"
    [check] = [e for e in await twins.engine.journal.steps(execution) if e.path == "$check"]
    assert (check.tries, asked) == (10, 11)


async def test_an_edit_between_two_tries_is_not_written_over(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()

    async def busy() -> None:
        twins.right.busy = None
        twins.right.edit("right_1", amount="400")  # after our write, whose answer gets lost

    twins.right.busy, twins.right.lose = busy, 1
    twins.left.edit("left_1", amount="300")
    await twins.settle()
    assert twins.left.records["left_1"]["amount"] == Decimal(400)
    assert twins.equal


async def test_an_edit_before_the_second_try_to_make_a_record_arrives(twins: Twins) -> None:
    async def busy() -> None:
        twins.right.busy = None
        twins.right.edit("right_1", name="Initrode")

    twins.right.busy, twins.right.lose = busy, 1
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    assert twins.left.records["left_1"]["name"] == "Initrode"
    assert twins.equal


async def test_a_try_that_writes_less_than_the_one_before_has_a_key_of_its_own(
    twins: Twins,
) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()

    async def busy() -> None:
        twins.right.busy = None
        twins.right.edit("right_1", amount="400")

    twins.right.busy, twins.right.lose = busy, 1
    twins.left.edit("left_1", name="Initrode", amount="300")
    executions = await twins.settle()
    assert "failed" not in outcomes(executions)
    assert twins.right.records["right_1"] == {"name": "Initrode", "amount": Decimal(400)}
    assert twins.equal


@pytest.mark.parametrize("master", ["left", None])
async def test_a_second_try_that_finds_what_the_first_one_found_decides_like_it(
    twins: Twins, master: str | None
) -> None:
    twins.build(master)
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.right.edit("right_1", amount="400")
    twins.left.edit("left_1", amount="300")
    twins.right.refuse = 1
    await twins.ended(await twins.send(twins.left.told.pop()))
    await twins.settle()
    assert twins.right.records["right_1"]["amount"] == Decimal(300)
    assert twins.equal


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("master", ["left", None])
async def test_an_edit_after_a_try_that_failed_arrives_at_the_master(
    twins: Twins, master: str | None, renamed: bool
) -> None:
    """The master's value gives way to it, and so does not stand against its event."""
    twins.renamed = renamed
    twins.build(master)
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()

    async def busy() -> None:
        twins.right.busy = None
        twins.right.edit("right_1", name="Hooli")

    twins.right.busy, twins.right.refuse = busy, 1
    twins.left.edit("left_1", name="Initrode")
    gave_way, arrived, *_ = await twins.settle()
    name = "title" if renamed else "name"
    assert gave_way.reason == (
        f'conflict: right.thing right_1 was edited meanwhile: {name} "Hooli" stands'
    )
    assert arrived.state == "succeeded"
    assert twins.left.records["left_1"]["name"] == "Hooli"
    assert twins.equal


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_field_that_was_not_come_to_stays_where_the_one_before_gave_way(
    twins: Twins, renamed: bool
) -> None:
    """The first of two writes gives way, which ends the flow: the second one's value is no known one."""
    twins.apart, twins.renamed = True, renamed
    twins.build(master="right")
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.right.edit("right_1", name="Hooli")
    twins.left.edit("left_1", name="Initrode", amount="300")
    gave_way = await twins.ended(await twins.send(twins.left.told.pop()))
    assert gave_way.reason.endswith('"Hooli" stands')
    await twins.settle()
    assert twins.left.records["left_1"] == {"name": "Hooli", "amount": Decimal(300)}
    assert twins.equal


async def test_a_field_that_was_written_before_another_gave_way_stands_against_nothing(
    twins: Twins,
) -> None:
    twins.apart = True
    twins.build(master="left")
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()

    async def written() -> None:
        twins.right.refuse, twins.right.busy = 1, refused

    async def refused() -> None:
        twins.right.busy = None
        twins.right.edit("right_1", amount="400")

    twins.right.busy = written
    twins.left.edit("left_1", name="Initrode", amount="300")
    gave_way = await twins.ended(await twins.send(twins.left.told.pop()))
    assert gave_way.reason.endswith("amount 400.00 stands")
    twins.right.edit("right_1", name="Hooli")
    await twins.settle()
    assert twins.left.records["left_1"] == {"name": "Hooli", "amount": Decimal(400)}
    assert twins.equal
