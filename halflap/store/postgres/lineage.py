"""Parents and children, those of many at once: who hears of an end, who is cancelled with whom."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from halflap.model import Micros, child_signal, made_at
from halflap.store.lineage import why_cancelled
from halflap.store.postgres import ordering, signalling
from halflap.store.postgres.columns import Blobs, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.locking import Locks, lock
from halflap.store.postgres.slots import first_slot
from halflap.store.retention import DAY
from halflap.store.rules.ending import Consequences

LOCK = "SELECT id FROM executions WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
TELL = """
INSERT INTO signals (execution, name, payload, at, once)
SELECT w.parent, w.name, '', %s, w.name FROM unnest(%s::text[], %s::bytea[]) AS w (parent, name)
WHERE EXISTS (SELECT FROM executions WHERE id = w.parent)
ON CONFLICT DO NOTHING
"""
CANCELLED = "SELECT id FROM history WHERE id = ANY(%s) AND slot >= %s AND state = 'cancelled'"
PARENTS = "SELECT id, parent FROM executions WHERE id = ANY(%s) AND parent IS NOT NULL"
ORDERS = """
SELECT order_scope, order_key FROM executions WHERE id = ANY(%s) AND order_scope IS NOT NULL
"""
CANCEL_CHILDREN = """
WITH children AS (
    SELECT executions.id, w.why FROM unnest(%s::text[], %s::bytea[]) AS w (parent, why)
    JOIN executions ON executions.parent = w.parent AND bound AND cancelling IS NULL
    ORDER BY executions.id FOR NO KEY UPDATE OF executions
)
UPDATE executions SET cancelling = children.why,
    due_at = CASE WHEN state = 'running' THEN NULL ELSE %s END
FROM children WHERE executions.id = children.id
"""
CANCEL = """
UPDATE executions SET cancelling = w.why FROM unnest(%s::text[], %s::bytea[]) AS w (id, why)
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
    names = Blobs(child_signal(child).encode() for child in ended)
    await connection.execute(TELL, (now, Texts(ended.values()), names))
    return await signalling.wake(connection, [(each, now) for each in sorted(set(ended.values()))])


async def cancel_children(connection: Connection, parents: Collection[str], now: Micros) -> None:
    """Have the bound children of those that were cancelled end too, at once or at their next step."""
    if parents:
        why = Blobs(why_cancelled(each).encode() for each in parents)
        await connection.execute(CANCEL_CHILDREN, (Texts(parents), why, now))


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
        why = Blobs(why_cancelled(parent).encode() for parent in orphans.values())
        await connection.execute(CANCEL, (Texts(orphans), why))
