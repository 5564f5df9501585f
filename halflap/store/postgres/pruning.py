"""Pruning of PostgreSQL: days are dropped where all of them is over, else rows are removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halflap.model import Clock, Micros
from halflap.store.blobs.payloads import Payloads
from halflap.store.postgres import rows
from halflap.store.postgres.columns import Columns, Numbers, Texts
from halflap.store.postgres.connecting import Connection, changed
from halflap.store.postgres.database import PostgresWays
from halflap.store.postgres.doubt import FORGOTTEN
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.schema import FOLD_PARTS
from halflap.store.postgres.slots import BARE, OF_A_DAY, OTHER, SlotPartition, first_slot
from halflap.store.retention import DAY, RetentionRules

DUE = """
SELECT EXISTS (SELECT FROM writers WHERE seen_at < %s)
    OR EXISTS (SELECT FROM dedupe WHERE expires_at <= %s)
"""
# Each list is made once, whatever the planner thinks: a subquery with a limit may be run again.
PRUNE_DEDUPE = """
DELETE FROM dedupe WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dedupe WHERE expires_at <= %s ORDER BY instance, flow, key
    LIMIT %s FOR UPDATE SKIP LOCKED))
"""
PRUNE_WRITERS = "DELETE FROM writers WHERE seen_at < %s"
INSTANCES = """
WITH RECURSIVE each AS (
    (SELECT instance, customer FROM {table} ORDER BY instance LIMIT 1)
    UNION ALL SELECT next.* FROM each, LATERAL (SELECT instance, customer FROM {table}
        WHERE {table}.instance > each.instance ORDER BY instance LIMIT 1) AS next)
SELECT instance, customer FROM each
"""
# A chain goes as a whole: none of it before the last one may.
HELD = """(chain IS NOT NULL AND (
    EXISTS (SELECT FROM executions AS other WHERE other.chain = {table}.chain)
    OR EXISTS (SELECT FROM letters AS other WHERE other.chain = {table}.chain)
    OR EXISTS (SELECT FROM history AS other
        WHERE other.chain = {table}.chain AND other.slot >= w.before)))"""
BOUNDS = Columns("instance text, before bigint")
OVER = f"""
SELECT id, slot FROM {{table}} JOIN {BOUNDS.rows}
    USING (instance) WHERE slot < w.before AND NOT {HELD} LIMIT %s
"""
HOLDS = f"""
SELECT FROM {{table}} JOIN {BOUNDS.rows} USING (instance) WHERE {HELD} LIMIT 1
"""
DELETE = "DELETE FROM {table} WHERE id = ANY(%s)"
WITH_PAYLOAD = f"""
SELECT id, slot, steps, logs FROM {{table}}
    JOIN {BOUNDS.rows} USING (instance)
WHERE slot < w.before AND slot %% {OF_A_DAY} <> {BARE} LIMIT %s FOR UPDATE OF {{table}}
"""
BARED = Columns("id text, steps bytea, logs bytea")
REMOVE_PAYLOAD = f"""
UPDATE history SET head = NULL, body = NULL, steps = w.steps, logs = w.logs,
    slot = slot / {OF_A_DAY} * {OF_A_DAY} + {BARE}
FROM {BARED.rows} WHERE history.id = w.id AND slot = ANY(%s)
"""
HAS_PARTS = "SELECT to_regclass('parts') IS NOT NULL"
HOUR: Micros = DAY // 24


class PostgresPruning:
    """The verb of the journal that removes what was kept for long enough (see store/protocol.py)."""

    _database: PostgresWays
    _partitions: Partitions
    _clock: Clock
    payloads: Payloads
    _settled: dict[str, tuple[RetentionRules, int]]
    """By table, the rules and the hour for which nothing was left to remove there.

    Only failed executions that are dismissed late come into a past day, so an hour may pass.
    """

    async def prune(self, rules: RetentionRules, limit: int) -> bool:
        now = self._clock()
        await self._partitions.make(now)
        more = await self._tidy(now, limit)
        dropped: list[SlotPartition] = []
        past = first_slot(now - DAY)
        leaves = [each for each in await self._partitions.leaves() if each.slot < past]
        for leaf in (*leaves, None):
            name = OTHER if leaf is None else leaf.name
            if self._settled.get(name) == (rules, now // HOUR):
                continue
            cutoffs = {
                instance: rules.cutoffs(instance, customer, now)
                for instance, customer in await self._database.fetch(INSTANCES.format(table=name))
            }
            slot = 0 if leaf is None else leaf.slot
            over, bare = (
                {
                    name: last
                    for name, each in cutoffs.items()
                    if slot < (last := first_slot(each[at]))
                }
                for at in (0, 1)
            )
            if leaf is not None and len(over) == len(cutoffs) and not await self._holds(name, over):
                dropped.append(leaf)
                continue
            if leaf is not None and leaf.bare:
                bare = {}
            elif leaf is not None and bare and not await self._partitions.attach(leaf.beside):
                continue  # the history is in use: another time
            if (over or bare) and await self._prune(name, over, bare, limit):
                more = True
                break
            self._settled[name] = (rules, now // HOUR)
        more = await self._partitions.drop(dropped) or more
        await self.payloads.sweep()
        return more

    async def _holds(self, table: str, over: Mapping[str, int]) -> bool:
        """Return whether a table has executions whose chain goes on, or ended later."""
        values = BOUNDS.of(over.items())
        return bool(await self._database.fetch(HOLDS.format(table=table), values))

    async def _prune(
        self, table: str, over: Mapping[str, int], bare: Mapping[str, int], limit: int
    ) -> int:
        """Remove executions and payloads row by row; returns how many.

        `over` and `bare` say of instances up to which slot, exclusive.
        """

        async def job(connection: Connection) -> int:
            found = await _rows(connection, OVER.format(table=table), over, limit)
            if found:
                ids = Texts(row[0] for row in found)
                await connection.execute(DELETE.format(table=table).encode(), (ids,), prepare=False)
            left = await _rows(
                connection, WITH_PAYLOAD.format(table=table), bare, limit - len(found)
            )
            await _remove_payloads(connection, left)
            return len(found) + len(left)

        return await self._database.write(job)

    async def _tidy(self, now: Micros, limit: int) -> bool:
        """Remove expired keys, and take in what servers of 0.1.0 left beside the history."""
        if (await self._database.fetch(HAS_PARTS))[0][0]:

            async def fold(connection: Connection) -> None:
                await connection.execute(FOLD_PARTS.encode(), prepare=False)

            await self._database.write(fold)
        forgotten = now - FORGOTTEN
        if not (await self._database.fetch(DUE, (forgotten, now)))[0][0]:
            return False

        async def job(connection: Connection) -> int:
            await connection.execute(PRUNE_WRITERS, (forgotten,))
            return await changed(connection, PRUNE_DEDUPE, (now, limit))

        return await self._database.write(job) >= limit


async def _rows(
    connection: Connection, sql: str, before: Mapping[str, int], limit: int
) -> list[Any]:
    if not before or not limit:
        return []
    values = (*BOUNDS.of(before.items()), limit)
    return await (await connection.execute(sql.encode(), values, prepare=False)).fetchall()


async def _remove_payloads(connection: Connection, found: list[Any]) -> None:
    if not found:
        return
    bared = BARED.of(
        (id, steps and rows.without_payload(steps), logs and rows.without_fields(logs))
        for id, _, steps, logs in found
    )
    values = (*bared, Numbers({row[1] for row in found}))
    await connection.execute(REMOVE_PAYLOAD.encode(), values, prepare=False)
