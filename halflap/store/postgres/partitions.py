"""The days of the history: made ahead of time, dropped whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import psycopg
import structlog
from psycopg import errors

from halflap.errors import StoreError
from halflap.model import Micros
from halflap.store.migrate import statements
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.guard import forced
from halflap.store.postgres.slots import OF_A_DAY, SlotPartition
from halflap.store.retention import DAY

log = structlog.get_logger("halflap.store")

AHEAD = 2
"""The number of days whose partitions exist before they begin."""
TRIES, REST_SECONDS = 5, 0.05
AT_ONCE = 32
"""The number of tables that are dropped at once: each takes some locks more."""

NAMES = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass('history')
"""
# Attaching blocks no writer to other days; creating it within its parent would.
CREATE = "CREATE TABLE {leaf.name} (LIKE history INCLUDING ALL);"
ATTACH = "ALTER TABLE history ATTACH PARTITION {leaf.name} FOR VALUES IN ({leaf.slot});"
# What is read at that moment is waited for, and who comes meanwhile waits too: so not for long.
SHORTLY = "SET LOCAL lock_timeout = '25ms';"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' history', 0))"


class Partitions:
    """Makes the days of a store's history, and drops them."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._made_until = -1
        self._making = asyncio.Lock()

    async def make(self, now: Micros) -> None:
        """Make the days from now on; rows of one that cannot be made go to `history_other`.

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
        for day in range(today, today + AHEAD + 1):
            # What is for later can be made later; each try holds up those who come meanwhile.
            if not await self.attach(SlotPartition(day * OF_A_DAY), TRIES if day == today else 1):
                return

    async def attach(self, leaf: SlotPartition, tries: int = 1) -> bool:
        """Make a leaf where it is missing; False where the history is in use."""
        if leaf in await self.leaves():
            return True
        for again in range(tries):
            try:
                await self._database.write(partial(_attach, leaf))
            except _InUse:
                await asyncio.sleep(REST_SECONDS if again < tries - 1 else 0)
            except (StoreError, psycopg.Error) as error:
                log.warning("not made in the history", table=leaf.name, error=str(error))
                return True
            else:
                return True
        log.info("the history is in use; made later", table=leaf.name)
        return False

    async def drop(self, leaves: Sequence[SlotPartition]) -> bool:
        """Drop leaves, all at once: whoever uses the history meanwhile has to look at it anew.

        Returns whether there are more. Where the history is in use, they go another time: each try
        holds up those who come meanwhile.
        """
        if not leaves:
            return False
        names = ", ".join(each.name for each in leaves[:AT_ONCE])
        try:
            await self._database.write(lambda c: _change(c, f"DROP TABLE IF EXISTS {names};"))
        except _InUse:
            log.info("the history is in use; dropped later", tables=names)
            return False
        return len(leaves) > AT_ONCE

    async def leaves(self) -> list[SlotPartition]:
        """Return all leaves, the oldest first."""
        rows = await self._database.fetch(NAMES)
        return sorted(leaf for (name,) in rows if (leaf := SlotPartition.named(name)) is not None)


class _InUse(Exception):
    """The history is in use."""


async def _attach(leaf: SlotPartition, connection: Connection) -> None:
    await connection.execute(LOCK, prepare=False)
    found = await connection.execute(NAMES, prepare=False)
    if (leaf.name,) not in await found.fetchall():
        made = CREATE.format(leaf=leaf) + forced(leaf.name) + ATTACH.format(leaf=leaf)
        await _change(connection, made)


async def _change(connection: Connection, script: str) -> None:
    """Change the history; raises `_InUse` where that would wait."""
    try:
        async with connection.pipeline():
            for statement in statements(SHORTLY + script):
                await connection.execute(statement.encode(), prepare=False)
    except errors.LockNotAvailable as error:
        raise _InUse from error
