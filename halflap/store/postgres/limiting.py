"""Limits of customers, in PostgreSQL, and their use.

Whoever claims of customers that have limits locks the rows of these limits first, so that many
workers count what runs, and spend what may begin, one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from halflap.model import SYSTEM, CustomerLimits, CustomerLoad, Micros
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import PostgresWays
from halflap.store.turns import Limited, TurnRotation, limited, spent

LOCK = """
SELECT customer, concurrency, rate, burst, full_at FROM limits
WHERE customer = ANY(%s) ORDER BY customer FOR NO KEY UPDATE
"""
MAKE = """
INSERT INTO limits (customer) SELECT unnest(%s::text[]) ON CONFLICT (customer) DO NOTHING
"""
SPENT = Columns("customer text, full_at bigint")
SPEND = f"""
UPDATE limits SET full_at = w.full_at FROM {SPENT.rows}
WHERE limits.customer = w.customer
"""
RUNNING = """
SELECT lane, count(*) FROM executions WHERE lane = ANY(%s) AND lease_until IS NOT NULL GROUP BY lane
"""
# In the order of executions_due, and up to a number that the planner does not know: so it goes along
# that index, also where statistics know of one customer alone.
LOAD = """
WITH RECURSIVE place (lane, instance) AS (
    SELECT %(customer)s::text COLLATE "C", ''::text COLLATE "C"
    UNION ALL
    SELECT next.lane, next.instance FROM place CROSS JOIN LATERAL (
        SELECT lane, instance FROM executions WHERE due_at IS NOT NULL AND held = 0
            AND (lane, instance) > (place.lane, place.instance)
        ORDER BY lane, instance LIMIT 1
    ) AS next WHERE next.lane = %(customer)s
), backlog AS (
    (SELECT FROM executions WHERE held <> 0 AND lease_until IS NULL AND lane = %(customer)s
        LIMIT %(most)s)
    UNION ALL
    (SELECT FROM place CROSS JOIN (VALUES (false), (true)) AS of (probation) CROSS JOIN LATERAL (
        SELECT FROM executions WHERE due_at IS NOT NULL AND held = 0
            AND (lane, instance, probation) >= (place.lane, place.instance, of.probation)
            AND (lane, instance, probation, due_at)
                <= (place.lane, place.instance, of.probation, %(now)s::bigint)
        ORDER BY lane, instance, probation, due_at LIMIT (SELECT %(most)s::bigint)) AS due
        LIMIT %(most)s)
)
SELECT (SELECT count(*) FROM executions WHERE lane = %(customer)s AND lease_until IS NOT NULL),
    least((SELECT count(*) FROM backlog), %(most)s)
"""


async def lock_limits(
    connection: Connection, lanes: Iterable[str], default: CustomerLimits
) -> dict[str, Limited]:
    """The limits on running of those customers that have any; their rows are locked."""
    customers = sorted(each for each in lanes if each != SYSTEM)
    if not customers:
        return {}
    if default.concurrency or default.rate:
        own = [each for each in customers if not each.startswith(SYSTEM)]
        await connection.execute(MAKE, (Texts(own),))
    cursor = await connection.execute(LOCK, (Texts(customers),), binary=True)
    return {row[0]: limited(row, default) for row in await cursor.fetchall()}


async def running(connection: Connection, limits: Mapping[str, Limited]) -> dict[str, int]:
    """Return the number of running executions of each of these, where that is limited."""
    lanes = [each.customer for each in limits.values() if each.concurrency is not None]
    if not lanes:
        return {}
    cursor = await connection.execute(RUNNING, (Texts(lanes),), binary=True)
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def spend(
    connection: Connection,
    limits: Mapping[str, Limited],
    begun: Mapping[str, int],
    turns: TurnRotation,
    running: Mapping[str, int],
    now: Micros,
) -> None:
    """Note that so many have begun."""
    if changed := spent(limits, begun, turns, running, now):
        await connection.execute(SPEND.encode(), SPENT.of(changed.items()))


async def load(database: PostgresWays, customer: str, now: Micros, most: int) -> CustomerLoad:
    """Return the number of a customer's executions that run, and that, up to `most`, could or are
    held.
    """
    values = {"customer": customer, "now": now, "most": most}
    (row,) = await database.fetch(LOAD, values)
    return CustomerLoad(row[0], row[1])
