"""Removing from PostgreSQL what was kept for long enough, and the classes that nobody is in."""

from __future__ import annotations

from collections.abc import Mapping

from halflap.errors import ConfigError
from halflap.model import PARTS, Clock, Micros, Part, Retention
from halflap.store import classes
from halflap.store.classes import DAY
from halflap.store.postgres.columns import Numbers, Texts
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.database import Ways
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.slots import KINDS, OTHER, first_slot

DUE = """
SELECT EXISTS (SELECT FROM writers WHERE seen_at < %s)
    OR EXISTS (SELECT FROM dedupe WHERE expires_at <= %s)
    OR EXISTS (SELECT FROM history_other) OR EXISTS (SELECT FROM parts_other)
    OR EXISTS (SELECT FROM retention_classes WHERE number <> ALL(%s)
        AND NOT EXISTS (SELECT FROM retained WHERE retention = number))
"""
# Each list is made once, whatever the planner thinks: a subquery with a limit may be run again.
PRUNE_DEDUPE = """
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dedupe WHERE expires_at <= %s ORDER BY instance, flow, key
    LIMIT %s FOR UPDATE SKIP LOCKED))
"""
# What has no slot of its own: it ended on a day that was dropped already, as a letter that was
# dismissed late, or its slot could not be made.
PRUNE_OTHERS = """
DELETE FROM history_other WHERE id = ANY (ARRAY(SELECT id FROM history_other
    JOIN unnest(%s::bigint[], %s::bigint[]) AS w (retention, before)
        ON slot %% 64 = w.retention AND slot < w.before LIMIT %s))
"""
PRUNE_OTHER_PARTS = """
DELETE FROM parts_other WHERE ctid = ANY (ARRAY(SELECT parts_other.ctid FROM parts_other
    JOIN unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS w (kind, retention, before)
        ON parts_other.kind = w.kind AND slot %% 64 = w.retention AND slot < w.before
    LIMIT %s FOR UPDATE OF parts_other))
"""
# A server kept parts as long as the whole, and does no longer: what is in the rows goes from there.
FULL = """
SELECT id FROM {table} WHERE id > %s AND slot %% 64 = 0 AND slot < %s AND {part} IS NOT NULL
ORDER BY id LIMIT %s
"""
EMPTY = "UPDATE {table} SET {emptied} WHERE id = ANY(%s)"
COLUMNS: Mapping[Part, tuple[str, ...]] = {
    "event": ("body", "head"),
    "steps": ("steps",),
    "logs": ("logs",),
}
PRUNE_WRITERS = "DELETE FROM writers WHERE seen_at < %s"
FORGOTTEN: Micros = 7 * DAY
WAS = """
SELECT instance, kept FROM retained JOIN retention_classes ON number = retained.retention
WHERE instance = ANY(%s)
"""
ADD = "INSERT INTO retention_classes SELECT * FROM unnest(%s::bigint[], %s::text[])"
RETAIN = """
INSERT INTO retained SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (instance) DO UPDATE SET retention = excluded.retention
"""
RELEASE = "DELETE FROM retained WHERE instance = ANY(%s)"
# Nobody comes into a class meanwhile that is about to go, or makes one more than there may be.
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

    async def retain(self, holds: Mapping[str, Retention]) -> None:
        was = await self._database.fetch(WAS, (Texts(holds),))
        if not (news := classes.news(was, holds)):
            return

        async def job(connection: Connection) -> ConfigError | None:
            await connection.execute(LOCK_CLASSES)
            there = await (await connection.execute(classes.ALL.encode())).fetchall()
            change = classes.change(there, news)
            if isinstance(change, ConfigError):
                return change
            await connection.execute(RELEASE, (Texts(change.released),))
            new, moved = change.new, change.moved
            await connection.execute(ADD, (Numbers(n for n, _ in new), Texts(k for _, k in new)))
            await connection.execute(
                RETAIN, (Texts(i for i, _ in moved), Numbers(n for _, n in moved))
            )
            return None

        if (refused := await self._database.write(job)) is not None:
            raise refused
        await self._partitions.make(self._clock(), anew=True)

    async def prune(self, limit: int) -> bool:
        now = self._clock()
        await self._partitions.make(now, anew=True)
        held = await self.classes()
        busy = await self._partitions.drop(held, self.default_retention, now)
        tidied, emptied = await self._tidy(held, now, limit), await self._empty(now, limit)
        return busy or tidied or emptied

    async def _tidy(self, held: Mapping[int, Retention], now: Micros, limit: int) -> bool:
        """Remove row by row what is in no slot; returns whether there may be more."""
        used = Numbers(await self._partitions.classes(now))
        forgotten = now - FORGOTTEN
        if not (await self._database.fetch(DUE, (forgotten, now, used)))[0][0]:
            return False

        async def job(connection: Connection) -> int:
            await connection.execute(PRUNE_WRITERS, (forgotten,))
            expired = await changed(connection, PRUNE_DEDUPE, (now, limit))
            others = await _prune_others(connection, held, now, limit)
            await connection.execute(LOCK_CLASSES)
            await connection.execute(PRUNE_CLASSES, (used,))
            return max(expired, others)

        return await self._database.write(job) >= limit

    async def _empty(self, now: Micros, limit: int) -> bool:
        """Empty rows of parts that are over; returns whether any were."""
        tables = await self._partitions.whole()
        for part in PARTS:
            days = self.default_retention.days(part)
            if days is None or days == self.default_retention.execution:
                continue
            before = first_slot(classes.over_before(days, now))
            for table in (*(each.name for each in tables if each.slot < before), OTHER):
                after = self._emptied.get((table, part), "")
                if after is not None and await self._empty_table(
                    table, part, (after, before, limit)
                ):
                    return True
        return False

    async def _empty_table(self, table: str, part: Part, values: tuple[str, int, int]) -> bool:
        columns = COLUMNS[part]
        sql = FULL.format(table=table, part=columns[0])
        ids = [row[0] for row in await self._database.fetch(sql, values)]
        if ids:
            emptied = ", ".join(f"{each} = NULL" for each in columns)
            sql = EMPTY.format(table=table, emptied=emptied)

            async def job(connection: Connection) -> None:
                await connection.execute(sql.encode(), (Texts(ids),), prepare=False)

            await self._database.write(job)
        if table != OTHER:
            self._emptied[table, part] = ids[-1] if len(ids) == values[-1] else None
        return bool(ids)


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
