"""The catalogue's way into the database: refusals are values, and changes are counted."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from halflap.errors import HalflapError
from halflap.store.sqlite import Database

T = TypeVar("T")
Refused = HalflapError


class Writer:
    """Writes to the catalogue, and counts what it changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changed = 0
        self.on_change: Callable[[], object] | None = None

    async def change(self, job: Callable[[sqlite3.Connection], T | Refused]) -> T:
        """Run a job that changes what caches depend on, and count it once it is on disk.

        A job that refuses returns the error, before it writes anything, and the error is raised
        here: one that raised would make everybody in its batch commit alone.
        """
        future = self._database.post(job)
        future.add_done_callback(self._count)
        # A caller that is cancelled must not hide a change that is committed all the same.
        return granted(await asyncio.shield(future))

    async def note(self, job: Callable[[sqlite3.Connection], T | Refused]) -> T:
        """Run a job that no cache depends on."""
        return granted(await self._database.write(job))

    async def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        return await self._database.read(lambda c: c.execute(sql, values).fetchall())

    def _count(self, _: object) -> None:
        self.changed += 1
        if self.on_change is not None:
            self.on_change()


def granted(result: T | Refused) -> T:
    """A job's result; the error it refused with is raised."""
    if isinstance(result, HalflapError):
        raise result
    return result


def one(connection: sqlite3.Connection, sql: str, *values: object) -> Any:
    """The first row of a query, or None."""
    return connection.execute(sql, values).fetchone()
