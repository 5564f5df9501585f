"""One SQLite file and the two ways into it: a writer whose jobs share commits, and readers.

Every write is a job, a function that is given the connection. One thread owns the writing
connection: it takes all jobs that have gathered, runs them in one transaction, commits, and only
then answers their callers. While it commits, the next batch gathers: nothing waits for a timer,
and an idle store commits a lone job at once. Hence an fsync is paid once for everybody who was
ready, and still nothing is acknowledged before it is on disk.

A store in memory has no thread: its jobs gather while the loop is busy, and run in the loop.

What can go wrong, and who is told:

- a job raises: the batch is rolled back and its jobs run again one by one; only that one fails;
- the disk is full: the jobs that do not fit fail with `StoreFull`; the store stays usable;
- COMMIT fails: its outcome is unknown. That batch and everything after it fails with `InDoubt`,
  and `on_failure` is called: the process has to end and open the store again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from halflap.errors import InDoubt, NotFound, StoreError
from halflap.store._file import (
    READERS,
    StoreFile,
    code_of,
    explain,
    open_file,
    open_memory,
    open_reader,
)
from halflap.store.act import audited, note_once_done, open_acts
from halflap.store.guarding import REFUSED, Guard
from halflap.store.job import WriterStats
from halflap.store.scope import CustomerScope

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
"""A job in a transaction: it may be run again, so it has no effect but through SQL."""

LARGEST_BATCH = 500


@dataclass(frozen=True, slots=True)
class _Alone:
    """A job that runs between two batches, with no transaction open."""

    job: Job[Any]

    def __call__(self, connection: sqlite3.Connection) -> Any:
        return self.job(connection)


_Item = tuple[Job[Any], "asyncio.Future[Any]"]


class Ways(Protocol):
    """The connections and the writer that a verb of the journal needs of a file, in a scope or in
    none.
    """

    def post(self, job: Job[T]) -> asyncio.Future[T]: ...
    async def write(self, job: Job[T]) -> T: ...
    async def read(self, job: Job[T]) -> T: ...


class SqliteDatabase:
    """One SQLite file, opened by one server process.

    Belongs to the event loop that opened it; call its methods from there only.
    """

    def __init__(self, file: StoreFile, clock: Callable[[], int]) -> None:
        """Use `Database.open`."""
        self.path = file.path
        self.clock = clock
        self.on_failure: Callable[[BaseException], object] | None = None
        self.stats = WriterStats()
        self._loop = asyncio.get_running_loop()
        self._file = file
        self._connection = file.writer
        self._log = file.log
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in file.readers:
            self._idle.put(reader)
        self._guard = Guard(file.writer)
        self._guarded: SimpleQueue[Guard] = SimpleQueue()
        self._pool = ThreadPoolExecutor(READERS, "halflap-store-read") if file.readers else None
        self._failed: BaseException | None = None
        self._closing: asyncio.Future[None] | None = None
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_scheduled = False
        if file.log is not None:
            self._thread = threading.Thread(target=self._live, name="halflap-store", daemon=True)
            self._thread.start()

    @classmethod
    async def open(
        cls, path: Path, *, clock: Callable[[], int] | None = None, synchronous: str = "FULL"
    ) -> SqliteDatabase:
        """Open the store at `path`, creating the file (not its directory) where it is missing.

        `clock` gives the time of everything the store dates, in microseconds since 1970.
        Raises `StoreLocked` while another process has it open, `StoreFull` and `StoreError` where
        it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(None, open_file, path, synchronous)
        return cls(file, clock or _microseconds)

    @classmethod
    def in_memory(
        cls, *, clock: Callable[[], int] | None = None, template: sqlite3.Connection | None = None
    ) -> SqliteDatabase:
        """Open a store without a file or a thread; with a copy of a template's tables and rows."""
        return cls(open_memory(template), clock or _microseconds)

    @property
    def where(self) -> str:
        """The directory of the file."""
        return str(self.path.parent)

    @property
    def failed(self) -> BaseException | None:
        """The failure after which this process may write no more; None while all is well."""
        return self._failed

    async def write(self, job: Job[T]) -> T:
        """Run a job in a transaction that others share, and return its result once it is on disk.

        A job must bear being run again: where another job of its batch raises, its work is rolled
        back and done once more. So it changes nothing but rows, through the connection it is
        given, neither begins nor ends a transaction, and lets sqlite3's errors pass. What it
        raises is raised here, and hurts nobody else. Where the caller is cancelled the job may
        still be committed.
        """
        return await self.post(job)

    def post(self, job: Job[T]) -> asyncio.Future[T]:
        """Queue a job as `write` does, and return the future of its result without waiting."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closing is not None:
            future.set_exception(self._closed())
        elif self._failed is not None:
            future.set_exception(self._doubt())
        else:
            if (begun := open_acts()) and not isinstance(job, _Alone):
                job = audited(job, begun)
                future.add_done_callback(partial(note_once_done, begun))
            self._queue.put((job, future))
            if self._thread is None and not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self._work_here)
        return future

    async def alone(self, job: Job[T]) -> T:
        """Run a job between two batches with no transaction open: migrations, VACUUM, backups."""
        return await self.post(_Alone(job))

    async def read(self, job: Job[T]) -> T:
        """Run a job on a read-only connection; it sees one snapshot of what is committed.

        Return values, never a cursor. (In a store in memory, reads pass through the writer.)
        """
        if self._pool is None:
            return await self.write(job)
        if self._closing is not None:
            raise self._closed()
        return await self._loop.run_in_executor(self._pool, self._read, job)

    def within(self, scope: CustomerScope) -> Ways:
        """This file for whoever is in a scope; the whole tenant's is the file as it is."""
        return self if scope.customer is None else ScopedFile(self, scope)

    async def close(self) -> None:
        """Commit what is queued, move the log into the file and release the lock."""
        if self._closing is None:
            self._queue.put(None)
            if self._thread is None:
                self._closing = self._loop.create_future()
                self._closing.set_result(None)
                self._work_here()
                self._file.close()
            else:
                self._closing = self._loop.run_in_executor(None, self._end, self._thread)
        await asyncio.shield(self._closing)

    # -- the loop's side ------------------------------------------------------------------------

    def _work_here(self) -> None:
        """Work off what has gathered, in the loop: a store in memory waits for no disk."""
        self._is_scheduled = False
        while not self._queue.empty():
            if (item := self._queue.get_nowait()) is not None:
                self._work(item)

    def _closed(self) -> StoreError:
        return StoreError(f"{self.path}: the store is closed; open it again to use it.")

    def _doubt(self) -> InDoubt:
        error = InDoubt(
            f"{self.path}: a commit failed and its outcome is unknown ({self._failed}); "
            "start the server again: it finds out from the file."
        )
        error.__cause__ = self._failed
        return error

    def _announce(self, error: BaseException) -> None:
        if self.on_failure is not None:
            self.on_failure(error)

    # -- the writer's thread --------------------------------------------------------------------

    def _live(self) -> None:
        queue = self._queue
        while (item := queue.get()) is not None:
            if not self._work(item):
                return

    def _work(self, item: _Item) -> bool:
        """Work off an item and all that gathered behind it; False where the end was among it."""
        queue = self._queue
        batch = [item]
        following: _Item | None = item
        # The writer is the queue's only taker, so that many items are there.
        for _ in range(min(queue.qsize(), LARGEST_BATCH - 1)):
            if (following := queue.get_nowait()) is None:
                break
            batch.append(following)
        try:
            self._work_off(batch)
            if self._log is not None and self._failed is None:
                self._log.grown(len(batch), self._connection)
        except BaseException as error:  # whatever it is, nobody may be left waiting
            self._fail(error, batch)
        return following is not None

    def _work_off(self, batch: list[_Item]) -> None:
        shared: list[_Item] = []
        for item in batch:
            if isinstance(item[0], _Alone):
                self._share(shared)
                shared = []
                self._run_alone(item)
            else:
                shared.append(item)
        self._share(shared)

    def _share(self, batch: list[_Item]) -> None:
        if not batch:
            return
        if self._failed is not None:
            self._settle(batch, errors=[self._doubt() for _ in batch])
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._settle(batch, errors=[explain(error, self.path) for _ in batch])
            return
        try:
            results = self._transact(batch)
        except _Doubtful as doubt:
            self._fail(doubt, batch)
        except BaseException as error:
            if len(batch) == 1:
                self._settle(batch, errors=[explain(error, self.path)])
            else:
                for item in batch:
                    self._share([item])
        else:
            self.stats.commits += 1
            self.stats.jobs += len(batch)
            self.stats.largest_batch = max(self.stats.largest_batch, len(batch))
            self._settle(batch, results=results)

    def _transact(self, batch: list[_Item]) -> list[Any]:
        """Run and commit; raises `_Doubtful`, or any other error with nothing committed."""
        connection = self._connection
        results: list[Any] = []
        try:
            for job, _ in batch:
                results.append(job(connection))
                if not connection.in_transaction:
                    raise _Doubtful("a job ended its transaction, or hid that it was rolled back")
        except _Doubtful:
            raise
        except BaseException:
            self._roll_back()
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not _is_certain(connection, error):
                raise _Doubtful from error
            self._roll_back()
            raise
        return results

    def _run_alone(self, item: _Item) -> None:
        if self._failed is not None:
            self._settle([item], errors=[self._doubt()])
            return
        if self._log is not None:
            self._log.wait()
        try:
            result = item[0](self._connection)
        except BaseException as error:
            self._roll_back()
            if code_of(error) == sqlite3.SQLITE_IOERR:  # it may have been in a COMMIT of the job's
                self._fail(error, [item])
            else:
                self._settle([item], errors=[explain(error, self.path)])
        else:
            self._roll_back()
            self._settle([item], results=[result])

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors (a full disk, I/O).
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    raise _Doubtful from error

    def _fail(self, error: BaseException, batch: list[_Item]) -> None:
        if self._failed is None:
            if isinstance(error, _Doubtful) and error.__cause__ is not None:
                error = error.__cause__
            self._failed = error
            self._in_loop(self._announce, error)
        self._settle(batch, errors=[self._doubt() for _ in batch])

    def _settle(
        self,
        batch: list[_Item],
        *,
        results: list[Any] | None = None,
        errors: list[BaseException] | None = None,
    ) -> None:
        self._in_loop(_resolve, batch, results, errors)

    def _in_loop(self, call: Callable[..., object], *arguments: Any) -> None:
        if self._thread is None:
            call(*arguments)
            return
        try:  # noqa: SIM105 (a context manager takes as long as the call)
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            pass  # a loop that is closed has nobody left who waits

    # -- the readers' threads, and the end ------------------------------------------------------

    def _read(self, job: Job[T]) -> T:
        connection = self._idle.get()
        try:
            return self._looked(connection, job)
        finally:
            self._idle.put(connection)

    def _looked(self, connection: sqlite3.Connection, job: Job[T]) -> T:
        try:
            connection.execute("BEGIN")
            return job(connection)
        except sqlite3.Error as error:
            explained = explain(error, self.path)
            if explained is error:
                raise
            raise explained from error
        finally:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    async def look(self, scope: CustomerScope, job: Job[T]) -> T:
        """Run a job that reads what is in scope."""
        if self._pool is None:
            raise StoreError("a store in memory has no scopes; open one in a directory.")
        if self._closing is not None:
            raise self._closed()
        return await self._loop.run_in_executor(self._pool, self._look_within, scope, job)

    def _look_within(self, scope: CustomerScope, job: Job[T]) -> T:
        try:
            guard = self._guarded.get_nowait()
        except Empty:  # as many as there are threads that read
            guard = Guard.of_reader(open_reader(self.path))
        try:
            with guard.within(scope) as connection:
                return self._looked(connection, job)
        finally:
            self._guarded.put(guard)

    def guarded(self, scope: CustomerScope, job: Job[T]) -> Job[T]:
        """A job that writes, so that it is refused what is out of scope."""

        def guarded(connection: sqlite3.Connection) -> T:
            with self._guard.within(scope):
                self._guard.refuse()
                try:
                    return job(connection)
                except sqlite3.IntegrityError as error:
                    if str(error) != REFUSED:
                        raise
                    raise NotFound("there is no such thing") from error

        return guarded

    def _end(self, thread: threading.Thread) -> None:
        thread.join()
        if self._pool is not None:
            self._pool.shutdown()
        while not self._guarded.empty():
            self._guarded.get().close()
        if self._log is not None and not self._log.stop():
            self._file.abandon()
            return
        if self._failed is None:
            with contextlib.suppress(sqlite3.Error):  # the log keeps what is not moved
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._file.close()


