"""`ctx.continue_with`: long work in a chain of executions, with crashes anywhere between them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations.replay import ReplayRequest
from halflap.engine.lineage import DEPTH
from halflap.engine.protocol import Turn, Verdict
from halflap.errors import StepFailed, UpstreamError
from halflap.model import CONTINUED, Execution, Outcome
from halflap.sdk.context import Context
from halflap.sdk.integration import Flow
from halflap.sdk.schema import Model
from halflap.store.protocol import Filter
from tests.engine.flows import AT_EACH_PLACE, ON_BOTH_STORES, Runner, runner_on
from tests.engine.test_waiting import waits
from tests.polling import DEADLINE, until
from tests.replays import replay

PAGES, EACH = 3, 2


class Page(Model):
    number: int = 1


def importing(runner: Runner, pages: int = PAGES, **options: Any) -> Flow[Any, Any, Any]:
    """A flow that does a page, then continues with the next."""

    async def pages_of(ctx: Context[Any], page: Page) -> str:
        for item in range(EACH):
            await runner.app.do(f"{page.number}.{item}")
        if page.number < pages:
            await ctx.continue_with(Page(number=page.number + 1))
        return f"{page.number} pages"

    return runner.app.flow(pages_of, **options)


def all_of(pages: int = PAGES) -> list[str]:
    return [f"{page}.{item}" for page in range(1, pages + 1) for item in range(EACH)]


async def chain_of(runner: Runner, first: str) -> list[Execution]:
    """The executions of a chain, the first one first."""
    found = await runner.engine.journal.executions(Filter(chain=first))
    return found[::-1]


async def a_later_one_waits(runner: Runner) -> None:
    """Return once one waits that another one has handed over to."""

    async def holds() -> bool:
        return any(each.state == "waiting" and each.start.chain for each in runner.changes)

    await until(holds)


async def test_each_page_is_an_execution_and_the_last_one_has_the_outcome(runner: Runner) -> None:
    first = await runner.start(importing(runner), b'{"number":1}')
    assert (await runner.finish(first)).result == b'"3 pages"'
    assert runner.app.names == all_of()
    links = await chain_of(runner, first)
    assert [(e.state, e.reason, e.result) for e in links] == [
        ("succeeded", CONTINUED, b'{"number":2}'),
        ("succeeded", CONTINUED, b'{"number":3}'),
        ("succeeded", "", b'"3 pages"'),
    ]
    for each in links:
        assert len(await runner.history(each.id)) == 1 + EACH, "each has a journal of its own"
    assert len({key for keys in runner.app.keys.values() for key in keys}) == PAGES * EACH


async def test_a_caller_gets_what_the_last_one_returns(runner: Runner) -> None:
    pages = importing(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        child = await ctx.start(pages, Page(number=1))
        return [await child.result(), await ctx.call(pages, Page(number=2))]

    assert (await runner.run(flow)).result == b'["3 pages","3 pages"]'


async def test_a_caller_gets_the_failure_of_the_last_one(runner: Runner) -> None:
    runner.app.errors["3.1"] = [UpstreamError("gone", status=410)]
    pages = importing(runner)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        try:
            return await ctx.call(pages, Page(number=1))
        except StepFailed as error:
            return error.status

    assert (await runner.run(flow)).result == b"410"


async def test_a_long_chain_is_not_counted_as_deep(runner: Runner) -> None:
    pages = importing(runner, 30)

    async def flow(ctx: Context[Any], event: Any) -> Any:
        return await ctx.call(pages, Page(number=1))

    parent = await runner.start(runner.app.flow(flow))
    assert (await runner.finish(parent)).result == b'"30 pages"'
    [last, *_] = await runner.engine.journal.executions(Filter(parent=parent, limit=1))
    event = await runner.engine.journal.event(last.id)
    assert event is not None
    assert dict(event.headers)[DEPTH] == "1"


async def test_whoever_waits_for_the_first_one_is_told_at_the_end_of_the_last(
    runner: Runner,
) -> None:
    async def flow(ctx: Context[Any], page: Page) -> str:
        await ctx.wait_for("go")
        if page.number < 3:
            await ctx.continue_with(Page(number=page.number + 1))
        return "done"

    first = await runner.start(runner.app.flow(flow))
    waiting = asyncio.create_task(runner.engine.outcome(first, DEADLINE))
    for _ in range(3):
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await runner.engine.signal(first, "go", b"null") == "sent", "the live one gets it"
    assert (await waiting) == Outcome("succeeded", result=b'"done"')
    assert await runner.engine.signal(first, "go", b"null") == "over"


async def test_an_answer_to_an_earlier_page_counts_once(runner: Runner) -> None:
    async def flow(ctx: Context[Any], page: Page) -> Any:
        if page.number == 1:
            await ctx.wait_for("yes")
            await ctx.continue_with(Page(number=2))
        return await ctx.wait_for("yes")

    first = await runner.start(runner.app.flow(flow))
    await waits(runner, first)
    once = "wait_for(yes)"
    assert await runner.engine.signal(first, "yes", b"1", once) == "sent"
    await a_later_one_waits(runner)
    assert await runner.engine.signal(first, "yes", b"2", once) == "known", "it was answered"
    [_, second] = await chain_of(runner, first)
    assert await runner.engine.signal(second.id, "yes", b"3", once) == "sent"
    assert (await runner.finish(first)).result == b"3"


@ON_BOTH_STORES
async def test_cancelling_any_of_a_chain_cancels_the_live_one(runner: Runner) -> None:
    async def flow(ctx: Context[Any], page: Page) -> None:
        if page.number == 3:
            await ctx.sleep(timedelta(days=1))
        await ctx.continue_with(Page(number=page.number + 1))

    first = await runner.start(runner.app.flow(flow))
    await a_later_one_waits(runner)
    waiting = asyncio.create_task(runner.engine.outcome(first, DEADLINE))
    await asyncio.sleep(0)
    assert await runner.engine.cancel(first, "enough")
    outcome = await waiting
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("cancelled", "enough")
    links = await chain_of(runner, first)
    assert [each.state for each in links] == ["succeeded", "succeeded", "cancelled"]
    assert not await runner.engine.cancel(links[1].id, "enough")


async def test_it_unwinds_the_flow_whatever_the_flow_makes_of_that(runner: Runner) -> None:
    async def flow(ctx: Context[Any], page: Page) -> Any:
        if page.number == 1:
            try:
                await ctx.continue_with(Page(number=2))
            except BaseException:
                await runner.app.do("never")
            finally:
                await ctx.sleep(1)
        return page.number

    assert (await runner.run(flow)).result == b"2"
    assert runner.app.names == []


REFUSED: dict[str, tuple[Callable[[Context[Any]], Any], str]] = {
    "asyncio.gather": (
        lambda ctx: asyncio.gather(ctx.continue_with(Page(number=2)), asyncio.sleep(0)),
        "asyncio.gather",
    ),
    "ctx.gather": (
        lambda ctx: ctx.gather([1, 2], lambda n: ctx.continue_with(Page(number=n))),
        "in a branch of ctx.gather",
    ),
    "wrong event": (lambda ctx: ctx.continue_with({"number": "two"}), "number"),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_where_it_cannot_continue_it_says_why(runner: Runner, how: str) -> None:
    call, message = REFUSED[how]

    async def flow(ctx: Context[Any], page: Page) -> None:
        await call(ctx)

    outcome = await runner.run(flow)
    assert outcome.state == "failed"
    assert message in outcome.reason
    assert not any(each.start.chain for each in runner.changes)


async def test_one_that_is_never_awaited_fails(runner: Runner) -> None:
    async def flow(ctx: Context[Any], page: Page) -> None:
        ctx.continue_with(Page(number=2))  # type: ignore[unused-coroutine]

    outcome = await runner.run(flow)
    assert outcome.state == "failed"
    assert "ctx.continue_with was called and never awaited" in outcome.reason


# Crashes -----------------------------------------------------------------------------------------


class Watched:
    """The end of a turn as one more place to die at."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._executor = runner.executor

    async def __call__(self, turn: Turn) -> Verdict:
        verdict = await self._executor(turn)
        await self._runner.point("before end")
        return verdict


