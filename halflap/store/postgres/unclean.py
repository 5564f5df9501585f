"""Settle executions whose worker lost them, or is to release them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from halflap.model import Micros
from halflap.store.postgres import ending, lineage, ordering
from halflap.store.postgres.columns import Numbers, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks, lock
from halflap.store.protocol import CancelResult
from halflap.store.rules.ending import consequences, decide_cancel, frees_key

ORDERS = "SELECT id, order_scope, order_key FROM executions WHERE state = 'running' AND {where}"
LOCK_RUNNING = """
SELECT id, order_scope IS NOT NULL FROM executions
WHERE id = ANY(%s) AND state = 'running' AND {where} ORDER BY id FOR NO KEY UPDATE
"""
NOTE = """
INSERT INTO attempts SELECT id, attempt, claimed_at, %s, 'crashed', NULL FROM executions
WHERE id = ANY(%s)
ON CONFLICT (execution, number) DO UPDATE SET started_at = excluded.started_at,
    ended_at = excluded.ended_at, how = excluded.how, failure = NULL
"""
VOID = """
UPDATE executions SET state = 'queued', due_at = %s, lease_until = NULL, worker = NULL,
    fence = fence + 1, probation = true, crashes = crashes + %s
WHERE id = ANY(%s)
"""
ORDER_OF = """
SELECT order_scope, order_key FROM executions WHERE id = %s AND order_scope IS NOT NULL
"""
ORDER_OF_LETTER = ORDER_OF.replace("executions", "letters")
LOCK_ONE = """
SELECT state, order_scope IS NOT NULL, coalesce(chain, id), attempt, failure
FROM executions WHERE id = %s FOR NO KEY UPDATE
"""
LOCK_KEY = """
SELECT FROM dedupe JOIN executions USING (instance, flow)
WHERE executions.id = %s AND dedupe.key = dedupe_key AND dedupe.execution = executions.id
FOR UPDATE OF dedupe
"""
FREE_KEY = """
DELETE FROM dedupe USING executions WHERE executions.id = %s
    AND dedupe.instance = executions.instance AND dedupe.flow = executions.flow
    AND dedupe.key = dedupe_key AND dedupe.execution = executions.id
"""
ASK = "UPDATE executions SET cancelling = %s, cut_at = %s WHERE id = %s"
IS_OVER = """
SELECT FROM letters WHERE id = %(id)s UNION ALL SELECT FROM history WHERE id = %(id)s LIMIT 1
"""
RENEW = """
WITH held AS (
    SELECT id FROM executions WHERE id = ANY(%s) AND state = 'running'
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE executions SET lease_until = %s
FROM held JOIN unnest(%s::text[], %s::bigint[]) AS w (id, fence) ON w.id = held.id
WHERE executions.id = held.id AND executions.fence = w.fence AND executions.state = 'running'
RETURNING executions.id, executions.fence
"""


async def void(
    connection: Connection,
    locks: Locks,
    where: str,
    values: Sequence[Any],
    now: Micros,
    crashes: int = 0,
) -> int:
    """Void the claims of those that run and are meant; returns how many."""
    cursor = await connection.execute(ORDERS.format(where=where).encode(), values, binary=True)
    found: list[Any] = await cursor.fetchall()
    if not found:
        return 0
    await lock(connection, [locks.order(*row[1:]) for row in found if row[1] is not None])
    cursor = await connection.execute(
        LOCK_RUNNING.format(where=where).encode(),
        (Texts(row[0] for row in found), *values),
        binary=True,
    )
    running: list[Any] = await cursor.fetchall()
    ids = Texts(row[0] for row in running)
    await connection.execute(NOTE, (now, ids))
    await connection.execute(VOID, (now, crashes, ids))
    widths = await ordering.pause(connection, [row[0] for row in running if row[1]], now)
    await ordering.settle(connection, widths, now)
    return len(running)


async def renew(
    connection: Connection, leases: Collection[tuple[str, int]], until: Micros
) -> set[tuple[str, int]]:
    """Prolong leases, given as execution and fence; returns those that are still held."""
    ids = Texts(each[0] for each in leases)
    cursor = await connection.execute(
        RENEW, (ids, until, ids, Numbers(each[1] for each in leases)), binary=True
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def cancel(
    connection: Connection,
    locks: Locks,
    execution: str,
    reason: bytes,
    now: Micros,
    cut_at: Micros,
) -> CancelResult | None:
    """Ask what runs to end, end what does not; None where there is no such execution."""
    await lock_order(connection, locks, execution)
    parent = (await lineage.parents_of(connection, locks, [execution])).get(execution)
    await connection.execute(LOCK_KEY, (execution,))  # keys are locked before executions
    cursor = await connection.execute(LOCK_ONE, (execution,), binary=True)
    row: Any = await cursor.fetchone()
    if row is None:
        return "over" if await is_over(connection, execution) else None
    state, ordered, child, attempt, failure = row
    result = decide_cancel(state)
    if result == "asked":
        await connection.execute(ASK, (reason, cut_at, execution))
    elif result == "ended":
        if frees_key(attempt):
            await connection.execute(FREE_KEY, (execution,))
        live = await ending.left(connection, [execution])
        end = ending.End(execution, "cancelled", now, reason, None, failure)
        await ending.move(connection, [end], live, live=live)
        after = consequences("cancelled", ordered=ordered, parent=parent, child=child)
        widths = await lineage.follow(connection, {execution: after}, now)
        await ordering.settle(connection, widths, now)
    return result


async def dismiss(connection: Connection, locks: Locks, execution: str, now: Micros) -> bool:
    """Make a dead letter history; an order that it blocks goes on."""
    await lock_order(connection, locks, execution, of=ORDER_OF_LETTER)
    dismissed = await ending.dismiss(connection, [execution])
    await ordering.settle(connection, await ordering.leave(connection, dismissed), now)
    return bool(dismissed)


async def lock_order(
    connection: Connection, locks: Locks, execution: str, *, of: str = ORDER_OF
) -> None:
    """Take the lock of an execution's order, where it has one."""
    cursor = await connection.execute(of.encode(), (execution,), binary=True)
    await lock(connection, [locks.order(*row) for row in await cursor.fetchall()])


async def is_over(connection: Connection, execution: str) -> bool:
    """Return whether an execution has ended, and was not pruned since."""
    cursor = await connection.execute(IS_OVER, {"id": execution})
    return await cursor.fetchone() is not None
