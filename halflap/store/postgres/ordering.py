"""Turns of an order: which executions wait for which (store/rules/order.py).

As in store/ordering.py, for many at once. Whoever changes an order holds its lock, so what is read
here does not change under it; but for one that has its turn and does not run: a worker may claim it
meanwhile. Those are locked before a turn may be taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from halflap.model import Micros, Order
from halflap.store.postgres.columns import Blobs, Columns, Numbers, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.rules import order as rules
from halflap.store.rules.order import DUE, NEVER, OrderPlace

Name = tuple[bytes, bytes]
Widths = dict[bytes, int]
"""Orders to settle, and how many of each may have their turn at once."""

KEYS = Columns("scope bytea, key bytea")
NAMES = f"SELECT scope, key, value FROM state WHERE (scope, key) IN (SELECT * FROM {KEYS.rows})".encode()
ANY = "SELECT FROM orders WHERE name = %s LIMIT 1"
PLACES = Columns(
    "name bytea, execution text, width bigint, turn bigint, blocks bigint, passable bigint"
)
ENTER = f"""
INSERT INTO orders ({PLACES.names})
SELECT name, execution, width, turn <> 0, blocks <> 0, passable <> 0
FROM {PLACES.unnest} WITH ORDINALITY AS w ({PLACES.names}, place) ORDER BY place
"""
HEIRS = Columns("replayed text, execution text, width bigint, blocks bigint, passable bigint")
INHERIT = f"""
UPDATE orders SET execution = w.execution, width = w.width, blocks = w.blocks <> 0,
    passable = w.passable <> 0
FROM {HEIRS.rows} WHERE orders.execution = w.replayed
"""
LEAVE = "DELETE FROM orders WHERE execution = ANY(%s) AND NOT (blocks AND %s) RETURNING name, width"
SET_ASIDE = """
UPDATE orders SET back_at = CASE WHEN NOT passable THEN 0 WHEN due_at <= %s THEN %s
    ELSE coalesce(due_at, %s) END
FROM executions WHERE executions.id = orders.execution AND orders.execution = ANY(%s)
RETURNING name, width
"""
# Until this ends, nobody claims one that has its turn: it runs already, or it does not begin.
LOCK_TURNS = """
SELECT FROM executions
WHERE id IN (SELECT execution FROM orders WHERE name = ANY(%s) AND turn) AND state <> 'running'
ORDER BY id FOR NO KEY UPDATE
"""
# One that is no longer live failed, and blocks.
HAVE_TURNS = """
SELECT name, orders.execution, place, width, turn,
    coalesce(executions.state, '') NOT IN ('queued', 'waiting'), back_at
FROM orders LEFT JOIN executions ON executions.id = orders.execution
WHERE name = ANY(%s) AND turn
"""
NEXT = """
SELECT n.name, found.* FROM unnest(%s::bytea[], %s::bigint[]) AS n (name, seats)
CROSS JOIN LATERAL (
    (SELECT execution, place, width, turn, false, back_at FROM orders
        WHERE orders.name = n.name AND NOT turn AND back_at = 0 ORDER BY place LIMIT n.seats)
    UNION ALL
    (SELECT execution, place, width, turn, false, back_at FROM orders
        WHERE orders.name = n.name AND NOT turn AND back_at > 0
        ORDER BY back_at, place LIMIT n.seats)
) AS found
"""
GIVE = """
WITH given AS (UPDATE orders SET turn = true WHERE execution = ANY(%s))
UPDATE executions SET held = held & ~2::bigint WHERE id = ANY(%s)
"""
TAKE_BACK = """
WITH taken AS (UPDATE orders SET turn = false WHERE execution = ANY(%s))
UPDATE executions SET held = held | 2 WHERE id = ANY(%s)
"""
RENAME = "UPDATE orders SET name = %s WHERE name = %s"


async def names_of(connection: Connection, orders: Collection[Name]) -> dict[Name, bytes]:
    """The names of the orders that executions started in these now belong to."""
    cursor = await connection.execute(NAMES, KEYS.of(orders), binary=True)
    values = {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
    return {each: spelt(each[0], text_of(values.get(each, each[1]))) for each in orders}


async def enter(connection: Connection, places: Sequence[tuple[bytes, str, Order, bool]]) -> None:
    """Take the last places in orders: name, execution, order, and whether it has its turn."""
    entered = ((name, id, each.width, int(turn), *_rule(each)) for name, id, each, turn in places)
    await connection.execute(ENTER.encode(), PLACES.of(entered))


async def inherit(connection: Connection, places: Sequence[tuple[str, str, Order]]) -> None:
    """Take the places and the turns of those that are replayed: theirs, one's own, the order."""
    heirs = ((replayed, id, each.width, *_rule(each)) for replayed, id, each in places)
    await connection.execute(INHERIT.encode(), HEIRS.of(heirs))


