"""Migrations: how the schema of an older store becomes the schema of this code.

On PostgreSQL a migration is a pair. Its `before` only adds (tables, columns, indexes), so that old
code runs on beside it; its `after` cleans up what only old code needed, once no old code runs: where
servers are replaced one by one, `before` is applied first, then the servers are replaced, then `after`
is applied. So no `before` may rely on an earlier `after`. Of a file, one process applies all at start.

What was applied stands in the table `migrations`, with the checksum of its SQL.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from halflap.errors import StoreError
from halflap.store.job import JobTransaction

Phase = Literal["before", "after"]
BOTH: tuple[Phase, ...] = ("before", "after")

TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    number     INTEGER NOT NULL,
    phase      TEXT    NOT NULL CHECK (phase IN ('before', 'after')),
    name       TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    applied_at INTEGER NOT NULL,
    PRIMARY KEY (number, phase)
) STRICT
"""
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_OF_THE_FILE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}
_UNFIT = {"BEGIN", "COMMIT", "END", "ROLLBACK", "VACUUM", "ATTACH", "DETACH"}


@dataclass(frozen=True, slots=True)
class Migration:
    """One change of the schema: what to add before new code runs, what to clean up after it."""

    number: int
    name: str
    before: str
    after: str = ""

    def sql(self, phase: Phase) -> str:
        """The SQL of one phase; empty where there is nothing to do."""
        return self.before if phase == "before" else self.after

    def checksum(self, phase: Phase) -> str:
        """The SHA-256 of one phase's SQL, by which a changed migration is noticed."""
        return hashlib.sha256(self.sql(phase).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number} ({self.name})"


@dataclass(frozen=True, slots=True)
class Applied:
    """A phase of a migration as a store has it."""

    name: str
    checksum: str
    version: str


Applications = dict[tuple[int, Phase], Applied]
"""The applied migrations of a store."""


def migrate(
    connection: sqlite3.Connection,
    migrations: Sequence[Migration],
    *,
    clock: Callable[[], int] | None = None,
) -> list[tuple[int, Phase]]:
    """Apply what this store lacks, each phase in a transaction, and say what was applied.

    Run through `Database.alone`: foreign keys are checked at the end of each phase instead of during
    it, so that a table may be rebuilt. Raises `StoreError`, with nothing of the phase applied, where
    the store is newer than this code or has another history, or where the SQL fails.
    """
    ordered = in_order(migrations)
    with _transaction(connection):
        connection.execute(TABLE)
    history = read_history(connection)
    compare(ordered, history)
    done: list[tuple[int, Phase]] = []
    with _foreign_keys_off(connection):
        for migration in ordered:
            for step in BOTH:
                if (migration.number, step) not in history:
                    _apply(connection, migration, step, clock or _microseconds)
                    done.append((migration.number, step))
    return done


def statements(script: str) -> Iterator[str]:
    """Split an SQL script into its statements; a `;` in a text, comment or trigger splits nothing.

    Raises `StoreError` where the last statement does not end.
    """
    statement = ""
    for piece in re.split(r"(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            if _COMMENTS.sub("", statement).strip(" \t\r\n;"):
                yield statement.strip()
            statement = ""
    if rest := _COMMENTS.sub("", statement).strip():
        raise StoreError(f"the statement {_excerpt(rest)} does not end; close it with a semicolon.")


def in_order(migrations: Sequence[Migration]) -> list[Migration]:
    """The migrations by their numbers, which have neither gaps nor doubles."""
    ordered = sorted(migrations, key=lambda migration: migration.number)
    for expected, migration in enumerate(ordered, start=1):
        if migration.number != expected:
            raise StoreError(
                f"migration {migration} stands where number {expected} is expected; "
                "number them 1, 2, 3 … with neither gaps nor doubles."
            )
    return ordered


def read_history(connection: JobTransaction) -> Applications:
    """Return the applied migrations of a store."""
    rows = connection.execute("SELECT number, phase, name, checksum, version FROM migrations")
    return {(row[0], row[1]): Applied(row[2], row[3], row[4]) for row in rows.fetchall()}


def compare(migrations: list[Migration], history: Applications) -> None:
    """Refuse, with a `StoreError`, a store that this code would misread."""
    known = {migration.number: migration for migration in migrations}
    newer = max((key for key in history if key[0] > len(known) and key[1] == "after"), default=None)
    if newer is not None:
        applied = history[newer]
        raise StoreError(
            f"the store is newer than this Halflap: it has migration {newer[0]} ({applied.name}), "
            f"this code knows {len(known)}; install Halflap {applied.version} or later, "
            "or restore a backup from before that migration."
        )
    for (number, step), applied in sorted(history.items()):
        migration = known.get(number)
        if migration is not None and migration.checksum(step) != applied.checksum:
            raise StoreError(
                f"migration {migration} was changed after its {step!r} had been applied to this "
                f"store (as {applied.name!r}, by Halflap {applied.version}); begin a new store "
                "if a build between two releases wrote it. In Halflap itself, put the migration back as "
                "it was and write a new one for the change."
            )
        missing: tuple[int, Phase] = (number, "before") if step == "after" else (number - 1, step)
        if missing[0] > 0 and missing not in history:
            raise StoreError(
                f"the store has migration {number} ({applied.name}, {step}) without "
                f"{missing[0]} ({missing[1]}); restore it from a backup."
            )


def _apply(
    connection: sqlite3.Connection,
    migration: Migration,
    phase: Phase,
    clock: Callable[[], int],
) -> None:
    statement = ""
    try:
        with _transaction(connection):
            for statement in statements(migration.sql(phase)):
                _refuse_unfit(statement)
                connection.execute(statement).fetchall()
            statement = "PRAGMA foreign_key_check"
            if wrong := connection.execute(statement).fetchone():
                raise StoreError(f"a row of table {wrong[0]} refers to none of {wrong[2]}.")
            record(connection, migration, phase, clock())
    except (sqlite3.Error, StoreError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_FILE:
            raise
        raise StoreError(
            f"migration {migration}, {phase}: {error} (at {_excerpt(statement)}); "
            "nothing of it was applied: mend it and start again."
        ) from error


def record(connection: JobTransaction, migration: Migration, phase: Phase, now: int) -> None:
    """Note that a phase of a migration is applied, in the transaction that applies it."""
    number, checksum = migration.number, migration.checksum(phase)
    connection.execute(
        "INSERT INTO migrations (number, phase, name, checksum, version, applied_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (number, phase, migration.name, checksum, code_version(), now),
    )


def _refuse_unfit(statement: str) -> None:
    word = re.match(r"\w*", _COMMENTS.sub("", statement).lstrip())
    if word is not None and word[0].upper() in _UNFIT:
        raise StoreError(f"{word[0].upper()} cannot stand in a migration: it is one transaction.")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls back by itself where the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _foreign_keys_off(connection: sqlite3.Connection) -> Generator[None]:
    """Let a migration rebuild a table: with keys on, dropping the old one would cascade."""
    (on,) = connection.execute("PRAGMA foreign_keys").fetchone()
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA foreign_keys = {on}")


def code_version() -> str:
    """The version of this code."""
    try:
        return metadata.version("halflap")
    except metadata.PackageNotFoundError:
        return "unknown"


def _excerpt(statement: str) -> str:
    line = " ".join(statement.split())
    return repr(line if len(line) <= 80 else f"{line[:79]}…")


def _microseconds() -> int:
    return time.time_ns() // 1_000
