"""Settle executions whose worker lost them, or is to release them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from halflap.model import Micros
from halflap.store.postgres import ending, lineage, ordering
from halflap.store.postgres.columns import Columns, Texts
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
ORDERS_OF_LETTERS = lineage.ORDERS.replace("executions", "letters").encode()
LOCK_ALL = """
SELECT id, state, order_scope IS NOT NULL, coalesce(chain, id), attempt, failure
FROM executions WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
LOCK_KEYS = """
SELECT FROM dedupe JOIN executions USING (instance, flow)
WHERE executions.id = ANY(%s) AND dedupe.key = dedupe_key AND dedupe.execution = executions.id
ORDER BY instance, flow, key FOR UPDATE OF dedupe
"""
FREE_KEYS = """
DELETE FROM dedupe USING executions WHERE executions.id = ANY(%s)
    AND dedupe.instance = executions.instance AND dedupe.flow = executions.flow
    AND dedupe.key = dedupe_key AND dedupe.execution = executions.id
"""
ASK = "UPDATE executions SET cancelling = %s, cut_at = %s WHERE id = ANY(%s)"
OVER = """
SELECT id FROM letters WHERE id = ANY(%(ids)s) UNION ALL SELECT id FROM history WHERE id = ANY(%(ids)s)
"""
LEASES = Columns("id text, fence bigint")
RENEW = f"""
WITH held AS (
    SELECT id FROM executions WHERE id = ANY(%s) AND state = 'running'
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE executions SET lease_until = %s
FROM held JOIN {LEASES.rows} ON w.id = held.id
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
    ids, fences = LEASES.of(leases)
    values = (ids, until, ids, fences)
    cursor = await connection.execute(RENEW.encode(), values, binary=True)
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def cancel(
    connection: Connection,
    locks: Locks,
    executions: Collection[str],
    reason: bytes,
    now: Micros,
    cut_at: Micros,
) -> dict[str, CancelResult]:
    """Ask those that run to end, end the others; leave out ids that do not exist."""
    ids = Texts(executions)
    parents = await lineage.parents_of(connection, executions)
    touched = {*executions, *parents.values()}
    await lock(connection, await lineage.locks_of(connection, locks, touched))
    await connection.execute(LOCK_KEYS, (ids,))  # keys are locked before executions
    cursor = await connection.execute(LOCK_ALL, (Texts(sorted(touched)),), binary=True)
    found: dict[str, Any] = {id: row for id, *row in await cursor.fetchall()}
    live = {id: found[id] for id in executions if id in found}
    results: dict[str, CancelResult] = {id: decide_cancel(row[0]) for id, row in live.items()}
    if asked := [id for id, result in results.items() if result == "asked"]:
        await connection.execute(ASK, (reason, cut_at, Texts(asked)))
    if ended := [id for id, result in results.items() if result == "ended"]:
        freed = Texts(id for id in ended if frees_key(live[id][3]))
        await connection.execute(FREE_KEYS, (freed,))
        ends = [ending.End(id, "cancelled", now, reason, None, live[id][4]) for id in ended]
        left = await ending.left(connection, ended)
        await ending.move(connection, ends, left, live=left)
        after = {
            id: consequences(
                "cancelled", ordered=live[id][1], parent=parents.get(id), child=live[id][2]
            )
            for id in ended
        }
        widths = await lineage.follow(connection, after, now)
        await ordering.settle(connection, widths, now)
    if gone := [id for id in executions if id not in results]:
        results |= dict.fromkeys(await over(connection, gone), "over")
    return results


async def dismiss(connection: Connection, locks: Locks, execution: str, now: Micros) -> bool:
    """Make a dead letter history; an order that it blocks goes on."""
    cursor = await connection.execute(ORDERS_OF_LETTERS, (Texts([execution]),), binary=True)
    await lock(connection, [locks.order(*row) for row in await cursor.fetchall()])
    dismissed = await ending.dismiss(connection, [execution])
    await ordering.settle(connection, await ordering.leave(connection, dismissed), now)
    return bool(dismissed)


async def over(connection: Connection, executions: Collection[str]) -> set[str]:
    """Return which executions have ended, and were not pruned since."""
    cursor = await connection.execute(OVER, {"ids": Texts(executions)}, binary=True)
    return {row[0] for row in await cursor.fetchall()}
