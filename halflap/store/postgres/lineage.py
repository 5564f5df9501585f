"""Parents and children, those of many at once: who hears of an end, who is cancelled with whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from halflap.model import Micros, child_signal, made_at
from halflap.store.lineage import why_cancelled
from halflap.store.postgres import ordering, signalling
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks, lock
from halflap.store.postgres.slots import first_slot
from halflap.store.retention import DAY
from halflap.store.rules.ending import Consequences

LOCK = "SELECT id FROM executions WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
ENDS = Columns("parent text, name bytea")
TELL = f"""
INSERT INTO signals (execution, name, payload, at, once)
SELECT w.parent, w.name, '', %s, w.name FROM {ENDS.rows}
WHERE EXISTS (SELECT FROM executions WHERE id = w.parent)
ON CONFLICT DO NOTHING
"""
CANCELLED = "SELECT id FROM history WHERE id = ANY(%s) AND slot >= %s AND state = 'cancelled'"
PARENTS = "SELECT id, parent FROM executions WHERE id = ANY(%s) AND parent IS NOT NULL"
ORDERS = """
SELECT order_scope, order_key FROM executions WHERE id = ANY(%s) AND order_scope IS NOT NULL
"""
REASONS = Columns("id text, why bytea")
CANCEL_CHILDREN = f"""
WITH children AS (
    SELECT executions.id, w.why FROM {REASONS.rows}
    JOIN executions ON executions.parent = w.id AND bound AND cancelling IS NULL
    ORDER BY executions.id FOR NO KEY UPDATE OF executions
)
UPDATE executions SET cancelling = children.why,
    due_at = CASE WHEN state = 'running' THEN NULL ELSE %s END
FROM children WHERE executions.id = children.id
"""
CANCEL = f"""
UPDATE executions SET cancelling = w.why FROM {REASONS.rows}
WHERE executions.id = w.id AND bound
"""


async def follow(
    connection: Connection, ends: Mapping[str, Consequences], now: Micros
) -> ordering.Widths:
    """Do what follows from the ends of executions, by id; their parents are locked.

    Returns the orders to settle.
    """
    told = {each.child: each.parent for each in ends.values() if each.parent is not None}
    widths = await tell(connection, told, now)
    await cancel_children(connection, [id for id, e in ends.items() if e.cancels_children], now)
    for failed in (False, True):
        leaving = [id for id, e in ends.items() if e.leaves_order and e.failed == failed]
        ordering.wider(widths, await ordering.leave(connection, leaving, failed=failed))
    return widths


async def parents_of(connection: Connection, executions: Collection[str]) -> dict[str, str]:
    """Return the parents of executions: by child."""
    cursor = await connection.execute(PARENTS, (Texts(executions),), binary=True)
    return dict(await cursor.fetchall())


async def locked_parents_of(
    connection: Connection, locks: Locks, executions: Collection[str]
) -> dict[str, str]:
    """Return the parents of executions, locked with their orders: by child."""
    found = await parents_of(connection, executions)
    if found:
        await lock(connection, await locks_of(connection, locks, found.values()))
        await live(connection, {*found, *found.values()})
    return found


async def locks_of(connection: Connection, locks: Locks, executions: Collection[str]) -> list[int]:
    """Return the locks of the orders that executions are in: what wakes one may give it a turn."""
    cursor = await connection.execute(ORDERS, (Texts(executions),), binary=True)
    return [locks.order(*row) for row in await cursor.fetchall()]


async def tell(connection: Connection, ended: Mapping[str, str], now: Micros) -> ordering.Widths:
    """Tell parents, which are locked, that children have ended: parents by child.

    Returns the orders to settle.
    """
    if not ended:
        return {}
    ends = ENDS.of((parent, child_signal(child).encode()) for child, parent in ended.items())
    await connection.execute(TELL.encode(), (now, *ends))
    return await signalling.wake(connection, [(each, now) for each in sorted(set(ended.values()))])


async def cancel_children(connection: Connection, parents: Collection[str], now: Micros) -> None:
    """Have the bound children of those that were cancelled end too, at once or at their next step."""
    if parents:
        why = REASONS.of((each, why_cancelled(each).encode()) for each in parents)
        await connection.execute(CANCEL_CHILDREN.encode(), (*why, now))


async def live(connection: Connection, parents: Collection[str]) -> set[str]:
    """Return the live ones of some parents, locked until the transaction ends."""
    cursor = await connection.execute(LOCK, (Texts(sorted(parents)),), binary=True)
    return {row[0] for row in await cursor.fetchall()}


async def cancelled(connection: Connection, parents: set[str], now: Micros) -> set[str]:
    """Return the cancelled ones of some parents; the live ones are locked."""
    over = parents - await live(connection, parents) if parents else parents
    if not over:
        return over
    since = first_slot(min(made_at(each, now) for each in over) - DAY)
    cursor = await connection.execute(CANCELLED, (Texts(over), since), binary=True)
    return {row[0] for row in await cursor.fetchall()}


async def cancel_orphans(connection: Connection, orphans: Mapping[str, str]) -> None:
    """Children that came too late, as their parents were cancelled, are to be cancelled."""
    if orphans:
        why = REASONS.of((id, why_cancelled(each).encode()) for id, each in orphans.items())
        await connection.execute(CANCEL.encode(), why)
