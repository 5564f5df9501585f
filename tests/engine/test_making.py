"""Two-way: who makes a record, which of those that are made is paired, and what is in doubt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from halflap import Context, Retry
from halflap.engine.echo import MAKING_KNOWN, MAKING_LASTS
from tests.engine.twins import Twins, twins_on


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins_on("memory", tmp_path) as made:
        yield made


async def test_an_attempt_that_resumes_pairs_no_second_record_with_the_first_ones(
    twins: Twins,
) -> None:
    create = twins.components["right"].actions["create"]

    async def flow(ctx: Context[Any], thing: Any) -> None:
        await create(ctx.config.right, name=thing["name"], amount=None)
        twins.right.refuse = 1 if ctx.attempt == 1 else 0
        await create(ctx.config.right, name="Another", amount=None)

    twins.integration.flows["left_to_right"].function = flow
    twins.left.edit(name="Initech", amount="220")
    done = await twins.ended(await twins.send(twins.left.told.pop()))
    assert done.state == "succeeded"
    assert len(twins.right.records) == 2
    assert await twins.paired() == {b'{"left":"left_1","right":"right_1"}'}


async def test_branches_that_make_records_pair_one_of_them(twins: Twins) -> None:
    create = twins.components["right"].actions["create"]

    async def flow(ctx: Context[Any], thing: Any) -> None:
        async def make(name: str) -> None:
            await create(ctx.config.right, name=name, amount=None)

        await ctx.gather(["One", "Two", "Three"], make)

    twins.integration.flows["left_to_right"].function = flow
    twins.left.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.left.told.pop()))
    assert len(twins.right.records) == 3
    assert len(await twins.paired()) == 1


async def test_what_a_flow_pairs_itself_stays_paired_when_it_makes_another_record(
    twins: Twins,
) -> None:
    twins.right.edit("right_7", name="Found")
    twins.right.told.clear()

    async def flow(ctx: Context[Any], thing: Any) -> None:
        await ctx.pair(twins.pairs, left=thing["id"], right="right_7")
        await twins.components["right"].actions["create"](ctx.config.right, name="B", amount=None)

    twins.integration.flows["left_to_right"].function = flow
    twins.left.edit(name="Initech", amount="220")
    await twins.ended(await twins.send(twins.left.told.pop()))
    assert await twins.paired() == {b'{"left":"left_1","right":"right_7"}'}


async def test_a_step_that_may_have_made_a_record_is_taken_for_the_maker_of_one(
    twins: Twins,
) -> None:
    twins.right.lose = 10
    twins.left.edit(name="Initech", amount="220")
    failed = await twins.ended(await twins.send(twins.left.told.pop()))
    assert failed.state == "failed"
    twins.right.lose = 0
    told = twins.right.told.pop()
    for _ in range(2):  # events come twice
        echo = await twins.ended(await twins.send(told))
        assert echo.reason.startswith("echo: "), echo.reason
    twins.right.edit("right_2", name="Initech", amount="220")  # somebody makes another one
    made = await twins.ended(await twins.send(twins.right.told.pop()))
    assert made.state == "succeeded"
    assert len(twins.left.records) == 2


async def test_what_may_have_been_made_long_ago_is_no_echo_any_more(twins: Twins) -> None:
    twins.right.refuse = 10
    twins.left.edit(name="Initech", amount="220")
    failed = await twins.ended(await twins.send(twins.left.told.pop()))
    assert failed.state == "failed"
    twins.right.refuse = 0
    twins.clock.advance(MAKING_KNOWN / 1e6)
    twins.right.edit(name="Initech", amount="220")
    made = await twins.ended(await twins.send(twins.right.told.pop()))
    assert made.state == "succeeded"
    scope = "making:cus_1:right/thing"
    assert await twins.engine.journal.list_state(scope) == {}


async def test_an_event_waits_two_minutes_at_most_for_a_step_that_is_tried_again_and_again(
    twins: Twins,
) -> None:
    create = twins.components["right"].actions["create"]
    create.retry = Retry(
        attempts=100, first=timedelta(seconds=30), longest=timedelta(seconds=30), jitter=0
    )
    twins.right.refuse = 50
    twins.left.edit(name="Initech", amount="220")
    his = await twins.send(twins.left.told.pop())
    while twins.right.refuse == 50:
        await twins.engine.outcome(his, 0.003)
    twins.clock.advance(1)
    twins.right.edit(name="Hers", amount="7")
    began = twins.clock()
    hers = await twins.ended(await twins.send(twins.right.told.pop()))
    assert hers.state == "succeeded"
    assert twins.clock() - began < 2 * MAKING_LASTS
    assert hers.attempt < 60


async def test_what_a_flow_was_told_of_as_it_was_cancelled_is_still_news(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    usual = twins.integration.flows["left_to_right"].function

    async def swallows(ctx: Context[Any], thing: Any) -> None:
        with suppress(BaseException):
            await twins.engine.cancel(ctx.execution, "no")
            await ctx.sleep(0)
            await usual(ctx, thing)

    twins.integration.flows["left_to_right"].function = swallows
    twins.left.edit("left_1", amount="300")
    event = twins.left.told.pop()
    cancelled = await twins.ended(await twins.send(event))
    assert cancelled.state == "cancelled"
    twins.integration.flows["left_to_right"].function = usual
    assert (await twins.ended(await twins.send(event))).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(300)


async def test_a_write_in_doubt_is_over_once_another_one_went_over_it(twins: Twins) -> None:
    twins.left.edit(name="Initech", amount="220")
    await twins.settle()
    twins.right.refuse = 10
    twins.left.edit("left_1", amount="300")
    failed = await twins.ended(await twins.send(twins.left.told.pop()))
    assert failed.state == "failed"
    twins.right.refuse = 0
    twins.left.edit("left_1", amount="400")
    await twins.ended(await twins.send(twins.left.told.pop()))
    twins.right.told.clear()  # this app does not tell of what its API wrote
    twins.right.edit("right_1", amount="300")
    await twins.settle()
    assert twins.left.records["left_1"]["amount"] == Decimal(300)


@pytest.mark.parametrize("master", ["left", "right", None])
async def test_a_crash_at_any_point_of_a_conflict_changes_nothing(
    tmp_path: Path, master: str | None
) -> None:
    crash = 0
    while True:
        async with twins_on("file", tmp_path / str(crash)) as twins:
            twins.build(master)
            twins.left.edit(name="Initech", amount="220")
            await twins.settle()
            twins.points.clear()
            twins.crash_at = crash
            twins.left.busy = twins.right.busy = lambda: twins.point("in the call")
            twins.left.edit("left_1", name="Left's", amount="1")
            twins.right.edit("right_1", name="Right's")
            events = [twins.left.told.pop(), twins.right.told.pop()]
            executions = [await twins.ended(await twins.send(each)) for each in events]
            executions += await twins.settle()
            assert twins.equal, crash
            assert {each.state for each in executions} <= {"succeeded", "ignored"}, crash
            found = twins.left.records["left_1"]
            assert found["amount"] == Decimal(1), crash
            assert master is None or found["name"].lower().startswith(master), crash
            if len(twins.points) <= crash:
                break
        crash += 1
    assert crash > 4
