"""Removing from SQLite what was kept for long enough, a few executions in each shared commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from halflap.errors import ConfigError
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
WHERE retention = ? AND removed = ? AND ended_at >= ? AND ended_at < ?
    AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
ORDER BY ended_at LIMIT ?
"""
KEPT = """
SELECT retention, removed FROM executions
WHERE id = ? AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed)
"""
THERE = "SELECT 1 FROM executions WHERE id = ?"
EXPIRED = "SELECT instance, flow, key FROM dedupe WHERE expires_at <= ? LIMIT ?"
PRUNE_DEDUPE = f"DELETE FROM dedupe WHERE (instance, flow, key) IN ({EXPIRED})"  # noqa: S608
UNUSED = """
SELECT number FROM retention_classes
WHERE NOT EXISTS (SELECT 1 FROM retained WHERE retained.retention = number)
    AND NOT EXISTS (SELECT 1 FROM executions INDEXED BY executions_ended
        WHERE executions.retention = number
            AND ended_at IS NOT NULL AND (state <> 'failed' OR dismissed))
"""
PRUNE_CLASSES = f"DELETE FROM retention_classes WHERE number IN ({UNUSED})"  # noqa: S608
WAS = """
SELECT instance, kept FROM retained JOIN retention_classes ON number = retained.retention
WHERE instance IN (SELECT value FROM json_each(?))
"""
ADD = "INSERT INTO retention_classes (number, kept) VALUES (?, ?)"
RETAIN = """
INSERT INTO retained (instance, retention) VALUES (?, ?)
ON CONFLICT (instance) DO UPDATE SET retention = excluded.retention
"""
RELEASE = "DELETE FROM retained WHERE instance = ?"


@dataclass(frozen=True, slots=True)
class Over:
    """Executions of which something was kept for long enough: some parts, or all."""

    ids: list[tuple[str]]
    removed: int
    """Which parts are removed already, in bits."""
    parts: tuple[Part, ...] | None


class Pruning:
    """The verbs of the journal about how long things are kept (see store/protocol.py)."""

    _database: Ways
    _clock: Clock
    default_retention: Retention

    def keep_by_default(self, retention: Retention) -> None:
        self.default_retention = retention

    async def classes(self) -> dict[int, Retention]:
        return await self._database.read(lambda c: held(c, self.default_retention))

    async def retain(self, holds: Mapping[str, Retention]) -> None:
        names = (msgspec.json.encode(list(holds)).decode(),)
        was = await self._database.read(lambda c: c.execute(WAS, names).fetchall())
        if not (news := classes.news(was, holds)):
            return
        refused = await self._database.write(lambda c: retain(c, news))
        if refused is not None:
            raise refused

    async def prune(self, limit: int) -> bool:
        now, default = self._clock(), self.default_retention

        def look(connection: sqlite3.Connection) -> tuple[list[Over], bool]:
            found = over(connection, default, now, limit)
            beside = connection.execute(EXPIRED, (now, 1)).fetchone(), connection.execute(UNUSED)
            return found, beside[0] is not None or beside[1].fetchone() is not None

        def remove(connection: sqlite3.Connection) -> int:
            for each in found:
                _remove(connection, each)
            connection.execute(PRUNE_CLASSES)
            return connection.execute(PRUNE_DEDUPE, (now, limit)).rowcount

        # Nobody who writes waits while it is looked for, and where nothing is due, nothing is written.
        found, beside = await self._database.read(look)
        if not found and not beside:
            return False
        expired = await self._database.write(remove)
        return limit in (expired, sum(len(each.ids) for each in found))


def over(connection: sqlite3.Connection, default: Retention, now: Micros, limit: int) -> list[Over]:
    """Up to `limit` executions of which something is due, the oldest of a class first."""
    found: list[Over] = []
    left = limit
    for number, retention in held(connection, default).items():
        since = 0
        for days, parts in _stages(retention):
            before = over_before(days, now)
            due = sum(BITS[part] for part in parts or ())
            for removed in range(1 << len(PARTS)):
                if left and (parts is None or removed & due != due):
                    values = (number, removed, since, before, left)
                    ids = connection.execute(OVER, values).fetchall()
                    left -= len(ids)
                    found += [Over(ids, removed, parts)] if ids else []
            since = before
    return found


def _stages(retention: Retention) -> Iterator[tuple[int, tuple[Part, ...] | None]]:
    """After how many days which parts are due, of what none of the earlier stages has."""
    if retention.execution is not None:
        yield retention.execution, None
    days: dict[Part, int] = {part: own for part in PARTS if (own := retention.days(part))}
    for longest in sorted(set(days.values()) - {retention.execution}, reverse=True):
        yield longest, tuple(part for part, own in days.items() if own <= longest)


def _remove(connection: sqlite3.Connection, due: Over) -> None:
    gone: list[Part] = [part for part in due.parts or () if not due.removed & BITS[part]]
    for table in BESIDE if due.parts is None else [TABLES[part] for part in gone]:
        connection.executemany(f"DELETE FROM {table} WHERE execution = ?", due.ids)  # noqa: S608
    if due.parts is None:
        connection.executemany("DELETE FROM executions WHERE id = ?", due.ids)
    else:
        bits = sum(BITS[part] for part in gone)
        connection.executemany(
            "UPDATE executions SET removed = removed | ? WHERE id = ?",
            [(bits, id) for (id,) in due.ids],
        )


def retain(connection: sqlite3.Connection, holds: Mapping[str, Retention]) -> ConfigError | None:
    """Have instances' executions end in the classes of what holds for them; may refuse."""
    change = classes.change(connection.execute(classes.ALL).fetchall(), holds)
    if isinstance(change, ConfigError):
        return change
    connection.executemany(RELEASE, [(each,) for each in change.released])
    connection.executemany(ADD, change.new)
    connection.executemany(RETAIN, change.moved)
    return None


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
