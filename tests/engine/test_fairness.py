"""Nobody's flood or hanging destination keeps another from running: shares of a process's room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halflap.engine.clock import ManualClock
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Ended, Turn, Verdict
from halflap.engine.room import Room
from halflap.model import CustomerLimits, Dedupe, Outcome, Start, new_id
from halflap.store.protocol import Accepted, Claim
from tests.cases import for_each
from tests.conformance.test_journal import flow, start
from tests.journals import opened
from tests.polling import DEADLINE

DONE = Ended(Outcome("succeeded"))


class Office:
    """Runs executions; those of the customers that hang do so until they are let go."""

    def __init__(self, *hang: str) -> None:
        self.hang = set(hang)
        self.let_go = asyncio.Event()
        self.running: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.changed = asyncio.Event()

    async def __call__(self, turn: Turn) -> Verdict:
        customer = turn.start.flow.customer
        self._note(self.running, customer, 1)
        if customer in self.hang and not turn.start.flow.flow.startswith("$"):
            await self.let_go.wait()
        self._note(self.running, customer, -1)
        self._note(self.ended, customer, 1)
        return DONE

    def _note(self, counter: Counter[str], customer: str, by: int) -> None:
        counter[customer] += by
        self.changed.set()

    async def until(self, counter: Counter[str], customer: str, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while counter[customer] != count:
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def engine_of(
    folder: Path, office: Office, room: Room, limits: CustomerLimits | None = None
) -> AsyncIterator[JournalEngine]:
    clock = ManualClock()
    async with opened("file", folder, clock) as journal:
        journal.default_limits = limits or CustomerLimits()
        engine = JournalEngine(journal, clock=clock, room=room)
        running = asyncio.create_task(engine.run(office))
        try:
            yield engine
        finally:
            office.let_go.set()
            await engine.stop(10)
            await running


def of(customer: str, count: int, name: str = "orders") -> list[Start]:
    return [start(flow(customer, name=name)) for _ in range(count)]


async def test_a_backlog_that_is_claimed_leaves_room_too(tmp_path: Path):
    office = Office("cus_a", "cus_b")
    async with engine_of(tmp_path, office, Room(20)) as engine:
        await engine.start(of("cus_a", 200))
        await engine.start(of("cus_b", 200))
        await engine.start(of("cus_c", 50))
        await office.until(office.ended, "cus_c", 50)
        assert office.running["cus_a"] + office.running["cus_b"] < 20
        await engine.start(of("cus_a", 1, "$deploy"))
        await office.until(office.ended, "cus_a", 1)  # a flow of ours waits for no flood
        office.let_go.set()
        await office.until(office.ended, "cus_b", 200)


async def test_what_a_limit_held_back_goes_on_as_soon_as_one_has_ended(tmp_path: Path):
    office = Office()
    async with engine_of(tmp_path, office, Room(20), CustomerLimits(concurrency=2)) as engine:
        await engine.start(of("cus_a", 60))
        await office.until(office.ended, "cus_a", 60)


async def test_room_that_duplicates_did_not_take_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A claim that begins while duplicates are accepted counts them among the customer's."""
    office = Office()
    async with engine_of(tmp_path, office, Room(2)) as engine:
        [first] = of("cus_a", 1)
        first = replace(first, dedupe=Dedupe("delivery 1"))
        await engine.start([first])
        await office.until(office.ended, "cus_a", 1)
        await engine.journal.hold(first.flow.instance)
        await engine.start(of("cus_a", 1))

        accept, claim = engine.journal.accept, engine.journal.claim
        let_go, claimed = asyncio.Event(), asyncio.Event()

        async def slow(*args: Any, **options: Any) -> list[Accepted]:
            await let_go.wait()
            return await accept(*args, **options)

        async def seen(*args: Any, **options: Any) -> list[Claim]:
            found = await claim(*args, **options)
            claimed.set()
            return found

        monkeypatch.setattr(engine.journal, "accept", slow)
        monkeypatch.setattr(engine.journal, "claim", seen)
        again = asyncio.create_task(
            engine.start([replace(first, execution=new_id("exe"), root=new_id("exe"))])
        )
        await asyncio.sleep(0)
        await engine.release(first.flow.instance)
        await claimed.wait()
        let_go.set()
        [started] = await again
        assert started.duplicate_of == first.execution
        await office.until(office.ended, "cus_a", 2)


@for_each(
    ("room", "running", "left"),
    [
        (Room(1), [0], [1]),
        (Room(2), [0, 1], [1, 0]),
        (Room(10), [0, 4, 5], [5, 1, 0]),
        (Room(10, share=1.0), [0, 4, 10], [10, 6, 0]),
        (Room(100, share=0.25), [0, 24, 25], [25, 1, 0]),
    ],
)
def test_a_lone_customer_may_have_its_share_of_the_room(
    room: Room, running: list[int], left: list[int]
):
    assert [room.left(room.turns - each, each) for each in running] == left
