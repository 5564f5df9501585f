"""The processes of a world: workers, gateways, their children; how they begin, stall and die."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from halflap.engine.executor import Executor
from halflap.engine.journal import JournalEngine
from halflap.engine.protocol import Turn, Verdict
from halflap.engine.room import Room
from halflap.errors import HalflapError, StoreError
from halflap.gateway.app import Gateway
from halflap.model import Change, Micros
from halflap.store.journal import SqliteJournal
from tests.simulation.app import TURN
from tests.simulation.child import SimulatedProbation
from tests.simulation.database import InlineDatabase
from tests.simulation.flows import find, work_of
from tests.simulation.loop import Process, in_context
from tests.simulation.shared import SharedDatabase, SharedJournal, Telling
from tests.simulation.trace import Violation
from tests.simulation.truth import Watched

if TYPE_CHECKING:
    from tests.simulation.world import World

POLL_SECONDS = 2.0


class WatchedSqlite(Watched, SqliteJournal):
    """The journal in SQLite, watched."""


class WatchedShared(Watched, SharedJournal):
    """The journal as in PostgreSQL, watched."""


@dataclass(eq=False)
class Host:
    """The parts of a server that run in a process."""

    process: Process
    kind: str
    engine: JournalEngine | None = None
    gateway: Gateway | None = None
    probation: SimulatedProbation | None = None
    ahead: Micros = 0
    children: list[Process] = field(default_factory=list[Process])


class Fleet:
    """All processes there are, and have been."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plan = world.plan
        self._loop = world.loop
        self._chance = random.Random(f"fleet {world.plan.seed}")
        self.hosts: list[Host] = []
        self._crashes_left = world.plan.crashes
        self._stalls_left = world.plan.stalls
        self._calm = False

    def begin(self) -> None:
        """Start what the plan has."""
        for kind in ["worker"] * self._plan.workers + ["gateway"] * self._plan.gateways:
            self._boot(kind)

    def calm(self) -> None:
        """Let nobody die or stall from now on."""
        self._calm = True
        for each in self.hosts:
            each.process.dies_at = each.process.stalls_at = 0
            for child in each.children:
                child.dies_at = 0

    def any(self, suits: Callable[[Host], bool]) -> Host | None:
        """One that lives and suits."""
        found = [each for each in self.hosts if each.process.alive and suits(each)]
        return self._chance.choice(found) if found else None

    async def ask(self, host: Host, do: Callable[[JournalEngine], Any]) -> bool:
        """Have a process do something; false where it died, or could not."""
        engine, answered = host.engine, self._loop.create_future()
        assert engine is not None

        async def asked() -> None:
            try:
                await do(engine)
            except HalflapError:
                answered.done() or answered.set_result(False)
            else:
                answered.done() or answered.set_result(True)

        self._loop.create_task(asked(), context=in_context(host.process))
        try:
            async with asyncio.timeout(60):
                return await answered
        except TimeoutError:
            return False

    async def ask_any(self, do: Callable[[JournalEngine], Any]) -> None:
        """Have any process do something, until one has."""
        while True:
            host = self.any(lambda each: each.engine is not None)
            if host is not None and await self.ask(host, do):
                return
            await asyncio.sleep(1.0)

    async def drain(self) -> None:
        """Stop a worker in good order, as for a rolling restart."""
        await asyncio.sleep(20 * self._chance.random())
        host = self.any(lambda each: each.kind == "worker" and each.engine is not None)
        if host is None or host.engine is None:
            return
        self._world.note(host.process.name, "is asked to stop", "stops")
        host.gateway = None
        grace = self._chance.choice([0.0, 2.0, 10.0])
        ended: asyncio.Future[None] = self._loop.create_future()

        async def stop(engine: JournalEngine) -> None:
            if host.probation is not None:
                host.probation.stop()
            await engine.stop(grace)
            if host.probation is not None:
                await host.probation.close()

        context = in_context(host.process)
        stopping = self._loop.create_task(stop(host.engine), context=context)
        stopping.add_done_callback(lambda _: ended.done() or ended.set_result(None))
        try:
            async with asyncio.timeout(240):
                await ended
        except TimeoutError:
            if host.process.alive and host.process.stalled_until < self._loop.time() - 100:
                raise Violation("a process stops when it is asked to", host.process.name) from None
        self._loop.kill(host.process)

    def claimed(self, worker: str) -> None:
        """Somebody claimed an execution: a good moment to stall, with its lease in hand."""
        if self._calm or self._stalls_left <= 0 or not self._plan.stalls_after_claim:
            return
        for each in self.hosts:
            process = each.process
            if process.name == worker and process.stalls_at <= process.calls:
                process.stalls_at = process.calls + self._chance.randint(1, 15)
                process.stall = self._chance.choice([35.0, 90.0])
                self._stalls_left -= 1

    # One process ----------------------------------------------------------------------------------

    def _boot(self, kind: str) -> None:
        chance = self._chance
        process = Process(f"{kind[0]}{len(self.hosts)}")
        if self._plan.store == "postgresql":
            process.wall_ahead = chance.choice([-100.0, 0.0])
        host = Host(process, kind, ahead=chance.randint(-2_000, 2_000))
        process.on_death = lambda _: self._died(host)
        process.on_stall = lambda _: self._world.note(process.name, "stalls", "stalls")
        if not self._calm and chance.random() < 0.7:
            life = 1 + int(chance.expovariate(1 / self._plan.mean_life))
            if self._crashes_left > 0:
                process.dies_at = life
            if self._stalls_left > 0 and not self._plan.stalls_after_claim:
                process.stalls_at = 1 + int(chance.random() * life)
                process.stall = chance.choice([1.0, 35.0, 90.0])
                self._stalls_left -= 1
        self.hosts.append(host)
        self._world.note(process.name, "begins")
        living = self._loop.create_task(self._live(host), context=in_context(process))
        living.add_done_callback(lambda done: self._ended(host, done), context=self._world.context)

    def _ended(self, host: Host, done: asyncio.Task[None]) -> None:
        if done.exception() is not None:
            how = f"{host.process.name}: {done.exception()!r}"
            self._world.trace.broken(Violation("a process ends only where it has to", how))

    def _died(self, host: Host) -> None:
        self._world.note(host.process.name, "is dead", "crashes")
        self._world.server.listeners.pop(host.process.name, None)
        self._crashes_left -= 1
        for child in host.children:
            self._loop.kill(child)
        wait = self._chance.choice([0.01, 1.0, 40.0]) * self._chance.random()
        self._loop.call_later(wait, lambda: self._boot(host.kind), context=self._world.context)

    async def _live(self, host: Host) -> None:
        """A process from its start to its end, as halflap/server/host.py puts it together."""
        process, plan, world = host.process, self._plan, self._world
        clock: Callable[[], Micros]
        hints: Telling | None = None
        if plan.store == "sqlite":
            clock = world.clock
            database: Any = InlineDatabase(world.disk, clock, world.troubles)
            journal: Any = WatchedSqlite(database, clock)
        else:
            clock = lambda: world.clock() + host.ahead  # noqa: E731
            database = SharedDatabase(world.server, clock)
            hints = Telling(world.server, process)
            journal = WatchedShared(database, worker=process.name, hints=hints)
        journal.truth, journal.worker = world.truth, process.name
        database.on_failure = lambda error: self._fail(process, error)
        engine = JournalEngine(
            journal,
            clock=clock,
            room=Room(plan.room),
            poll=None if hints is None else POLL_SECONDS,
            suspects=not plan.probation,
            monotonic=self._loop.time,
            hints=hints,
        )
        engine.follow(lambda change: self._told(change))
        try:
            await journal.void()
        except StoreError as error:
            self._fail(process, error)
            return
        host.engine = engine
        bits = random.Random(f"{process.name} {plan.seed}")
        if plan.gateways == 0 or host.kind == "gateway":
            host.gateway = Gateway(
                find,
                engine,
                clock,
                reject=lambda _: None,
                count=lambda *_: None,
                chance=lambda: bits.getrandbits(74),
            )
        if host.kind == "worker":
            await self._work(host, engine)

    async def _work(self, host: Host, engine: JournalEngine) -> None:
        process = host.process
        executor = Executor(work_of, random.Random(f"retry {process.name} {self._plan.seed}"))

        async def handle(turn: Turn) -> Verdict:
            TURN.set(turn)
            return await executor(turn)

        running = [asyncio.create_task(engine.run(handle))]
        if self._plan.probation:
            host.probation = SimulatedProbation(engine, executor, host.children, self._bear)
            running.append(asyncio.create_task(host.probation.run()))
        try:
            await asyncio.gather(*running)
        except StoreError as error:
            self._fail(process, error)

    def _bear(self, parent: Process, size: int) -> Process:
        """A child process; one that runs many may be cut as well."""
        child = Process(f"{parent.name}'", worker=parent.name)
        if size > 1 and not self._calm and self._chance.random() < 0.3:
            child.dies_at = 1 + int(self._chance.expovariate(1 / 200))
        return child

    def _fail(self, process: Process, error: BaseException) -> None:
        self._world.note(process.name, f"gives up: {type(error).__name__}")
        if not isinstance(error, StoreError | sqlite3.Error):  # no trouble of the store's
            how = f"{process.name}: {error!r}"
            self._world.trace.broken(Violation("a process ends only where it has to", how))
        self._loop.kill(process)

    def _told(self, change: Change) -> None:
        """Check that an outcome that is told of is one that is kept."""
        known = self._world.truth.executions.get(change.execution)
        if known is None:
            self._world.trace.broken(Violation("nobody is told before it is kept", str(change)))
        elif change.outcome is not None and (
            known.outcome is None or known.outcome.state != change.outcome.state
        ):
            violation = Violation("nobody is told before it is kept", change.execution)
            self._world.trace.broken(violation)
