"""Executions that start others are bounded as events are: by what their customer has queued."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations.waiting import WaitFacts, decide_wait
from halflap.engine.backlog import room_of
from halflap.engine.lineage import MOST_DEEP
from halflap.model import CustomerLimits
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow
from halflap.store.protocol import Filter
from halflap.store.rules.continuing import PACE, UNPACED
from tests.engine.flows import ON_BOTH_STORES, Runner, runner_on
from tests.polling import until

LIMIT = 10


@pytest.fixture
async def runner(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runner]:
    """A runner in memory; `ON_BOTH_STORES` has it on PostgreSQL too, which counts in its own way."""
    async with runner_on(getattr(request, "param", "memory"), tmp_path) as runner:
        runner.engine.backlog._monotonic = lambda: runner.clock() / 1e6
        yield runner


async def queued(runner: Runner) -> int:
    return (await runner.engine.journal.load("cus_1", 10_000)).queued


def starting(runner: Runner, children: int) -> Flow[Any, Any, Any]:
    """A flow that starts so many executions of a second one, and leaves them to themselves."""

    async def little(ctx: Context[Any], event: Any) -> None:
        return None

    async def many(ctx: Context[Any], event: Any) -> int:
        for number in range(children):
            await ctx.start(child, number)
        return children

    child = runner.app.flow(little)
    return runner.app.flow(many)


@ON_BOTH_STORES
@pytest.mark.parametrize("limit", [LIMIT, None])
async def test_a_step_that_would_start_too_many_waits_until_others_have_ended(
    runner: Runner, limit: int | None
) -> None:
    runner.engine.journal.default_limits = CustomerLimits(backlog=limit)
    many = starting(runner, 50)
    await runner.engine.pause("ins_1/little")
    parent = await runner.start(many)

    async def rests() -> bool:
        return (await runner.execution(parent)).state in ("queued", "succeeded")

    await until(rests)
    if limit is None:  # the control
        assert await queued(runner) == 50
        return
    assert await queued(runner) == room_of(LIMIT, 1) == LIMIT + 1
    found = await runner.execution(parent)
    facts = WaitFacts(await runner.history(parent), await runner.engine.journal.attempts(parent))
    wait = decide_wait(found, facts, runner.clock())
    assert wait is not None
    assert (wait.reason, wait.until) == ("limit", found.due_at)
    assert wait.message == "its customer's limit: too many executions are queued to start another"
    await runner.engine.resume("ins_1/little")
    assert (await runner.finish(parent)).result == b"50"
    steps = [each for each in await runner.history(parent) if each.kind == "start"]
    assert len({each.result for each in steps}) == 50, "none is lost, none is started twice"


async def test_what_began_ends_though_its_customers_backlog_is_full_of_the_like(
    runner: Runner,
) -> None:
    async def leaf(ctx: Context[Any], event: Any) -> int:
        return 1

    async def middle(ctx: Context[Any], event: Any) -> int:
        return await ctx.call(last, event)

    async def first(ctx: Context[Any], event: Any) -> int:
        return await ctx.call(second, event)

    last, second = runner.app.flow(leaf), runner.app.flow(middle)
    head = runner.app.flow(first)
    await runner.engine.pause("ins_1/first")
    parents = [await runner.start(head) for _ in range(2 * LIMIT)]
    runner.engine.journal.default_limits = CustomerLimits(backlog=LIMIT)
    await runner.engine.resume("ins_1/first")
    assert [(await runner.finish(each)).result for each in parents] == [b"1"] * 2 * LIMIT


async def test_a_tree_of_executions_stays_within_the_room_of_its_depth(runner: Runner) -> None:
    deepest, most = 6, 0

    async def grow(ctx: Context[Any], event: int) -> None:
        nonlocal most
        most = max(most, await queued(runner))
        if event < deepest:
            for _ in range(2):
                await ctx.start(flow, event + 1)

    flow = runner.app.flow(grow)
    runner.engine.journal.default_limits = CustomerLimits(backlog=LIMIT, concurrency=2)
    await runner.start(flow, b"1")

    async def ended() -> bool:
        if (due := await runner.next_due()) is not None and due > runner.clock():
            runner.clock.advance((due - runner.clock()) / 1e6)
        done = [each for each in runner.changes if each.state == "succeeded"]
        return len(done) == 2**deepest - 1

    await until(ended)
    # `most` is a sample, taken as executions begin: the peak may be a little higher.
    assert LIMIT // 2 < most <= room_of(LIMIT, MOST_DEEP)


def test_the_deeper_one_is_the_more_room_it_has() -> None:
    assert [room_of(100_000, each) for each in (0, 1, 20)] == [100_000, 105_000, 200_000]
    assert [room_of(3, each) for each in (0, 1, 20)] == [3, 4, 23]
    assert room_of(0, 20) == 0  # no limit


@pytest.mark.parametrize("works", [False, True])
async def test_a_chain_that_does_nothing_is_slowed_and_one_that_works_is_not(
    runner: Runner, works: bool
) -> None:
    links = 1 + UNPACED + 4  # the first one is no continuation

    async def again(ctx: Context[Any], event: int) -> int:
        if works:
            await runner.app.do(f"page {event}")
        if event < links:
            await ctx.continue_with(event + 1)
        return event

    began = runner.clock()
    first = await runner.start(runner.app.flow(again), b"1")
    if not works:

        async def rests() -> bool:
            found = await runner.engine.journal.executions(Filter(chain=first, limit=1))
            wait = found and decide_wait(found[0], WaitFacts(), runner.clock())
            return bool(wait) and wait.reason == "limit" and "the pace of its chain" in wait.message

        await until(rests)
    assert (await runner.finish(first)).result == str(links).encode()
    assert runner.clock() - began == (0 if works else 4 * PACE)
