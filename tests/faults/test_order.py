"""Orders under faults: many workers, killed, fenced and lapsing at random; no rule is ever broken.

What runs notes that it does in the state, by compare-and-set in a commit of its own, so only who
holds its execution can; and what it finds there besides is what runs beside it. That is exact
whatever is killed or goes on unaware.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Again, Ended, Turn, Verdict
from halflap.errors import InDoubt
from halflap.model import (
    MISSING,
    Event,
    Execution,
    FlowKey,
    Micros,
    Order,
    Outcome,
    Record,
    Start,
    StateWrite,
    new_id,
)
from halflap.store.protocol import Filter, Journal
from tests.conftest import Note
from tests.journals import opened

WORKERS = 4
FEW = {"file": 30, "postgresql": 10}
"""Events of a key; one costs twenty times as much on PostgreSQL."""
MANY = 840
STORES = {"file": "SQLite", "postgresql": "PostgreSQL"}
DEADLINE = 1_800.0
SCOPE = "witness"
FLOW = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
BEGUN = Record(0, "begun#1", "step", "begun", "Begun", "succeeded", 1, 1)
RULES: dict[str, dict[str, Any]] = {
    "fifo": {},
    "blocking": {"after_failure": "block"},
    "passable": {"while_waiting": "go_on"},
    "parallel": {"width": 3, "while_waiting": "go_on"},
    "singleton": {"when_busy": "end"},
    "latest": {"when_busy": "replace"},
}


class Clock:
    """The time, with leaps."""

    def __init__(self) -> None:
        self.leapt: Micros = 0

    def __call__(self) -> Micros:
        return time.time_ns() // 1_000 + self.leapt


class Mortal:
    """A journal in a process that may die: nothing more is written, and no answer comes."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self.journal, name)
        if not inspect.iscoroutinefunction(verb):
            return verb

        async def call(*values: Any, **named: Any) -> Any:
            if self.dead:
                raise InDoubt
            answer = await verb(*values, **named)
            if self.dead:
                raise InDoubt
            return answer

        return call


