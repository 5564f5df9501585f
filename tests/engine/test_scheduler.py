"""Scheduled flows: each tick fires once, whoever fires it, and missed ones as declared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from halflap import Config, Context, FlowOrder, Integration, schedule, singleton
from halflap.engine.journal import JournalEngine
from halflap.engine.scheduler import Scheduler
from halflap.model import Instance, Micros, Start, Started, to_micros
from halflap.sdk import codec
from halflap.store.protocol import Filter
from halflap.store.store import Store

START = datetime(2026, 1, 1, 10, 0, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = to_micros(START)

    def __call__(self) -> Micros:
        return self.now

    def move(self, time: timedelta) -> None:
        self.now += int(time.total_seconds() * 1e6)


class Library:
    """One integration, whatever the version."""

    def __init__(self, order: FlowOrder | None = None) -> None:
        self.found = Integration("hourly", config=Config)

        @self.found.flow(trigger=schedule.every(minutes=1), order=order)
        async def flow(ctx: Context[Config], tick: schedule.Tick) -> None:
            pass

    async def integration(self, version: str) -> Integration[Any]:
        return self.found


async def flow_of(integration: Any, flow: Any, instance: str, revision: int) -> Any:
    return flow


class World:
    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.engine = JournalEngine(store.journal, clock=clock)
        self.library = Library()

    async def instance(self) -> Instance:
        catalogue = self.store.catalogue
        customer = await catalogue.customers.add("Initech")
        await catalogue.versions.publish("hourly", "v1", b"")
        made = await catalogue.instances.add(customer.id, "hourly", "hourly", "v1")
        await catalogue.instances.set_revision(made.id, {}, {})
        active = await catalogue.instances.move(made.id, ("configured",), "active")
        assert active is not None
        return active

    def scheduler(self, engine: Any = None) -> Scheduler:
        return Scheduler(
            self.store.catalogue,
            engine or self.engine,
            self.library,  # type: ignore[arg-type]
            self.clock,
            flow_of,
        )

    async def fired(self) -> list[str]:
        """When the ticks were due that have an execution, oldest first."""
        found = await self.store.journal.executions(Filter(limit=200))
        times: list[str] = []
        for each in reversed(found):
            event = await self.store.journal.event(each.id)
            assert event is not None
            times.append(codec.decode(event.body)["at"][11:16])
        return times

    async def until(self, count: int, *schedulers: Scheduler) -> list[str]:
        """The ticks, once there are as many."""
        async with asyncio.timeout(10):
            while len(await self.fired()) < count:
                for each in schedulers:
                    each.nudge()
                await asyncio.sleep(0.005)
        return await self.fired()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = Clock()
    store = await Store.memory(clock=clock)
    yield World(store, clock)
    await store.close()


@asynccontextmanager
async def running(*schedulers: Scheduler) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in schedulers]
    yield
    for each in schedulers:
        each.stop()
    await asyncio.gather(*tasks)


async def test_each_tick_fires_once(world: World) -> None:
    await world.instance()
    scheduler = world.scheduler()
    async with running(scheduler):
        await read(world, scheduler)
        for count in range(1, 4):
            world.clock.move(timedelta(minutes=1))
            await world.until(count, scheduler)
    assert await world.fired() == ["10:01", "10:02", "10:03"]


async def test_a_tick_of_a_singleton_is_ignored_while_the_last_one_runs(world: World) -> None:
    made = await world.instance()
    world.library = Library(singleton())
    scheduler = world.scheduler()
    async with running(scheduler):
        await read(world, scheduler)
        for count in range(1, 4):
            world.clock.move(timedelta(minutes=1))
            await world.until(count, scheduler)
    found = await world.store.journal.executions(Filter(instance=made.id))
    first = min(found, key=lambda each: each.accepted_at)
    assert first.state == "queued"
    assert {(each.state, each.reason) for each in found if each is not first} == {
        ("ignored", f"singleton: {first.id} is still running")
    }


async def test_two_schedulers_fire_a_tick_once(world: World) -> None:
    await world.instance()
    first, second = world.scheduler(), world.scheduler()
    async with running(first, second):
        await read(world, first, second)
        world.clock.move(timedelta(minutes=1))
        await world.until(1, first, second)
        world.clock.move(timedelta(minutes=1))
        assert await world.until(2, first, second) == ["10:01", "10:02"]


async def test_a_tick_is_not_fired_again_by_the_next_server(world: World) -> None:
    await world.instance()
    scheduler = world.scheduler()
    async with running(scheduler):
        await read(world, scheduler)
        world.clock.move(timedelta(minutes=1))
        await world.until(1, scheduler)
    following = world.scheduler()
    async with running(following):
        await read(world, following)
        world.clock.move(timedelta(minutes=1))
        assert await world.until(2, following) == ["10:01", "10:02"]


async def test_a_crash_between_the_tick_and_its_note_doubles_nothing(world: World) -> None:
    await world.instance()
    scheduler = world.scheduler()
    async with running(scheduler):
        await read(world, scheduler)
        world.clock.move(timedelta(minutes=1))
        await world.until(1, scheduler)
    instances = world.store.catalogue.instances
    (instance,) = await instances.list()
    await instances.note_tick(instance.id, "flow", to_micros(START))
    following = world.scheduler()
    async with running(following):
        await read(world, following)
        world.clock.move(timedelta(minutes=1))
        assert await world.until(2, following) == ["10:01", "10:02"]


async def test_ticks_that_were_missed_fire_as_one_the_latest(world: World) -> None:
    instance = await world.instance()
    await world.store.catalogue.instances.note_tick(instance.id, "flow", to_micros(START))
    world.clock.move(timedelta(hours=3))
    scheduler = world.scheduler()
    async with running(scheduler):
        assert await world.until(1, scheduler) == ["13:00"]
        world.clock.move(timedelta(minutes=1))
        assert await world.until(2, scheduler) == ["13:00", "13:01"]


async def test_an_instance_that_is_not_active_does_not_tick(world: World) -> None:
    instance = await world.instance()
    scheduler = world.scheduler()
    async with running(scheduler):
        await read(world, scheduler)
        await world.store.catalogue.instances.move(instance.id, ("active",), "disabled")
        world.clock.move(timedelta(minutes=5))
        await read(world, scheduler)
    assert await world.fired() == []


async def test_an_engine_that_refuses_a_tick_gets_it_again(world: World) -> None:
    class Full:
        refusals = 2

        async def start(self, starts: Sequence[Start]) -> list[Started]:
            if self.refusals:
                self.refusals -= 1
                from halflap.errors import StoreFull

                raise StoreFull
            return await world.engine.start(starts)

    await world.instance()
    scheduler = world.scheduler(Full())
    async with running(scheduler):
        await read(world, scheduler)
        world.clock.move(timedelta(minutes=1))
        assert await world.until(1, scheduler) == ["10:01"]


async def test_a_server_looks_at_once_when_the_catalogue_changes(world: World) -> None:
    scheduler = world.scheduler()
    world.store.catalogue.on_change(scheduler.nudge)
    async with running(scheduler):
        await world.instance()
        async with asyncio.timeout(10):
            while scheduler.seen != world.store.catalogue.changed:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("leads", [True, False])
async def test_one_that_is_stopped_ends_at_once(
    world: World, leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halflap.engine.scheduler.CHECK_SECONDS", 3_600.0)
    first, second = world.scheduler(), world.scheduler()
    async with asyncio.timeout(10), running(first):
        await read(world, first)
        async with running(*([] if leads else [second])):
            await asyncio.sleep(0)


async def read(world: World, *schedulers: Scheduler) -> None:
    """Wait until the scheduler that leads has read what there is to schedule."""
    async with asyncio.timeout(10):
        while not any(e.leads and e.seen == world.store.catalogue.changed for e in schedulers):
            for each in schedulers:
                each.nudge()
            await asyncio.sleep(0.005)
