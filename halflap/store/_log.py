"""A file's write-ahead log: laid out before it is needed, and moved into the file beside the writer.

A commit that makes the log longer waits for its pages, and for what the file system notes of its
length; one within its length waits for its pages only. That shows where others write on the same
disk. So zeros are written ahead of it, a little with each batch, until it is as long as it gets.

SQLite moves the log in the commit that fills it: thousands of pages are copied, the disk is waited
for, and everybody waits behind the writer, for 30 to 80 ms, once a second under load. So another
thread copies and waits while the writer goes on; then the writer, between two batches, moves the
little that came meanwhile, and SQLite begins the log anew.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

PAGES = 4_000
"""The log is moved when it has about so many."""
FIRST, LEAST = 1_000, 100
"""After how many jobs that is supposed to be so at first, and at the least."""
LONGEST_PAGES = 16_000
"""A log of so many pages, because its jobs are large, the writer moves by itself."""
LENGTH = 32 << 20
"""The length to which the log is laid out: what usually gathers until it is moved."""
PIECE = bytes(256 << 10)
LAID_OUT_AFTER = 100
"""A store that makes fewer jobs than that, for a command or a test, has no need of it."""
ROOM = 2 << 30
"""A disk with less room than this is left alone."""
MOVE = "PRAGMA wal_checkpoint(PASSIVE)"
_to_disk = getattr(os, "fdatasync", os.fsync)


class WriteAheadLog:
    """The log of a file, whose methods are the writer's; `connection` is one of its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        # Closing it lets go of all that SQLite has locked in the file: `close` comes last.
        self._file = os.open(path, os.O_RDWR)
        self._pool = ThreadPoolExecutor(1, "halflap-store-log")
        self._moving: Future[int] | None = None
        self._jobs, self._moved, self._due = 0, 0, FIRST
        self._is_short = True

    def grown(self, jobs: int, writer: sqlite3.Connection) -> None:
        """So many more jobs are committed, and answered.

        Raises where the file cannot be written: what was copied into it is not to be relied on, and
        the log has to be read by whoever opens it next.
        """
        self._jobs += jobs
        if self._is_short and self._jobs >= LAID_OUT_AFTER:
            self._lay_out()
        if self._moving is None:
            if self._jobs >= self._due:
                self._moved, self._jobs = self._jobs, 0
                self._moving = self._pool.submit(self._move)
        elif self._moving.done():
            if pages := self._moving.result():
                self._due = max(self._moved * PAGES // pages, LEAST)
            self.wait()
            _move(writer)

    def wait(self) -> None:
        """Return once nothing is moved any more: VACUUM and the like want the file for themselves."""
        if self._moving is not None:
            self._moving.result()
            self._moving = None
        self._is_short = True  # whoever waits for that may cut it

    def stop(self) -> bool:
        """Move no more; False where something failed that was copied into the file."""
        self._pool.shutdown()
        if self._moving is not None and self._moving.exception() is not None:
            return False
        self._connection.close()
        return True

    def close(self) -> None:
        """Let go of the file, once every connection to it is closed."""
        os.close(self._file)

    def _lay_out(self) -> None:
        """Write zeros behind the log: nobody reads what SQLite did not write there."""
        self._is_short = False
        with suppress(OSError), open(f"{self._path}-wal", "r+b", buffering=0) as log:
            if log.seek(0, os.SEEK_END) < LENGTH and shutil.disk_usage(self._path).free > ROOM:
                log.write(PIECE)
                self._is_short = True

    def _move(self) -> int:
        pages = _move(self._connection)
        if pages:
            _to_disk(self._file)
        return pages


def _move(connection: sqlite3.Connection) -> int:
    """Move what nobody reads any more; how many pages the log has, or 0 where the disk is full."""
    try:
        _, pages, _ = connection.execute(MOVE).fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
            raise
        return 0  # there is a next time
    return pages
