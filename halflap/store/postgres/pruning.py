"""Removing from PostgreSQL what was kept for long enough, and the classes that nobody is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halflap.errors import ConfigError
from halflap.model import PARTS, Clock, Micros, Part, Retention
from halflap.store import classes
from halflap.store.classes import DAY
from halflap.store.postgres.columns import Numbers
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.database import Ways
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.slots import KINDS, OTHER, Leaf, first_slot

# What has no slot of its own: it ended on a day that was dropped already, as a letter that was
# dismissed late, or its slot could not be made.
PRUNE_OTHERS = """
DELETE FROM history_other WHERE id IN (SELECT id FROM history_other
    JOIN unnest(%s::bigint[], %s::bigint[]) AS w (retention, before)
        ON slot %% 64 = w.retention AND slot < w.before LIMIT %s)
"""
PRUNE_OTHER_PARTS = """
DELETE FROM parts_other WHERE (execution, kind) IN (SELECT execution, parts_other.kind
    FROM parts_other JOIN unnest(%s::bigint[], %s::bigint[], %s::bigint[])
        AS w (kind, retention, before)
        ON parts_other.kind = w.kind AND slot %% 64 = w.retention AND slot < w.before LIMIT %s)
"""
# A server kept parts as long as the whole, and does no longer: what is in the rows goes from there.
EMPTY: Mapping[Part, str] = {
    "event": "head = NULL, body = NULL WHERE body IS NOT NULL",
    "steps": "steps = NULL WHERE steps IS NOT NULL",
    "logs": "logs = NULL WHERE logs IS NOT NULL",
}
ROWS = """
AND id IN (SELECT id FROM {table} WHERE id > %s AND slot %% 64 = 0 AND slot < %s AND {part} IS NOT NULL
    ORDER BY id LIMIT %s)
RETURNING id
"""
PRUNE_DEDUPE = """
DELETE FROM dedupe WHERE (instance, flow, key) IN (
    SELECT instance, flow, key FROM dedupe WHERE expires_at <= %s ORDER BY instance, flow, key
    LIMIT %s FOR UPDATE SKIP LOCKED)
"""
PRUNE_WRITERS = "DELETE FROM writers WHERE seen_at < %s"
FORGOTTEN: Micros = 7 * DAY
LOCK_CLASSES = "LOCK TABLE retention_classes IN SHARE ROW EXCLUSIVE MODE"
PRUNE_CLASSES = """
DELETE FROM retention_classes WHERE number <> ALL(%s)
    AND NOT EXISTS (SELECT 1 FROM retained WHERE retention = number)
    AND NOT EXISTS (SELECT 1 FROM history_other WHERE slot %% 64 = number)
    AND NOT EXISTS (SELECT 1 FROM parts_other WHERE slot %% 64 = number)
"""


class Pruning:
    """The verbs of the journal about how long things are kept (see store/protocol.py)."""

    _database: Ways
    _partitions: Partitions
    _clock: Clock
    default_retention: Retention
    _emptied: dict[tuple[str, Part], str | None]
    """How far what is in the rows of a table was emptied: up to an id, or, with None, all of it."""

    def keep_by_default(self, retention: Retention) -> None:
        self.default_retention = retention
        self._emptied.clear()

    async def classes(self) -> dict[int, Retention]:
        return classes.merged(await self._database.fetch(classes.ALL), self.default_retention)

    async def retain(self, instance: str, retention: Retention) -> None:
        kept = classes.encode(retention)

        async def job(connection: Connection) -> ConfigError | None:
            if retention == Retention():
                await connection.execute("DELETE FROM retained WHERE instance = %s", (instance,))
                return None
            await connection.execute(LOCK_CLASSES)
            cursor = await connection.execute("SELECT number, kept FROM retention_classes")
            numbers = {row[1]: row[0] for row in await cursor.fetchall()}
            if kept not in numbers:
                free = set(range(1, classes.MOST + 1)) - set(numbers.values())
                if not free:
                    return classes.full(retention)
                numbers[kept] = min(free)
                await connection.execute(
                    "INSERT INTO retention_classes VALUES (%s, %s)", (numbers[kept], kept)
                )
            await connection.execute(
                "INSERT INTO retained VALUES (%s, %s) ON CONFLICT (instance)"
                " DO UPDATE SET retention = excluded.retention",
                (instance, numbers[kept]),
            )
            return None

        if (refused := await self._database.write(job)) is not None:
            raise refused
        await self._partitions.make(self._clock(), anew=True)

    async def prune(self, limit: int) -> bool:
        now = self._clock()
        await self._partitions.make(now, anew=True)
        held = await self.classes()
        more = await self._partitions.drop(held, self.default_retention, now)
        used = await self._partitions.classes(now)
        tables = await self._partitions.whole()

        async def job(connection: Connection) -> bool:
            await connection.execute(PRUNE_WRITERS, (now - FORGOTTEN,))
            gone = await changed(connection, PRUNE_DEDUPE, (now, limit))
            gone = max(gone, await _prune_others(connection, held, now, limit))
            gone = max(gone, await self._empty(connection, tables, now, limit))
            await connection.execute(LOCK_CLASSES)
            await connection.execute(PRUNE_CLASSES, (Numbers(used),))
            return gone >= limit

        return await self._database.write(job) or more

    async def _empty(
        self, connection: Connection, tables: Sequence[Leaf], now: Micros, limit: int
    ) -> int:
        """Empty rows of parts that are over; returns how many of the table with the most."""
        most = 0
        for part in PARTS:
            days = self.default_retention.days(part)
            if days is None or days == self.default_retention.execution:
                continue
            before = first_slot(classes.over_before(days, now))
            for table in (*(e.name for e in tables if e.slot < before), OTHER):
                after = self._emptied.get((table, part), "")
                if after is None:
                    continue
                some = await _emptied(connection, table, part, (after, before, limit))
                if table != OTHER:
                    self._emptied[table, part] = max(some) if len(some) == limit else None
                most = max(most, len(some))
        return most


async def _emptied(
    connection: Connection, table: str, part: Part, values: tuple[str, int, int]
) -> list[str]:
    column = "body" if part == "event" else part
    sql = f"UPDATE {table} SET {EMPTY[part]} {ROWS.format(table=table, part=column)}"  # noqa: S608
    cursor = await connection.execute(sql.encode(), values, prepare=False)
    return [row[0] for row in await cursor.fetchall()]


async def _prune_others(
    connection: Connection, held: Mapping[int, Retention], now: Micros, limit: int
) -> int:
    """Remove from the tables of what has no slot; returns how much from the one with the most."""
    ended = {
        number: first_slot(classes.over_before(each.execution, now))
        for number, each in held.items()
        if each.execution
    }
    gone = await changed(connection, PRUNE_OTHERS, (Numbers(ended), Numbers(ended.values()), limit))
    due = [
        (KINDS[part], number, first_slot(classes.over_before(days, now)))
        for number, each in held.items()
        for part in PARTS
        if (days := each.days(part))
    ]
    columns = [Numbers(each[at] for each in due) for at in range(3)]
    return max(gone, await changed(connection, PRUNE_OTHER_PARTS, (*columns, limit)))
