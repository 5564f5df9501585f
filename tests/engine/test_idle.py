"""A manual clock moves on once the engine says that only time can go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from halflap.engine.clock import ManualClock
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Again, Ended, Handler, Turn, Verdict
from halflap.model import Event, FlowKey, Outcome, Record, Start, new_id
from halflap.testing.runner import finish
from tests.journals import opened

DONE = Outcome("succeeded")
HOUR = 3_600_000_000


@asynccontextmanager
async def running(handler: Handler, path: Path) -> AsyncIterator[tuple[JournalEngine, ManualClock]]:
    clock = ManualClock()
    async with opened("memory", path, clock) as journal:
        engine = JournalEngine(journal, clock=clock)
        task = asyncio.create_task(engine.run(handler))
        try:
            yield engine, clock
        finally:
            await engine.stop(0)
            await task


def start_of() -> Start:
    execution = new_id("exe")
    flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
    return Start(execution, flow, Event("POST", "", "", (), b"", 1), root=execution)


async def sleep_twice(turn: Turn) -> Verdict:
    if turn.attempt < 3:
        return Again("sleep", turn.now() + HOUR)
    return Ended(DONE)


async def test_an_idle_engine_says_when_the_next_one_is_due(tmp_path: Path) -> None:
    async with running(sleep_twice, tmp_path) as (engine, clock):
        assert await engine.idle() is None
        began, start = clock(), start_of()
        await engine.start([start])
        assert await engine.idle() == began + HOUR
        clock.advance(3_600)
        assert await engine.idle() == began + 2 * HOUR
        assert await finish(engine, clock, start.execution) == DONE
        assert clock() - began == 2 * HOUR
        assert await engine.idle() is None


async def test_an_engine_is_not_idle_while_something_runs(tmp_path: Path) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def handler(turn: Turn) -> Verdict:
        inside.set()
        await go_on.wait()
        return Ended(DONE)

    async with running(handler, tmp_path) as (engine, _):
        start = start_of()
        await engine.start([start])
        await inside.wait()
        idle = asyncio.create_task(engine.idle())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not idle.done()
        go_on.set()
        assert await idle is None
        assert await engine.outcome(start.execution, 0) == DONE


async def test_what_time_does_not_bring_is_not_waited_for(tmp_path: Path) -> None:
    async def handler(turn: Turn) -> Verdict:
        return Again("signal", None, heard=0) if turn.attempt == 1 else Ended(DONE)

    async with running(handler, tmp_path) as (engine, clock):
        start = start_of()
        await engine.start([start])
        assert await finish(engine, clock, start.execution) is None
        await engine.signal(start.execution, "go", b"1")
        assert await finish(engine, clock, start.execution) == DONE


async def test_what_a_child_begins_is_waited_for_too(tmp_path: Path) -> None:
    child = start_of()

    async def handler(turn: Turn) -> Verdict:
        if turn.start.execution == child.execution or turn.attempt == 2:
            return Ended(DONE)
        await turn.begin(child)
        return Again("later", turn.now())

    async with running(handler, tmp_path) as (engine, clock):
        start = start_of()
        await engine.start([start])
        assert await engine.idle() is None
        for each in (start, child):
            assert await finish(engine, clock, each.execution) == DONE


async def test_what_a_handler_changes_later_is_not_what_was_committed(tmp_path: Path) -> None:
    record = Record(0, "a", "action", "a", "A", "succeeded", 1, 2)

    async def handler(turn: Turn) -> Verdict:
        records = [record]
        await turn.commit(records, [])
        records.clear()
        assert isinstance(turn.history, tuple)
        return Ended(DONE)

    async with running(handler, tmp_path) as (engine, clock):
        start = start_of()
        await engine.start([start])
        assert await finish(engine, clock, start.execution) == DONE
        assert await engine.journal.steps(start.execution) == [record]
