"""One SQLite file and the two ways into it: a writer whose jobs share commits, and readers.

Every write is a job, a function that is given the connection. One thread owns the writing
connection: it takes all jobs that have gathered, runs them in one transaction, commits, and only
then answers their callers. While it commits, the next batch gathers: nothing waits for a timer,
and an idle store commits a lone job at once. Hence an fsync is paid once for everybody who was
ready, and still nothing is acknowledged before it is on disk.

What can go wrong, and who is told:

- a job raises: the batch is rolled back and its jobs run again one by one; only that one fails;
- the disk is full: the jobs that do not fit fail with `StoreFull`; the store stays usable;
- COMMIT fails: its outcome is unknown. That batch and everything after it fails with `InDoubt`,
  and `on_failure` is called: the process has to end and open the store again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from halflap.errors import InDoubt, StoreError, StoreFull, StoreLocked

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
"""What runs in a transaction: it may be run again, so it has no effect but through SQL."""

LARGEST_BATCH = 500
READERS = 2
BUSY_SECONDS = 5.0
LITTLE_ROOM = 1 << 20
OLDEST_SQLITE = (3, 35, 0)

# Durability first. fullfsync: macOS' fsync alone leaves data in the drive's cache. mmap is off
# because a failing disk must be an error, not a SIGBUS. Temporary tables stay in memory so that
# a full disk cannot stop a query.
_PRAGMAS = (
    "foreign_keys = ON",
    "cell_size_check = ON",
    "trusted_schema = OFF",
    "mmap_size = 0",
    "temp_store = MEMORY",
)
_WRITER_PRAGMAS = (
    "fullfsync = ON",
    "checkpoint_fullfsync = ON",
    "journal_size_limit = 67108864",
    "wal_autocheckpoint = 4000",
    "cache_size = -65536",
)


@dataclass(slots=True)
class Stats:
    """What the writer has done since the store was opened."""

    commits: int = 0
    jobs: int = 0
    largest_batch: int = 0


@dataclass(frozen=True, slots=True)
class _Alone:
    """A job that runs between two batches, with no transaction open."""

    job: Job[Any]


_Item = tuple[Job[Any] | _Alone, "asyncio.Future[Any]"]


class Database:
    """One SQLite file, opened by one server process.

    Belongs to the event loop that opened it; call its methods from there only.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], int],
        lock: _Lock | None,
        connection: sqlite3.Connection,
        readers: list[sqlite3.Connection],
    ) -> None:
        """Use `Database.open`."""
        self.path = path
        self.clock = clock
        self.on_failure: Callable[[BaseException], object] | None = None
        self.stats = Stats()
        self._loop = asyncio.get_running_loop()
        self._lock = lock
        self._connection = connection
        self._readers = readers
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for reader in readers:
            self._idle.put(reader)
        self._pool = ThreadPoolExecutor(READERS, "halflap-store-read") if readers else None
        self._failed: BaseException | None = None
        self._closing: asyncio.Future[None] | None = None
        self._queue: SimpleQueue[_Item | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="halflap-store", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls, path: Path, *, clock: Callable[[], int] | None = None, synchronous: str = "FULL"
    ) -> Database:
        """Open the store at `path`, creating the file (not its directory) where it is missing.

        `clock` gives the time of everything the store dates, in microseconds since 1970.
        `":memory:"` opens a store that ends with its process. Raises `StoreLocked` while another
        process has it open, `StoreFull` and `StoreError` where it cannot be opened.
        """
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(None, _open, path, synchronous)
        return cls(opened[0], clock or _microseconds, *opened[1:])

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
        return self._post(job)

    async def alone(self, job: Job[T]) -> T:
        """Run a job between two batches with no transaction open: migrations, VACUUM, backups."""
        return await self._post(_Alone(job))

    async def read(self, job: Job[T]) -> T:
        """Run a job on a read-only connection; it sees one snapshot of what is committed.

        Return values, never a cursor. (In a store in memory, reads pass through the writer.)
        """
        if self._pool is None:
            return await self.write(job)
        if self._closing is not None:
            raise self._closed()
        return await self._loop.run_in_executor(self._pool, self._read, job)

    async def close(self) -> None:
        """Commit what is queued, move the log into the file and release the lock."""
        if self._closing is None:
            self._queue.put(None)
            self._closing = self._loop.run_in_executor(None, self._end)
        await asyncio.shield(self._closing)

    # -- the loop's side ------------------------------------------------------------------------

    def _post(self, job: Job[Any] | _Alone) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closing is not None:
            future.set_exception(self._closed())
        elif self._failed is not None:
            future.set_exception(self._doubt())
        else:
            self._queue.put((job, future))
        return future

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
            batch = [item]
            following: _Item | None = item
            # The writer is the queue's only taker, so that many items are there.
            for _ in range(min(queue.qsize(), LARGEST_BATCH - 1)):
                if (following := queue.get_nowait()) is None:
                    break
                batch.append(following)
            try:
                self._work_off(batch)
            except BaseException as error:  # whatever it is, nobody may be left waiting
                self._fail(error, batch)
            if following is None:
                return

    def _work_off(self, batch: list[_Item]) -> None:
        shared: list[_Item] = []
        for item in batch:
            if isinstance(item[0], _Alone):
                self._share(shared)
                shared = []
                self._run_alone(item[0].job, item)
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
                results.append(job(connection))  # type: ignore[operator]
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
            if not (_code(error) == sqlite3.SQLITE_FULL or _still_open(connection, error)):
                raise _Doubtful from error
            self._roll_back()
            raise
        return results

    def _run_alone(self, job: Job[Any], item: _Item) -> None:
        if self._failed is not None:
            self._settle([item], errors=[self._doubt()])
            return
        try:
            result = job(self._connection)
        except BaseException as error:
            self._roll_back()
            if _code(error) == sqlite3.SQLITE_IOERR:  # it may have been in a COMMIT of the job's
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
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    # -- the readers' threads, and the end ------------------------------------------------------

    def _read(self, job: Job[T]) -> T:
        connection = self._idle.get()
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
            self._idle.put(connection)

    def _end(self) -> None:
        self._thread.join()
        if self._pool is not None:
            self._pool.shutdown()
        for reader in self._readers:
            reader.close()
        try:
            if self._failed is None:
                with contextlib.suppress(sqlite3.Error):  # the log keeps what is not moved
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._connection.close()
        finally:
            if self._lock is not None:
                self._lock.release()


