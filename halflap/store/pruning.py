"""Pruning of SQLite: what was kept for long enough goes, a few executions in each shared commit."""

from __future__ import annotations

import sqlite3

from halflap.model import Clock, Micros
from halflap.store.retention import RetentionRules
from halflap.store.sqlite import Ways

BESIDE = ("events", "steps", "logs", "attempts", "signals")
# Spelt as in the partial index.
ENDED = "ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)"
OF_INSTANCE = f"FROM executions INDEXED BY executions_prunable WHERE {ENDED} AND instance"
INSTANCES = f"""
WITH RECURSIVE each (instance) AS (
    SELECT min(instance) {OF_INSTANCE} > ''
    UNION ALL SELECT (SELECT min(instance) {OF_INSTANCE} > each.instance) FROM each
        WHERE each.instance IS NOT NULL)
SELECT instance, (SELECT customer {OF_INSTANCE} = each.instance LIMIT 1)
FROM each WHERE instance IS NOT NULL
"""  # noqa: S608
OVER = f"""
SELECT id {OF_INSTANCE} = ? AND removed = ? AND ended_at >= ? AND ended_at < ?
ORDER BY ended_at LIMIT ?
"""
EXPIRED = "SELECT instance, flow, key FROM dedupe WHERE expires_at <= ? LIMIT ?"
PRUNE_DEDUPE = f"DELETE FROM dedupe WHERE (instance, flow, key) IN ({EXPIRED})"  # noqa: S608
REMOVE_PAYLOAD = (
    "DELETE FROM events WHERE execution = ?",
    "DELETE FROM signals WHERE execution = ?",
    "UPDATE steps SET inputs = NULL, result = NULL WHERE execution = ?",
    "UPDATE logs SET fields = x'' WHERE execution = ?",
    "UPDATE executions SET removed = 1 WHERE id = ?",
)
REMOVE = (
    *(f"DELETE FROM {each} WHERE execution = ?" for each in BESIDE),  # noqa: S608
    "DELETE FROM executions WHERE id = ?",
)
Ids = list[tuple[str]]


class Pruning:
    """The verb of the journal that removes what was kept for long enough (see store/protocol.py)."""

    _database: Ways
    _clock: Clock

    async def prune(self, rules: RetentionRules, limit: int) -> bool:
        now = self._clock()

        def look(connection: sqlite3.Connection) -> tuple[Ids, Ids, bool]:
            expired = connection.execute(EXPIRED, (now, 1)).fetchone()
            return *over(connection, rules, now, limit), expired is not None

        def remove(connection: sqlite3.Connection) -> int:
            for statements, ids in ((REMOVE, executions), (REMOVE_PAYLOAD, payloads)):
                for each in statements:
                    connection.executemany(each, ids)
            return connection.execute(PRUNE_DEDUPE, (now, limit)).rowcount

        # Writers do not wait while it is looked for, and where nothing is due, nothing is written.
        executions, payloads, expired = await self._database.read(look)
        if not (executions or payloads or expired):
            return False
        keys = await self._database.write(remove)
        return limit in (keys, len(executions) + len(payloads))


def over(
    connection: sqlite3.Connection, rules: RetentionRules, now: Micros, limit: int
) -> tuple[Ids, Ids]:
    """Find up to `limit` executions that are to be removed, or whose payload is."""
    executions, payloads = Ids(), Ids()
    for instance, customer in connection.execute(INSTANCES).fetchall():
        whole, payload = rules.cutoffs(instance, customer, now)
        for found, *which in (
            (executions, 0, 0, whole),
            (executions, 1, 0, whole),
            (payloads, 0, whole, payload),
        ):
            if left := limit - len(executions) - len(payloads):
                found += connection.execute(OVER, (instance, *which, left)).fetchall()
    return executions, payloads
