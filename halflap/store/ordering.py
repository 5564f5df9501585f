"""Turns of an order: which executions wait for which (store/rules/order.py).

`turn` says who has one; bit 2 of `held` keeps back everybody else. Only what matters of an order is
read, however many wait in it: who has a turn, and the next ones.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from halflap.model import Micros, Order
from halflap.store.reading import IS_PARKED
from halflap.store.rules import order as rules
from halflap.store.rules.admission import ANY_WIDTH, Member, OrderLine
from halflap.store.rules.order import DUE, NEVER, OrderPlace, text_of

Name = tuple[str, str]

STATE = "SELECT value FROM state WHERE scope = ? AND key = ?"
ANY = "SELECT 1 FROM orders WHERE name = ? LIMIT 1"
LINE = f"""
SELECT count(*), ifnull(min(width), {ANY_WIDTH}), ifnull(sum(back_at > 0), 0),
    EXISTS (SELECT 1 FROM orders WHERE name = ?1 AND turn = 0)
FROM orders WHERE name = ?1 AND turn = 1
"""
MEMBERS = f"""
SELECT orders.execution, executions.attempt > 0 OR link > 0, turn, {IS_PARKED} FROM orders
JOIN executions ON executions.id = orders.execution WHERE name = ? ORDER BY place
"""
ENTER = """
INSERT INTO orders (name, execution, width, turn, blocks, passable) VALUES (?, ?, ?, ?, ?, ?)
"""
INHERIT = """
UPDATE orders SET execution = ?, width = ?, blocks = ?, passable = ? WHERE execution = ?
"""
KEEPS = "SELECT 1 FROM orders WHERE execution = ? AND blocks = 1"
KEPT = """
SELECT 1 FROM orders JOIN executions ON executions.id = orders.execution
WHERE orders.execution = ? AND orders.name = ? AND executions.state = 'failed'
"""
LEAVE = "DELETE FROM orders WHERE execution = ? RETURNING name, width"
SET_ASIDE = """
UPDATE orders SET back_at = iif(NOT passable, 0,
    (SELECT iif(due_at <= ?, ?, ifnull(due_at, ?)) FROM executions WHERE id = orders.execution))
WHERE execution = ? RETURNING name, width
"""
COLUMNS = "orders.execution, place, width, turn"
HAVE_TURNS = f"""
SELECT {COLUMNS}, executions.state NOT IN ('queued', 'waiting'), back_at
FROM orders JOIN executions ON executions.id = orders.execution WHERE name = ? AND turn = 1
"""
NEXT = f"""
SELECT {COLUMNS}, 0, back_at FROM orders WHERE name = ? AND turn = 0 AND back_at = 0
ORDER BY place LIMIT ?
"""
NEXT_ASIDE = f"""
SELECT {COLUMNS}, 0, back_at FROM orders WHERE name = ? AND turn = 0 AND back_at > 0
ORDER BY back_at, place LIMIT ?
"""
LET_GO = "UPDATE executions SET held = held & ~2 WHERE id = ?"
HOLD_BACK = "UPDATE executions SET held = held | 2 WHERE id = ?"


def name_of(connection: sqlite3.Connection, order: Order) -> str:
    """The name of the order that an execution now belongs to."""
    row = connection.execute(STATE, (order.scope, order.key)).fetchone()
    return spelt((order.scope, order.key if row is None else text_of(row[0])))


def line_of(
    connection: sqlite3.Connection, name: str, *, members: bool, replayed: str | None
) -> OrderLine:
    """Read an order as a new execution finds it, that may replay another one."""
    turns, width, aside, some_wait = connection.execute(LINE, (name,)).fetchone()
    found: tuple[Member, ...] = ()
    if members:
        rows = connection.execute(MEMBERS, (name,))
        found = tuple(Member(row[0], *map(bool, row[1:])) for row in rows)
    kept = frozenset({replayed} if replayed and is_kept(connection, name, replayed) else ())
    return OrderLine(turns, width, aside, bool(some_wait), found, kept)


def enter(
    connection: sqlite3.Connection, name: str, order: Order, execution: str, *, turn: bool
) -> None:
    """Take the last place in an order."""
    blocks, passable = order.after_failure == "block", order.while_waiting == "go_on"
    connection.execute(ENTER, (name, execution, order.width, turn, blocks, passable))


def is_kept(connection: sqlite3.Connection, name: str, execution: str) -> bool:
    """Return whether one that failed has kept its turn in this order."""
    return connection.execute(KEPT, (execution, name)).fetchone() is not None


def inherit(connection: sqlite3.Connection, order: Order, execution: str, replayed: str) -> None:
    """Take the place and the turn of the one that is replayed."""
    blocks, passable = order.after_failure == "block", order.while_waiting == "go_on"
    connection.execute(INHERIT, (execution, order.width, blocks, passable, replayed))


def leave(
    connection: sqlite3.Connection, execution: str, now: Micros, *, failed: bool = False
) -> None:
    """Give up one's place, so that the next may have a turn; one that failed may keep it."""
    if failed and connection.execute(KEEPS, (execution,)).fetchone() is not None:
        return
    left = connection.execute(LEAVE, (execution,)).fetchone()
    if left is not None:
        settle(connection, left[0], left[1], now)


def pause(connection: sqlite3.Connection, execution: str, now: Micros) -> None:
    """Stop running, or be woken, and keep one's place."""
    found = connection.execute(SET_ASIDE, (now, DUE, NEVER, execution)).fetchone()
    if found is not None:
        settle(connection, found[0], found[1], now)


def settle(connection: sqlite3.Connection, name: str, width: int, now: Micros) -> None:
    """Give turns, and take back those that are others' now; `width`: how many there may be."""
    places = [place(row) for row in connection.execute(HAVE_TURNS, (name,))]
    free = rules.free_turns(places, width)
    if free > 0:
        for sql in (NEXT, NEXT_ASIDE):
            places += [place(row) for row in connection.execute(sql, (name, free))]
    settled = rules.settle(places, now)
    for execution in settled.taken:
        turn(connection, execution, gets=False)
    for execution in settled.given:
        turn(connection, execution, gets=True)


def turn(connection: sqlite3.Connection, execution: str, *, gets: bool) -> None:
    """Give an execution its turn, or take it back."""
    connection.execute("UPDATE orders SET turn = ? WHERE execution = ?", (gets, execution))
    connection.execute(LET_GO if gets else HOLD_BACK, (execution,))


def move(connection: sqlite3.Connection, old: Name, value: bytes, now: Micros) -> None:
    """Put the executions of an order among those of the one that a value names."""
    before, after = spelt(old), spelt((old[0], text_of(value)))
    if before == after or connection.execute(ANY, (before,)).fetchone() is None:
        return
    connection.execute("UPDATE orders SET name = ? WHERE name = ?", (after, before))
    settle(connection, after, 1, now)


def place(row: Any) -> OrderPlace:
    """A row of who has a turn, or is next."""
    return OrderPlace(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5])


def spelt(name: Name) -> str:
    """A name as one text."""
    return msgspec.json.encode(name).decode()