class Worker:
    """A process that runs executions, and another one in its place once it is killed."""

    def __init__(self, journal: Journal, clock: Clock, handler: Callable[[Turn], Any]) -> None:
        self._journal = journal
        self._clock = clock
        self._handler = handler
        self.begin()

    def begin(self) -> None:
        self.mortal = Mortal(self._journal)
        self.engine = JournalEngine(self.mortal, clock=self._clock, poll=0.02)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.engine.run(self._handler))

    async def kill(self) -> None:
        """It dies with all that it runs, and writes nothing more."""
        self.mortal.dead = True
        tasks = [self.task, *(each.task for each in self.engine._running.values())]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        await self.engine.stop(0)
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass(slots=True)
class Trial:
    """Events of some keys of every rule, given to workers that die; and what was found wrong."""

    journals: list[Journal]
    clock: Clock
    chance: random.Random
    each: int
    """The number of events of a key."""
    ordered: bool = True
    """The rules are on; off, this is the control."""
    wrong: list[str] = field(default_factory=list[str])
    faults: dict[str, int] = field(default_factory=dict[str, int])
    starts: dict[str, list[Start]] = field(default_factory=dict[str, list[Start]])
    workers: list[Worker] = field(default_factory=list[Worker])
    running: dict[str, Turn] = field(default_factory=dict[str, Turn])
    over: bool = False

    async def run(self) -> None:
        self.workers = [Worker(each, self.clock, self.handle) for each in self.journals]
        chaos = asyncio.create_task(self.chaos())
        async with asyncio.timeout(DEADLINE):
            keys = [f"{rule} {number}" for rule in RULES for number in range(2)]
            await asyncio.gather(*(self.feed(key) for key in keys))
            while await self.journals[0].live("ins_1") or await self.dead_letters():
                await self.replay()
                await asyncio.sleep(0.02)
        self.over = True
        await chaos
        for worker in self.workers:
            await worker.stop()

    def start(self, key: str, number: int, replay_of: str | None = None) -> Start:
        id = new_id("exe")
        event = Event("POST", "", "", (), b"%d" % number, 1)
        order = Order("order:ins_1:orders", key, **RULES[key.split()[0]]) if self.ordered else None
        return Start(id, FLOW, event, id, key=key, order=order, replay_of=replay_of)

    async def feed(self, key: str) -> None:
        """Events one after another, each once the one before it is accepted."""
        for number in range(self.each):
            start = self.start(key, number)
            self.starts.setdefault(key, []).append(start)
            await self.accept(start)
            await asyncio.sleep(self.chance.random() * 0.004)

    async def accept(self, start: Start) -> None:
        while True:
            with contextlib.suppress(InDoubt):
                await self.chance.choice(self.workers).engine.start([start])
                return
            await asyncio.sleep(0)

    async def dead_letters(self) -> list[Execution]:
        return await self.journals[0].executions(Filter(dead_letters=True))

    async def replay(self) -> None:
        for each in await self.dead_letters():
            assert each.key is not None
            await self.accept(self.start(each.key, 0, each.id))

    async def handle(self, turn: Turn) -> Verdict:
        start = turn.start
        key, me, number = start.key or "", start.execution, int(start.event.body)
        rule = RULES[key.split()[0]]
        width = rule.get("width", 1)
        self.running[me] = turn
        while True:
            value = await turn.read_state(SCOPE, key)
            now, last = msgspec.json.decode(value) if value else ([], -1)
            others = [each for each in now if each not in (me, start.replay_of)]
            if await self.note(turn, key, value, [*others, me], max(last, number)):
                break
        if len(others) >= width:
            self.wrong.append(f"{key}: {me} runs beside {others}")
        fresh = not turn.history and start.replay_of is None
        if width == 1 and fresh and number <= last:
            self.wrong.append(f"{key}: number {number} begins after {last}")
        for _ in range(self.chance.randint(0, 4)):
            await asyncio.sleep(self.chance.choice([0, 0, 0.002]))
        what = self.chance.random()
        if what < 0.15:
            if rule.get("while_waiting") == "go_on":
                await self.leave(turn, key)
            return Again("retry", turn.now() + self.chance.choice([0, 5_000, 20_000]))
        if what < 0.25 and "after_failure" in rule:
            return Ended(Outcome("failed", "no"))
        await self.leave(turn, key)
        return Ended(Outcome("succeeded"))

    async def leave(self, turn: Turn, key: str) -> None:
        """Note that one runs no more."""
        while True:
            value = await turn.read_state(SCOPE, key)
            now, last = msgspec.json.decode(value) if value else ([], -1)
            rest = [each for each in now if each != turn.start.execution]
            if await self.note(turn, key, value, rest, last):
                return

    async def note(
        self, turn: Turn, key: str, before: bytes | None, now: list[str], last: int
    ) -> bool:
        value = msgspec.json.encode((now, last))
        write = StateWrite(SCOPE, key, value, expect=MISSING if before is None else before)
        return await turn.commit([BEGUN], [], [write])

    async def chaos(self) -> None:
        """Every now and then something happens to a worker, or to all, until all is over."""
        first = ["killed", "stopped", "fenced", "lapsed"]  # each of them at least once
        while not self.over:
            await asyncio.sleep(self.chance.random() * 0.05)
            each = self.chance.choice(["killed", "stopped", "fenced", "fenced", "lapsed"])
            what = first.pop() if first else each
            self.faults[what] = self.faults.get(what, 0) + 1
            worker = self.chance.choice(self.workers)
            match what:
                case "killed":
                    await worker.kill()
                    worker.begin()
                case "stopped":
                    await worker.stop()
                    worker.begin()
                case "fenced":
                    some = list(self.running)
                    some = self.chance.sample(some, min(3, len(some)))
                    await self.journals[0].blame(some, alone=False)
                    for each in some:
                        self.running.pop(each, None)
                case _:
                    self.clock.leapt += 31_000_000
                    await self.journals[0].lapse()

    async def check(self) -> None:
        """Check how all of them ended."""
        for key, starts in self.starts.items():
            ends = [await self.journals[0].execution(each.execution) for each in starts]
            found = [each for each in ends if each is not None]
            assert len(found) == len(starts)
            states = {each.state for each in found}
            match key.split()[0]:
                case "singleton":
                    assert states == {"succeeded", "ignored"}
                    assert all(each.attempt == 0 for each in found if each.state == "ignored")
                case "latest":
                    assert states == {"succeeded", "cancelled"}
                    assert all(each.attempt == 0 for each in found if each.state == "cancelled")
                    assert found[-1].state == "succeeded"
                case "blocking":
                    assert states <= {"succeeded", "failed"}
                case _:
                    assert states == {"succeeded"}


@asynccontextmanager
async def trial(kind: str, folder: Path, *, seed: int = 11, **more: Any) -> AsyncGenerator[Trial]:
    """Workers on one store: on PostgreSQL each with connections of its own."""
    clock = Clock()
    async with contextlib.AsyncExitStack() as stack:
        journals = [await stack.enter_async_context(opened(kind, folder, clock))]
        for _ in range(WORKERS - 1):
            journal = journals[0]
            if kind == "postgresql":
                journal = await stack.enter_async_context(opened(kind, folder, clock))
            journals.append(journal)
        yield Trial(journals, clock, random.Random(seed), **more)


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.soak)])
async def test_no_rule_is_broken_by_workers_that_die(
    tmp_path: Path, kind: str, long: bool, note: Note
) -> None:
    async with trial(kind, tmp_path, each=MANY if long else FEW[kind]) as tried:
        await tried.run()
        events = sum(len(starts) for starts in tried.starts.values())
        run = f"orders, {STORES[kind]}{', long' if long else ''}"
        note(run, faults=sum(tried.faults.values()), acknowledged=events)
        assert tried.wrong == []
        assert set(tried.faults) == {"killed", "stopped", "fenced", "lapsed"}
        await tried.check()


async def test_the_control_without_rules_breaks_them(tmp_path: Path) -> None:
    broken = set[str]()
    for seed in range(5):  # chance may spare a rule, but not for long
        async with trial("file", tmp_path / f"{seed}", seed=seed, each=10, ordered=False) as tried:
            await tried.run()
            broken |= {each.split()[0] for each in tried.wrong}
        if broken == RULES.keys():
            return
    assert broken == RULES.keys()
