"""Traffic of connections, in PostgreSQL: what is parked, requests a second, rests, quotas."""

from __future__ import annotations

from typing import Any

from halflap.model import ONCE, PARKED, Micros, Throttled
from halflap.store import reading
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import Ways
from halflap.store.reading import IS_PARKED
from halflap.store.turns import Limited

LATELY: Micros = 30_000_000
"""The time for which a worker counts as a user of a connection."""

COUNT = f"SELECT waiting_for, count(*) FROM executions WHERE {IS_PARKED} GROUP BY waiting_for"  # noqa: S608
UNPARK = f"""
UPDATE executions SET state = 'queued', due_at = %s, waiting_for = '' WHERE id = ANY (ARRAY(
    SELECT id FROM executions WHERE {IS_PARKED} AND waiting_for IN (%s, %s)
    ORDER BY CASE %s WHEN 1 THEN waiting_for END, id LIMIT %s FOR NO KEY UPDATE))
RETURNING id
"""  # noqa: S608
MAKE = "INSERT INTO throttles (connection) VALUES (%s) ON CONFLICT DO NOTHING"
LOCK = "SELECT full_at FROM throttles WHERE connection = %s FOR NO KEY UPDATE"
SPEND = "UPDATE throttles SET full_at = %s WHERE connection = %s"
REST = """
INSERT INTO throttles (connection, until, reason, away, since) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (connection) DO UPDATE SET until = excluded.until, reason = excluded.reason,
    away = excluded.away, since = excluded.since
    WHERE excluded.until > throttles.until
"""
NOTE_QUOTA = """
INSERT INTO throttles (connection, quota) VALUES (%s, %s)
ON CONFLICT (connection) DO UPDATE SET quota = excluded.quota
"""
THROTTLED = "SELECT until, reason, quota, away, since FROM throttles WHERE connection = %s"
RESTING = """
SELECT connection, until, reason, quota, away, since FROM throttles WHERE until > %s AND until > 0
"""
CALL = """
INSERT INTO callers VALUES (%s, %s, %s)
ON CONFLICT (connection, worker) DO UPDATE SET seen_at = excluded.seen_at
"""
FORGET = "DELETE FROM callers WHERE connection = %s AND seen_at < %s"
CALLERS = "SELECT count(*) FROM callers WHERE connection = %s"


async def parked(database: Ways) -> dict[str, int]:
    """Return the number of executions that wait for each connection."""
    return reading.parked([(row[0].decode(), row[1]) for row in await database.fetch(COUNT)])


async def unpark(connection: Connection, of: str, limit: int, now: Micros) -> list[str]:
    """Let up to `limit` executions go on; one alone, as a probe, is one that may be repeated."""
    parked = PARKED + of
    values = (now, parked.encode(), (parked + ONCE).encode(), limit, limit)
    cursor = await connection.execute(UNPARK, values, binary=True)
    return sorted(row[0] for row in await cursor.fetchall())


async def take_tokens(
    connection: Connection, of: str, count: int, rate: float, burst: int, now: Micros
) -> tuple[int, Micros]:
    """Take up to `count` requests of a rate; also when there are more."""
    await connection.execute(MAKE, (of,))
    cursor = await connection.execute(LOCK, (of,), binary=True)
    row: Any = await cursor.fetchone()
    bucket = Limited(of, None, rate, burst, row[0])
    granted = min(bucket.allows(now, 0) or 0, count)
    full_at = bucket.after(now, granted)
    if granted:
        await connection.execute(SPEND, (full_at, of))
    return granted, max(bucket.next_at(full_at), now)


async def rest(connection: Connection, of: str, rest: Throttled) -> None:
    """Have nobody call a connection's app before a time."""
    values = (of, rest.until, rest.reason, rest.away, rest.since)
    await connection.execute(REST, values)


async def note_quota(connection: Connection, of: str, quota: str) -> None:
    """Note how much of an app's quota is used."""
    await connection.execute(NOTE_QUOTA, (of, quota))


async def throttled(database: Ways, of: str) -> Throttled:
    """Return the state of a connection's traffic."""
    rows = await database.fetch(THROTTLED, (of,))
    return Throttled(*rows[0]) if rows else Throttled()


async def resting(database: Ways, now: Micros) -> dict[str, Throttled]:
    """The connections that nobody calls now."""
    return {row[0]: Throttled(*row[1:]) for row in await database.fetch(RESTING, (now,))}


async def callers(connection: Connection, of: str, worker: str, now: Micros) -> int:
    """Return the number of workers that used a connection lately, this one included."""
    await connection.execute(FORGET, (of, now - LATELY))
    await connection.execute(CALL, (of, worker, now))
    cursor = await connection.execute(CALLERS, (of,), binary=True)
    row: Any = await cursor.fetchone()
    return row[0]
