"""What remains of an erased customer, and a file without what was deleted from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from halflap.model import Micros
from halflap.store.job import Connection, Database
from halflap.store.sqlite import Database as File

NOTED = "erased:"


async def note_erased(
    database: Database, customer: str, at: Micros, by: str, counts: Mapping[str, int]
) -> None:
    """Keep that a customer was erased: when, by whom, and how much that was; its limits go."""
    value = msgspec.json.encode({"at": at, "by": by, "counts": counts}).decode()

    def job(connection: Connection) -> None:
        connection.execute("DELETE FROM limits WHERE customer = ?", (customer,))
        # Of an erasure that is gone on with, the first note counts all that there was.
        connection.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
            (f"{NOTED}{customer}", value),
        )

    await database.write(job)


async def erased(database: Database) -> dict[str, dict[str, Any]]:
    """The notes of all erased customers, by their ids."""
    sql = "SELECT name, value FROM settings WHERE name >= ? AND name < ?"
    rows = await database.read(lambda c: c.execute(sql, (NOTED, "erased;")).fetchall())
    return {name.removeprefix(NOTED): msgspec.json.decode(value) for name, value in rows}


async def compact(database: Database) -> None:
    """Write a file's pages anew: until then what was deleted is in its free ones, and in its log.

    Nothing is written meanwhile. PostgreSQL uses its space again by itself.
    """
    if not isinstance(database, File):
        return

    def job(connection: sqlite3.Connection) -> None:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    await database.alone(job)