def _rule(order: Order) -> tuple[int, int]:
    """Return whether one that failed blocks an order, and whether one that waits is passed."""
    return int(order.after_failure == "block"), int(order.while_waiting == "go_on")


async def leave(
    connection: Connection, executions: Collection[str], *, failed: bool = False
) -> Widths:
    """Give up places; returns the orders to settle. Of those that failed, some keep theirs."""
    if not executions:
        return {}
    return await _changed(connection, LEAVE, (Texts(executions), failed))


async def pause(connection: Connection, executions: Collection[str], now: Micros) -> Widths:
    """Stop running, or be woken, and keep one's place; returns the orders to settle."""
    if not executions:
        return {}
    return await _changed(connection, SET_ASIDE, (now, DUE, NEVER, Texts(executions)))


async def settle(connection: Connection, widths: Mapping[bytes, int], now: Micros) -> None:
    """Give turns, and take back those that are others' now; `widths`: how many there may be."""
    if not widths:
        return
    names = Blobs(widths)
    await connection.execute(LOCK_TURNS, (names,))
    cursor = await connection.execute(HAVE_TURNS, (names,), binary=True)
    found: dict[bytes, list[OrderPlace]] = {name: [] for name in widths}
    for name, *row in await cursor.fetchall():
        found[name].append(OrderPlace(*row))
    free = {name: rules.free_turns(places, widths[name]) for name, places in found.items()}
    free = {name: turns for name, turns in free.items() if turns > 0}
    if free:
        columns = (Blobs(free), Numbers(free.values()))
        cursor = await connection.execute(NEXT, columns, binary=True)
        for name, *row in await cursor.fetchall():
            found[name].append(OrderPlace(*row))
    settled = [rules.settle(places, now) for places in found.values()]
    given = [execution for each in settled for execution in each.given]
    taken = [execution for each in settled for execution in each.taken]
    for sql, executions in ((TAKE_BACK, taken), (GIVE, given)):
        if executions:
            ids = Texts(sorted(executions))
            await connection.execute(sql.encode(), (ids, ids))


async def move(connection: Connection, old: Name, value: bytes) -> Widths:
    """Put the executions of an order among those of the one that a value names."""
    before, after = spelt(old[0], text_of(old[1])), spelt(old[0], text_of(value))
    if before == after:
        return {}
    cursor = await connection.execute(ANY, (before,))
    if await cursor.fetchone() is None:
        return {}
    await connection.execute(RENAME, (after, before))
    return {after: 1}


async def _changed(connection: Connection, sql: str, values: Sequence[Any]) -> Widths:
    cursor = await connection.execute(sql.encode(), values, binary=True)
    widths: Widths = {}
    for name, width in await cursor.fetchall():
        wider(widths, {name: width})
    return widths


def wider(widths: Widths, more: Widths) -> None:
    """Add orders to settle to others."""
    for name, width in more.items():
        widths[name] = max(width, widths.get(name, 0))


def text_of(value: bytes) -> bytes:
    """A value of the state as the key of an order: text, whatever it is."""
    return rules.text_of(value).encode()


def spelt(scope: bytes, key: bytes) -> bytes:
    """A name as one value."""
    return msgspec.msgpack.encode((scope, key))
