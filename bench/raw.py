"""The raw group commit of our own store: what the disk and SQLite allow before we do anything."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from halflap.gateway.server import run_loop
from halflap.store.sqlite import Database

ROW = b"x" * 1_024


def rate(directory: Path, tasks: int, seconds: float) -> float:
    """One-row inserts a second, each on disk before the next, by so many tasks at once."""
    return run_loop(_rate(directory / f"raw-{tasks}.db", tasks, seconds))


async def _rate(file: Path, tasks: int, seconds: float) -> float:
    database = await Database.open(file)
    await database.alone(
        lambda c: c.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")
    )
    count = 0
    ends = time.monotonic() + seconds

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO rows (body) VALUES (?)", (ROW,))

    async def writer() -> None:
        nonlocal count
        while time.monotonic() < ends:
            await database.post(insert)
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(writer() for _ in range(tasks)))
    found = count / (time.monotonic() - began)
    await database.close()
    return found
