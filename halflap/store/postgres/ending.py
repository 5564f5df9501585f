"""How executions leave the live tables: each with all that is left of it.

A letter is one row. So is what enters the history, where all of it is kept equally long: in class 0,
on a server that keeps no part for less than the whole. Otherwise each part is a row of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from halflap.model import Micros
from halflap.store import classes
from halflap.store.classes import DAY
from halflap.store.postgres import rows
from halflap.store.postgres.columns import Blobs, Numbers, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.slots import CLASSES

KEPT = (
    "id, customer, instance, integration, flow, version, revision, attempt, root, replay_of,"
    " parent, record_key, accepted_at, started_at, duplicates, crashes, order_scope, order_key,"
    " order_rule, replay"
)
EVENT = "received_at, part, head, body"
NEW = "state, failure, ended_at, reason, result, attempts, steps, logs"
ROW = f"received_at, part, {NEW.removesuffix(', steps, logs')}"
ENDED = f"""
WITH gone AS (DELETE FROM executions WHERE id = ANY(%s) RETURNING *),
    event AS (DELETE FROM events WHERE execution = ANY(%s) RETURNING *),
    ended AS (SELECT {", ".join(f"gone.{each}" for each in KEPT.split(", "))},
        {", ".join(f"event.{each}" for each in EVENT.split(", "))},
        {", ".join(f"w.{each}" for each in NEW.split(", "))}
        FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::bigint[], %s::bytea[], %s::bytea[],
            %s::bytea[], %s::bytea[], %s::bytea[]) AS w (id, {NEW})
        JOIN gone ON gone.id = w.id JOIN event ON event.execution = w.id)
"""  # noqa: S608
DISMISSED = "WITH ended AS (DELETE FROM letters WHERE id = ANY(%s) RETURNING *)"
Into = Literal["letters", "history", "apart"]
FIRST = f"ended_at / {DAY} * {CLASSES}"
# Steps and lines are lists; an empty one has one byte, and is not worth a row.
INTO: Mapping[Into, str] = {
    "letters": f"""
INSERT INTO letters ({KEPT}, {EVENT}, {NEW}) SELECT {KEPT}, {EVENT}, {NEW} FROM ended
""",  # noqa: S608
    "history": f"""
INSERT INTO history (slot, {KEPT}, {EVENT}, {NEW}) SELECT {FIRST}, {KEPT}, {EVENT}, {NEW} FROM ended
""",  # noqa: S608
    "apart": f"""
, placed AS MATERIALIZED (SELECT *, {FIRST} + {classes.OF.format(of="ended")} AS slot FROM ended),
    entered AS (INSERT INTO history (slot, {KEPT}, {ROW}) SELECT slot, {KEPT}, {ROW} FROM placed),
    kept AS (INSERT INTO parts (slot, execution, kind, data, head)
        SELECT slot, id, 1, body, head FROM placed
        UNION ALL SELECT slot, id, 2, steps, NULL FROM placed WHERE length(steps) > 1
        UNION ALL SELECT slot, id, 3, logs, NULL FROM placed WHERE length(logs) > 1)
SELECT id FROM placed
""",  # noqa: S608
}
END = {into: (ENDED + sql).encode() for into, sql in INTO.items()}
DISMISS: Mapping[Into, bytes] = {
    "history": (DISMISSED + INTO["history"] + "RETURNING id").encode(),
    "apart": (DISMISSED + INTO["apart"]).encode(),
}
# Who keeps nothing in its own way asks once whether anybody does, not for every row.
HAS_CLASS = """CASE WHEN EXISTS (SELECT FROM retained)
    THEN (SELECT true FROM retained WHERE retained.instance = {of}.instance) END IS NOT NULL"""
STEPS = "SELECT execution, path, seq, status, data FROM steps WHERE execution = ANY(%s)"
LINES = """
SELECT execution, number, data FROM logs WHERE execution = ANY(%s) ORDER BY execution, number
"""
ATTEMPTS = """
SELECT execution, number, started_at, ended_at, how, failure FROM attempts
WHERE execution = ANY(%s) ORDER BY execution, number
"""
CLEAN = {
    table: f"DELETE FROM {table} WHERE execution = ANY(%s)"  # noqa: S608
    for table in ("steps", "logs", "attempts", "signals")
}


@dataclass(slots=True)
class Left:
    """What an execution that ends has in the live tables."""

    steps: dict[bytes, rows.Step]
    logs: list[tuple[int, bytes]]
    attempts: list[tuple[int, Micros, Micros, str, bytes | None]]


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended."""

    execution: str
    state: str
    at: Micros
    reason: bytes
    result: bytes | None
    failure: bytes | None


