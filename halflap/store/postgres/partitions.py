"""The days of the history: made ahead of time, dropped whole."""

from __future__ import annotations

import asyncio

import psycopg
import structlog
from psycopg import errors

from halflap.errors import StoreError
from halflap.model import Micros
from halflap.store.postgres.database import Database
from halflap.store.postgres.guard import forced

log = structlog.get_logger("halflap.store")

DAY: Micros = 86_400_000_000
AHEAD = 2
"""How many days are there before they begin."""

NAMES = """
SELECT child.relname FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass('history') AND child.relname ~ '^history_[0-9]+$'
"""
# Attaching blocks nobody who writes to other days; creating it within `history` would.
CREATE = "CREATE TABLE history_{day} (LIKE history INCLUDING ALL);"
ATTACH = "ALTER TABLE history ATTACH PARTITION history_{day} FOR VALUES FROM ({begin}) TO ({end})"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' history', 0))"


class Partitions:
    """Makes the days of a store's history, and drops them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made_until = -1
        self._making = asyncio.Lock()

    async def make(self, now: Micros) -> None:
        """Make the days from now on; what cannot be made is kept in `history_other`, and works.

        Who comes while another one makes them waits: a row of a day that is not there yet would go
        to `history_other`, and keep the day from being made.
        """
        today = now // DAY
        if self._is_made(today):
            return
        async with self._making:
            if not self._is_made(today):
                await self._make(today)
                self._made_until = today + AHEAD

    def _is_made(self, today: int) -> bool:
        return today + AHEAD - 1 <= self._made_until <= today + AHEAD + 1

    async def _make(self, today: int) -> None:
        there = await self._days()
        for day in range(today, today + AHEAD + 1):
            if day in there:
                continue
            try:
                async with self._database.transaction() as connection:
                    await connection.execute("SET LOCAL lock_timeout = '3s'", prepare=False)
                    await connection.execute(LOCK, prepare=False)
                    found = await connection.execute(NAMES, prepare=False)
                    if (_name(day),) in await found.fetchall():
                        continue
                    made = CREATE.format(day=day) + forced(_name(day))
                    await connection.execute(made.encode(), prepare=False)
                    attach = ATTACH.format(day=day, begin=day * DAY, end=(day + 1) * DAY)
                    await connection.execute(attach.encode(), prepare=False)
            except (StoreError, psycopg.Error) as error:
                log.warning("a day of the history was not made", day=day, error=str(error))

    async def drop(self, before: Micros) -> int:
        """Drop the days that were over before a time; returns how many executions went."""
        gone = 0
        for day in sorted(await self._days()):
            if (day + 1) * DAY > before:
                break
            ((count,),) = await self._database.fetch(f"SELECT count(*) FROM {_name(day)}")  # noqa: S608
            try:
                async with self._database.transaction() as connection:
                    await connection.execute("SET LOCAL lock_timeout = '3s'", prepare=False)
                    await connection.execute(LOCK, prepare=False)
                    await connection.execute(
                        f"DROP TABLE IF EXISTS {_name(day)}".encode(), prepare=False
                    )
            except StoreError as error:
                if not isinstance(error.__cause__, errors.LockNotAvailable):
                    raise
                log.warning("a day of the history is in use, and goes later", day=day)
            else:
                gone += count
        return gone

    async def _days(self) -> set[int]:
        rows = await self._database.fetch(NAMES)
        return {int(row[0].removeprefix("history_")) for row in rows}


def _name(day: int) -> str:
    return f"history_{day}"
