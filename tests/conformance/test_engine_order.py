"""The engine's use of the rules of orders; the rules are tested with the journals."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Again, Ended, Turn, Verdict
from halflap.errors import Fenced
from halflap.model import Change, Order, Outcome, Start
from tests.conformance.test_engine import (
    DONE,
    ON_EVERY_STORE,
    Bench,
    bench,  # noqa: F401  # pyright: ignore[reportUnusedImport]
    eventually,
    outcome_of,
    running,
    start_of,
)

SCOPE = "order:ins_1:orders"
FAILED = Outcome("failed", "no")
ENDS = Ended(DONE)


def of(key: str = "", **rule: Any) -> Start:
    replay_of = rule.pop("replay_of", None)
    return start_of(order=Order(SCOPE, key, **rule), replay_of=replay_of)


def ids(*starts: Start) -> list[str]:
    return [each.execution for each in starts]


class Lane:
    """A handler that notes who runs; each runs until it is told how to go on, once or more."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.active: set[str] = set()
        self._plans: dict[str, asyncio.Queue[Verdict]] = {}

    async def __call__(self, turn: Turn) -> Verdict:
        if turn.start.order is None:
            return Ended(DONE)
        id = turn.start.execution
        self.begun.append(id)
        self.active.add(id)
        verdict = await self._plan(id).get()
        self.active.discard(id)
        return verdict

    def go(self, start: Start, verdict: Verdict = ENDS) -> None:
        """Let it go on, now or when it runs."""
        self._plan(start.execution).put_nowait(verdict)

    def _plan(self, id: str) -> asyncio.Queue[Verdict]:
        return self._plans.setdefault(id, asyncio.Queue())


async def settled(engine: JournalEngine) -> None:
    """Whatever could run by now has begun: others that came later have ended, one after another."""
    for _ in range(5):
        other = start_of()
        await engine.start([other])
        await outcome_of(engine, other)


async def test_one_that_sleeps_alone_comes_back_by_itself(bench: Bench) -> None:  # noqa: F811
    engine, lane = bench.engine(), Lane()
    head, later = of(while_waiting="go_on"), of(while_waiting="go_on")
    async with running(engine, lane):
        await engine.start([head])
        await eventually(lambda: lane.active)
        lane.go(head, Again("sleep", bench.clock() + 60_000_000))
        await eventually(lambda: not lane.active)
        await settled(engine)
        await engine.start([later])
        await eventually(lambda: lane.active == set(ids(later)))
        lane.go(later)
        assert await outcome_of(engine, later) == DONE
        bench.clock.advance(61)
        lane.go(head)
        assert await outcome_of(engine, head) == DONE


@pytest.mark.parametrize("by", ["dismissing", "replaying"])
async def test_a_failure_blocks_its_order_until_somebody_looks(
    bench: Bench,  # noqa: F811
    by: str,
) -> None:
    engine, lane = bench.engine(), Lane()
    head, behind = of(after_failure="block"), of(after_failure="block")
    other = of("other", after_failure="block")
    async with running(engine, lane):
        await engine.start([head, behind, other])
        lane.go(head, Ended(FAILED))
        lane.go(other)
        assert await outcome_of(engine, head) == FAILED
        assert await outcome_of(engine, other) == DONE
        await settled(engine)
        assert behind.execution not in lane.begun
        if by == "dismissing":
            assert await engine.dismiss(head.execution)
            assert not await engine.dismiss(other.execution)
            assert not await engine.dismiss("exe_unknown")
        else:
            again = of(after_failure="block", replay_of=head.execution)
            await engine.start([again])
            lane.go(again, Ended(FAILED))
            assert await outcome_of(engine, again) == FAILED
            await settled(engine)
            assert behind.execution not in lane.begun
            last = of(after_failure="block", replay_of=again.execution)
            await engine.start([last])
            lane.go(last)
            assert await outcome_of(engine, last) == DONE
        lane.go(behind)
        assert await outcome_of(engine, behind) == DONE


async def test_a_singleton_is_ignored_while_another_lives(bench: Bench) -> None:  # noqa: F811
    engine, lane, changes = bench.engine(), Lane(), list[Change]()
    engine.follow(changes.append)
    first, second, other = of(when_busy="end"), of(when_busy="end"), of("x", when_busy="end")
    async with running(engine, lane):
        await engine.start([first, second, other])
        reason = f"singleton: {first.execution} is still running"
        assert await outcome_of(engine, second) == Outcome("ignored", reason)
        of_second = [each for each in changes if each.execution == second.execution]
        assert [each.state for each in of_second] == ["queued", "ignored"]
        await eventually(lambda: len(lane.active) == 2)
        lane.go(first)
        lane.go(other)
        assert await outcome_of(engine, first) == DONE
        third = of(when_busy="end")
        await engine.start([third])
        lane.go(third)
        assert await outcome_of(engine, third) == DONE


async def test_the_latest_replaces_the_one_that_waits(bench: Bench) -> None:  # noqa: F811
    engine, lane, changes = bench.engine(), Lane(), list[Change]()
    engine.follow(changes.append)
    starts = [of(when_busy="replace") for _ in range(4)]
    async with running(engine, lane):
        await engine.start(starts[:1])
        await eventually(lambda: lane.active)
        for each in starts[1:]:
            await engine.start([each])
        for each, newer in ((starts[1], starts[2]), (starts[2], starts[3])):
            superseded = Outcome("cancelled", f"superseded by {newer.execution}")
            assert await outcome_of(engine, each) == superseded
            [last] = [c for c in changes if c.execution == each.execution and c.outcome]
            assert last.outcome == superseded
        lane.go(starts[0])
        lane.go(starts[3])
        assert await outcome_of(engine, starts[0]) == DONE
        assert await outcome_of(engine, starts[3]) == DONE
    assert lane.begun == ids(starts[0], starts[3])


@ON_EVERY_STORE
@pytest.mark.parametrize("width", [1, 3])
async def test_many_keys_keep_their_rule_through_crashes_and_retries(
    bench: Bench,  # noqa: F811
    width: int,
) -> None:
    engine, chance = bench.engine(), random.Random(5)
    starts = [of(str(number % 4), width=width, while_waiting="go_on") for number in range(120)]
    active: dict[str, set[str]] = {}
    begun: dict[str, list[str]] = {}

    async def handler(turn: Turn) -> Verdict:
        id, order = turn.start.execution, turn.start.order
        assert order is not None
        here = active.setdefault(order.key, set())
        here.add(id)
        assert len(here) <= width
        if id not in begun.setdefault(order.key, []):
            begun[order.key].append(id)
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        here.discard(id)
        what = chance.random()
        if what < 0.15:
            await bench.lose(id)
            raise Fenced("crashed")
        if what < 0.3:
            return Again("retry", turn.now() + chance.choice([0, 0, 1_000]))
        return Ended(DONE)

    async def moving() -> None:
        while True:
            bench.clock.advance(0.001)
            await asyncio.sleep(0.001)

    moves = asyncio.create_task(moving())
    async with running(engine, handler):
        for first in range(0, 120, 20):
            await engine.start(starts[first : first + 20])
        for each in starts:
            assert await outcome_of(engine, each) == DONE
    moves.cancel()
    if width == 1:
        for key, found in begun.items():
            assert found == ids(*starts[int(key) :: 4])
