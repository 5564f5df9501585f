"""A mixed load for an hour, or for seconds: memory, open files and the store stay as large as they are.

A day passes every few seconds on the store's clock, and what ended more than a day ago is pruned; so
the store holds what two days bring, however long it goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import Note
from tests.faults import checker
from tests.faults.clock import WallClock
from tests.faults.going import going_by
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.faults.verdict import SECONDS
from tests.many import PROJECT, Many, Proc
from tests.polling import until

SHORT = 12.0
DAY = timedelta(hours=26)
DAYS_IN_SHORT = 6
SENDERS = {"numbered": 3, "slow": 1, "ask": 1}
PAUSE, PAUSE_IN_SHORT = 0.05, 0.15
KEPT_DAYS = 3
"""The store holds at most what so many days brought: one that is kept, this one, and one in between."""
TICKS = 20
"""Ticks that those days bring at most, and anything else that nobody sent."""
LATE = 20.0
"""Seconds that pruning may come late."""
ROOM = 8_000_000
"""Bytes that a process may have grown by, as an interpreter does that runs for seconds only."""
TICKING = PROJECT.replace(
    'await http.get(ctx.config.sink, "/deploying")', "pass"
).replace('every(seconds=1, misfire="all")', 'every(minutes=10, misfire="once")')  # fmt: skip


@dataclass
class Size:
    """The sizes at a time: a process' memory and open files, and rows in the store.

    sent: how many events had been accepted by then.
    """

    day: int
    sent: int

    memory: dict[int, int] = field(default_factory=dict[int, int])
    files: dict[int, int] = field(default_factory=dict[int, int])
    rows: int = 0

    @classmethod
    def of(cls, world: Many, day: int, sent: int) -> Size:
        found = cls(day, sent, rows=checker.count(world.place))
        for each in world.processes:
            pages = Path(f"/proc/{each.pid}/statm").read_text().split()[1]
            found.memory[each.pid] = int(pages) * os.sysconf("SC_PAGE_SIZE")
            found.files[each.pid] = len(os.listdir(f"/proc/{each.pid}/fd"))
        return found


@dataclass
class Soaked:
    """The results of a soak: sizes as time went by, and what was sent."""

    sizes: list[Size]
    histories: dict[str, History]

    def grown(self) -> list[str]:
        """Return what grew from the middle to the last third: memory, files; the store if it never shrank
        to what the last days brought."""
        third = len(self.sizes) // 3
        middle, last = self.sizes[third : 2 * third], self.sizes[-third:]
        found: list[str] = []
        for pid in self.sizes[-1].memory:
            before = median(each.memory[pid] for each in middle)
            after = median(each.memory[pid] for each in last)
            if after > before * 1.05 + ROOM:
                found.append(f"memory of {pid}: {before / 1e6:.1f} MB, then {after / 1e6:.1f} MB")
            before = max(each.files[pid] for each in middle)
            after = max(each.files[pid] for each in last)
            if after > before + 10:
                found.append(f"files of {pid}: {before}, then {after}")
        if all(each.rows > self.most_rows(each) for each in last):
            found.append(f"rows: {last[-1].rows}, more than {self.most_rows(last[-1])}")
        return found

    def most_rows(self, size: Size) -> int:
        """Return how many rows there may be: of the days that may be in the store, and ticks."""
        before = [each.sent for each in self.sizes if each.day <= size.day - KEPT_DAYS]
        return size.sent - max(before, default=0) + TICKS


@asynccontextmanager
async def sending(world: Many, gateway: Proc, pause: float) -> AsyncIterator[dict[str, History]]:
    """Senders to every kind of flow."""
    async with AsyncExitStack() as stack:
        histories: dict[str, History] = {}
        for number, (flow, senders) in enumerate(SENDERS.items()):
            history = histories[flow] = History(first=1 + number * 10_000_000)
            await stack.enter_async_context(
                history.sending(world.hook(gateway, flow), senders, pause)
            )
        yield histories


async def soak(
    world: Many, gateway: Proc, clock: WallClock, seconds: float, day: float, late: float
) -> Soaked:
    """Send for so long, letting a day pass every few seconds; then let everything end."""
    await world.activate(gateway)
    sizes: list[Size] = []
    begun = time.monotonic()
    pause = PAUSE if seconds > SHORT else PAUSE_IN_SHORT
    async with sending(world, gateway, pause) as histories:
        while (passed := time.monotonic() - begun) < seconds:
            days = int(passed / day)
            clock.set(DAY * days)
            await asyncio.sleep(day / 4)
            sent = sum(len(each.acknowledged) for each in histories.values())
            sizes.append(await asyncio.to_thread(Size.of, world, days, sent))
    await until(lambda: checker.live(world.place, None) == 0, 120)
    # On a busy machine pruning comes late: a store that shrinks now does not grow.
    found, end = Soaked(sizes, histories), time.monotonic() + late
    most = found.most_rows(sizes[-1])
    while await asyncio.to_thread(checker.count, world.place) > most and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    last = sizes[-1]
    sizes.append(await asyncio.to_thread(Size.of, world, last.day, last.sent))
    for each in world.processes:
        assert await each.stop() == 0, each.said()[-3000:]
    return found


async def soaked(
    folder: Path, sink: Sink, kind: str, clock: WallClock, seconds: float, *faults: str
) -> Soaked:
    day = max(seconds / 500, SHORT / DAYS_IN_SHORT)
    late = 0 if "hoarding" in faults else LATE  # nothing is pruned there
    given = {"HALFLAP_RETENTION_DAYS": "1", "HALFLAP_ROOM": "16"}
    async with going_by(clock, kind, folder, sink, *faults, project=TICKING, settings=given) as (
        world,
        gateway,
    ):
        return await soak(world, gateway, clock, seconds, day, late)


def judge(found: Soaked, sink: Sink, note: Note, run: str) -> None:
    sent = set[int]().union(
        *(each.acknowledged for flow, each in found.histories.items() if flow != "ask")
    )
    last = found.sizes[-1]
    note(
        run,
        acknowledged=sum(len(each.acknowledged) for each in found.histories.values()),
        lost=len(sent - sink.arrived),
        executions=last.rows,
        memory_mb=round(max(last.memory.values()) / 1e6),
    )
    assert sent <= sink.arrived
    assert not any(each.refused for each in found.histories.values())
    assert found.grown() == []


async def test_nothing_grows_under_a_mixed_load(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note
) -> None:
    judge(await soaked(tmp_path, sink, "SQLite", clock, SHORT), sink, note, "soak, SQLite")


async def test_a_control_that_hoards_grows_in_memory_files_and_rows(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note
) -> None:
    found = await soaked(tmp_path, sink, "SQLite", clock, SHORT, "hoarding")
    grown = found.grown()
    note("soak, control", executions=found.sizes[-1].rows)
    assert [each.split()[0].rstrip(":") for each in grown] == ["memory", "files", "rows"], grown


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
async def test_nothing_grows_in_an_hour(
    tmp_path: Path, sink: Sink, clock: WallClock, note: Note, kind: str
) -> None:
    run = f"soak, {kind}, {SECONDS / 60:.0f} min"
    judge(await soaked(tmp_path, sink, kind, clock, SECONDS), sink, note, run)
