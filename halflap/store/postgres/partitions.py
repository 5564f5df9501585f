"""The slots of the history: made ahead of time, dropped whole."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

import psycopg
import structlog
from psycopg import errors

from halflap.errors import StoreError
from halflap.model import Micros, Retention
from halflap.store.classes import DAY, is_over
from halflap.store.postgres.database import Database
from halflap.store.postgres.guard import forced
from halflap.store.postgres.slots import CLASSES, Leaf, leaves

log = structlog.get_logger("halflap.store")

AHEAD = 2
"""How many days are there before they begin."""
TRIES, REST_SECONDS = 5, 0.05
AT_ONCE = 32
"""How many tables are dropped at once: each takes some locks more."""

NAMES = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent IN (to_regclass('history'), to_regclass('parts'))
"""
USED = "SELECT 0 UNION SELECT retention FROM retained"
# Attaching blocks nobody who writes elsewhere; creating it within its parent would.
CREATE = "CREATE TABLE {leaf.name} (LIKE {leaf.parent} INCLUDING ALL);"
ATTACH = "ALTER TABLE {leaf.parent} ATTACH PARTITION {leaf.name} FOR VALUES {leaf.values}"
# What is read at that moment is waited for, and who comes meanwhile waits too: so not for long.
SHORTLY = "SET LOCAL lock_timeout = '25ms'"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' history', 0))"


class Partitions:
    """Makes the slots of a store's history, and drops them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made_until = -1
        self._making = asyncio.Lock()

    async def make(self, now: Micros, *, anew: bool = False) -> None:
        """Make the slots from now on; what has none is kept in `…_other`, and works.

        Who comes while another one makes them waits: a row of a slot that is not there yet would go
        to `history_other`, and keep the slot from being made. `anew`: look what is there.
        """
        today = now // DAY
        if not anew and self._is_made(today):
            return
        async with self._making:
            if anew or not self._is_made(today):
                await self._make(today)
                self._made_until = today + AHEAD

    def _is_made(self, today: int) -> bool:
        return today + AHEAD - 1 <= self._made_until <= today + AHEAD + 1

    async def _make(self, today: int) -> None:
        used = sorted(row[0] for row in await self._database.fetch(USED))
        there = await self._there()
        for day in range(today, today + AHEAD + 1):
            slots = [day * CLASSES + number for number in used]
            missing = [leaf for slot in slots for leaf in leaves(slot) if leaf not in there]
            # What is for later can be made later; each try holds up those who come meanwhile.
            if missing and not await self._tried(missing, TRIES if day == today else 1):
                return

    async def _tried(self, missing: list[Leaf], tries: int) -> bool:
        """Make leaves; False where they are in use."""
        for again in range(tries):
            try:
                await self._attach(missing)
            except (StoreError, psycopg.Error) as error:
                if not _is_in_use(error):
                    names = [each.name for each in missing]
                    log.warning("not made in the history", tables=names, error=str(error))
                    return True
                await asyncio.sleep(REST_SECONDS if again < tries - 1 else 0)
            else:
                return True
        log.info("the history is in use; made later", tables=[each.name for each in missing])
        return False

    async def _attach(self, wanted: Iterable[Leaf]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(LOCK, prepare=False)
            await connection.execute(SHORTLY, prepare=False)
            found = _leaves(await (await connection.execute(NAMES, prepare=False)).fetchall())
            for leaf in wanted:
                if leaf not in found:
                    made = CREATE.format(leaf=leaf) + forced(leaf.name)
                    await connection.execute(made.encode(), prepare=False)
                    await connection.execute(ATTACH.format(leaf=leaf).encode(), prepare=False)

    async def drop(self, held: Mapping[int, Retention], default: Retention, now: Micros) -> bool:
        """Drop what was kept for as long as its class says; returns whether there is more.

        Of a table, all that may go at once, because whoever uses it meanwhile has to look at it anew.
        What is in use goes another time: each try holds up those who come meanwhile.
        """
        over: dict[str, list[Leaf]] = {"parts": [], "history": []}  # no part outlives its row
        for leaf in sorted(await self._there(), key=lambda each: (each.slot, each.name)):
            retention = held.get(leaf.retention, default)
            days = retention.days(leaf.part) if leaf.part else retention.execution
            if is_over(days, leaf.day * DAY, now):
                over[leaf.parent].append(leaf)
        for some in filter(None, over.values()):
            names = ", ".join(each.name for each in some[:AT_ONCE])
            try:
                async with self._database.transaction() as connection:
                    await connection.execute(SHORTLY, prepare=False)
                    await connection.execute(
                        f"DROP TABLE IF EXISTS {names}".encode(), prepare=False
                    )
            except StoreError as error:
                if not _is_in_use(error):
                    raise
                log.info("the history is in use; dropped later", tables=names)
                return False
            if len(some) > AT_ONCE:
                return True
        return False

    async def classes(self, now: Micros) -> Collection[int]:
        """The classes that something may have ended in."""
        return {each.retention for each in await self._there() if each.day * DAY <= now}

    async def whole(self) -> list[Leaf]:
        """The tables of executions in class 0: their rows may have their parts in them."""
        there = sorted(await self._there(), key=lambda each: each.slot)
        return [each for each in there if each.part is None and each.retention == 0]

    async def _there(self) -> set[Leaf]:
        return _leaves(await self._database.fetch(NAMES))


def _leaves(rows: Iterable[tuple[str]]) -> set[Leaf]:
    return {leaf for (name,) in rows if (leaf := Leaf.named(name)) is not None}


def _is_in_use(error: BaseException) -> bool:
    return isinstance(error, errors.LockNotAvailable) or isinstance(
        error.__cause__, errors.LockNotAvailable
    )
