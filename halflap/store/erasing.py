"""Erase a customer: what remains afterwards, and a file without what was deleted from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from halflap.model import Micros
from halflap.store.catalogue.outcomes import STEPS
from halflap.store.job import Database, JobTransaction, fetch, json_text
from halflap.store.sqlite import SqliteDatabase as File

NOTED = "erased:"
FORGET_OUTCOMES = "DELETE FROM outcomes WHERE step IN (?, ?) AND customer = ?"


async def begin(
    database: Database, customer: str, at: Micros, by: str, counts: Mapping[str, int]
) -> dict[str, int]:
    """Note that a customer is being erased, by whom, and how much there is of it.

    Returns how much that was: of an erasure that is gone on with, as it began.
    """
    name = f"{NOTED}{customer}"
    value = json_text({"begun_at": at, "at": None, "by": by, "counts": dict(counts)})

    def job(connection: JobTransaction) -> str:
        connection.execute(
            "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
            (name, value),
        )
        row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0]

    return msgspec.json.decode(await database.write(job))["counts"]


async def end(database: Database, customer: str, at: Micros) -> None:
    """Note when the last of a customer was erased; its limits go."""
    note = json_text({**(await erased(database))[customer], "at": at})

    def job(connection: JobTransaction) -> None:
        connection.execute("DELETE FROM limits WHERE customer = ?", (customer,))
        connection.execute(FORGET_OUTCOMES, (*STEPS, customer))
        connection.execute(
            "UPDATE settings SET value = ? WHERE name = ?", (note, f"{NOTED}{customer}")
        )

    await database.write(job)


async def erased(database: Database) -> dict[str, dict[str, Any]]:
    """The notes of all erased customers, by their ids; `at` is None of one that is not at its end."""
    sql = "SELECT name, value FROM settings WHERE name >= ? AND name < ?"
    rows = await fetch(database, sql, NOTED, "erased;")
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
