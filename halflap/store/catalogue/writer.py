"""The catalogue's way into the database: refusals are values, and changes are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from string import ascii_lowercase, ascii_uppercase
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from halflap.errors import HalflapError
from halflap.store.catalogue.precondition import expected
from halflap.store.job import Database, Jobs, JobTransaction, fetch
from halflap.store.scope import CustomerScope

T = TypeVar("T")
LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
Refused = HalflapError


MOST_COUNTED = 10_001
"""The most rows of a list that are counted; it stands for more than 10,000."""
MOST_VALUES = 10_000
"""The most values that one statement is given; SQLite takes 32,766."""


class CatalogueWriter:
    """Writes to the catalogue, and counts what it changed: here, where one process has the store.

    Where many have it, `SharedWriter` of PostgreSQL counts and locks in the database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs: Jobs = database
        self.changed = 0
        self.on_change: list[Callable[[], object]] = []
        self._held: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def within(self, scope: CustomerScope) -> CatalogueWriter:
        """This writer for whoever is in a scope."""
        return ScopedWriter(self, scope)

    async def change(
        self, job: Callable[[JobTransaction], T | Refused], jobs: Jobs | None = None
    ) -> T:
        """Run a job that changes what caches depend on, and count it once it is on disk.

        By `jobs`, which are in a scope, where they are given.

        Nobody else changes the catalogue meanwhile. A job that refuses returns the error, before
        it writes anything, and the error is raised here: one that raised would make everybody in
        its batch commit alone.
        """
        future = (jobs or self.jobs).post(guarded(job))
        future.add_done_callback(lambda _: self.count(self.changed + 1))
        # A caller that is cancelled must not hide a change that is committed all the same.
        return granted(await asyncio.shield(future))

    async def note(self, job: Callable[[JobTransaction], T | Refused]) -> T:
        """Run a job that no cache depends on."""
        return granted(await self.jobs.write(job))

    async def change_by(self, sql: str, *values: object, lacking: Refused | None = None) -> int:
        """Run one statement as `change` runs a job; return how many rows it changed.

        Where it is none, `lacking` is raised, if it is given.
        """
        return await self.change(_statement(sql, values, lacking))

    async def note_by(self, sql: str, *values: object, lacking: Refused | None = None) -> int:
        """Run one statement as `note` runs a job; otherwise as `change_by`."""
        return await self.note(_statement(sql, values, lacking))

    async def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query."""
        return await fetch(self.jobs, sql, *values)

    async def row(self, sql: str, *values: object) -> Any:
        """The first row of a query, or None."""
        return await self.jobs.read(lambda c: one(c, sql, *values))

    async def among(self, sql: str, values: Iterable[str]) -> list[Any]:
        """Return the rows of a query whose last condition ends in `IN`, for these values."""
        wanted = sorted(set(values))
        found: list[Any] = []
        for start in range(0, len(wanted), MOST_VALUES):
            some = wanted[start : start + MOST_VALUES]
            found += await self.rows(f"{sql} ({marks(some)})", tuple(some))
        return found

    async def number(self, table: str, wanted: Wanted) -> int:
        """Return how many rows of a table meet all conditions, up to `MOST_COUNTED`."""
        where, values = conditions(wanted)
        rows = await self.rows(
            f"SELECT count(*) FROM (SELECT 1 FROM {table} {where} LIMIT {MOST_COUNTED}) AS found",
            values,
        )
        return rows[0][0]

    def count(self, changed: int) -> None:
        """Go on to a number of changes, and tell who waits for them."""
        self.changed = changed
        for each in list(self.on_change):
            each()

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncGenerator[None]:
        """Have a name to oneself; whoever else asks for it waits."""
        lock = self._held.setdefault(name, asyncio.Lock())
        async with lock:
            yield

    @asynccontextmanager
    async def trying(self, name: str) -> AsyncGenerator[bool]:
        """Have a name to oneself, where nobody has it; yields whether that is so."""
        lock = self._held.setdefault(name, asyncio.Lock())
        if lock.locked():
            yield False
            return
        async with lock:
            yield True

    async def holds(self, name: str) -> bool:
        """Return whether a name that was got by `trying` is still ours."""
        return name in self._held

    async def close(self) -> None:
        """Stop looking for changes."""


class ScopedWriter(CatalogueWriter):
    """A writer whose jobs are in a scope; what they change is counted with everybody's."""

    def __init__(self, whole: CatalogueWriter, scope: CustomerScope) -> None:
        super().__init__(whole.database)
        self.jobs = whole.database.within(scope)
        self._whole = whole

    async def change(
        self, job: Callable[[JobTransaction], T | Refused], jobs: Jobs | None = None
    ) -> T:
        """Run a job in the scope, and count it with everybody's."""
        return await self._whole.change(job, jobs or self.jobs)

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncGenerator[None]:
        """Have a name to oneself among all, in whatever scope they are."""
        async with self._whole.holding(name):
            yield

    @asynccontextmanager
    async def trying(self, name: str) -> AsyncGenerator[bool]:
        """Have a name to oneself, where nobody has it in whatever scope."""
        async with self._whole.trying(name) as mine:
            yield mine


def guarded(
    job: Callable[[JobTransaction], T | Refused],
) -> Callable[[JobTransaction], T | Refused]:
    """Return a job that is done only if the precondition of the request holds, where it has one."""
    wanted = expected.get()
    if wanted is None or wanted.what is None:
        return job
    condition, wanted.what = replace(wanted), None  # the next change of the request has none

    def checked(connection: JobTransaction) -> T | Refused:
        return condition.check(connection) or job(connection)

    return checked


def granted(result: T | Refused) -> T:
    """A job's result; the error it refused with is raised."""
    if isinstance(result, HalflapError):
        raise result
    return result


Wanted = Mapping[str, str | bytes | int | tuple[str, ...] | None]
"""Conditions in SQL, each with its value, or all its values; one of None is left out."""


def conditions(wanted: Wanted) -> tuple[str, tuple[str | bytes | int, ...]]:
    """Return the WHERE of the conditions that are given, with their values."""
    given: dict[str, tuple[str | bytes | int, ...]] = {
        sql: each if isinstance(each, tuple) else (each,)
        for sql, each in wanted.items()
        if each is not None
    }
    where = f"WHERE {' AND '.join(f'({each})' for each in given)}" if given else ""
    return where, tuple(each for values in given.values() for each in values)


def marks(values: Collection[object]) -> str:
    """Return the places of values in SQL's `IN`; where there are none, nothing is in it."""
    return ", ".join("?" * len(values)) or "NULL"


def containing(text: str) -> str:
    """Return the pattern of LIKE … ESCAPE '!' for what contains a text, in lower case.

    Of ASCII alone: SQLite's `lower` leaves other letters as they are.
    """
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped.translate(LOWER)}%"


def _statement(
    sql: str, values: tuple[Any, ...], lacking: Refused | None
) -> Callable[[JobTransaction], int | Refused]:
    def job(connection: JobTransaction) -> int | Refused:
        return connection.execute(sql, values).rowcount or lacking or 0

    return job


def one(connection: JobTransaction, sql: str, *values: object) -> Any:
    """The first row of a query, or None."""
    return connection.execute(sql, values).fetchone()
