"""One PostgreSQL database and the ways into it: connections, transactions, and its time.

A write is a job, a function that is given a connection in a transaction. It may be run again: after
a deadlock, after a connection that was lost before its COMMIT, and after one that was lost *during*
its COMMIT, once it is known that this did not take place (doubt.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import psycopg
import structlog
from psycopg import errors, pq

from halflap.errors import InDoubt, StoreError
from halflap.model import Clock, Micros
from halflap.store.act import Act, is_refused, note_written, open_acts
from halflap.store.job import WriterStats
from halflap.store.postgres.connecting import ALONG_INDEXES, Connection, connect, placed
from halflap.store.postgres.doubt import ADD, DOUBT_SECONDS, MARK, NUMBER, REMOVE, WriterRow
from halflap.store.postgres.explain import explain, where
from halflap.store.postgres.guard import ENTER, LEAVE
from halflap.store.postgres.time import DatabaseClock, measure
from halflap.store.scope import CustomerScope

T = TypeVar("T")
E = TypeVar("E", bound=StoreError)

log = structlog.get_logger("halflap.store")

Job = Callable[[Connection], Awaitable[T]]
"""A job may be run again, so it has no effect but through SQL."""
Values = Sequence[Any] | Mapping[str, Any]

CONNECTIONS = 8
ENCODING = "UTF8"
MAKE_ENCODED = "make the database with: createdb --encoding UTF8 --template template0"
CLOSE_SECONDS = 10.0
"""Seconds that a store which is closed waits for what is under way."""
PATIENCE_SECONDS = 15.0
"""Seconds that a write waits for a database that restarts, before it fails with `StoreError`."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
OLDEST = 140000
"""PostgreSQL 14."""


class _NotCommitted(psycopg.OperationalError):
    """The answer to a COMMIT was lost, and nothing was committed."""


_AGAIN = (
    _NotCommitted,
    errors.IdleInTransactionSessionTimeout,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
)


@dataclass(slots=True)
class _Seat:
    """A place for one connection; the row of its writes outlives the connection."""

    row: WriterRow = field(default_factory=WriterRow)
    connection: Connection | None = None


class PostgresWays(Protocol):
    """The connections and batches that a verb of the journal needs of a database, in a scope or in
    none.
    """

    clock: Clock

    async def fetch(self, sql: str, values: Values = ()) -> list[Any]: ...
    async def run(self, job: Job[T]) -> T: ...
    async def write(self, job: Job[T], *, pipelined: bool = True) -> T: ...


