"""Jobs: what the catalogue runs in a transaction, whatever database that is one of.

A job is given a `JobTransaction`, which `sqlite3` has and PostgreSQL is given. Its SQL is what both
understand: `?` for values, `coalesce` for what may be missing, `ON CONFLICT` for what may be there,
and the name of the table before a column that `excluded` has too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from halflap.store.scope import CustomerScope

T = TypeVar("T")
OnFailure = Callable[[BaseException], object] | None


class JobCursor(Protocol):
    """The rows that a statement found, or the number that it changed."""

    @property
    def rowcount(self) -> int:
        """The number of rows that were changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class JobTransaction(Protocol):
    """A connection with a transaction under way."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> JobCursor:
        """Run a statement with values in the places of its `?`."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> JobCursor:
        """Run a statement once for each of these rows of values."""
        ...


@dataclass(slots=True)
class WriterStats:
    """Counts of writes since the store was opened; `doubts`: commits whose outcome was looked up."""

    commits: int = 0
    jobs: int = 0
    largest_batch: int = 0
    doubts: int = 0


class Way(Protocol):
    """A way into a store, open until it is closed."""

    @property
    def on_failure(self) -> OnFailure:
        """Called once a commit failed with an unknown outcome: the process has to start again."""
        ...

    @on_failure.setter
    def on_failure(self, call: OnFailure, /) -> None: ...

    async def close(self) -> None:
        """Write what is queued, and let go."""
        ...


class Jobs(Protocol):
    """Runs jobs: for whoever is in no scope, or in one."""

    def post(self, job: Callable[[JobTransaction], T]) -> asyncio.Future[T]:
        """Queue a job, and return the future of its result, which is there once it is on disk.

        A job must bear being run again, with nothing left of the time before. So it changes nothing
        but rows, and neither begins nor ends a transaction. What it raises rolls it back.
        """
        ...

    async def write(self, job: Callable[[JobTransaction], T]) -> T:
        """Run a job, and return its result once it is on disk."""
        ...

    async def read(self, job: Callable[[JobTransaction], T]) -> T:
        """Run a job that only reads what is committed; it returns values, never a cursor."""
        ...


class Database(Way, Jobs, Protocol):
    """Where jobs run: SQLite's file, or PostgreSQL."""

    @property
    def where(self) -> str:
        """The store in words, without any password."""
        ...

    @property
    def stats(self) -> WriterStats:
        """Counts of writes since the store was opened."""
        ...

    @property
    def failed(self) -> BaseException | None:
        """The failure after which this process may write no more; None while all is well."""
        ...

    def within(self, scope: CustomerScope) -> Jobs:
        """The same database for whoever is in a scope: what is out of it is not there."""
        ...


def json_text(value: Any) -> str:
    """Return a value as the JSON that is stored in a text."""
    return msgspec.json.encode(value).decode()


async def fetch(jobs: Jobs, sql: str, *values: Any) -> list[Any]:
    """Return the rows of a query."""
    return await jobs.read(lambda c: c.execute(sql, values).fetchall())


async def run(jobs: Jobs, sql: str, *values: Any) -> int:
    """Run a statement; return how many rows it changed."""
    return await jobs.write(lambda c: c.execute(sql, values).rowcount)


async def run_each(jobs: Jobs, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement for each of some rows of values, where there are any."""
    if rows:
        await jobs.write(lambda c: c.executemany(sql, rows).rowcount)
