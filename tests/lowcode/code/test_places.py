"""Each customer has its turn at the workers, and none has them all."""

from __future__ import annotations

import asyncio

import pytest

from halflap.lowcode.code.places import PATIENCE, Places, WorkerSlot
from tests.polling import LoopTime


class Runs:
    """Runs that hold their places until they are ended."""

    def __init__(self, most: int) -> None:
        self.places = Places(most)
        self.held: list[str] = []
        self.left: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def begin(self, *names: str) -> None:
        """`owner` and a digit each."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(name))
        await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
        await settle()

    async def _run(self, name: str) -> None:
        async with self.places.one(name[:-1], lambda: self.left.append(name)) as place:
            self.held.append(name)
            try:
                await self._wait(name, place)
            finally:
                self.held.remove(name)

    async def _wait(self, name: str, place: WorkerSlot) -> None:
        await self._ends[name].wait()


class Waiting(Runs):
    """Runs that wait for an action as soon as they have a place."""

    async def _wait(self, name: str, place: WorkerSlot) -> None:
        with self.places.lent(place):
            await self._ends[name].wait()
        await self.places.take(place)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_owner_has_half_of_the_places_at_most() -> None:
    runs = Runs(4)
    await runs.begin("a1", "a2", "a3", "b1")
    assert runs.held == ["a1", "a2", "b1"]
    await runs.end("b1")
    assert runs.held == ["a1", "a2"]
    await runs.end("a1")
    assert runs.held == ["a2", "a3"]
    await runs.end("a2", "a3")
    assert runs.held == []


async def test_owners_have_their_turns_however_many_wait() -> None:
    runs = Runs(2)
    await runs.begin("a1", "a2", "a3", "b1", "b2", "c1")
    seen: list[str] = []
    while runs.held:
        seen.append(runs.held[0])
        await runs.end(runs.held[0])
    assert seen == ["a1", "b1", "a2", "b2", "c1", "a3"]


async def test_who_waits_for_an_action_lends_its_place_to_who_needs_it(
    standing: LoopTime,
) -> None:
    runs = Waiting(2)
    await runs.begin("a1", "b1")
    await standing.move(PATIENCE)
    assert runs.left == []  # nobody needs one
    await runs.begin("b2", "c1")
    assert runs.left == ["b1", "a1"]  # its own first, where it has as many as it may
    await runs.end("b1", "b2", "a1", "c1")
    await asyncio.gather(*runs.tasks.values())
    assert runs.held == []


async def test_who_has_waited_briefly_keeps_its_place_as_long(standing: LoopTime) -> None:
    runs = Waiting(1)
    await runs.begin("a1", "a2")
    await standing.move(PATIENCE / 2)
    assert runs.left == []
    await standing.move(PATIENCE)
    assert runs.left == ["a1"]
    await runs.end("a1", "a2")
    await asyncio.gather(*runs.tasks.values())


@pytest.mark.parametrize("when", ["waits", "granted"])
async def test_who_is_cancelled_leaves_its_place(when: str) -> None:
    runs = Runs(1)
    await runs.begin("a1", "a2", "a3")
    if when == "granted":
        runs._ends["a1"].set()
        await asyncio.sleep(0)
    runs.tasks["a2"].cancel()
    await settle()
    await runs.end("a1")
    assert runs.held == ["a3"]
    await runs.end("a3")
    await runs.begin("a4")
    assert runs.held == ["a4"]
    await runs.end("a4")
