"""SQLite's store as it is, but for its thread: batches are calls of the simulated loop.

The writer's code is the real one: how batches gather, roll back, run again one by one, and what it
makes of an error in COMMIT. The file is a connection that outlives the processes which open it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from halflap.store.job import WriterStats
from halflap.store.sqlite import Job, SqliteDatabase, open_memory
from halflap.store.store import template


@dataclass(frozen=True, slots=True)
class Note:
    """A listener that hears of a job's result in the moment of its commit, whoever else hears of it.

    With a `sample`, taken in the transaction right after the job, it hears of that instead.
    """

    hear: Callable[[Any], None]
    sample: Callable[[Any], Any] | None = None

    def of(self, job: Job[Any], kept: Callable[[Note, Any], object]) -> Job[Any]:
        """The job, which also hands over what is to be heard once it is committed."""

        def noted(connection: Any) -> Any:
            result = job(connection)
            kept(self, result if self.sample is None else self.sample(connection))
            return result

        return noted


NOTE: ContextVar[Note | None] = ContextVar("note", default=None)


@dataclass(slots=True)
class Troubles:
    """The troubles of a store: how often it fails, and how slow it is. All is quiet once `calm`."""

    refuse: float = 0.0
    doubt: float = 0.0
    down: float = 0.0
    slowest: float = 0.005
    calm: bool = False
    count: Callable[[str], object] = lambda _: None

    def strike(self, chance: random.Random, share: float, what: str = "") -> bool:
        """Return whether something that happens so often happens now."""
        if self.calm or share <= 0 or chance.random() >= share:
            return False
        if what:
            self.count(what)
        return True


def empty_store() -> sqlite3.Connection:
    """A store in memory, with its tables."""
    return open_memory(template()).writer


class Disk:
    """The connection to a store's file, which fails as its troubles say; notes what it commits."""

    def __init__(
        self, connection: sqlite3.Connection, troubles: Troubles, chance: random.Random
    ) -> None:
        self.connection = connection
        self.noted: list[tuple[Note, Any]] = []
        self._troubles = troubles
        self._chance = chance

    @property
    def in_transaction(self) -> bool:
        return self.connection.in_transaction

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        return self.connection.executemany(sql, rows)

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        match sql:
            case "BEGIN IMMEDIATE":
                self.noted.clear()
                if self._troubles.strike(self._chance, self._troubles.refuse, "commits refused"):
                    raise failed("database or disk is full", sqlite3.SQLITE_FULL)
            case "ROLLBACK":
                self.noted.clear()
            case "COMMIT":
                return self._commit()
            case _:
                if self._troubles.strike(self._chance, self._troubles.refuse / 20):
                    raise failed("database or disk is full", sqlite3.SQLITE_FULL)
        return self.connection.execute(sql, values)

    def _commit(self) -> sqlite3.Cursor:
        if self._troubles.strike(self._chance, self._troubles.refuse, "commits refused"):
            self.connection.execute("ROLLBACK")
            raise failed("database or disk is full", sqlite3.SQLITE_FULL)
        doubtful = self._troubles.strike(self._chance, self._troubles.doubt, "commits in doubt")
        if doubtful and self._chance.random() < 0.5:
            self.connection.execute("ROLLBACK")
            raise failed("disk I/O error", sqlite3.SQLITE_IOERR)
        done = self.connection.execute("COMMIT")
        noted, self.noted = self.noted, []
        for note, result in noted:
            note.hear(result)
        if doubtful:
            raise failed("disk I/O error", sqlite3.SQLITE_IOERR)
        return done


def failed(message: str, code: int) -> sqlite3.OperationalError:
    """An error as SQLite raises it."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_FULL" if code == sqlite3.SQLITE_FULL else "SQLITE_IOERR"
    return error


class InlineDatabase(SqliteDatabase):
    """One process's way into the file."""

    def __init__(self, disk: Disk, clock: Callable[[], int], troubles: Troubles) -> None:
        self.path = Path("/simulated")
        self.clock = clock
        self.on_failure = None
        self.stats = WriterStats()
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._connection = disk
        self._log = None
        self._pool = None
        self._failed = None
        self._closing = None
        self._queue = SimpleQueue()
        self._thread = None
        self._is_scheduled = False
        self._troubles = troubles
        self._chance = disk._chance

    async def read(self, job: Job[Any]) -> Any:
        await asyncio.sleep(self._delay())
        result = job(self._disk.connection)
        await asyncio.sleep(self._delay())
        return result

    def post(self, job: Job[Any]) -> asyncio.Future[Any]:
        note = NOTE.get()
        if note is not None:
            job = note.of(job, lambda note, heard: self._disk.noted.append((note, heard)))
        return super().post(job)

    def _work_here(self) -> None:
        self._answers_at = self._loop.time() + self._delay()
        if not self._queue.empty():
            self._work(self._queue.get_nowait())
        self._loop.call_at(self._answers_at, self._next_batch)

    def _next_batch(self) -> None:
        if self._queue.empty():
            self._is_scheduled = False
        else:
            self._work_here()

    def _in_loop(self, call: Callable[..., object], *arguments: Any) -> None:
        self._loop.call_at(self._answers_at, call, *arguments)

    def _delay(self) -> float:
        if not self._troubles.calm and self._chance.random() < 0.02:
            return self._troubles.slowest * 200 * self._chance.random()  # a slow disk
        return self._troubles.slowest * self._chance.random()
