"""The catalogue's way into a database that other processes write to as well.

The row of `changes` is both its lock and its clock. A change begins with adding one to it, and so
has the catalogue to itself until it is committed, as it has in SQLite; what it looked at cannot be
changed under it by another process. Every process keeps what it has read under the number, and
hears of a new one by NOTIFY, which is a hint: whoever misses it finds out within `POLL_SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.sdk.deadline import came
from halflap.store import job as doing
from halflap.store.catalogue.writer import CatalogueWriter, Refused, granted, guarded
from halflap.store.job import JobTransaction
from halflap.store.postgres.connecting import Connection as AsyncConnection
from halflap.store.postgres.connecting import connect
from halflap.store.postgres.explain import explain
from halflap.store.postgres.hints import PostgresHints
from halflap.store.postgres.jobs import PostgresJobs

T = TypeVar("T")

log = structlog.get_logger("halflap.store")

POLL_SECONDS = 2.0
"""Seconds for which a change of another process may be missed."""
TAKE_SECONDS = 0.05
"""Seconds between tries to take a name that another process holds."""

HINT = "catalogue"
CHANGE = """
WITH changed AS (UPDATE changes SET number = number + 1 RETURNING number)
SELECT number, pg_notify(?, ?) FROM changed
"""
NUMBER = "SELECT number FROM changes"
# Locks of this kind are the database's, and several stores may share one.
TAKE = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' holds ' || %s, 0))"
LEAVE = "SELECT pg_advisory_unlock(hashtextextended(current_schema() || ' holds ' || %s, 0))"


class SharedWriter(CatalogueWriter):
    """Writes to a catalogue that other processes change too, and hears of their changes."""

    def __init__(self, jobs: PostgresJobs, url: str, hints: PostgresHints) -> None:
        """Use `SharedWriter.open`."""
        super().__init__(jobs)
        self._url = url
        self._where = jobs.where
        self._hint = hints.channel, f"{HINT}\n{hints.sender}"
        self._hinted = asyncio.Event()
        self._unfollow = hints.follow(self._hear_hint)
        self._watching: asyncio.Task[None] | None = None
        self._locks: AsyncConnection | None = None
        self._taken: dict[str, AsyncConnection] = {}
        self._connecting = asyncio.Lock()

    @classmethod
    async def open(cls, jobs: PostgresJobs, url: str, hints: PostgresHints) -> SharedWriter:
        """See where the catalogue is by now, and look for changes from now on."""
        writer = cls(jobs, url, hints)
        writer.changed = await jobs.read(_number)
        writer._watching = asyncio.create_task(writer._watch(), name="catalogue")
        return writer

    async def change(
        self, job: Callable[[JobTransaction], T | Refused], jobs: doing.Jobs | None = None
    ) -> T:
        """Run a job that changes what caches of any process depend on."""

        job = guarded(job)

        def alone(connection: JobTransaction) -> tuple[T | Refused, int]:
            number: int = connection.execute(CHANGE, self._hint).fetchone()[0]
            return job(connection), number

        future = (jobs or self.jobs).post(alone)
        future.add_done_callback(self._done)
        result, _ = await asyncio.shield(future)
        return granted(result)

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncGenerator[None]:
        """Have a name to oneself among all processes; the server frees it where one dies."""
        async with super().holding(name):
            await self._take(name)
            try:
                yield
            finally:
                await self._leave(name)

    @asynccontextmanager
    async def trying(self, name: str) -> AsyncGenerator[bool]:
        """Have a name to oneself among all processes, where none has it."""
        async with super().trying(name) as free:
            if not (free and await self._try(name)):
                yield False
                return
            try:
                yield True
            finally:
                await self._leave(name)

    async def holds(self, name: str) -> bool:
        """Return whether a name is still ours: the server frees it where the connection is lost."""
        connection = self._taken.get(name)
        if connection is None or connection is not self._locks:
            return False
        try:
            await connection.execute("SELECT")
        except psycopg.Error:
            return False
        return True

    async def close(self) -> None:
        """Stop looking for changes."""
        self._unfollow()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._locks is not None:
            await self._locks.close()

    def _done(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._heard(future.result()[1])

    def _heard(self, number: int) -> None:
        # Answers may come in another order than they were given.
        if number > self.changed:
            self.count(number)

    def _hear_hint(self, line: str) -> None:
        if line == HINT:
            self._hinted.set()

    async def _watch(self) -> None:
        while True:
            await came(self._hinted, POLL_SECONDS)
            self._hinted.clear()
            try:
                self._heard(await self.jobs.read(_number))
            except StoreError as error:
                log.warning("changes of other processes are not heard of", error=error.message)

    async def _take(self, name: str) -> None:
        while True:
            if await self._try(name):
                return
            await asyncio.sleep(TAKE_SECONDS)

    async def _try(self, name: str) -> bool:
        try:
            async with self._connecting:
                if self._locks is None or self._locks.closed:
                    self._locks = await connect(self._url)
            row = await (await self._locks.execute(TAKE, (name,))).fetchone()
        except psycopg.Error as error:
            raise explain(error, self._where) from error
        if not (row and row[0]):
            return False
        self._taken[name] = self._locks
        return True

    async def _leave(self, name: str) -> None:
        taken = self._taken.pop(name, None)
        with contextlib.suppress(psycopg.Error):
            if taken is not None and taken is self._locks:
                await taken.execute(LEAVE, (name,))


def _number(connection: JobTransaction) -> int:
    return connection.execute(NUMBER).fetchone()[0]
