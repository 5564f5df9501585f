"""PostgreSQL's semantics, as workers see them: one database, many processes, transactions that
interleave, commits in doubt, claims that pass over what others hold, hints that get lost.

What the verbs do is the SQL of the journal in SQLite, in memory, so that there is no third copy of
it to keep; each transaction takes place in one moment, somewhere between its sending and its
answer, also where its sender has died meanwhile. It passes the stateful models of the journal and
of orders, and the conformance tests of what could be otherwise here (`ON_EVERY_STORE`).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from halflap.errors import InDoubt, StoreError
from halflap.model import Clock, Micros
from halflap.store.claiming import NEXT_DUE
from halflap.store.job import WriterStats
from halflap.store.journal import SqliteJournal
from halflap.store.postgres.batching import Gathering
from halflap.store.protocol import Claim, Lease, Pinning
from tests.simulation.database import NOTE, Note, Troubles, empty_store
from tests.simulation.loop import PROCESS, Process, in_context

PATIENCE_SECONDS = 15.0
LONGEST_DOUBT = 30.0


class Server:
    """The database: its rows, its time, who holds what, and who wants to hear of news."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        troubles: Troubles | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.troubles = troubles or Troubles(slowest=0.0, calm=True)
        self.chance = chance or random.Random(0)
        self.owners: dict[str, str] = {}
        self.down_until = 0.0
        self.listeners: dict[str, Callable[[str], object]] = {}

    def run(self, jobs: Sequence[tuple[Callable[[Any], Any], Any]]) -> list[Any]:
        """One transaction, in one moment; what a job raises rolls it back."""
        connection, noted = self.connection, []

        def kept(note: Note, heard: Any) -> None:
            noted.append((note, heard))

        connection.execute("BEGIN")
        try:
            results = [
                note.of(job, kept)(connection) if note else job(connection) for job, note in jobs
            ]
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        for note, heard in noted:
            note.hear(heard)
        return results

    def tell(self, sender: str, line: str) -> None:
        """Tell the other processes something; some do not hear of it."""
        for name, listener in list(self.listeners.items()):
            if name != sender and not self.troubles.strike(self.chance, 0.3, "hints lost"):
                listener(line)


