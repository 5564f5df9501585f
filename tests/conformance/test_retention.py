"""For how long a journal keeps what has ended: executions and payloads, on every store alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from halflap.model import (
    Dedupe,
    Event,
    FlowKey,
    LogLine,
    Micros,
    Outcome,
    Record,
    Retention,
    Start,
    new_id,
)
from halflap.store.protocol import Claim, Filter, Journal, Release
from halflap.store.retention import RetentionRules, declared
from tests.journals import ON_EVERY_STORE, cancel_one

SECOND: Micros = 1_000_000
DAY: Micros = 86_400 * SECOND
LEASE: Micros = 30 * SECOND
pytestmark = ON_EVERY_STORE
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


def start(
    clock: Clock, instance: str = "ins_1", dedupe: str | None = None, customer: str = "cus_1"
) -> Start:
    id = new_id("exe", now=clock())
    flow = FlowKey(customer, instance, "shop", "orders", "v1", 1)
    event = Event("POST", "/hooks/x", "a=1", (("x", "y"),), b'{"n": 1}', clock())
    return Start(id, flow, event, id, dedupe=None if dedupe is None else Dedupe(dedupe))


def record(seq: int = 1) -> Record:
    return Record(seq, f"s{seq}", "action", "do", "", "succeeded", 1, 2, b'{"a":1}', b'{"b":2}')


async def running(journal: Journal, of: Start) -> Claim:
    (accepted,) = await journal.accept([of], claim=1, lease=LEASE)
    assert accepted.claim is not None
    return accepted.claim


async def ended(
    journal: Journal,
    clock: Clock,
    instance: str = "ins_1",
    outcome: Outcome = DONE,
    customer: str = "cus_1",
) -> str:
    """An execution that has ended, with two steps and two log lines."""
    claim = await running(journal, start(clock, instance, customer=customer))
    line = LogLine(1, "info", "first", b'{"x":1}')
    await journal.release(claim.lease, [record(1)], [line], Release("retry", clock()))
    (again,) = await journal.claim(1, LEASE)
    await journal.end(again.lease, [record(2)], [LogLine(2, "info", "second", b'{"y":2}')], outcome)
    return claim.start.execution


def rules(execution: int, payload: int | None = None, /, **levels: Retention) -> RetentionRules:
    return RetentionRules(Retention(execution, payload), levels)


async def pruned(journal: Journal, rules: RetentionRules, limit: int = 2) -> None:
    """Prune all."""
    for _ in range(100):
        if not await journal.prune(rules, limit):
            return
    raise AssertionError("there is always more to prune")


async def there(journal: Journal, execution: str) -> set[str]:
    """Return the parts of an execution that are there."""
    steps, lines = await journal.steps(execution), await journal.logs(execution)
    inputs = {each.inputs for each in steps} | {each.result for each in steps}
    found = {
        "row": await journal.execution(execution) is not None,
        "event": await journal.event(execution) is not None,
        "steps": bool(steps),
        "values": None not in inputs and bool(inputs),
        "logs": bool(lines),
        "fields": all(line.fields for _, line in lines) and bool(lines),
    }
    return {what for what, is_there in found.items() if is_there}


ALL = {"row", "event", "steps", "values", "logs", "fields"}
BARE = {"row", "steps", "logs"}


async def test_a_payload_goes_before_its_execution(journal: Journal, clock: Clock) -> None:
    kept = rules(10, 3)
    execution = await ended(journal, clock)
    before = await journal.execution(execution)
    assert before is not None
    assert not before.payload_removed
    clock.move(3.4)  # three days, and not yet the rest of the one on which it ended
    await pruned(journal, kept)
    assert await there(journal, execution) == ALL
    clock.move(0.2)
    await pruned(journal, kept)
    assert await there(journal, execution) == BARE
    after = await journal.execution(execution)
    assert after is not None
    assert after.payload_removed
    assert replace(after, payload_removed=False) == before
    assert len(await journal.attempts(execution)) == 1
    (listed,) = await journal.executions(Filter())
    assert (listed.id, listed.payload_removed) == (execution, True)
    clock.move(6.8)
    await pruned(journal, kept)
    assert await there(journal, execution) == BARE
    clock.move(0.2)
    await pruned(journal, kept)
    assert await there(journal, execution) == set()
    assert await journal.attempts(execution) == []


async def test_the_most_particular_level_holds(journal: Journal, clock: Clock) -> None:
    kept = rules(
        5,
        ins_short=Retention(payload=1),
        ins_long=Retention(execution=9),
        cus_2=Retention(execution=3),
        **{declared("ins_short"): Retention(payload=4), declared("ins_own"): Retention(payload=1)},
    )
    names = ("short", "long", "plain", "own")
    ids = {each: await ended(journal, clock, f"ins_{each}") for each in names}
    ids["customer"] = await ended(journal, clock, "ins_other", customer="cus_2")
    clock.move(2)
    await pruned(journal, kept)
    assert await there(journal, ids["short"]) == await there(journal, ids["own"]) == BARE
    for each in ("long", "plain", "customer"):
        assert await there(journal, ids[each]) == ALL
    clock.move(2)
    await pruned(journal, kept)
    assert await there(journal, ids["customer"]) == set()
    assert await there(journal, ids["short"]) == BARE
    clock.move(2)
    await pruned(journal, kept)
    for each in ("short", "plain", "own"):
        assert await there(journal, ids[each]) == set()
    assert await there(journal, ids["long"]) == ALL
    clock.move(4)
    await pruned(journal, kept)
    assert await there(journal, ids["long"]) == set()


async def test_what_is_live_or_a_dead_letter_is_kept_whole(journal: Journal, clock: Clock) -> None:
    kept = rules(3, 1)
    letter = await ended(journal, clock, outcome=Outcome("failed", "boom"))
    waiting = await running(journal, start(clock))
    line = LogLine(1, "info", "x", b"{}")
    await journal.release(waiting.lease, [record()], [line], Release("signal", None, "signal:go"))
    queued = start(clock)
    await journal.accept([queued], claim=0, lease=LEASE)
    clock.move(100)
    await pruned(journal, kept)
    assert await there(journal, letter) == ALL
    assert await there(journal, waiting.start.execution) == ALL
    assert await there(journal, queued.execution) == {"row", "event"}
    assert await journal.dismiss(letter)
    clock.move(0.1)  # PostgreSQL looks at a day again in the next hour
    await pruned(journal, kept)
    assert await there(journal, letter) == set()
    assert await there(journal, waiting.start.execution) == ALL


async def test_what_a_cancellation_ends_is_pruned_too(journal: Journal, clock: Clock) -> None:
    of = start(clock)
    await journal.accept([of], claim=0, lease=LEASE)
    assert await cancel_one(journal, of.execution, "enough") == "ended"
    clock.move(2)
    await pruned(journal, rules(30, 1))
    assert await there(journal, of.execution) == {"row"}


async def test_dedupe_keys_go_in_their_own_time(journal: Journal, clock: Clock) -> None:
    kept = rules(1)
    claim = await running(journal, start(clock, dedupe="one"))
    await journal.end(claim.lease, [], [], DONE)
    clock.move(3)
    await pruned(journal, kept)
    assert await journal.execution(claim.start.execution) is None
    (again,) = await journal.accept([start(clock, dedupe="one")], claim=1, lease=LEASE)
    assert again.duplicate_of == claim.start.execution
    clock.move(5)
    await pruned(journal, kept)
    (fresh,) = await journal.accept([start(clock, dedupe="one")], claim=1, lease=LEASE)
    assert fresh.duplicate_of is None


async def test_a_removed_instance_is_erased_with_and_without_payload(
    journal: Journal, clock: Clock
) -> None:
    executions: Sequence[str] = [await ended(journal, clock) for _ in range(3)]
    other = await ended(journal, clock, "ins_2")
    clock.move(2)
    await pruned(journal, rules(30, 1))
    executions = [*executions, await ended(journal, clock)]
    while await journal.erase("ins_1", 2):
        pass
    assert [await there(journal, each) for each in executions] == [set()] * 4
    assert await there(journal, other) == BARE
