"""Who waits for whom: executions of one order run one at a time, as they were accepted.

The first of an order may run; bit 2 of `held` keeps back every other. Only where orders were put
together may one be running that is not the first: then it is `ahead`, and the first waits until it
is done.
"""

from __future__ import annotations

import sqlite3

import msgspec

from halflap.model import Order

BEHIND = 2
"""The bit of `held` that says that another one is before it in its order."""

Name = tuple[str, str]

STATE = "SELECT value FROM state WHERE scope = ? AND key = ?"
FIRST = "SELECT execution FROM orders WHERE name = ? ORDER BY place LIMIT 1"
AHEAD = "SELECT 1 FROM orders WHERE name = ? AND ahead = 1 AND execution <> ?"
# Whoever runs, though it is not the first, else the first.
WAITS_FOR = """
SELECT other.execution FROM orders AS own
JOIN executions ON executions.id = own.execution
JOIN orders AS other ON other.name = own.name
WHERE own.execution = ? AND executions.held & 2 <> 0 AND executions.state <> 'running'
    AND other.execution <> own.execution AND (other.ahead = 1 OR other.place < own.place)
ORDER BY other.ahead DESC, other.place LIMIT 1
"""
HOLD_BEHIND = "UPDATE executions SET held = held | 2 WHERE id = ? AND held & 2 = 0"
LET_FIRST_GO = "UPDATE executions SET held = held & ~2 WHERE id = ? AND held & 2 <> 0"
# All but a few are held already, and stay so.
NOT_YET_HELD = """
SELECT orders.execution, executions.state FROM orders
JOIN executions ON executions.id = orders.execution
WHERE orders.name = ? AND (executions.held & 2 = 0 OR executions.state = 'running')
"""


def name_of(connection: sqlite3.Connection, order: Order) -> str:
    """The name of the order that an execution now belongs to."""
    row = connection.execute(STATE, (order.scope, order.key)).fetchone()
    return spelt((order.scope, order.key if row is None else text_of(row[0])))


def has_any(connection: sqlite3.Connection, name: str) -> bool:
    """Whether a new one of this order would have to wait."""
    return connection.execute(FIRST, (name,)).fetchone() is not None


def join(connection: sqlite3.Connection, order: Order, name: str, execution: str) -> None:
    """Take the last place in an order."""
    connection.execute("INSERT INTO orders (name, execution) VALUES (?, ?)", (name, execution))
    connection.execute(
        "UPDATE executions SET order_scope = ?, order_key = ? WHERE id = ?",
        (order.scope, order.key, execution),
    )


def leave(connection: sqlite3.Connection, execution: str) -> None:
    """Give up one's place, so that the next one may run."""
    left = connection.execute(
        "DELETE FROM orders WHERE execution = ? RETURNING name", (execution,)
    ).fetchone()
    if left is not None:
        let_first_go(connection, left[0])


def pause(connection: sqlite3.Connection, execution: str) -> None:
    """Stop running, and keep one's place."""
    (name,) = connection.execute(
        "UPDATE orders SET ahead = 0 WHERE execution = ? RETURNING name", (execution,)
    ).fetchone()
    let_first_go(connection, name)


def let_first_go(connection: sqlite3.Connection, name: str) -> None:
    """Let the first of an order run, unless one that was ahead of it still does."""
    first = connection.execute(FIRST, (name,)).fetchone()
    if first is None:
        return
    waits = connection.execute(AHEAD, (name, *first)).fetchone() is not None
    connection.execute(HOLD_BEHIND if waits else LET_FIRST_GO, first)


def move(connection: sqlite3.Connection, old: Name, value: bytes) -> None:
    """Put the executions of an order among those of the one that a value names."""
    before, after = spelt(old), spelt((old[0], text_of(value)))
    if before == after or not has_any(connection, before):
        return
    connection.execute("UPDATE orders SET name = ? WHERE name = ?", (after, before))
    (first,) = connection.execute(FIRST, (after,)).fetchone()
    for execution, state in connection.execute(NOT_YET_HELD, (after,)).fetchall():
        if execution != first:
            connection.execute(HOLD_BEHIND, (execution,))
            if state == "running":
                connection.execute("UPDATE orders SET ahead = 1 WHERE execution = ?", (execution,))
    let_first_go(connection, after)


def text_of(value: bytes) -> str:
    """A value of the state as the key of an order."""
    return value.decode("utf-8", "backslashreplace")


def spelt(name: Name) -> str:
    """A name as one text."""
    return msgspec.json.encode(name).decode()