async def left(connection: Connection, executions: Collection[str]) -> dict[str, Left]:
    """Ask for what executions have in the live tables; their rows are locked already."""
    ids = (Texts(executions),)
    steps = await connection.execute(STEPS, ids, binary=True)
    lines = await connection.execute(LINES, ids, binary=True)
    attempts = await connection.execute(ATTEMPTS, ids, binary=True)
    found = {each: Left({}, [], []) for each in executions}
    for execution, path, seq, status, data in await steps.fetchall():
        found[execution].steps[path] = rows.Step(path, seq, status, data)
    for execution, number, data in await lines.fetchall():
        found[execution].logs.append((number, data))
    for execution, *attempt in await attempts.fetchall():
        number, started_at, ended_at, how, failure = attempt
        found[execution].attempts.append((number, started_at, ended_at, how, failure))
    return found


async def apart(
    connection: Connection,
    executions: Collection[str],
    *,
    all_apart: bool,
    place: str = "executions",
) -> Collection[str]:
    """Those whose parts may go before the whole: all, or what is in a retention class of its own."""
    if all_apart:
        return executions
    sql = f"SELECT id FROM {place} WHERE id = ANY(%s) AND {HAS_CLASS.format(of=place)}"  # noqa: S608
    cursor = await connection.execute(sql.encode(), (Texts(executions),), binary=True)
    return {row[0] for row in await cursor.fetchall()}


async def move(
    connection: Connection,
    ends: Sequence[End],
    left: dict[str, Left],
    *,
    live: dict[str, Left],
    apart: Collection[str],
) -> None:
    """Move executions out of the live tables; `live` is what these still have of `left`.

    `apart`: of which the parts may go before the whole.
    """
    places: dict[Into, list[End]] = {}
    for each in ends:
        into = "apart" if each.execution in apart else "history"
        places.setdefault("letters" if each.state == "failed" else into, []).append(each)
    for into, some in places.items():
        ids = Texts(each.execution for each in some)
        what = [left[each.execution] for each in some]
        await connection.execute(
            END[into],
            (
                ids,
                ids,
                ids,
                Texts(each.state for each in some),
                Blobs(each.failure for each in some),
                Numbers(each.at for each in some),
                Blobs(each.reason for each in some),
                Blobs(each.result for each in some),
                Blobs(rows.pack_attempts(each.attempts) for each in what),
                Blobs(rows.pack_steps(each.steps.values()) for each in what),
                Blobs(rows.pack_lines(each.logs) for each in what),
            ),
        )
    for table in CLEAN:
        ids = [e.execution for e in ends if table == "signals" or getattr(live[e.execution], table)]
        if ids:
            await connection.execute(CLEAN[table].encode(), (Texts(ids),))


async def dismiss(
    connection: Connection, executions: Collection[str], *, all_apart: bool
) -> set[str]:
    """Make dead letters history; returns those that were any."""
    some = set(await apart(connection, executions, all_apart=all_apart, place="letters"))
    places: dict[Into, set[str]] = {"history": set(executions) - some, "apart": some}
    gone: set[str] = set()
    for into, ids in places.items():
        if ids:
            cursor = await connection.execute(DISMISS[into], (Texts(ids),), binary=True)
            gone |= {row[0] for row in await cursor.fetchall()}
    return gone
