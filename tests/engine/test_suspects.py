"""What an engine that runs suspects by itself makes of those that may not run at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Ended, Turn, Verdict
from halflap.model import Event, FlowKey, Micros, Outcome, Start, new_id, wall_clock
from halflap.store.store import Store

SECOND: Micros = 1_000_000
FLOW = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)


class Clock:
    """The wall clock, which somebody may have set ahead."""

    ahead: Micros = 0

    def __call__(self) -> Micros:
        return wall_clock() + self.ahead


async def done(turn: Turn) -> Verdict:
    return Ended(Outcome("succeeded"))


async def suspect(store: Store) -> str:
    """An execution whose process ended while it ran it."""
    execution = new_id("exe")
    start = Start(execution, FLOW, Event("POST", "", "", (), b"", 1), execution)
    await store.journal.accept([start], claim=1, lease=SECOND)
    assert await store.journal.void() == 1
    return execution


@asynccontextmanager
async def engine_on(store: Store) -> AsyncIterator[JournalEngine]:
    """An engine that runs, and has looked for suspects once."""
    engine = JournalEngine(store.journal, clock=store.clock)
    running = asyncio.create_task(engine.run(done))
    async with asyncio.timeout(10):
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
            assert await engine.outcome(execution, 10) == Outcome("succeeded")

    await on_store(do)


async def test_a_suspect_runs_though_its_end_was_noted_by_a_clock_that_was_ahead() -> None:
    async def do(store: Store, clock: Clock) -> None:
        clock.ahead = SECOND // 3
        execution = await suspect(store)
        clock.ahead = 0
        async with engine_on(store) as engine:
            assert await engine.outcome(execution, 10) == Outcome("succeeded")

    await on_store(do)
