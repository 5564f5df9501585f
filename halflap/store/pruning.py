"""Pruning of SQLite: what was kept for long enough goes, a few executions in each shared commit."""

from __future__ import annotations

import sqlite3

import msgspec

from halflap.model import Clock, Micros
from halflap.store.blobs.payloads import Payloads
from halflap.store.reading import NUMBER, NUMBERED
from halflap.store.retention import DAY, RetentionRules
from halflap.store.sqlite import Ways

INSTANCES = """
WITH RECURSIVE each (instance) AS (
    SELECT min(instance) FROM executions
    UNION ALL SELECT (SELECT min(instance) FROM executions WHERE instance > each.instance) FROM each
        WHERE each.instance IS NOT NULL)
SELECT instance, (SELECT customer FROM executions WHERE instance = each.instance LIMIT 1)
FROM each WHERE instance IS NOT NULL
"""
# Spelt as in the partial index.
OVER = """
SELECT id FROM executions INDEXED BY executions_kept
WHERE ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
    AND removed = ? AND ended_at >= ? AND ended_at < ? {of} {chained}
ORDER BY ended_at LIMIT ?
"""
# A chain goes as a whole: none of it before the last one may.
OVER_AS_WELL = """
(SELECT ifnull(last.ended_at < ?, 0) AND (last.state <> 'failed' OR last.dismissed)
    FROM executions AS last WHERE last.chain = executions.chain ORDER BY link DESC, id DESC LIMIT 1)
"""
WHOLE = f"AND (chain IS NULL OR {OVER_AS_WELL})"
HELD = f"AND chain IS NOT NULL AND NOT {OVER_AS_WELL}"
EXPIRED = "SELECT instance, flow, key FROM dedupe WHERE expires_at <= ? LIMIT ?"
PRUNE_DEDUPE = f"DELETE FROM dedupe WHERE (instance, flow, key) IN ({EXPIRED})"
REMOVE_PAYLOAD = (
    f"DELETE FROM events WHERE execution = {NUMBER}",
    "DELETE FROM signals WHERE execution = ?",
    f"UPDATE steps SET inputs = NULL, result = NULL WHERE execution = {NUMBER}",
    f"UPDATE logs SET fields = x'' WHERE execution = {NUMBER}",
    "UPDATE executions SET removed = 1 WHERE id = ?",
)
REMOVE = (
    *(f"DELETE FROM {each} WHERE execution = {NUMBER}" for each in NUMBERED),
    "DELETE FROM attempts WHERE execution = ?",
    "DELETE FROM signals WHERE execution = ?",
    "DELETE FROM executions WHERE id = ?",
)
Ids = list[tuple[str]]
HOUR: Micros = DAY // 24


class Pruning:
    """The verb of the journal that removes what was kept for long enough (see store/protocol.py)."""

    _database: Ways
    _clock: Clock
    payloads: Payloads
    _settled: tuple[RetentionRules, int] | None
    """The rules and the hour for which nothing was left to remove, though instances differ.

    So those that are kept for longer are not looked at again and again, past which the others lie.
    """

    async def prune(self, rules: RetentionRules, limit: int) -> bool:
        more = await self._prune(rules, limit)
        await self.payloads.sweep()
        return more

    async def _prune(self, rules: RetentionRules, limit: int) -> bool:
        now = self._clock()
        settled = rules, now // HOUR

        def look(connection: sqlite3.Connection) -> tuple[Ids, Ids, bool]:
            expired = connection.execute(EXPIRED, (now, 1)).fetchone() is not None
            if self._settled == settled:
                return [], [], expired
            return *over(connection, rules, now, limit), expired

        def remove(connection: sqlite3.Connection) -> int:
            for statements, ids in ((REMOVE, executions), (REMOVE_PAYLOAD, payloads)):
                for each in statements:
                    connection.executemany(each, ids)
            return connection.execute(PRUNE_DEDUPE, (now, limit)).rowcount

        # Writers do not wait while it is looked for, and where nothing is due, nothing is written.
        executions, payloads, expired = await self._database.read(look)
        if rules.levels and not (executions or payloads):
            self._settled = settled
        if not (executions or payloads or expired):
            return False
        keys = await self._database.write(remove)
        return limit in (keys, len(executions) + len(payloads))


def over(
    connection: sqlite3.Connection, rules: RetentionRules, now: Micros, limit: int
) -> tuple[Ids, Ids]:
    """Find up to `limit` executions that are to be removed, or whose payload is."""
    executions, payloads = Ids(), Ids()
    alike: dict[tuple[Micros, Micros], list[str]] = {}
    for instance, customer in connection.execute(INSTANCES).fetchall():
        alike.setdefault(rules.cutoffs(instance, customer, now), []).append(instance)
    for (whole, payload), instances in alike.items():
        some, of = "", ()
        if len(alike) > 1:
            some = "AND instance IN (SELECT value FROM json_each(?))"
            of = (msgspec.json.encode(instances).decode(),)
        for found, chained, *which in (
            (executions, WHOLE, 0, 0, whole),
            (executions, WHOLE, 1, 0, whole),
            (payloads, "", 0, whole, payload),
            (payloads, HELD, 0, 0, whole),
        ):
            if left := limit - len(executions) - len(payloads):
                sql = OVER.format(of=some, chained=chained)
                last = (whole,) if chained else ()
                found += connection.execute(sql, (*which, *of, *last, left)).fetchall()
    return executions, payloads