async def crashed(kind: str, path: Path, at: int | None, apart: str = "") -> Runner:
    """A chain whose process dies at a place; `apart`, the next is accepted before or after the end."""
    async with runner_on(kind, path) as runner:
        runner.crash_at, runner.step_seconds = at, 0.01
        runner.executor = Watched(runner)  # type: ignore[assignment]
        journal = runner.engine.journal
        if apart:
            end: Any = journal.end

            async def in_two(lease: Any, *given: Any, next: Any = None) -> Any:
                if next is None:
                    return await end(lease, *given)
                begin = [replace(next.start, continues=None)]
                if apart == "before":
                    await journal.accept(begin, claim=0, lease=1)
                    await runner.point("between")
                    return await end(lease, *given)
                written = await end(lease, *given)
                await runner.point("between")
                await journal.accept(begin, claim=0, lease=1)
                runner.engine.nudge()
                return written

            journal.end = in_two  # type: ignore[method-assign]
        first = await runner.start(importing(runner), b'{"number":1}')
        await runner.finish(first)

        async def is_over() -> bool:
            return not await journal.count(Filter(states=("queued", "running")))

        await until(is_over)
        return runner


def is_right(runner: Runner) -> bool:
    """Return whether each thing was done, under one key, and each page was one execution."""
    starts = {(each.start.chain, each.start.link, each.execution) for each in runner.changes}
    links = [link for _, link, _ in starts]
    return (
        list(dict.fromkeys(runner.app.names)) == all_of()
        and all(len(keys) == 1 for keys in runner.app.keys.values())
        and len(links) == len(set(links))
    )


