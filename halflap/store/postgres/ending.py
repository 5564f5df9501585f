"""Move executions that end out of the live tables: each with all that is left of it, as one row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halflap.model import ExecutionState, Micros
from halflap.store import reading
from halflap.store.postgres import rows
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.slots import OF_A_DAY
from halflap.store.retention import DAY
from halflap.store.rules.cause import NO_FAILURE, FailureMarks

KEPT = (
    f"{reading.STARTED}, attempt, root, record_key, started_at, duplicates, crashes, order_scope,"
    " order_key, order_rule"
)
EVENT = "received_at, part, head, body"
ENDS = Columns(
    "id text, state text, failure bytea, ended_at bigint, reason bytea, result bytea, attempts bytea,"
    " steps bytea, logs bytea, cause text, status bigint, failure_kind text, component text"
)
NEW = ENDS.names.removeprefix("id, ")
RAN = """coalesce(gone.ran, 0) + CASE WHEN gone.state = 'running'
        THEN greatest(w.ended_at - gone.claimed_at, 0) ELSE 0 END"""
# The database's clock may have been set back since. Who looks for an id looks at the days of the
# history since it was made.
VALUES = {"ended_at": "greatest(w.ended_at, gone.accepted_at)"}
ENDED = f"""
WITH gone AS (DELETE FROM executions WHERE id = ANY(%s) RETURNING *),
    event AS (DELETE FROM events WHERE execution = ANY(%s) RETURNING *),
    ended AS (SELECT {", ".join(f"gone.{each}" for each in KEPT.split(", "))},
        {", ".join(f"event.{each}" for each in EVENT.split(", "))},
        {", ".join(VALUES.get(each, f"w.{each}") + f" AS {each}" for each in NEW.split(", "))},
        {RAN} AS ran
        FROM {ENDS.rows}
        JOIN gone ON gone.id = w.id JOIN event ON event.execution = w.id)
"""
DISMISSED = "WITH ended AS (DELETE FROM letters WHERE id = ANY(%s) RETURNING *)"
FIRST = f"ended_at / {DAY} * {OF_A_DAY}"
INTO = {
    "letters": f"INSERT INTO letters ({KEPT}, {EVENT}, {NEW}, ran)"
    f" SELECT {KEPT}, {EVENT}, {NEW}, ran FROM ended",
    "history": f"INSERT INTO history (slot, {KEPT}, {EVENT}, {NEW}, ran)"
    f" SELECT {FIRST}, {KEPT}, {EVENT}, {NEW}, ran FROM ended",
}
END = {into: (ENDED + sql).encode() for into, sql in INTO.items()}
DISMISS = f"{DISMISSED} {INTO['history']} RETURNING id".encode()
STEPS = "SELECT execution, path, seq, status, data FROM steps WHERE execution = ANY(%s)"
LINES = """
SELECT execution, number, data FROM logs WHERE execution = ANY(%s) ORDER BY execution, number
"""
ATTEMPTS = """
SELECT execution, number, started_at, ended_at, how, failure FROM attempts
WHERE execution = ANY(%s) ORDER BY execution, number
"""
CLEAN = {
    table: f"DELETE FROM {table} WHERE execution = ANY(%s)"
    for table in ("steps", "logs", "attempts", "signals")
}


@dataclass(slots=True)
class EndedRows:
    """The rows of an execution that ends in the live tables."""

    steps: dict[bytes, rows.StepRow]
    logs: list[tuple[int, bytes]]
    attempts: list[tuple[int, Micros, Micros, str, bytes | None]]


@dataclass(frozen=True, slots=True)
class End:
    """The end of an execution."""

    execution: str
    state: ExecutionState
    at: Micros
    reason: bytes
    result: bytes | None
    failure: bytes | None
    marks: FailureMarks = NO_FAILURE


async def left(connection: Connection, executions: Collection[str]) -> dict[str, EndedRows]:
    """Ask for what executions have in the live tables; their rows are locked already."""
    ids = (Texts(executions),)
    steps = await connection.execute(STEPS, ids, binary=True)
    lines = await connection.execute(LINES, ids, binary=True)
    attempts = await connection.execute(ATTEMPTS, ids, binary=True)
    found = {each: EndedRows({}, [], []) for each in executions}
    for execution, path, seq, status, data in await steps.fetchall():
        found[execution].steps[path] = rows.StepRow(path, seq, status, data)
    for execution, number, data in await lines.fetchall():
        found[execution].logs.append((number, data))
    for execution, *attempt in await attempts.fetchall():
        number, started_at, ended_at, how, failure = attempt
        found[execution].attempts.append((number, started_at, ended_at, how, failure))
    return found


async def move(
    connection: Connection,
    ends: Sequence[End],
    left: dict[str, EndedRows],
    *,
    live: dict[str, EndedRows],
) -> None:
    """Move executions out of the live tables; `live` is what these still have of `left`."""
    for into in INTO:
        some = [each for each in ends if (each.state == "failed") == (into == "letters")]
        if not some:
            continue
        ids = Texts(each.execution for each in some)
        values = ENDS.of(
            (
                *(each.execution, each.state, each.failure, each.at, each.reason, each.result),
                rows.pack_attempts(left[each.execution].attempts),
                rows.pack_steps(left[each.execution].steps.values()),
                rows.pack_lines(left[each.execution].logs),
                *each.marks,
            )
            for each in some
        )
        await connection.execute(END[into], (ids, ids, *values))
    for table in CLEAN:
        ids = [e.execution for e in ends if table == "signals" or getattr(live[e.execution], table)]
        if ids:
            await connection.execute(CLEAN[table].encode(), (Texts(ids),))


async def dismiss(connection: Connection, executions: Collection[str]) -> set[str]:
    """Make dead letters history; returns those that were any."""
    cursor = await connection.execute(DISMISS, (Texts(executions),), binary=True)
    return {row[0] for row in await cursor.fetchall()}
