"""Traffic, on both stores: limits of customers and connections, what waits for them, rests, quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halflap.model import ONCE, PARKED, Clock, CustomerLimits, Micros, Throttled
from halflap.store import reading
from halflap.store.catalogue.writer import granted, guarded
from halflap.store.job import Jobs, JobTransaction, fetch, run
from halflap.store.reading import IS_PARKED
from halflap.store.recording import text
from halflap.store.turns import TurnRotation, limited, take

LIMITS = "SELECT concurrency, rate, burst, backlog FROM limits WHERE customer = ?"
SET_LIMITS = """
INSERT INTO limits (customer, concurrency, rate, burst, backlog) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (customer) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate,
    burst = excluded.burst, backlog = excluded.backlog
"""
OWN = "SELECT customer, concurrency, rate, burst, full_at FROM limits WHERE customer = ?"
# Locks the row, whether it was there or not.
LOCKED = """
INSERT INTO limits (customer) VALUES (?) ON CONFLICT (customer) DO UPDATE SET full_at = limits.full_at
RETURNING customer, concurrency, rate, burst, full_at
"""
BEGUN = "UPDATE limits SET full_at = ? WHERE customer = ?"
COUNT = f"SELECT waiting_for, count(*) FROM executions WHERE {IS_PARKED} GROUP BY waiting_for"
# Customers in turn, the one behind the last first; of each those that were claimed least often. One
# alone, as a probe, is one that may be repeated.
PARKED_OF = f"""
SELECT id, customer FROM (
    SELECT id, customer, row_number() OVER (
        PARTITION BY customer ORDER BY CASE ? WHEN 1 THEN waiting_for END, attempt, id
    ) AS place FROM executions WHERE {IS_PARKED} AND waiting_for IN (?, ?)
) AS parked
ORDER BY place, customer <= coalesce((SELECT last FROM throttles WHERE connection = ?), ''),
    customer LIMIT ?
"""
SERVED = """
INSERT INTO throttles (connection, last) VALUES (?, ?)
ON CONFLICT (connection) DO UPDATE SET last = excluded.last
"""
UNPARK = """
UPDATE executions SET state = 'queued', due_at = ?, waiting_for = ''
WHERE state = 'waiting' AND waiting_for IN (?, ?) AND id IN ({marks}) RETURNING id
"""
# Locks the row, whether it was there or not.
FULL_AT = """
INSERT INTO throttles (connection) VALUES (?)
ON CONFLICT (connection) DO UPDATE SET full_at = throttles.full_at RETURNING full_at
"""
SPEND = "UPDATE throttles SET full_at = ? WHERE connection = ?"
REST = """
INSERT INTO throttles (connection, until, reason, away, since) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (connection) DO UPDATE SET until = excluded.until, reason = excluded.reason,
    away = excluded.away, since = excluded.since
    WHERE excluded.until > throttles.until