@AT_EACH_PLACE
async def test_a_crash_anywhere_loses_no_page_and_does_none_twice(
    store: str, every: int, tmp_path: Path
):
    places = len((await crashed(store, tmp_path / "none", None)).points)
    assert places > 3 * PAGES * EACH
    for at in range(0, places, every):
        runner = await crashed(store, tmp_path / str(at), at)
        assert is_right(runner), f"died {runner.points[at]}"


@pytest.mark.parametrize("apart", ["before", "after"])
async def test_control_in_two_transactions_a_page_is_done_twice_or_lost(apart: str, tmp_path: Path):
    places = (await crashed("memory", tmp_path, None, apart)).points
    assert not is_right(await crashed("memory", tmp_path, places.index("between"), apart))


# Replays -----------------------------------------------------------------------------------------


async def test_a_replay_of_the_page_that_failed_goes_on_with_the_same_keys(runner: Runner) -> None:
    runner.app.errors["2.1"] = [UpstreamError("gone", status=410)]
    first = await runner.start(importing(runner), b'{"number":1}')
    assert (await runner.finish(first)).state == "failed"
    [_, failed] = await chain_of(runner, first)
    again = await replay(runner, failed.id)
    assert (await runner.finish(again)).result == b'"3 pages"'
    assert runner.app.names == ["1.0", "1.1", "2.0", "2.1", "2.1", "3.0", "3.1"]
    assert all(len(keys) == 1 for keys in runner.app.keys.values())
    third = (await chain_of(runner, first))[-1]
    assert (third.chain, third.link, third.parent) == (first, 2, None)


@ON_BOTH_STORES
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_replayed_however_often_no_later_page_is_started_twice(
    runner: Runner, seed: int
) -> None:
    chance = random.Random(seed)
    for name in chance.sample(all_of(), 2):
        runner.app.errors[name] = [UpstreamError("gone", status=410)]
    first = await runner.start(importing(runner), b'{"number":1}')
    await runner.finish(first)
    known = [first]
    for _ in range(12):
        known = list(dict.fromkeys([*known, *[each.execution for each in runner.changes]]))
        of = chance.choice(known)
        found = await runner.execution(of)
        how = "start" if found.state == "succeeded" else chance.choice(["start", "failed"])
        again = await replay(runner, of, ReplayRequest(how))  # type: ignore[arg-type]
        await runner.finish(again)
    starts = {each.execution: each.start for each in runner.changes}.values()
    pages = Counter(each.link for each in starts if each.chain is not None and not each.replay_of)
    assert set(pages.values()) <= {1}, pages
