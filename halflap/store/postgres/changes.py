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

from halflap.store import job as doing
from halflap.store.catalogue.writer import Refused, Writer, granted
from halflap.store.job import Connection
from halflap.store.postgres.explain import explain
from halflap.store.postgres.jobs import MANNERS, Jobs

T = TypeVar("T")

log = structlog.get_logger("halflap.store")

POLL_SECONDS = 2.0
"""How long a change of another process may be missed."""
TAKE_SECONDS = 0.05
"""How often a name that another process holds is asked for."""

CHANNEL = "halflap_catalogue"
CHANGE = f"""
WITH changed AS (UPDATE changes SET number = number + 1 RETURNING number)
SELECT number, pg_notify('{CHANNEL}', '') FROM changed
"""  # noqa: S608
NUMBER = "SELECT number FROM changes"
# Locks of this kind are the database's, and several stores may share one.
TAKE = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' holds ' || %s, 0))"
LEAVE = "SELECT pg_advisory_unlock(hashtextextended(current_schema() || ' holds ' || %s, 0))"


class SharedWriter(Writer):
    """Writes to a catalogue that other processes change too, and hears of their changes."""

    def __init__(self, jobs: Jobs) -> None:
        """Use `SharedWriter.open`."""
        super().__init__(jobs)
        self._url = jobs.url
        self._where = jobs.where
        self._watching: asyncio.Task[None] | None = None
        self._locks: psycopg.AsyncConnection | None = None
        self._taken: dict[str, psycopg.AsyncConnection] = {}
        self._connecting = asyncio.Lock()

    @classmethod
    async def open(cls, jobs: Jobs) -> SharedWriter:
        """See where the catalogue is by now, and look for changes from now on."""
        writer = cls(jobs)
        writer.changed = await jobs.read(lambda c: c.execute(NUMBER).fetchone()[0])
        writer._watching = asyncio.create_task(writer._watch(), name="catalogue")
        return writer

    async def change(
        self, job: Callable[[Connection], T | Refused], jobs: doing.Jobs | None = None
    ) -> T:
        """Run a job that changes what caches of any process depend on."""

        def alone(connection: Connection) -> tuple[T | Refused, int]:
            number: int = connection.execute(CHANGE).fetchone()[0]
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
        """Whether a name is still ours: the server frees it where the connection is lost."""
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

    async def _watch(self) -> None:
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        row = await (await connection.execute(NUMBER)).fetchone()
                        self._heard(row[0] if row else 0)
                        async for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except psycopg.Error as error:
                told = explain(error, self._where)
                log.warning("changes of other processes are not heard of", error=str(told))
            await asyncio.sleep(POLL_SECONDS)

    async def _take(self, name: str) -> None:
        while True:
            if await self._try(name):
                return
            await asyncio.sleep(TAKE_SECONDS)

    async def _try(self, name: str) -> bool:
        try:
            async with self._connecting:
                if self._locks is None or self._locks.closed:
                    self._locks = await self._connect()
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

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, **MANNERS)
