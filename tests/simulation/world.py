"""A world from a seed: its processes, its people, its store and its app, and all that goes wrong."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from contextvars import Context, copy_context
from dataclasses import dataclass

from halflap.model import Micros
from tests.simulation.app import APP, App
from tests.simulation.database import Disk, Troubles, empty_store
from tests.simulation.fleet import Fleet
from tests.simulation.loop import Loop, Standstill
from tests.simulation.people import People
from tests.simulation.plan import Plan, plan_of
from tests.simulation.shared import Server
from tests.simulation.trace import Trace, Violation
from tests.simulation.truth import Truth
from tests.simulation.verify import verify

BEGINS: Micros = 1_767_225_600_000_000
PATIENCE = 900.0
"""Seconds that everything may take to come to its end, once nothing goes wrong any more."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a seed."""

    seed: int
    hash: str
    calls: int
    seconds: float
    violation: Violation | None
    counts: Counter[str]
    lines: tuple[str, ...]


def simulate(seed: int) -> Report:
    """Run a seed."""
    gc.disable()
    world = World(plan_of(seed))
    try:
        return world.run()
    finally:
        world.loop.close()
        gc.enable()


class World:
    """Everything there is, in one loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = Loop(random.Random(f"loop {plan.seed}"), fifo=plan.fifo)
        self.chance = random.Random(f"world {plan.seed}")
        self.context: Context = copy_context()
        self.trace = Trace(self.loop.time, self._stop)
        self.note = self.trace.note
        self.troubles = Troubles(plan.refuse, plan.doubt, slowest=plan.slowest, count=self._count)
        self.store = empty_store()
        self.truth = Truth(self.trace)
        self.app = App(
            self.truth,
            random.Random(f"app {plan.seed}"),
            self.trace,
            self.troubles,
            slow=plan.app_slow,
            fails=plan.app_fails,
            strict=plan.jumps == 0,
        )
        chance = random.Random(f"store {plan.seed}")
        self.server = Server(self.store, self.clock, self.troubles, chance)
        self.disk = Disk(self.store, self.troubles, chance)
        self.fleet = Fleet(self)
        self.people = People(self)
        self.truth.on_claim = self.fleet.claimed
        self._ahead: Micros = 0

    def run(self) -> Report:
        """Run to the end, and say what became of it."""
        violation: Violation | None = None
        try:
            self.loop.run(self._main())
        except Violation as broken:
            violation = broken
        except Standstill as stuck:
            violation = Violation("nothing is stuck", str(stuck))
        for each in self.loop.complaints:
            violation = violation or Violation("no error goes unseen", each)
        self.note("world", f"{self.loop.calls} calls, {violation}")
        return Report(
            self.plan.seed,
            self.trace.hash(),
            self.loop.calls,
            self.loop.time(),
            violation,
            self.trace.counts,
            tuple(self.trace.lines),
        )

    def clock(self) -> Micros:
        """The store's time, which jumps."""
        return BEGINS + int(self.loop.time() * 1e6) + self._ahead

    async def _main(self) -> None:
        APP.set(self.app)
        self.context = copy_context()
        plan = self.plan
        self.fleet.begin()
        tasks = self.people.begin()
        tasks += [asyncio.create_task(self._jump()) for _ in range(plan.jumps)]
        tasks += [asyncio.create_task(self._outage()) for _ in range(plan.outages)]
        tasks += [asyncio.create_task(self.fleet.drain()) for _ in range(plan.drains)]
        await asyncio.gather(*tasks)
        await self._all_ended(within=60.0)
        self.troubles.calm = True
        self.fleet.calm()
        self.note("world", "calm")
        if plan.holds:  # what a process was asked to hold before it stalled, it holds by now
            await asyncio.sleep(100.0)
            await self.people.release()
        await self.people.clear_letters()
        patience = PATIENCE + 600.0 * plan.jumps
        while not await self._all_ended(within=30.0):
            await self.people.clear_letters()
            patience -= 30.0
            if patience < 0:
                stuck = [n for n, e in self.truth.executions.items() if e.outcome is None]
                raise Violation("nothing is stuck", f"{stuck[:3]} did not end")
        verify(plan, self.truth, self.store, self.people.acknowledged)

    async def _all_ended(self, within: float) -> bool:
        end = self.loop.time() + within
        while any(each.outcome is None for each in self.truth.executions.values()):
            if self.loop.time() > end:
                return False
            await asyncio.sleep(1.0)
        return True

    async def _jump(self) -> None:
        await asyncio.sleep(30 * self.chance.random())
        by = self.chance.choice([-600, -40, 40, 600])
        self.note("world", f"the clock jumps by {by} s", "clock jumps")
        self._ahead += by * 1_000_000

    async def _outage(self) -> None:
        await asyncio.sleep(20 * self.chance.random())
        self.server.down_until = self.loop.time() + self.chance.choice([2.0, 10.0, 40.0, 100.0])
        self.note("world", f"the database is down until {self.server.down_until:.1f}", "outages")

    def _stop(self, violation: Violation) -> None:
        self.loop.broken = self.loop.broken or violation

    def _count(self, what: str) -> None:
        self.trace.counts[what] += 1
