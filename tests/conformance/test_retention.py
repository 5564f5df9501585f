"""For how long a journal keeps what has ended: each part in its own time, on every store alike."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from halflap.errors import ConfigError
from halflap.model import (
    PARTS,
    Dedupe,
    Event,
    FlowKey,
    Kept,
    LogLine,
    Micros,
    Outcome,
    Part,
    Record,
    Retention,
    Start,
    new_id,
)
from halflap.store import classes
from halflap.store.protocol import Claim, Filter, Journal, Release
from tests.journals import opened

SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND
LEASE: Micros = 30 * SECOND
DONE = Outcome("succeeded", result=b'{"kept":"with the row"}')


_days = itertools.count(46_000, 1_000)


class Clock:
    """A clock that stands still until a test moves it; far from every other's time.

    Tests share the tables of PostgreSQL, and what one made for a day would be there in the next.
    """

    def __init__(self) -> None:
        self.now: Micros = next(_days) * DAY + 12 * 3_600 * SECOND

    def __call__(self) -> Micros:
        return self.now

    def move(self, days: float) -> None:
        self.now += round(days * DAY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["file", "memory", "blobs", "postgresql", "simulated"])
async def journal(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Journal]:
    async with opened(request.param, tmp_path, clock) as journal:
        yield journal


def start(clock: Clock, instance: str = "ins_1", dedupe: str | None = None) -> Start:
    id = new_id("exe", now=clock())
    flow = FlowKey("cus_1", instance, "shop", "orders", "v1", 1)
    event = Event("POST", "/hooks/x", "a=1", (("x", "y"),), b'{"n": 1}', clock())
    return Start(id, flow, event, id, dedupe=None if dedupe is None else Dedupe(dedupe))


def record(seq: int = 1) -> Record:
    return Record(seq, f"s{seq}", "action", "do", "", "succeeded", 1, 2, b'{"a":1}', b'{"b":2}')


async def running(journal: Journal, of: Start) -> Claim:
    (accepted,) = await journal.accept([of], claim=1, lease=LEASE)
    assert accepted.claim is not None
    return accepted.claim


async def ended(
    journal: Journal, clock: Clock, instance: str = "ins_1", outcome: Outcome = DONE
) -> str:
    """An execution that has ended, with two steps and two log lines."""
    claim = await running(journal, start(clock, instance))
    line = LogLine(1, "info", "first")
    await journal.release(claim.lease, [record(1)], [line], Release("retry", clock()))
    (again,) = await journal.claim(1, LEASE)
    await journal.end(again.lease, [record(2)], [LogLine(2, "info", "second")], outcome)
    return claim.start.execution


async def pruned(journal: Journal, limit: int = 2) -> None:
    """Prune all; a table that somebody holds for a moment (autovacuum) is tried again."""
    idle = 0
    for _ in range(100):
        idle = 0 if await journal.prune(limit) else idle + 1
        if idle == 4:
            return
        if idle:
            await asyncio.sleep(0.05)
    raise AssertionError("there is always more to prune")


async def there(journal: Journal, execution: str) -> set[str]:
    """What is there of an execution."""
    found: set[str] = set()
    if await journal.execution(execution) is not None:
        found.add("row")
    if await journal.event(execution) is not None:
        found.add("event")
    if await journal.steps(execution):
        found.add("steps")
    if await journal.logs(execution):
        found.add("logs")
    return found


ALL = {"row", "event", "steps", "logs"}


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_goes_in_its_own_time(journal: Journal, clock: Clock, part: Part) -> None:
    journal.keep_by_default(Retention(10, **{part: 3}))
    execution = await ended(journal, clock)
    before = await journal.execution(execution)
    clock.move(3.4)  # three days, and not yet the rest of the one on which it ended
    await pruned(journal)
    assert await there(journal, execution) == ALL
    assert await journal.kept(execution) == Kept(Retention(10, **{part: 3}))
    clock.move(0.2)
    await pruned(journal)
    assert await there(journal, execution) == ALL - {part}
    assert await journal.kept(execution) == Kept(
        Retention(10, **{part: 3}), frozenset[Part]({part})
    )
    assert await journal.execution(execution) == before
    assert len(await journal.attempts(execution)) == 1
    assert [each.id for each in await journal.executions(Filter())] == [execution]
    clock.move(6.8)
    await pruned(journal)
    assert await there(journal, execution) == ALL - {part}
    clock.move(0.2)
    await pruned(journal)
    assert await there(journal, execution) == set()
    assert await journal.attempts(execution) == []
    assert await journal.kept(execution) is None


async def test_parts_of_different_times_go_one_after_another(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(8, event=2, steps=6, logs=4))
    execution = await ended(journal, clock)
    seen: list[set[str]] = []
    for _ in range(5):
        clock.move(2)
        await pruned(journal)
        seen.append(ALL - await there(journal, execution))
    # Looked at on the even days, at noon; each goes with the end of the day after its last one.
    assert seen == [set(), {"event"}, {"event", "logs"}, {"event", "logs", "steps"}, ALL]


async def test_of_all_that_is_late_everything_goes_at_once(journal: Journal, clock: Clock) -> None:
    journal.keep_by_default(Retention(8, event=2, steps=6, logs=4))
    executions = [await ended(journal, clock) for _ in range(5)]
    clock.move(30)
    await pruned(journal, limit=2)
    assert [await there(journal, each) for each in executions] == [set()] * 5


async def test_an_instance_keeps_things_for_as_long_as_it_says(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(5))
    await journal.retain({"ins_short": Retention(event=1, steps=2)})
    await journal.retain({"ins_long": Retention(execution=9)})
    ids = {each: await ended(journal, clock, f"ins_{each}") for each in ("short", "long", "plain")}
    clock.move(1.6)
    await pruned(journal)
    assert await there(journal, ids["short"]) == ALL - {"event"}
    clock.move(1)
    await pruned(journal)
    assert await there(journal, ids["short"]) == ALL - {"event", "steps"}
    kept = await journal.kept(ids["short"])
    assert kept is not None
    assert kept.retention == Retention(5, event=1, steps=2)
    assert await there(journal, ids["plain"]) == await there(journal, ids["long"]) == ALL
    clock.move(3)
    await pruned(journal)
    assert await there(journal, ids["short"]) == await there(journal, ids["plain"]) == set()
    assert await there(journal, ids["long"]) == ALL
    clock.move(4)
    await pruned(journal)
    assert await there(journal, ids["long"]) == set()


async def test_another_default_also_holds_for_what_has_ended(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(30))
    await journal.retain({"ins_2": Retention(steps=20)})
    plain, own = await ended(journal, clock), await ended(journal, clock, "ins_2")
    clock.move(10)
    await pruned(journal)
    assert await there(journal, plain) == await there(journal, own) == ALL
    journal.keep_by_default(Retention(15, event=5, steps=5))
    await pruned(journal)
    assert await there(journal, plain) == ALL - {"event", "steps"}
    assert await there(journal, own) == ALL - {"event"}  # what it says itself stays


async def test_what_had_ended_before_parts_were_to_go_sooner_loses_them_too(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(30))
    old = [await ended(journal, clock) for _ in range(5)]
    letter = await ended(journal, clock, outcome=Outcome("failed", "boom"))
    clock.move(1)
    later = [await ended(journal, clock) for _ in range(5)]
    journal.keep_by_default(Retention(30, event=5, steps=3, logs=2))
    mixed = await ended(journal, clock)
    clock.move(3)
    await pruned(journal, limit=2)
    assert [await there(journal, each) for each in old] == [ALL - {"logs", "steps"}] * 5
    assert [await there(journal, each) for each in (*later, mixed)] == [ALL - {"logs"}] * 6
    clock.move(3)
    await pruned(journal, limit=2)
    assert [await there(journal, each) for each in (*old, *later, mixed)] == [{"row"}] * 11
    kept = await journal.kept(old[0])
    assert kept is not None
    assert kept.removed == {"event", "steps", "logs"}
    assert await there(journal, letter) == ALL
    journal.keep_by_default(Retention(30))
    assert await journal.dismiss(letter)
    assert await there(journal, letter) == ALL
    journal.keep_by_default(Retention(30, event=1))
    await pruned(journal, limit=2)
    assert await there(journal, letter) == ALL - {"event"}


async def test_what_is_live_or_a_dead_letter_is_kept_whole(journal: Journal, clock: Clock) -> None:
    journal.keep_by_default(Retention(3, event=1, steps=1, logs=1))
    letter = await ended(journal, clock, outcome=Outcome("failed", "boom"))
    waiting = await running(journal, start(clock))
    line = LogLine(1, "info", "x")
    await journal.release(waiting.lease, [record()], [line], Release("signal", None, "signal:go"))
    queued = start(clock)
    await journal.accept([queued], claim=0, lease=LEASE)
    clock.move(100)
    await pruned(journal)
    assert await there(journal, letter) == ALL
    assert await there(journal, waiting.start.execution) == ALL
    assert await there(journal, queued.execution) == {"row", "event"}
    for each in (letter, waiting.start.execution, queued.execution):
        assert await journal.kept(each) == Kept(Retention())
    assert await journal.dismiss(letter)
    await pruned(journal)
    assert await there(journal, letter) == set()
    assert await there(journal, waiting.start.execution) == ALL


async def test_a_letter_loses_its_parts_once_it_is_dismissed(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(30, event=2))
    letter = await ended(journal, clock, outcome=Outcome("failed", "boom"))
    clock.move(10)
    await pruned(journal)
    assert await there(journal, letter) == ALL
    await journal.dismiss(letter)
    await pruned(journal)
    assert await there(journal, letter) == ALL - {"event"}
    found = await journal.execution(letter)
    assert found is not None
    assert (found.state, found.dismissed, found.reason) == ("failed", True, "boom")


async def test_what_a_cancellation_ends_is_in_its_class_too(journal: Journal, clock: Clock) -> None:
    journal.keep_by_default(Retention(30))
    await journal.retain({"ins_1": Retention(event=1)})
    of = start(clock)
    await journal.accept([of], claim=0, lease=LEASE)
    assert await journal.cancel(of.execution, "enough") == "ended"
    clock.move(2)
    await pruned(journal)
    assert await there(journal, of.execution) == {"row"}


async def test_dedupe_keys_go_in_their_own_time(journal: Journal, clock: Clock) -> None:
    journal.keep_by_default(Retention(1))
    claim = await running(journal, start(clock, dedupe="one"))
    await journal.end(claim.lease, [], [], DONE)
    clock.move(3)
    await pruned(journal)
    assert await journal.execution(claim.start.execution) is None
    (again,) = await journal.accept([start(clock, dedupe="one")], claim=1, lease=LEASE)
    assert again.duplicate_of == claim.start.execution
    clock.move(5)
    await pruned(journal)
    (fresh,) = await journal.accept([start(clock, dedupe="one")], claim=1, lease=LEASE)
    assert fresh.duplicate_of is None


async def test_a_class_is_shared_and_goes_with_the_last_that_is_in_it(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(5))
    await journal.retain({"ins_1": Retention(event=2)})
    await journal.retain({"ins_2": Retention(event=2)})
    assert list((await journal.classes()).values()) == [Retention(5), Retention(5, event=2)]
    execution = await ended(journal, clock)
    await journal.retain({"ins_1": Retention()})
    await journal.retain({"ins_2": Retention()})
    clock.move(3)
    await pruned(journal)
    assert await there(journal, execution) == ALL - {"event"}  # it ended in it
    clock.move(10)
    await pruned(journal)
    assert await journal.classes() == {0: Retention(5)}


async def test_there_are_not_more_classes_than_the_store_bears(
    journal: Journal, clock: Clock
) -> None:
    journal.keep_by_default(Retention(50))
    for days in range(1, classes.MOST + 1):
        await journal.retain({f"ins_{days}": Retention(event=days)})
    before = await journal.classes()
    with pytest.raises(ConfigError, match="different retentions already"):
        await journal.retain({"ins_1": Retention(event=2), "ins_more": Retention(event=40)})
    assert await journal.classes() == before
    kept = await journal.kept(await ended(journal, clock, "ins_1"))
    assert kept is not None
    assert kept.retention == Retention(50, event=1)
    await journal.retain({"ins_1": Retention(event=2), "ins_more": Retention(event=1)})
    for each in range(1, classes.MOST + 1):
        await journal.retain({f"ins_{each}": Retention()})


async def test_a_removed_instance_is_erased_with_all_parts(journal: Journal, clock: Clock) -> None:
    journal.keep_by_default(Retention(30, event=1))
    await journal.retain({"ins_1": Retention(steps=3)})
    executions: Sequence[str] = [await ended(journal, clock) for _ in range(3)]
    other = await ended(journal, clock, "ins_2")
    clock.move(2)
    await pruned(journal)
    while await journal.erase("ins_1", 2):
        pass
    assert [await there(journal, each) for each in executions] == [set()] * 3
    assert await there(journal, other) == ALL - {"event"}
