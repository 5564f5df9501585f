"""Who waits for whom: executions of one order run one at a time, as they were accepted.

The same rules as in store/ordering.py, for many at once. Whoever changes an order holds the lock
of its scope, so what is read here does not change under it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from halflap.store.postgres.columns import Blobs, Texts
from halflap.store.postgres.connecting import Connection

Name = tuple[bytes, bytes]

NAMES = """
SELECT scope, key, value FROM state
WHERE (scope, key) IN (SELECT * FROM unnest(%s::bytea[], %s::bytea[]))
"""
TAKEN = "SELECT DISTINCT name FROM orders WHERE name = ANY(%s)"
JOIN = """
INSERT INTO orders (name, execution) SELECT name, execution
FROM unnest(%s::bytea[], %s::text[]) WITH ORDINALITY AS w (name, execution, place)
WHERE execution IN (SELECT id FROM executions WHERE id = ANY(%s)) ORDER BY place
"""
LEAVE = "DELETE FROM orders WHERE execution = ANY(%s) RETURNING name"
PAUSE = "UPDATE orders SET ahead = false WHERE execution = ANY(%s) RETURNING name"
# The first of each may run, unless one that was ahead of it still does.
LET_FIRST_GO = """
WITH firsts AS MATERIALIZED (
    SELECT name, (
        SELECT execution FROM orders WHERE orders.name = names.name ORDER BY place LIMIT 1
    ) AS execution FROM unnest(%s::bytea[]) AS names (name)
), turns AS MATERIALIZED (
    SELECT execution, EXISTS (
        SELECT FROM orders WHERE orders.name = firsts.name AND ahead
            AND orders.execution <> firsts.execution
    ) AS waits FROM firsts WHERE execution IS NOT NULL
)
UPDATE executions SET held = CASE WHEN waits THEN held | 2 ELSE held & ~2::bigint END
FROM turns WHERE id = turns.execution AND (held & 2 <> 0) <> waits
"""
RENAME = "UPDATE orders SET name = %s WHERE name = %s"
# All but the first wait from now on; those that run go on, ahead of it.
HOLD_BEHIND = """
WITH others AS (
    SELECT orders.execution, executions.state FROM orders
    JOIN executions ON executions.id = orders.execution
    WHERE orders.name = %s AND (executions.held & 2 = 0 OR executions.state = 'running')
        AND orders.execution <> (
            SELECT execution FROM orders WHERE name = %s ORDER BY place LIMIT 1
        )
), running AS (
    UPDATE orders SET ahead = true FROM others
    WHERE orders.execution = others.execution AND others.state = 'running'
)
UPDATE executions SET held = held | 2 FROM others
WHERE executions.id = others.execution AND executions.held & 2 = 0
"""
# Whoever runs, though it is not the first, else the first.
WAITS_FOR = """
SELECT other.execution FROM orders AS own
JOIN executions ON executions.id = own.execution
JOIN orders AS other ON other.name = own.name
WHERE own.execution = %s AND executions.held & 2 <> 0 AND executions.state <> 'running'
    AND other.execution <> own.execution AND (other.ahead OR other.place < own.place)
ORDER BY other.ahead DESC, other.place LIMIT 1
"""


async def names_of(connection: Connection, orders: Collection[Name]) -> dict[Name, bytes]:
    """The names of the orders that executions started in these now belong to."""
    scopes, keys = Blobs(o[0] for o in orders), Blobs(o[1] for o in orders)
    cursor = await connection.execute(NAMES, (scopes, keys), binary=True)
    values = {(row[0], row[1]): row[2] for row in await cursor.fetchall()}
    return {each: spelt(each[0], text_of(values.get(each, each[1]))) for each in orders}


async def taken(connection: Connection, names: Iterable[bytes]) -> set[bytes]:
    """Those orders in which a new one would have to wait."""
    cursor = await connection.execute(TAKEN, (Blobs(set(names)),), binary=True)
    return {row[0] for row in await cursor.fetchall()}


async def join(connection: Connection, places: Sequence[tuple[bytes, str]]) -> None:
    """Take the last places in orders: (name, execution) each."""
    names, executions = Blobs(p[0] for p in places), Texts(p[1] for p in places)
    await connection.execute(JOIN, (names, executions, executions))


async def leave(connection: Connection, executions: Collection[str]) -> set[bytes]:
    """Give up places; returns the orders whose first is to be let go."""
    return await _changed(connection, LEAVE, executions)


async def pause(connection: Connection, executions: Collection[str]) -> set[bytes]:
    """Stop running, and keep one's place; returns the orders whose first is to be let go."""
    return await _changed(connection, PAUSE, executions)


async def let_first_go(connection: Connection, names: Collection[bytes]) -> None:
    """Let the first of each order run, unless one that was ahead of it still does."""
    if names:
        await connection.execute(LET_FIRST_GO, (Blobs(names),))


async def move(connection: Connection, old: Name, value: bytes) -> None:
    """Put the executions of an order among those of the one that a value names."""
    before, after = spelt(old[0], text_of(old[1])), spelt(old[0], text_of(value))
    if before == after or not await taken(connection, [before]):
        return
    await connection.execute(RENAME, (after, before))
    await connection.execute(HOLD_BEHIND, (after, after))
    await let_first_go(connection, [after])


async def _changed(connection: Connection, sql: str, executions: Collection[str]) -> set[bytes]:
    if not executions:
        return set()
    cursor = await connection.execute(sql.encode(), (Texts(executions),), binary=True)
    return {row[0] for row in await cursor.fetchall()}


def text_of(value: bytes) -> bytes:
    """A value of the state as the key of an order: text, whatever it is."""
    return value.decode("utf-8", "backslashreplace").encode()


def spelt(scope: bytes, key: bytes) -> bytes:
    """A name as one value."""
    return msgspec.msgpack.encode((scope, key))