"""
CLOSE = """
UPDATE throttles SET until = 0, reason = '', away = ?, since = 0 WHERE connection = ? AND away
"""
NOTE_QUOTA = """
INSERT INTO throttles (connection, quota) VALUES (?, ?)
ON CONFLICT (connection) DO UPDATE SET quota = excluded.quota
"""
THROTTLED = "SELECT until, reason, quota, away, since FROM throttles WHERE connection = ?"
RESTING = """
SELECT connection, until, reason, quota, away, since FROM throttles WHERE until > ? AND until > 0
"""
INSTANCES = "SELECT DISTINCT instance FROM known WHERE customer = ?"
# Whoever runs, else who has a turn, be it as one that failed and blocks.
WAITS_FOR = """
SELECT other.execution FROM orders AS own
JOIN orders AS other ON other.name = own.name AND other.turn = TRUE
LEFT JOIN executions ON executions.id = other.execution
WHERE own.execution = ? AND NOT own.turn
ORDER BY coalesce(executions.state, '') = 'running' DESC, other.place LIMIT 1
"""


class Traffic:
    """The amounts of executions that may run, and of calls (see store/protocol.py)."""

    _jobs: Jobs
    _clock: Clock
    _turns: tuple[TurnRotation, TurnRotation]
    default_limits: CustomerLimits

    @property
    def held_back(self) -> frozenset[str]:
        usual, on_probation = self._turns
        return usual.held_back | on_probation.held_back

    async def limits(self, customer: str) -> CustomerLimits:
        row = await self._first(LIMITS, customer)
        return CustomerLimits() if row is None else CustomerLimits(*row)

    async def set_limits(self, customer: str, limits: CustomerLimits) -> None:
        """Keep a customer's own limits; none of its own, no row."""
        sql, values = "DELETE FROM limits WHERE customer = ?", (customer,)
        if limits != CustomerLimits():
            sql = SET_LIMITS
            values = (customer, limits.concurrency, limits.rate, limits.burst, limits.backlog)
        granted(await self._jobs.write(guarded(lambda c: c.execute(sql, values).rowcount)))

    async def take_beginning(self, customer: str) -> tuple[float, Micros]:
        now, default = self._clock(), self.default_limits
        row = await self._first(OWN, customer) or (customer, None, None, None, 0)
        if limited(row, default).rate is None:
            return 0.0, now

        def job(connection: JobTransaction) -> tuple[float, Micros]:
            found = limited(connection.execute(LOCKED, (customer,)).fetchone(), default)
            rate = found.rate or 0.0
            taken, full_at, next_at = take(found.full_at, 1, rate, found.burst or 0, now)
            if taken:
                connection.execute(BEGUN, (full_at, customer))
            return rate, now if taken else next_at

        return await self._jobs.write(job)

    async def waits_for(self, execution: str) -> str | None:
        row = await self._first(WAITS_FOR, execution)
        return None if row is None else row[0]

    async def instances_of(self, customer: str) -> list[str]:
        return sorted(row[0] for row in await fetch(self._jobs, INSTANCES, customer))

    async def parked(self) -> dict[str, int]:
        return reading.parked(await fetch(self._jobs, COUNT))

    async def unpark(self, connection: str, limit: int) -> list[str]:
        now, of, names = (
            self._clock(),
            connection,
            (PARKED + connection, PARKED + connection + ONCE),
        )
        # All that is parked is looked at, which writers need not wait for.
        found = await fetch(self._jobs, PARKED_OF, limit, *names, of, limit)
        if not found:
            return []

        def job(connection: JobTransaction) -> list[str]:
            connection.execute(SERVED, (of, found[-1][1]))
            sql = UNPARK.format(marks=", ".join("?" * len(found)))
            gone = connection.execute(sql, (now, *names, *(row[0] for row in found)))
            return sorted(row[0] for row in gone)

        return await self._jobs.write(job)

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        now, of = self._clock(), connection

        def job(connection: JobTransaction) -> tuple[int, Micros]:
            before = connection.execute(FULL_AT, (of,)).fetchone()[0]
            granted, full_at, next_at = take(before, count, rate, burst, now)
            if granted:
                connection.execute(SPEND, (full_at, of))
            return granted, next_at

        return await self._jobs.write(job)

    async def rest(self, connection: str, rest: Throttled) -> None:
        values = (connection, rest.until, readable(rest.reason), rest.away, rest.since)
        await run(self._jobs, REST, *values)

    async def close_circuit(self, connection: str) -> None:
        await run(self._jobs, CLOSE, False, connection)

    async def note_quota(self, connection: str, quota: str) -> None:
        await run(self._jobs, NOTE_QUOTA, connection, readable(quota))

    async def throttled(self, connection: str) -> Throttled:
        row = await self._first(THROTTLED, connection)
        return Throttled() if row is None else throttled(row)

    async def resting(self, ended: Micros = 0) -> dict[str, Throttled]:
        now = self._clock() - ended
        return {row[0]: throttled(row[1:]) for row in await fetch(self._jobs, RESTING, now)}

    async def _first(self, sql: str, *values: Any) -> Any:
        return await self._jobs.read(lambda c: c.execute(sql, values).fetchone())


def throttled(row: Sequence[Any]) -> Throttled:
    """Return a row of `THROTTLED`."""
    until, reason, quota, away, since = row
    return Throttled(until, reason, quota, bool(away), since)


def readable(value: str) -> str:
    """Return a text as every database can keep it."""
    return text(value).replace("\0", "")