class PostgresDatabase:
    """One PostgreSQL database, shared with other processes. Use `Database.open`.

    Belongs to the event loop that opened it. `clock` is the database's time, in microseconds since
    1970, without asking it each time: its `own_clock`, where no other stands in for it.
    """

    def __init__(self, url: str, clock: Clock, own_clock: DatabaseClock | None, seats: int) -> None:
        self.url = url
        self.name = where(url)
        self.clock = clock
        self.schema = ""
        self.stats = WriterStats()
        self.before_close: list[Callable[[], Awaitable[None]]] = []
        self.once_closed: list[Callable[[], object]] = []
        self.on_failure: Callable[[BaseException], object] | None = None
        self.own_clock = own_clock
        self._free = [_Seat() for _ in range(seats)]
        self._seats = tuple(self._free)
        self._room = asyncio.Semaphore(seats)
        self._closed = False
        self._looking: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, url: str, *, clock: Clock | None = None, connections: int = CONNECTIONS
    ) -> PostgresDatabase:
        """Connect to the database at `url`, as `postgresql://user@host:5432/name`.

        `clock` stands in for the database's own time, in tests. Raises `StoreError` where the
        database cannot be reached, or would not keep what Halflap promises.
        """
        own = None if clock is not None else DatabaseClock()
        database = cls(url, clock or own or DatabaseClock(), own, connections)
        try:
            await database.run(database._see)
        except BaseException:
            await database.close()
            raise
        if own is not None:
            database._looking = asyncio.create_task(own.follow(database.run))
        return database

    @property
    def failed(self) -> BaseException | None:
        """As a file's: None, because here a failure ends with the connection that had it."""
        return None

    async def run(self, job: Job[T]) -> T:
        """Run a job outside of any transaction: each of its statements is one of its own.

        It is run again where its connection turns out to have been lost before. What psycopg raises
        of the database or the way to it comes out as a `StoreError`.
        """
        async with self._seat() as seat:
            for is_new in (seat.connection is None, True):
                try:
                    return await job(await self._connected(seat))
                except psycopg.Error as error:
                    if is_new or not _is_lost(seat):
                        raise explain(error, self.name) from error
        raise AssertionError

    async def write(self, job: Job[T], *, pipelined: bool = True) -> T:
        """Run a job in a transaction, again where need be, and return its result once committed.

        In a pipeline its statements are sent without waiting for each other, and fetching waits. So
        it sends what it can before it fetches, and neither begins nor ends a transaction. Raises
        `StoreError` where the database stays away; then nothing was written.
        """
        begun = open_acts()
        if begun:
            job = _audited(job, begun)
        pause = FIRST_PAUSE
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        async with self._seat() as seat:
            while True:
                try:
                    result = await self._try(seat, job, pipelined=pipelined)
                except (
                    psycopg.OperationalError,
                    psycopg.InterfaceError,
                    psycopg.InternalError,
                    StoreError,
                ) as error:
                    if not _worth_another_try(error, seat):
                        raise explain(error, self.name) from error
                    late = asyncio.get_running_loop().time() + pause > deadline
                    if late or self._closed:
                        raise explain(error, self.name) from error
                else:
                    note_written(begun, result)
                    return result
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def fetch(self, sql: str, values: Values = ()) -> list[Any]:
        """The rows of one statement that only reads, as of now."""
        cursor = await self.run(lambda c: c.execute(sql.encode(), values, binary=True))
        return await cursor.fetchall()

    async def seek(self, sql: str, values: Values = ()) -> list[Any]:
        """As `fetch`, along an index as in a write: for what is asked again and again of what is live."""
        return await self.run(partial(_look, f"SELECT {ALONG_INDEXES}", (), sql, values))

    def within(self, scope: CustomerScope) -> PostgresWays:
        """This database for whoever is in a scope; the whole tenant's is the database as it is."""
        return self if scope.customer is None else ScopedDatabase(self, scope.customer)

    async def close(self) -> None:
        """Let go of all connections; what is under way may finish first, for `CLOSE_SECONDS`."""
        settling = asyncio.create_task(self._settle(), name="store settles")
        try:
            if not (await asyncio.wait([settling], timeout=CLOSE_SECONDS))[0]:
                log.warning("the store is closed with work under way", store=self.name)
                settling.add_done_callback(_ignore)
                settling.cancel()
        finally:
            self._closed = True
            for seat in self._seats:
                await self._discard(seat)
            for each in self.once_closed:
                each()
        if settling.done():
            settling.result()

    async def _settle(self) -> None:
        for each in self.before_close:
            await each()
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        for _ in self._seats:
            await self._room.acquire()
        names = [each.row.id for each in self._seats if each.row.added]
        connections = [each.connection for each in self._seats if each.connection is not None]
        if names and connections:
            with contextlib.suppress(psycopg.Error):
                await connections[0].execute(REMOVE, (names,))
        for _ in self._seats:
            self._room.release()

    async def _see(self, connection: Connection) -> None:
        """See what a new database is like; raises `StoreError` where it cannot be used."""
        version = connection.info.server_version
        if version < OLDEST:
            raise StoreError(
                f"{self.name}: this is PostgreSQL {version // 10_000}; "
                f"Halflap needs {OLDEST // 10_000} or a newer one."
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != ENCODING:
            raise StoreError(
                f"{self.name}: its encoding is {encoding}, which cannot hold every text; {MAKE_ENCODED}."
            )
        cursor = await connection.execute("SELECT current_schema()::text")
        self.schema = (await cursor.fetchone() or [""])[0] or ""
        if self.own_clock is not None:
            self.own_clock.set(await measure(connection))

    # -- one try of a write ---------------------------------------------------------------------

    async def _try(self, seat: _Seat, job: Job[T], *, pipelined: bool) -> T:
        connection = await self._connected(seat)
        now = self.clock()
        row = seat.row = seat.row.current(now)
        if not row.added:
            await connection.execute(ADD, (row.id, now))
            row.added = True
        try:
            async with contextlib.AsyncExitStack() as pipeline:
                await pipeline.enter_async_context(connection.pipeline())
                await connection.execute("BEGIN")
                mark = await connection.execute(MARK, row.marking(now))
                if not pipelined:
                    await pipeline.aclose()
                result = await job(connection)
            if mark.rowcount != 1:
                raise self._failed(row.gone(self.name))
        except BaseException:
            await self._roll_back(seat)
            raise
        try:
            await connection.execute("COMMIT", prepare=False)
        except psycopg.IntegrityError:
            raise
        except asyncio.CancelledError:
            await self._discard(seat)
            if await asyncio.shield(self._was_committed(seat)):
                self._committed(row, now)
            raise  # or a role that only its cancellation ends goes on for ever
        except psycopg.Error as error:
            await self._discard(seat)
            if not await asyncio.shield(self._was_committed(seat)):
                raise _NotCommitted(str(error)) from error
        self._committed(row, now)
        return result

    def _committed(self, row: WriterRow, now: Micros) -> None:
        row.committed(now)
        self.stats.commits += 1

    async def _was_committed(self, seat: _Seat) -> bool:
        self.stats.doubts += 1
        pause, waited = FIRST_PAUSE, 0.0
        while True:
            try:
                connection = await self._connected(seat)
                found = await (await connection.execute(NUMBER, (seat.row.id,))).fetchone()
            except (psycopg.Error, StoreError) as error:
                await self._discard(seat)
                if waited > DOUBT_SECONDS:
                    raise self._doubt(error) from error
            else:
                return seat.row.was_committed(found and found[0])
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 2, LONGEST_PAUSE)

    def _doubt(self, error: BaseException) -> InDoubt:
        return self._failed(
            InDoubt(
                f"{self.name}: the connection was lost during a commit and the database stays away "
                f"({error}); its outcome is unknown. Start again once it can be reached."
            )
        )

    def _failed(self, error: E) -> E:
        """Say to whoever runs the process that only another one can go on; return the error."""
        if self.on_failure is not None:
            self.on_failure(error)
        return error

    # -- connections ----------------------------------------------------------------------------

    @asynccontextmanager
    async def _seat(self) -> AsyncGenerator[_Seat]:
        async with self._room:
            seat = self._free.pop()
            try:
                yield seat
            finally:
                try:
                    await self._roll_back(seat)
                finally:
                    if seat.connection is not None and not _is_at_rest(seat.connection):
                        await self._discard(seat)
                    self._free.append(seat)

    async def _connected(self, seat: _Seat) -> Connection:
        if not self._closed and (seat.connection is None or seat.connection.closed):
            seat.connection = await connect(self.url)
            if self._closed:  # nobody else would close what came too late
                await self._discard(seat)
        if self._closed or seat.connection is None:
            raise StoreError(f"{self.name}: the store is closed; open it again to use it.")
        return seat.connection

    async def _roll_back(self, seat: _Seat) -> None:
        connection = seat.connection
        if connection is None or connection.closed:
            return
        if connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            with contextlib.suppress(psycopg.Error):
                await connection.execute("ROLLBACK")

    async def _discard(self, seat: _Seat) -> None:
        connection, seat.connection = seat.connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                await connection.close()