class _Doubtful(Exception):
    """Whether this transaction was committed is not known."""


class _Lock:
    """The OS lock on a store: the kernel drops it when its holder ends, however it ends."""

    def __init__(self, store: Path) -> None:
        path = store.with_suffix(".lock")
        self._file = open(path, "a+", encoding="ascii", opener=_private)  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read(20).strip()
            self._file.close()
            process = f"process {holder}" if holder else "another process"
            raise StoreLocked(
                f"{store}: {process} has this store open ({path.name} is locked); "
                "speak to that server's API, or stop it first."
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        # The file stays: removing it would let two processes lock two files of one name.
        self._file.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _open(
    path: Path, synchronous: str
) -> tuple[Path, _Lock | None, sqlite3.Connection, list[sqlite3.Connection]]:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"Python was built with SQLite {sqlite3.sqlite_version}, which is older than 3.35; "
            "install a Python with a newer one (python.org, uv and conda have it)."
        )
    with contextlib.ExitStack() as undo:
        try:
            if str(path) == ":memory:":
                return path, None, _connect(":memory:", _PRAGMAS), []
            path = path.resolve()
            lock = _Lock(path)
            undo.callback(lock.release)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            writer = _connect(str(path), _PRAGMAS + _WRITER_PRAGMAS)
            undo.callback(writer.close)
            writer.execute(f"PRAGMA synchronous = {synchronous}")
            mode: str = writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreError(
                    f"{path}: this file system cannot hold a write-ahead log (journal mode {mode});"
                    " put the store on a local disk."
                )
            # After a failed fsync the log may be whole in the kernel's cache and torn on disk,
            # and no later fsync would mend it: move it into the file before building on it.
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            readers: list[sqlite3.Connection] = []
            for _ in range(READERS):
                reader = _connect(f"{path.as_uri()}?mode=ro", (*_PRAGMAS, "query_only = ON"))
                undo.callback(reader.close)
                readers.append(reader)
        except sqlite3.Error as error:
            raise explain(error, path) from error
        except OSError as error:
            raise StoreError(
                f"{path}: the store cannot be opened ({error.strerror}: {error.filename}); "
                "name a directory that exists and that this user may write."
            ) from error
        undo.pop_all()
        return path, lock, writer, readers


def _connect(name: str, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        uri=name.startswith("file:"),
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def explain(error: BaseException, path: Path) -> BaseException:
    """The error a caller can act on, for what SQLite says about the file; others as they are."""
    name = getattr(error, "sqlite_errorname", "")
    told: StoreError
    match _code(error):
        case sqlite3.SQLITE_FULL:
            told = StoreFull(f"{path}: no room left ({name}); free some: it goes on by itself.")
        case sqlite3.SQLITE_IOERR if _is_full(path):
            told = StoreFull(f"{path}: no room left ({name}); free some: it goes on by itself.")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            told = StoreError(f"{path}: {error} ({name}); look at the disk and the kernel's log.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            told = StoreError(
                f"{path}: {error} ({name}); stop the server and restore the file from a backup, "
                "or save what is readable with the sqlite3 shell's .recover."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            told = StoreError(
                f"{path}: another program holds the file for {BUSY_SECONDS:.0f} s and more "
                f"({name}); end it (a shell with an open transaction, a backup tool)."
            )
        case sqlite3.SQLITE_READONLY:
            told = StoreError(f"{path}: the file may not be written ({name}); mend its rights.")
        case _:
            return error
    told.__cause__ = error
    return told


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < LITTLE_ROOM
    return False


def _still_open(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    # A COMMIT refused for a deferred constraint leaves its transaction open, to be rolled back.
    return connection.in_transaction and _code(error) != sqlite3.SQLITE_IOERR


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
