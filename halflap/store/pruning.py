"""Removing from SQLite what was kept for long enough, a few executions in each shared commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from halflap.model import PARTS, Clock, Kept, Micros, Part, Retention
from halflap.store import classes
from halflap.store.classes import over_before
from halflap.store.sqlite import Ways

CLASS = classes.OF.format(of="executions")
BESIDE = ("events", "steps", "logs", "attempts", "signals")
TABLES: dict[Part, str] = {"event": "events", "steps": "steps", "logs": "logs"}
BITS: dict[Part, int] = {part: 1 << number for number, part in enumerate(PARTS)}
# Spelt as in the partial index.
OVER = """
SELECT id FROM executions INDEXED BY executions_ended
WHERE retention = ? AND removed = ? AND ended_at < ?
    AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
ORDER BY ended_at LIMIT ?
"""
KEPT = """
SELECT retention, removed FROM executions
WHERE id = ? AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
"""
THERE = "SELECT 1 FROM executions WHERE id = ?"
PRUNE_DEDUPE = """
DELETE FROM dedupe WHERE (instance, flow, key) IN
    (SELECT instance, flow, key FROM dedupe WHERE expires_at <= ? LIMIT ?)
"""
PRUNE_CLASSES = """
DELETE FROM retention_classes
WHERE NOT EXISTS (SELECT 1 FROM retained WHERE retained.retention = number)
    AND NOT EXISTS (SELECT 1 FROM executions INDEXED BY executions_ended
        WHERE executions.retention = number
            AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed))
"""


class Pruning:
    """The verbs of the journal about how long things are kept (see store/protocol.py)."""

    _database: Ways
    _clock: Clock
    default_retention: Retention

    def keep_by_default(self, retention: Retention) -> None:
        self.default_retention = retention

    async def classes(self) -> dict[int, Retention]:
        return await self._database.read(lambda c: held(c, self.default_retention))

    async def retain(self, instance: str, retention: Retention) -> None:
        refused = await self._database.write(lambda c: classes.retain(c, instance, retention))
        if refused is not None:
            raise refused

    async def prune(self, limit: int) -> bool:
        now = self._clock()
        return await self._database.write(
            lambda connection: prune(connection, self.default_retention, now, limit)
        )


def prune(connection: sqlite3.Connection, default: Retention, now: Micros, limit: int) -> bool:
    """Remove up to `limit` of what is due, executions or parts; whether there may be more."""
    left = limit
    for number, retention in held(connection, default).items():
        for removed in range(1 << len(PARTS) if retention.execution else 0):
            ended_before = over_before(retention.execution or 0, now)
            ids = over(connection, number, removed, ended_before, left)
            _remove(connection, BESIDE, ids)
            connection.executemany("DELETE FROM executions WHERE id = ?", ids)
            left -= len(ids)
        left -= _prune_parts(connection, number, retention, now, left)
    connection.execute(PRUNE_CLASSES)
    expired = connection.execute(PRUNE_DEDUPE, (now, limit)).rowcount
    return left == 0 or expired == limit


def _prune_parts(
    connection: sqlite3.Connection, number: int, retention: Retention, now: Micros, limit: int
) -> int:
    """Remove the parts that are due of executions that are not; returns of how many."""
    days: dict[Part, int] = {
        part: d for part in PARTS if (d := retention.days(part)) and d != retention.execution
    }
    gone = 0
    for longest in sorted(set(days.values()), reverse=True):  # the oldest first: all at once
        due: list[Part] = [part for part, d in days.items() if d <= longest]
        wanted = sum(BITS[part] for part in due)
        for removed in range(1 << len(PARTS)):
            if removed & wanted == wanted:
                continue
            ids = over(connection, number, removed, over_before(longest, now), limit - gone)
            _remove(connection, [TABLES[part] for part in due if not removed & BITS[part]], ids)
            connection.executemany(
                "UPDATE executions SET removed = ? WHERE id = ?",
                [(removed | wanted, id) for (id,) in ids],
            )
            gone += len(ids)
    return gone


def over(
    connection: sqlite3.Connection, number: int, removed: int, before: Micros, limit: int
) -> list[tuple[str]]:
    """The first executions of a class that ended before a time, of which so much is removed."""
    if limit <= 0:
        return []
    return connection.execute(OVER, (number, removed, before, limit)).fetchall()


def _remove(
    connection: sqlite3.Connection, tables: Sequence[str], ids: Sequence[tuple[str]]
) -> None:
    for table in tables:
        connection.executemany(f"DELETE FROM {table} WHERE execution = ?", ids)  # noqa: S608


def held(connection: sqlite3.Connection, default: Retention) -> dict[int, Retention]:
    """Every class by its number, as it holds now."""
    return classes.merged(connection.execute(classes.ALL).fetchall(), default)


def kept(connection: sqlite3.Connection, execution: str, default: Retention) -> Kept | None:
    """What is removed of an execution; None where there is none."""
    row = connection.execute(KEPT, (execution,)).fetchone()
    if row is None:
        there = connection.execute(THERE, (execution,)).fetchone() is not None
        return Kept(Retention()) if there else None
    retention = held(connection, default).get(row[0], default)
    return Kept(retention, frozenset(part for part in PARTS if row[1] & BITS[part]))