class ScopedDatabase:
    """The ways into a database in a customer's scope: in transactions that take the API's role, and
    name whose rows they see."""

    def __init__(self, database: PostgresDatabase, customer: str) -> None:
        self.clock = database.clock
        self._database = database
        self._customer = customer

    async def fetch(self, sql: str, values: Values = ()) -> list[Any]:
        """The rows of one statement that only reads, of those that are in scope."""
        return await self._database.run(partial(_look, ENTER, (self._customer,), sql, values))

    async def run(self, job: Job[T]) -> T:
        """Run a job that only reads what is in scope."""

        async def entered(connection: Connection) -> T:
            async with connection.pipeline():
                await connection.execute("BEGIN READ ONLY")
                await connection.execute(ENTER, (self._customer,))
            result = await job(connection)
            await connection.execute("COMMIT")
            return result

        return await self._database.run(entered)

    async def write(self, job: Job[T], *, pipelined: bool = True) -> T:
        """Run a job in a transaction; what it writes out of scope raises, and is rolled back."""

        async def entered(connection: Connection) -> T:
            await connection.execute(ENTER, (self._customer,))
            return await job(connection)

        return await self._database.write(entered, pipelined=pipelined)


async def _look(
    setting: str, of: Values, sql: str, values: Values, connection: Connection
) -> list[Any]:
    """Return the rows of one statement, in a transaction with a setting: there and back once."""
    async with connection.pipeline():
        await connection.execute("BEGIN READ ONLY")
        await connection.execute(setting.encode(), of)
        cursor = await connection.execute(sql.encode(), values, binary=True)
        await connection.execute("COMMIT")
    return await cursor.fetchall()


def _audited(job: Job[T], begun: Sequence[Act]) -> Job[T]:
    """Return a job that writes the entries of these requests with what it changes, past its scope."""
    statements = [each for act in begun for each in act.statements()]

    async def both(connection: Connection) -> T:
        result = await job(connection)
        if not is_refused(result):
            await connection.execute(LEAVE)
            for sql, values in statements:
                await connection.execute(placed(sql), values)
        return result

    return both


def _ignore(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _is_at_rest(connection: Connection) -> bool:
    return (
        not connection.closed
        and connection.pgconn.transaction_status == pq.TransactionStatus.IDLE
        and connection.pgconn.pipeline_status == pq.PipelineStatus.OFF
    )


def _worth_another_try(error: BaseException, seat: _Seat) -> bool:
    if isinstance(error, InDoubt):
        return False
    if isinstance(error, _AGAIN):
        return True
    return _is_lost(seat) or isinstance(error, errors.AdminShutdown | errors.CannotConnectNow)


def _is_lost(seat: _Seat) -> bool:
    return seat.connection is None or seat.connection.closed