class Telling:
    """The hints that one process sends, and hears."""

    def __init__(self, server: Server, process: Process) -> None:
        self._server = server
        self._process = process
        self._context = in_context(process)

    def send(self, line: str = "") -> None:
        """Tell the others."""
        self._server.tell(self._process.name, line)

    def follow(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call a listener with each hint of another process."""
        loop, chance = asyncio.get_running_loop(), self._server.chance

        def hear(line: str) -> None:
            loop.call_later(0.02 * chance.random(), listener, line, context=self._context)

        self._server.listeners[self._process.name] = hear
        return lambda: self._server.listeners.pop(self._process.name, None)


class SharedDatabase:
    """One process's way into the database: its connections, and the batches that gather."""

    on_failure: Callable[[BaseException], object] | None = None
    failed = None
    where = "simulated"

    def __init__(self, server: Server, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.stats = WriterStats()
        self._gathering: Gathering[_Item] = Gathering(self._write)

    def post(self, job: Callable[[Any], Any]) -> asyncio.Future[Any]:
        """Have a job written together with others'."""
        item = _Item(job, NOTE.get())
        waits = self._gathering.post(item)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(written: asyncio.Future[Any]) -> None:
            if answer.done():
                return
            if written.exception() is not None:
                answer.set_exception(written.exception())
            else:
                answer.set_result(item.result)

        waits.add_done_callback(done)
        return answer

    async def write(self, job: Callable[[Any], Any]) -> Any:
        """A transaction of its own."""
        (result,) = await self._transaction([(job, NOTE.get())])
        return result

    async def read(self, job: Callable[[Any], Any]) -> Any:
        """A statement that only reads, as of some moment between now and its answer."""
        await self._reach()
        result = job(self.server.connection)
        await self._pass()
        return result

    async def _write(self, items: Sequence[_Item]) -> None:
        results = await self._transaction([(each.job, each.note) for each in items])
        for item, result in zip(items, results, strict=True):
            item.result = result

    async def _reach(self) -> None:
        loop, waited = asyncio.get_running_loop(), 0.0
        while True:
            await self._pass()
            if self.server.down_until <= loop.time():
                return
            if waited > PATIENCE_SECONDS:
                raise StoreError("the database stays away")
            pause = 0.5
            await asyncio.sleep(pause)
            waited += pause

    async def _pass(self) -> None:
        server = self.server
        slowest = server.troubles.slowest
        if server.troubles.strike(server.chance, 0.02):
            slowest *= 200
        if slowest:
            await asyncio.sleep(slowest * server.chance.random())

    async def _transaction(self, jobs: Sequence[tuple[Callable[[Any], Any], Any]]) -> list[Any]:
        server, loop = self.server, asyncio.get_running_loop()
        while True:
            await self._reach()
            if server.troubles.strike(server.chance, server.troubles.refuse, "commits refused"):
                continue  # a deadlock, or a connection that was lost before its COMMIT
            doubtful = server.troubles.strike(
                server.chance, server.troubles.doubt, "commits in doubt"
            )
            answer = await self._committed(jobs, lost=doubtful and server.chance.random() < 0.5)
            if not doubtful:
                assert answer is not None
                return answer()
            # The connection was lost during COMMIT: look whether it took place, which takes time.
            waited = server.chance.random() * 5.0
            await asyncio.sleep(waited)
            if server.down_until > loop.time() + LONGEST_DOUBT:
                doubt = InDoubt("the database stays away, and a commit's outcome is unknown")
                if self.on_failure is not None:
                    self.on_failure(doubt)
                raise doubt
            if answer is not None:
                return answer()

    async def _committed(
        self, jobs: Sequence[tuple[Callable[[Any], Any], Any]], *, lost: bool
    ) -> Callable[[], list[Any]] | None:
        """Return COMMIT's answer; None where it was lost on its way. The sender may die meanwhile."""
        server, loop, process = self.server, asyncio.get_running_loop(), PROCESS.get()
        if lost:
            return None
        slowest = server.troubles.slowest
        if not slowest:
            return _answer(server, jobs)
        sent = loop.time() + slowest * server.chance.random()
        answered: asyncio.Future[Callable[[], list[Any]]] = loop.create_future()

        def take_place() -> None:
            if process is None or process.alive or process.died_at > sent:
                answer = _answer(server, jobs)
                back = loop.time() + slowest * server.chance.random()
                loop.call_at(back, lambda: answered.done() or answered.set_result(answer))

        at = sent + slowest * server.chance.random()
        loop.call_at(at, take_place, context=in_context(None))
        return await asyncio.shield(answered)


class _Item:
    """A job that waits for its batch."""

    def __init__(self, job: Callable[[Any], Any], note: Any) -> None:
        self.job, self.note, self.result = job, note, None


def _answer(server: Server, jobs: Sequence[Any]) -> Callable[[], list[Any]]:
    try:
        results = server.run(jobs)
    except Exception as error:
        raised = error

        def answer() -> list[Any]:
            raise raised

        return answer
    return lambda: results


class SharedJournal(SqliteJournal):
    """The journal's verbs as one of several workers has them."""

    def __init__(
        self, database: SharedDatabase, *, worker: str, hints: Telling | None = None
    ) -> None:
        super().__init__(database, database.clock)  # pyright: ignore[reportArgumentType]
        self._server = database.server
        self._worker = worker
        self._hints = hints
        self._claiming = asyncio.Lock()

    async def accept(self, starts: Any, **more: Any) -> Any:
        answers = await super().accept(starts, **more)
        self._own(each.claim for each in answers)
        if any(each.claim is None and each.duplicate_of is None for each in answers):
            self._tell()
        return answers

    async def claim(self, room: int, lease: Micros, **more: Any) -> list[Claim]:
        if room <= 0:
            return []
        async with self._claiming:
            asked = (int(more.get("probation", False)),)
            (at,) = await self._database.read(lambda c: c.execute(NEXT_DUE, asked).fetchone())
            now = self._clock()
            if (at is None or at > now) and not self._hindsight.before:
                return []
            # Rows that another transaction holds just now are passed over.
            locked = self._server.troubles.strike(self._server.chance, 0.2)
            room = int(room * self._server.chance.random()) if locked else room
            claims = await super().claim(room, lease, **more) if room else []
        self._own(claims)
        return claims

    async def end(self, lease: Lease, *given: Any, **more: Any) -> Any:
        written = await super().end(lease, *given, **more)
        if lease.ordered:
            self._tell()
        return written

    async def cancel_many(self, *given: Any, **more: Any) -> Any:
        done = await super().cancel_many(*given, **more)
        self._tell()
        return done

    async def signal(self, *given: Any, **more: Any) -> Any:
        sent = await super().signal(*given, **more)
        self._tell()
        return sent

    async def release_instance(self, instance: str, pinning: Pinning | None = None) -> None:
        await super().release_instance(instance, pinning)
        self._tell()

    async def dismiss(self, execution: str) -> bool:
        dismissed = await super().dismiss(execution)
        self._tell()
        return dismissed

    async def next_due(self, *, probation: bool = False, held_back: bool = False) -> Micros | None:
        token = NOTE.set(None)
        try:
            return await super().next_due(probation=probation, held_back=held_back)
        finally:
            NOTE.reset(token)

    async def void(self) -> int:
        mine = [name for name, worker in self._server.owners.items() if worker == self._worker]
        marks = ", ".join("?" * len(mine))
        where = f"state = 'running' AND (id IN ({marks}) OR lease_until < ?)"
        return await self._unclean(where, (*mine, self._clock()))

    async def lapse(self) -> int:
        now = self._clock()
        there = "SELECT 1 FROM executions WHERE state = 'running' AND lease_until < ?"
        found = await self._database.read(lambda c: c.execute(there, (now,)).fetchone())
        voided = 0 if found is None else await super().lapse()
        if voided:
            self._tell()
        return voided

    def _tell(self) -> None:
        if self._hints is not None:
            self._hints.send()

    def _own(self, claims: Any) -> None:
        for each in claims:
            if each is not None:
                self._server.owners[each.start.execution] = self._worker


def simulated_journal(clock: Clock) -> SharedJournal:
    """A journal of its own, where nothing goes wrong: for the conformance suite."""
    server = Server(empty_store(), clock)
    return SharedJournal(SharedDatabase(server, clock), worker="only")
