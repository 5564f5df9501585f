"""The two ways into PostgreSQL for jobs: a connection whose jobs write, and a few that read.

SQLite admits one process, whose writer makes every job atomic. Here many processes write, each its
jobs one by one, in a transaction each (READ COMMITTED: what is written while a job waits for a lock
is there once it has it). What a job is refused for another process' sake, it is run again for.

Where a COMMIT is not answered, its outcome is found out as the journal's is (doubt.py), as soon as the
server can be asked: what was not committed is done once more. Only where the server does not say in
time is the outcome `InDoubt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from queue import LifoQueue
from typing import Any, TypeVar

import psycopg
from psycopg import errors as sql
from psycopg.pq import TransactionStatus

from halflap.errors import InDoubt, StoreError
from halflap.model import Clock, wall_clock
from halflap.store.job import Connection, Cursor
from halflap.store.job import Jobs as Doing
from halflap.store.postgres.connecting import connect_blocking
from halflap.store.postgres.database import Stats
from halflap.store.postgres.doubt import ADD, DOUBT_SECONDS, MARK, NUMBER, REMOVE, WriterRow
from halflap.store.postgres.explain import explain, where
from halflap.store.postgres.guard import entering
from halflap.store.scope import Scope

T = TypeVar("T")
Job = Callable[[Connection], T]

READERS = 2
TRIES = 5
PATIENCE_SECONDS = 15.0
"""Seconds that a server that restarts is waited for."""
ASK_SECONDS = 0.1
OLDEST = 140000
"""PostgreSQL 14."""

BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') = 'off';
SET LOCAL idle_in_transaction_session_timeout = '5s';
SET LOCAL lock_timeout = '15s';
SET LOCAL statement_timeout = '30s';
"""
"""Begin a transaction that ends a session which hangs in it, before others have waited too long."""

# What another process' work can cause: the job looks again.
CROSSED = (
    sql.UniqueViolation,
    sql.ForeignKeyViolation,
    sql.SerializationFailure,
    sql.DeadlockDetected,
)
_PLACES = re.compile(r"'(?:[^']|'')*'|[?%]")


