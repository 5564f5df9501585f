"""Wall clocks that jump, days ahead and hours back: no tick is lost or doubled, nothing runs twice.

The clock that counts is the store's: of the server that has the file open, or of the database. What
other hosts believe the time to be is nothing to anybody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from halflap.sdk import codec
from halflap.store.protocol import Filter
from tests.conftest import Note
from tests.faults import checker
from tests.faults.clock import WallClock
from tests.faults.going import FAULTY, going_by
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.many import PROJECT, Many, Proc, many
from tests.polling import until

EVERY = timedelta(minutes=30)
JUMPS = [timedelta(hours=each) for each in (48, 46, 48.5)]
"""The leads of the clock on the real time, one after another: two days on, an hour back, …"""
STEADY = 2.0
"""Seconds that it goes on as it is, after a jump."""
SENDERS = 1
AT_ONCE = 4
SLOW = 1_000_000
"""The number of the first event that takes a while."""
LEASE = {"HALFLAP_LEASE_SECONDS": "10", "HALFLAP_ROOM": "16", "PAUSE": "2"}
Ticks = Counter[datetime]
TICKING = (
    PROJECT.replace('await http.get(ctx.config.sink, "/deploying")', "pass")
    .replace("schedule.every(seconds=1", "schedule.every(minutes=30")
)  # fmt: skip


GIVEN: Any = {"project": TICKING, "settings": LEASE}


@dataclass
class Times:
    """The events that were sent, and the ticks that had to fire: all of `sure`, none but `possible`."""

    history: History
    sure: list[datetime] = field(default_factory=list[datetime])
    possible: list[datetime] = field(default_factory=list[datetime])


async def jumped(
    world: Many,
    gateway: Proc,
    clock: WallClock,
    most: timedelta = max(JUMPS),
    *,
    ends: bool = True,
    doubles: bool = False,
) -> Times:
    """Set the clock again and again under load, and stop once every tick has fired, and all has ended.

    most: how far the store's clock was ahead at most. ends: false for a control whose leases and
    waits reach as far ahead. doubles: of a control, that more ticks are waited for than there may be.
    """
    times = Times(History())
    before = datetime.now(UTC)
    await world.activate(gateway)
    after = datetime.now(UTC) + timedelta(seconds=1)
    async with times.history.sending(world.hook(gateway, "numbered"), SENDERS, 0.1):
        for number, ahead in enumerate(JUMPS):
            for each in range(AT_ONCE):
                await world.send(gateway, "slow", SLOW + AT_ONCE * number + each)
            clock.set(ahead)
            await asyncio.sleep(STEADY)
            await until(lambda: not ends or is_told(world, min(ahead, most)))  # noqa: B023
    last = datetime.now(UTC) + most
    times.sure = list(between(after, last - timedelta(seconds=2)))
    most_ticks = len(list(between(before, last))) + 1
    enough = most_ticks if doubles else len(times.sure)
    await until(lambda: len(checker.executions(world.place, "ticking")) >= enough)
    await until(lambda: not ends or checker.live(world.place, None) == 0)
    await asyncio.sleep(STEADY)  # in which none may be doubled
    times.possible = list(between(before, datetime.now(UTC) + most))
    for each in world.processes:
        assert await each.stop() == 0, each.said()[-3000:]
    return times


def is_told(world: Many, ahead: timedelta) -> bool:
    """Return whether the ticks of so late a time are dealt with, and none of a later one."""
    (mark,) = checker.marks(world.place, "ticking")
    now = (datetime.now(UTC) + ahead).timestamp()
    return now - EVERY.total_seconds() <= mark / 1e6 <= now


def between(begun: datetime, ended: datetime) -> Iterator[datetime]:
    """The ticks after one time, up to another."""
    seconds = EVERY.total_seconds()
    at = datetime.fromtimestamp(begun.timestamp() // seconds * seconds, UTC) + EVERY
    while at <= ended:
        yield at
        at += EVERY


async def fired(world: Many) -> Ticks:
    """Count the executions of each tick."""
    found = Ticks()
    async with world.store() as store:
        before = None
        while page := await store.journal.executions(
            Filter(flow="ticking", limit=500, before=before)
        ):
            before = page[-1].id
            for each in page:
                event = await store.journal.event(each.id)
                assert event is not None
                found[datetime.fromisoformat(codec.decode(event.body)["at"])] += 1
    return found


def repeated(sink: Sink) -> int:
    """Count the calls that repeated an earlier one, with the same key."""
    return sum(count - 1 for keys in sink.deliveries.values() for count in keys.values())


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
async def test_a_store_whose_clock_jumps_loses_and_doubles_nothing(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note, kind: str
) -> None:
    async with going_by(clock, kind, tmp_path, sink, **GIVEN) as (world, gateway):
        times = await jumped(world, gateway, clock)
        ticks = await fired(world)
    lost = times.history.acknowledged - sink.arrived
    note(
        f"clock that jumps, {kind}",
        faults=len(JUMPS),
        acknowledged=len(times.history.acknowledged),
        lost=len(lost),
        repeated=repeated(sink),
    )
    assert not lost
    assert not times.history.refused
    assert set(ticks.values()) == {1}
    assert set(times.sure) <= ticks.keys() <= set(times.possible)
    # Until all workers know that the database's clock was set, one may take another's lease for lapsed.
    assert repeated(sink) == 0 or kind == "PostgreSQL"
    assert repeated(sink) <= len(JUMPS) * 16


async def test_a_control_whose_ticks_have_no_keys_doubles_them(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note
) -> None:
    async with going_by(clock, "SQLite", tmp_path, sink, "keyless", **GIVEN) as (world, gateway):
        await jumped(world, gateway, clock, doubles=True)
        ticks = await fired(world)
    note("clock that jumps, control", faults=len(JUMPS), repeated=ticks.total() - len(ticks))
    assert max(ticks.values()) > 1


async def taken(world: Many) -> int:
    """Count the executions that were taken from a worker that was running them."""
    async with world.store() as store:
        found = await store.journal.executions(Filter(flow="slow", limit=500))
        return sum(each.attempt > 1 for each in found)


async def hosts_jump(
    folder: Path, sink: Sink, clock: WallClock, *faults: str
) -> tuple[Times, Ticks, int]:
    """Set the clock of a worker's host, under load, beside another worker whose clock is right."""
    async with many(folder, sink.url) as world:
        await world.publish(TICKING)
        gateway = await world.run("gateway")
        await world.run("worker", **LEASE)
        before = (FAULTY, ",".join(("settable", *faults)))
        await world.run("worker", before=before, **LEASE, **clock.environment)
        times = await jumped(world, gateway, clock, timedelta(), ends="host-time" not in faults)
        return times, await fired(world), await taken(world)


async def test_what_a_workers_host_takes_the_time_to_be_is_nothing_to_anybody(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note
) -> None:
    times, ticks, of_others = await hosts_jump(tmp_path, sink, clock)
    lost = times.history.acknowledged - sink.arrived
    note(
        "clock of a worker that jumps",
        faults=len(JUMPS),
        acknowledged=len(times.history.acknowledged),
        lost=len(lost),
        repeated=repeated(sink),
    )
    assert not lost
    assert of_others == 0
    assert repeated(sink) == 0
    assert set(times.sure) <= ticks.keys() <= set(times.possible)
    assert ticks.total() == len(ticks)


@pytest.mark.soak
async def test_a_control_that_goes_by_its_hosts_clock_takes_others_leases(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note
) -> None:
    of_others = 0
    for number in range(3):  # a jump may find no lease to take
        folder = tmp_path / str(number)
        folder.mkdir()
        _, _, of_others = await hosts_jump(folder, sink, clock, "host-time")
        if of_others:
            break
    note("clock of a worker that jumps, control", faults=len(JUMPS), executions=of_others)
    assert of_others > 0
