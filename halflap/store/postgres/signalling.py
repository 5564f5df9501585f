"""Wake executions by the signals that were sent to them."""

from __future__ import annotations

from collections.abc import Collection

from halflap.model import Micros
from halflap.store.postgres import ordering
from halflap.store.postgres.columns import Columns
from halflap.store.postgres.connecting import Connection

WAITING = Columns("id text, now bigint")
WAKE = f"""
UPDATE executions SET due_at = w.now FROM {WAITING.rows}
WHERE executions.id = w.id AND state IN ('queued', 'waiting') AND (due_at IS NULL OR due_at > w.now)
    AND heard < (SELECT count(*) FROM signals WHERE signals.execution = w.id)
RETURNING executions.id, order_scope IS NOT NULL
"""


async def wake(connection: Connection, waiting: Collection[tuple[str, Micros]]) -> ordering.Widths:
    """Make those due that wait for signals, and were sent more than they had heard of.

    Returns the orders to settle; whoever is in one is locked with it already.
    """
    if not waiting:
        return {}
    cursor = await connection.execute(WAKE.encode(), WAITING.of(waiting), binary=True)
    ordered = [id for id, ordered in await cursor.fetchall() if ordered]
    return await ordering.pause(connection, ordered, max(now for _, now in waiting))
