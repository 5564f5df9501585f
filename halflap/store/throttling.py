"""Traffic of connections, in SQLite: what is parked, requests a second, rests, quotas."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from halflap.model import ONCE, PARKED, Micros, Throttled
from halflap.store import reading
from halflap.store.reading import IS_PARKED
from halflap.store.turns import Limited

COUNT = f"SELECT waiting_for, count(*) FROM executions WHERE {IS_PARKED} GROUP BY waiting_for"  # noqa: S608
UNPARK = f"""
UPDATE executions SET state = 'queued', due_at = ?3, waiting_for = '' WHERE id IN (
    SELECT id FROM executions WHERE {IS_PARKED} AND waiting_for IN (?1, ?1 || '{ONCE}')
    ORDER BY CASE ?2 WHEN 1 THEN waiting_for END, id LIMIT ?2)
RETURNING id
"""  # noqa: S608
FULL_AT = "SELECT full_at FROM throttles WHERE connection = ?"
SPEND = """
INSERT INTO throttles (connection, full_at) VALUES (?, ?)
ON CONFLICT (connection) DO UPDATE SET full_at = excluded.full_at
"""
REST = """
INSERT INTO throttles (connection, until, reason, away, since) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (connection) DO UPDATE SET until = excluded.until, reason = excluded.reason,
    away = excluded.away, since = excluded.since
    WHERE excluded.until > throttles.until
"""
NOTE_QUOTA = """
INSERT INTO throttles (connection, quota) VALUES (?, ?)
ON CONFLICT (connection) DO UPDATE SET quota = excluded.quota
"""
THROTTLED = "SELECT until, reason, quota, away, since FROM throttles WHERE connection = ?"
RESTING = """
SELECT connection, until, reason, quota, away, since FROM throttles WHERE until > ? AND until > 0
"""


def parked(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of executions that wait for each connection."""
    return reading.parked(connection.execute(COUNT).fetchall())


def unpark(connection: sqlite3.Connection, of: str, limit: int, now: Micros) -> list[str]:
    """Let up to `limit` executions go on; one alone, as a probe, is one that may be repeated."""
    found = connection.execute(UNPARK, (PARKED + of, limit, now)).fetchall()
    return sorted(row[0] for row in found)


def take_tokens(
    connection: sqlite3.Connection, of: str, count: int, rate: float, burst: int, now: Micros
) -> tuple[int, Micros]:
    """Take up to `count` requests of a rate; also when there are more."""
    row = connection.execute(FULL_AT, (of,)).fetchone()
    bucket = Limited(of, None, rate, burst, 0 if row is None else row[0])
    granted = min(bucket.allows(now, 0) or 0, count)
    full_at = bucket.after(now, granted)
    if granted:
        connection.execute(SPEND, (of, full_at))
    return granted, max(bucket.next_at(full_at), now)


def rest(connection: sqlite3.Connection, of: str, rest: Throttled) -> None:
    """Have nobody call a connection's app before a time."""
    connection.execute(REST, (of, rest.until, rest.reason, rest.away, rest.since))


def note_quota(connection: sqlite3.Connection, of: str, quota: str) -> None:
    """Note how much of an app's quota is used."""
    connection.execute(NOTE_QUOTA, (of, quota))


def throttled(connection: sqlite3.Connection, of: str) -> Throttled:
    """Return the state of a connection's traffic."""
    row = connection.execute(THROTTLED, (of,)).fetchone()
    return Throttled() if row is None else _read(row)


def resting(connection: sqlite3.Connection, now: Micros) -> dict[str, Throttled]:
    """The connections that nobody calls now."""
    return {row[0]: _read(row[1:]) for row in connection.execute(RESTING, (now,))}


def _read(row: Sequence[Any]) -> Throttled:
    until, reason, quota, away, since = row
    return Throttled(until, reason, quota, bool(away), since)
