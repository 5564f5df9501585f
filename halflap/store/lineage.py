"""Parents and children: who hears of an end, and who is cancelled with whom."""

from __future__ import annotations

import sqlite3

from halflap.model import Micros, child_signal
from halflap.store import ordering
from halflap.store.recording import wake
from halflap.store.rules.ending import Consequences

TELL = """
INSERT INTO signals (execution, name, payload, at, once)
SELECT ?1, ?2, x'', ?3, ?2 WHERE EXISTS (
    SELECT 1 FROM executions WHERE id = ?1 AND state IN ('queued', 'running', 'waiting'))
ON CONFLICT DO NOTHING
"""
CANCEL_CHILDREN = """
UPDATE executions SET cancelling = ?1, due_at = iif(state = 'running', NULL, ?2)
WHERE parent = ?3 AND bound = 1 AND state IN ('queued', 'running', 'waiting')
    AND cancelling IS NULL
"""
CANCEL_ORPHAN = "UPDATE executions SET cancelling = ? WHERE id = ? AND bound = 1"
WAS_CANCELLED = "SELECT 1 FROM executions WHERE id = ? AND state = 'cancelled'"


def follow(
    connection: sqlite3.Connection, execution: str, after: Consequences, now: Micros
) -> None:
    """Do what follows from an execution's end."""
    if after.leaves_order:
        ordering.leave(connection, execution, now, failed=after.failed)
    if after.parent is not None:
        tell(connection, after.parent, after.child, now)
    if after.cancels_children:
        cancel_children(connection, execution, now)


def tell(connection: sqlite3.Connection, parent: str, child: str, now: Micros) -> None:
    """Tell a parent that is live that its child has ended."""
    if connection.execute(TELL, (parent, child_signal(child), now)).rowcount:
        wake(connection, parent, now)


def cancel_children(connection: sqlite3.Connection, parent: str, now: Micros) -> None:
    """Have the bound children of one that was cancelled end too, at once or at their next step."""
    connection.execute(CANCEL_CHILDREN, (why_cancelled(parent), now, parent))


def cancel_orphan(connection: sqlite3.Connection, parent: str, child: str) -> None:
    """Have a bound child cancelled that came too late, as its parent was cancelled."""
    connection.execute(CANCEL_ORPHAN, (why_cancelled(parent), child))


def was_cancelled(connection: sqlite3.Connection, execution: str) -> bool:
    """Tell whether an execution ended as cancelled."""
    return connection.execute(WAS_CANCELLED, (execution,)).fetchone() is not None


def why_cancelled(parent: str) -> str:
    """The reason of a child that is cancelled with its parent."""
    return f"its parent {parent} was cancelled"