class ScopedFile:
    """A file for whoever is in a customer's scope; see guarding.py."""

    def __init__(self, database: SqliteDatabase, scope: CustomerScope) -> None:
        self._database = database
        self._scope = scope

    def post(self, job: Job[T]) -> asyncio.Future[T]:
        """As the file's; what is written out of scope raises, and is rolled back."""
        return self._database.post(self._database.guarded(self._scope, job))

    async def write(self, job: Job[T]) -> T:
        """As the file's; what is written out of scope raises, and is rolled back."""
        return await self.post(job)

    async def read(self, job: Job[T]) -> T:
        """As the file's; what is out of scope is not there."""
        return await self._database.look(self._scope, job)


class _Doubtful(Exception):
    """The outcome of this transaction is not known."""


def _is_certain(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """Return whether nothing of a transaction whose COMMIT failed can ever come to light."""
    match code_of(error):
        case sqlite3.SQLITE_IOERR:
            return False
        case sqlite3.SQLITE_FULL:
            # The frame that commits is written last and did not fit; SQLite has rolled back.
            return True
        case _:
            # A COMMIT refused for a deferred constraint leaves its transaction open.
            return connection.in_transaction


def _resolve(
    batch: list[_Item], results: list[Any] | None, errors: list[BaseException] | None
) -> None:
    for index, (_, future) in enumerate(batch):
        if future.done():  # cancelled by its caller
            continue
        if results is not None:
            future.set_result(results[index])
        elif errors is not None:
            error = errors[index]
            if isinstance(error, StopIteration):  # which a future cannot carry
                error = RuntimeError(f"a job raised {error!r}")
            future.set_exception(error)


def _microseconds() -> int:
    return time.time_ns() // 1_000