class Link:
    """A connection as jobs know it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        """Run a statement with values in the places of its `?`."""
        return self._connection.execute(placed(sql), values)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """Run a statement once for each of these rows of values."""
        cursor = self._connection.cursor()
        cursor.executemany(placed(sql), rows)
        return cursor


class Look(Link):
    """A connection that only looks. No text here has a NUL, so to ask for one finds nothing."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        """Run a statement with values in the places of its `?`."""
        return super().execute(
            sql,
            [each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in values],
        )


class Line:
    """A connection that is made when it is needed, and made anew when it was lost."""

    def __init__(self, url: str, closing: threading.Event) -> None:
        self._url = url
        self._closing = closing
        self._open: psycopg.Connection[Any] | None = None

    def connection(self, patience: float = PATIENCE_SECONDS) -> psycopg.Connection[Any]:
        """The connection, which runs each statement by itself unless told otherwise."""
        end = time.monotonic() + patience
        while self._open is None or self._open.closed:
            try:
                self._open = connect_blocking(self._url)
            except psycopg.OperationalError:
                if time.monotonic() > end or self._closing.wait(ASK_SECONDS):
                    raise
        return self._open

    @property
    def lost(self) -> bool:
        """True if there was a connection, and it is gone."""
        return self._open is not None and self._open.closed

    def drop(self) -> None:
        """Close it; the next use makes another."""
        if self._open is not None:
            self._open.close()
            self._open = None


class Jobs:
    """Runs jobs on PostgreSQL.

    Belongs to the event loop that opened it; call its methods from there only.
    """

    def __init__(self, url: str) -> None:
        """Use `Jobs.open`."""
        self.url = url
        self.on_failure: Callable[[BaseException], object] | None = None
        self.stats = Stats()
        self.clock: Clock = wall_clock
        """The clock by which the rows of `writers` are dated."""
        self._row = WriterRow()
        self._where = where(url)
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._writer = Line(url, self._closing)
        self._writing = ThreadPoolExecutor(1, "halflap-store")
        self._reading = ThreadPoolExecutor(READERS, "halflap-store-read")
        self._idle: LifoQueue[Line] = LifoQueue()
        self._lines = [Line(url, self._closing) for _ in range(READERS)]
        for each in self._lines:
            self._idle.put(each)

    @classmethod
    async def open(cls, url: str) -> Jobs:
        """Connect; raises `StoreError` where nothing answers, or what is too old does."""
        jobs = cls(url)
        try:
            await jobs._loop.run_in_executor(jobs._writing, jobs._look)
        except BaseException:
            await jobs.close()
            raise
        return jobs

    @property
    def where(self) -> str:
        """The store's URL, without any password."""
        return self._where

    @property
    def failed(self) -> BaseException | None:
        """Nothing: a failure of the server's hurts only what it was doing."""
        return None

    def post(self, job: Job[T]) -> asyncio.Future[T]:
        """Queue a job, and return the future of its result, which is there once it is committed.

        It may be run again, where another process came in between.
        """
        return self._on(self._writing, self._write, job)

    async def write(self, job: Job[T]) -> T:
        """Run a job, and return its result once it is committed."""
        return await self.post(job)

    async def alone(self, job: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run a job on psycopg's own connection, the one that writes, with no transaction open."""
        return await self._on(self._writing, self._alone, job)

    async def read(self, job: Job[T]) -> T:
        """Run a job that only reads; each of its statements sees what is committed by then."""
        return await self._on(self._reading, self._read, job)

    def within(self, scope: Scope) -> Doing:
        """This database for whoever is in a scope; the whole tenant's is the database as it is."""
        return self if scope.customer is None else Within(self, scope.customer)

    async def close(self) -> None:
        """Commit what is queued, and hang up."""
        self._closing.set()
        await asyncio.shield(self._loop.run_in_executor(None, self._end))

    def _on(
        self, threads: ThreadPoolExecutor, call: Callable[[Any], T], given: Any
    ) -> asyncio.Future[T]:
        if self._closing.is_set():
            future: asyncio.Future[T] = self._loop.create_future()
            future.set_exception(
                StoreError(f"{self.where}: the store is closed; open it again to use it.")
            )
            return future
        return self._loop.run_in_executor(threads, call, given)

    # -- the threads' side ----------------------------------------------------------------------

    def _look(self) -> None:
        try:
            version = self._writer.connection(patience=0).info.server_version
        except psycopg.Error as error:
            raise explain(error, self.where) from error
        if version < OLDEST:
            raise StoreError(
                f"{self.where}: this is PostgreSQL {version // 10_000}; "
                "Halflap needs 14 or a newer one."
            )

    def _write(self, job: Job[T]) -> T:
        for left in reversed(range(TRIES)):
            try:
                return self._transact(job)
            except _Again as again:
                error = again.__cause__ or again
            except CROSSED as crossed:
                error = crossed
            except psycopg.Error as failed:
                raise explain(failed, self.where) from failed
            if not left:
                raise explain(error, self.where) from error
        raise AssertionError

    def _transact(self, job: Job[T]) -> T:
        """Run and commit; raises `_Again`, or another error, where nothing was committed."""
        connection, row, now = self._writer.connection(), self._row, self.clock()
        try:
            if not row.added:
                connection.execute(ADD, (row.id, now))
                row.added = True
            connection.execute(BEGIN)
            row.check(connection.execute(MARK, row.marking(now)).rowcount, self.where)
            result = job(Link(connection))
        except BaseException as error:
            if connection.closed and isinstance(error, psycopg.Error):
                raise _Again from error
            self._roll_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            if connection.info.transaction_status is TransactionStatus.IDLE:
                raise  # the server answered: it refused, and rolled back
            self._writer.drop()
            if not self._was_committed(error):
                raise _Again from error
        row.number += 1
        self.stats.commits += 1
        self.stats.jobs += 1
        return result

    def _was_committed(self, error: psycopg.Error) -> bool:
        end = time.monotonic() + DOUBT_SECONDS
        while True:
            with contextlib.suppress(psycopg.Error):
                connection = self._writer.connection(patience=0)
                connection.execute("SET lock_timeout = '5s'")
                found = connection.execute(NUMBER, (self._row.id,)).fetchone()
                return self._row.was_committed(found and found[0])
            if time.monotonic() > end:
                raise InDoubt(
                    f"{self.where}: the server did not say whether it committed ({error}); look at "
                    "what it says once it answers, before trying again."
                ) from error
            time.sleep(ASK_SECONDS)

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._writer.drop()

    def _alone(self, job: Callable[[psycopg.Connection[Any]], T]) -> T:
        try:
            return job(self._writer.connection())
        except psycopg.Error as error:
            self._writer.drop()
            raise explain(error, self.where) from error

    def _read(self, job: Job[T]) -> T:
        line = self._idle.get()
        try:
            try:
                return job(Look(line.connection()))
            except psycopg.OperationalError:
                if not line.lost:
                    raise
                return job(Look(line.connection()))
        except psycopg.Error as error:
            line.drop()
            raise explain(error, self.where) from error
        finally:
            self._idle.put(line)

    def _end(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        if self._row.added:
            with contextlib.suppress(psycopg.Error):
                self._writer.connection(patience=0).execute(REMOVE, ([self._row.id],))
        for each in (self._writer, *self._lines):
            each.drop()


class Within:
    """Jobs in a customer's scope: each in a transaction that takes the API's role, and names whose
    rows it sees."""

    def __init__(self, jobs: Jobs, customer: str) -> None:
        self._jobs = jobs
        self._enter = entering(customer)

    def post(self, job: Job[T]) -> asyncio.Future[T]:
        """As that of `Jobs`; what is written out of scope raises, and is rolled back."""

        def entered(link: Connection) -> T:
            link.execute(self._enter)
            return job(link)

        return self._jobs.post(entered)

    async def write(self, job: Job[T]) -> T:
        """As that of `Jobs`; what is written out of scope raises, and is rolled back."""
        return await self.post(job)

    async def read(self, job: Job[T]) -> T:
        """As that of `Jobs`; what is out of scope is not there."""

        def entered(look: Connection) -> T:
            try:
                look.execute(f"BEGIN READ ONLY; {self._enter}")
                result = job(look)
            except BaseException:
                look.execute("ROLLBACK")
                raise
            look.execute("COMMIT")
            return result

        return await self._jobs.read(entered)


class _Again(Exception):
    """Nothing was committed, so it can be done again."""


@lru_cache(256)
def placed(sql: str) -> bytes:
    """SQL with psycopg's places for values in the place of each `?`."""
    there = {"?": "%s", "%": "%%"}
    return _PLACES.sub(lambda found: there.get(found[0], found[0].replace("%", "%%")), sql).encode()
