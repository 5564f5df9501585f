"""Jobs on PostgreSQL: blocking functions in threads, whose statements the journal's connections run.

SQLite admits one process, whose writer makes every job atomic. Here many processes write, each its
jobs one by one, in a transaction each (READ COMMITTED: what is written while a job waits for a lock
is there once it has it). What a job is refused for another process' sake, it is run again for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from halflap.store.job import JobCursor, JobTransaction, OnFailure, WriterStats
from halflap.store.postgres.connecting import Connection as AsyncConnection
from halflap.store.postgres.connecting import placed
from halflap.store.postgres.database import PostgresDatabase, PostgresWays
from halflap.store.postgres.explain import explain
from halflap.store.scope import CustomerScope

T = TypeVar("T")
Job = Callable[[JobTransaction], T]

READERS = 2
TRIES = 5
LONGEST_SECONDS = 120.0
"""Seconds for which a thread waits for an answer: longer than any statement runs, so that no thread
outlives an event loop that was closed under it."""
# What another process' work can cause: the job looks again.
CROSSED = (errors.UniqueViolation, errors.ForeignKeyViolation)


class JobLink:
    """A connection of a thread's own as jobs know it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> JobCursor:
        """Run a statement with values in the places of its `?`."""
        return self._connection.execute(placed(sql), values)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> JobCursor:
        """Run a statement once for each of these rows of values."""
        cursor = self._connection.cursor()
        cursor.executemany(placed(sql), rows)
        return cursor


class JobAnswer:
    """The rows that a statement found, and the number that it changed."""

    def __init__(self, rowcount: int, rows: Sequence[Any]) -> None:
        self.rowcount = rowcount
        self._rows = iter(rows)

    def fetchone(self) -> Any:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class Bridge:
    """A connection of the event loop, as a job in a thread knows it: a job waits for each answer."""

    def __init__(self, connection: AsyncConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> JobCursor:
        """Run a statement with values in the places of its `?`."""
        return self._wait(self._execute(placed(sql), values))

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> JobCursor:
        """Run a statement once for each of these rows of values."""
        return self._wait(self._executemany(placed(sql), rows))

    def _wait(self, answering: Coroutine[Any, Any, JobAnswer]) -> JobAnswer:
        return asyncio.run_coroutine_threadsafe(answering, self._loop).result(LONGEST_SECONDS)

    async def _execute(self, sql: bytes, values: Sequence[Any]) -> JobAnswer:
        cursor = await self._connection.execute(sql, values, prepare=False)
        return JobAnswer(cursor.rowcount, await cursor.fetchall() if cursor.description else ())

    async def _executemany(self, sql: bytes, rows: Sequence[Sequence[Any]]) -> JobAnswer:
        cursor = self._connection.cursor()
        await cursor.executemany(sql, rows)
        return JobAnswer(cursor.rowcount, ())


class Look(Bridge):
    """A connection that only looks. No text here has a NUL, so to ask for one finds nothing."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> JobCursor:
        """Run a statement with values in the places of its `?`."""
        return super().execute(
            sql,
            [each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in values],
        )


class PostgresJobs:
    """Runs jobs on PostgreSQL, for whoever is in no scope, or in one."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.where = database.name
        self.failed = None  # a failure of the server's hurts only what it was doing
        self._database = database
        self._ways: PostgresWays = database
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(1 + READERS, "halflap-store")
        self._writing = asyncio.Lock()
        self._reading = asyncio.Semaphore(READERS)
        self._under_way: set[asyncio.Task[Any]] = set()
        database.before_close.append(self._settle)
        database.once_closed.append(lambda: self._threads.shutdown(wait=False))

    @property
    def stats(self) -> WriterStats:
        """Counts of writes since the store was opened, the journal's among them."""
        return self._database.stats

    @property
    def on_failure(self) -> OnFailure:
        """Called once a commit failed with an unknown outcome: the process has to start again."""
        return self._database.on_failure

    @on_failure.setter
    def on_failure(self, call: OnFailure) -> None:
        self._database.on_failure = call

    def within(self, scope: CustomerScope) -> PostgresJobs:
        """This database for whoever is in a scope."""
        found = copy(self)
        found._ways = self._database.within(scope)
        return found

    def post(self, job: Job[T]) -> asyncio.Future[T]:
        """Queue a job, and return the future of its result, which is there once it is committed.

        It may be run again, where another process came in between; what it writes out of scope
        raises, and is rolled back.
        """
        return self._begin(self._write(job))

    async def write(self, job: Job[T]) -> T:
        """Run a job, and return its result once it is committed."""
        return await self.post(job)

    async def read(self, job: Job[T]) -> T:
        """Run a job that only reads; each of its statements sees what is committed by then."""
        return await self._begin(self._read(job))

    async def close(self) -> None:
        """Commit what is queued, and hang up."""
        await self._database.close()

    async def _settle(self) -> None:
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _begin(self, running: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run a job to its end, whatever becomes of its caller: a thread cannot be cancelled."""
        task = self._loop.create_task(running)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return asyncio.shield(task)

    async def _read(self, job: Job[T]) -> T:
        async with self._reading:
            return await self._ways.run(lambda c: self._in_thread(job, Look(c, self._loop)))

    async def _write(self, job: Job[T]) -> T:
        async with self._writing:
            for left in reversed(range(TRIES)):
                try:
                    result = await self._ways.write(
                        lambda c: self._in_thread(job, Bridge(c, self._loop)), pipelined=False
                    )
                except psycopg.Error as error:
                    if not (left and isinstance(error, CROSSED)):
                        raise explain(error, self.where) from error
                else:
                    self.stats.jobs += 1
                    return result
        raise AssertionError

    def _in_thread(self, job: Job[T], connection: JobTransaction) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._threads, job, connection)
