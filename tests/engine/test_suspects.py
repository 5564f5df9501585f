"""The engine's treatment of suspects that may not run at once, and of what it cuts before it begins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from halflap.engine.journal import JournalEngine, Room
from halflap.engine.probation import Probation, SuspectGroup
from halflap.engine.protocol import Ended, Turn, Verdict
from halflap.model import Event, FlowKey, Micros, Outcome, Start, new_id, wall_clock
from halflap.store.store import Store
from tests.polling import DEADLINE

SECOND: Micros = 1_000_000
FLOW = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)


class Clock:
    """The wall clock, which somebody may have set ahead."""

    ahead: Micros = 0

    def __call__(self) -> Micros:
        return wall_clock() + self.ahead


async def done(turn: Turn) -> Verdict:
    return Ended(Outcome("succeeded"))


def start_of() -> Start:
    execution = new_id("exe")
    return Start(execution, FLOW, Event("POST", "", "", (), b"", 1), execution)


async def suspect(store: Store) -> str:
    """An execution whose process ended while it ran it."""
    (execution,) = await suspects(store, 1)
    return execution


async def suspects(store: Store, count: int) -> list[str]:
    """Executions whose process ended while it ran them."""
    starts = [start_of() for _ in range(count)]
    await store.journal.accept(starts, claim=count, lease=SECOND)
    assert await store.journal.void() == count
    return [each.execution for each in starts]


@asynccontextmanager
async def engine_on(store: Store) -> AsyncIterator[JournalEngine]:
    """An engine that runs, and has looked for suspects once."""
    engine = JournalEngine(store.journal, clock=store.clock)
    running = asyncio.create_task(engine.run(done))
    async with asyncio.timeout(DEADLINE):
        while engine._suspects:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    try:
        yield engine
    finally:
        await engine.stop(0)
        await running


async def on_store(do: Callable[[Store, Clock], Awaitable[None]]) -> None:
    clock = Clock()
    store = await Store.memory(clock=clock)
    try:
        await do(store, clock)
    finally:
        await store.close()


async def test_a_suspect_of_a_held_instance_runs_once_that_is_released() -> None:
    async def do(store: Store, _: Clock) -> None:
        execution = await suspect(store)
        await store.journal.hold(FLOW.instance)
        async with engine_on(store) as engine:
            await engine.release(FLOW.instance)
            assert await engine.outcome(execution, DEADLINE) == Outcome("succeeded")

    await on_store(do)


async def test_a_suspect_runs_though_its_end_was_noted_by_a_clock_that_was_ahead() -> None:
    async def do(store: Store, clock: Clock) -> None:
        clock.ahead = SECOND // 3
        execution = await suspect(store)
        clock.ahead = 0
        async with engine_on(store) as engine:
            assert await engine.outcome(execution, DEADLINE) == Outcome("succeeded")

    await on_store(do)


async def test_a_turn_that_is_cut_before_it_begins_is_given_back() -> None:
    async def do(store: Store, _: Clock) -> None:
        async with engine_on(store) as engine:
            start = start_of()
            # `start` comes back only once the turn has begun
            await engine._accept([start], (), lambda: True)
            (running,) = engine._running.values()
            assert not running.turn.begun
            running.interrupt()
            async with asyncio.timeout(DEADLINE):
                await engine.stop(10)
            found = await store.journal.attempts(start.execution)
            assert [each.how for each in found] == ["drained"]

    await on_store(do)


class Late:
    """A journal that claims only once nothing runs any more, though it was asked before."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.wait = asyncio.Event()
        self.wait.set()
        self.asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def claim(self, *given: Any, **more: Any) -> Any:
        self.asked.set()
        await self.wait.wait()
        return await self._journal.claim(*given, **more)


async def test_a_turn_that_ends_while_more_are_claimed_makes_room_for_its_customer() -> None:
    async def do(store: Store, clock: Clock) -> None:
        journal, going = Late(store.journal), asyncio.Event()

        async def handle(turn: Turn) -> Verdict:
            await going.wait()
            return await done(turn)

        room = Room(turns=2, share=0.5)
        engine = JournalEngine(journal, clock=clock, room=room)  # pyright: ignore[reportArgumentType]
        running = asyncio.create_task(engine.run(handle))
        async with asyncio.timeout(DEADLINE):
            await journal.asked.wait()
            first, second = start_of(), start_of()
            await engine.start([first])
            journal.wait.clear()
            journal.asked.clear()
            await engine.start([second])
            engine.nudge()
            await journal.asked.wait()  # by now its customer's share is counted: it is full
            going.set()
            assert await engine.outcome(first.execution, DEADLINE) is not None
            while engine.running:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            journal.wait.set()
            assert await engine.outcome(second.execution, DEADLINE) is not None
            await engine.stop(0)
            await running

    await on_store(do)


class CountingProbation(Probation):
    """Runs groups in no process, and counts them; executions end one after another."""

    def __init__(self, engine: JournalEngine) -> None:
        super().__init__(engine, None, None)  # pyright: ignore[reportArgumentType]
        self.sizes: list[int] = []

    async def _in_child(self, group: SuspectGroup) -> tuple[str, bool]:
        self.sizes.append(group.size)
        for each in list(group.verdicts.values()):
            each.set_result(Ended(Outcome("succeeded")))
            await asyncio.sleep(0.002)
            self._engine.nudge()  # as the end of one of an order does, or a released instance
        return "it was done", True


async def test_suspects_drain_in_full_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halflap.engine.probation.MOST_TOGETHER", 10)

    async def do(store: Store, _: Clock) -> None:
        executions = await suspects(store, 95)
        engine = JournalEngine(store.journal, clock=store.clock, suspects=False)
        probation = CountingProbation(engine)
        running = [asyncio.create_task(engine.run(done)), asyncio.create_task(probation.run())]
        async with asyncio.timeout(DEADLINE):
            for each in executions:
                assert await engine.outcome(each, DEADLINE) == Outcome("succeeded")
        await probation.close()
        await engine.stop(0)
        await asyncio.gather(*running)
        assert sorted(probation.sizes) == [5] + [10] * 9

    await on_store(do)
