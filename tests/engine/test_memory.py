from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from halflap.engine.memory import MemoryEngine
from halflap.engine.protocol import Again, Ended, Handler, Turn, Verdict
from halflap.model import Event, FlowKey, Outcome, Record, Start, new_id, wall_clock

DEADLINE = 10.0
DONE = Outcome("succeeded")


@asynccontextmanager
async def running(engine: MemoryEngine, handler: Handler) -> AsyncIterator[None]:
    task = asyncio.create_task(engine.run(handler))
    yield
    await engine.stop(0)
    await task


def start_of() -> Start:
    execution = new_id("exe")
    flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
    return Start(execution, flow, Event("POST", "", "", (), b"", 1), root=execution)


async def sleep_twice(turn: Turn) -> Verdict:
    if turn.attempt < 3:
        return Again("sleep", turn.now() + 3_600_000_000)
    return Ended(DONE)


async def test_time_passes_by_itself_until_an_execution_has_ended() -> None:
    engine, start = MemoryEngine(), start_of()
    async with running(engine, sleep_twice):
        began = engine.memory.clock()
        await engine.start([start])
        assert await engine.finish(start.execution) == DONE
        assert engine.memory.clock() - began == 7_200_000_000


async def test_what_time_does_not_bring_is_not_waited_for() -> None:
    async def handler(turn: Turn) -> Verdict:
        return Again("signal", None, heard=0)

    engine, start = MemoryEngine(), start_of()
    async with running(engine, handler):
        await engine.start([start])
        assert await engine.finish(start.execution) is None
        assert (await engine.execution(start.execution)).state == "waiting"


async def test_a_crashed_turn_is_ended_and_handed_out_again() -> None:
    entered, ended, inside = list[int](), list[int](), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        entered.append(turn.attempt)
        try:
            if turn.attempt == 1:
                inside.set()
                await asyncio.Event().wait()
        finally:
            ended.append(turn.attempt)
        return Ended(DONE)

    engine, start = MemoryEngine(), start_of()
    async with running(engine, handler):
        await engine.start([start])
        await inside.wait()
        await engine.crash(start.execution)
        assert await engine.finish(start.execution) == DONE
    assert (entered, sorted(ended)) == ([1, 2], [1, 2])
    assert [each.how for each in await engine.attempts(start.execution)] == ["crashed"]


async def test_what_a_caller_changes_later_is_not_what_was_committed() -> None:
    record = Record(0, "a", "action", "a", "A", "succeeded", 1, 2)

    async def handler(turn: Turn) -> Verdict:
        records = [record]
        await turn.commit(records, [])
        records.clear()
        assert isinstance(turn.history, tuple)
        return Ended(DONE)

    engine, start = MemoryEngine(), start_of()
    async with running(engine, handler):
        await engine.start([start])
        assert await engine.finish(start.execution) == DONE
    history = await engine.history(start.execution)
    assert history == [record]
    history.clear()
    assert await engine.history(start.execution) == [record]


async def test_a_seed_decides_who_is_handed_out_first() -> None:
    async def order(seed: int | None) -> list[int]:
        turns: list[str] = []

        async def handler(turn: Turn) -> Verdict:
            turns.append(turn.start.execution)
            return Ended(DONE)

        chance = None if seed is None else random.Random(seed)
        engine, starts = MemoryEngine(chance=chance), [start_of() for _ in range(10)]
        await engine.start(starts)
        async with running(engine, handler):
            await engine.finish(starts[-1].execution)
            await engine.idle()
        return [turns.index(each.execution) for each in starts]

    assert await order(None) == list(range(10))
    assert await order(1) == await order(1) != await order(2)


async def test_a_real_clock_fires_timers_by_itself_and_cannot_be_moved() -> None:
    async def handler(turn: Turn) -> Verdict:
        return Ended(DONE) if turn.attempt == 2 else Again("retry", turn.now() + 5_000)

    engine, start = MemoryEngine(clock=wall_clock), start_of()
    async with running(engine, handler):
        await engine.start([start])
        assert await engine.outcome(start.execution, within=DEADLINE) == DONE
        with pytest.raises(TypeError, match="ManualClock"):
            engine.advance(1)
