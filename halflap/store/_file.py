"""The file of a store: its lock, its connections, and what SQLite's complaints about it mean."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from halflap.errors import StoreError, StoreFull, StoreLocked
from halflap.store._log import LONGEST_PAGES, WriteAheadLog

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
    f"wal_autocheckpoint = {LONGEST_PAGES}",
    "cache_size = -16384",
)


class Lock:
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
        """Let another process open the store."""
        # The file stays: removing it would let two processes lock two files of one name.
        self._file.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@dataclass(frozen=True, slots=True)
class StoreFile:
    """An open store: the lock that holds it, the connection that writes, those that only read.

    One in memory has neither lock nor log.
    """

    path: Path
    lock: Lock | None
    writer: sqlite3.Connection
    readers: list[sqlite3.Connection]
    log: WriteAheadLog | None = None

    def abandon(self) -> None:
        """Have nobody close it before the process ends: its last connection would remove the log.

        Where what was copied into the file may not be there, that is the only place where it is.
        """

        def keep(_: StoreFile) -> None:
            threading.Event().wait()

        # A thread's variables are the only ones that outlive the interpreter.
        threading.Thread(target=keep, args=(self,), daemon=True).start()

    def close(self) -> None:
        """Close every connection, the writer's last, and release the lock."""
        try:
            for connection in (*self.readers, self.writer):
                connection.close()
            if self.log is not None:
                self.log.close()
        finally:
            if self.lock is not None:
                self.lock.release()


def open_file(path: Path, synchronous: str) -> StoreFile:
    """Lock and open the store at `path`; raises `StoreLocked`, `StoreFull`, `StoreError`."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"Python was built with SQLite {sqlite3.sqlite_version}, which is older than 3.35; "
            "install a Python with a newer one (python.org, uv and conda have it)."
        )
    with contextlib.ExitStack() as undo:
        try:
            path = path.resolve()
            lock = Lock(path)
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
            beside = _connect(str(path), _PRAGMAS + _WRITER_PRAGMAS)
            undo.callback(beside.close)
            beside.execute(f"PRAGMA synchronous = {synchronous}")
            readers: list[sqlite3.Connection] = []
            for _ in range(READERS):
                reader = open_reader(path)
                undo.callback(reader.close)
                readers.append(reader)
            log = WriteAheadLog(path, beside)
        except sqlite3.Error as error:
            raise explain(error, path) from error
        except OSError as error:
            raise StoreError(
                f"{path}: the store cannot be opened ({error.strerror}: {error.filename}); "
                "name a directory that exists and that this user may write."
            ) from error
        undo.pop_all()
        return StoreFile(path, lock, writer, readers, log)


def open_memory(template: sqlite3.Connection | None) -> StoreFile:
    """Open a store in memory, empty or as a copy of a template."""
    connection = _connect(":memory:", _PRAGMAS)
    if template is not None:
        template.backup(connection)
    return StoreFile(Path(":memory:"), None, connection, [])


def open_reader(path: Path) -> sqlite3.Connection:
    """Another connection to an open store, which only reads."""
    return _connect(f"{path.as_uri()}?mode=ro", (*_PRAGMAS, "query_only = ON"))


# Each parameter that is neither a number nor a text is adapted. Python looks for how in three places,
# and raises errors where it finds nothing; these two are found in the first one, and stay what they are.
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(type(None), dict[None, None]().get)


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
    match code_of(error):
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
            told = StoreError(
                f"{path}: {error} ({name}); mend the file's rights, "
                "or give a job that writes to write instead of read."
            )
        case _:
            return error
    told.__cause__ = error
    return told


def code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_full(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path.parent).free < LITTLE_ROOM
    return False
