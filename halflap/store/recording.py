"""Write a worker's records, log lines, state and attempts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import msgspec

from halflap.errors import Rejected
from halflap.model import Failure, LogLine, Micros, Record
from halflap.store.ordering import move, pause
from halflap.store.reading import KINDS, NUMBER, STATUSES
from halflap.store.rules.state import StateChange, change, read_first

KIND = {kind: place for place, kind in KINDS.items()}
STATUS = {status: place for place, status in STATUSES.items()}
A_STEP = f"({NUMBER}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
AT_ONCE = 16
UPSERT_STEPS = f"""
INSERT INTO steps VALUES {{steps}}
ON CONFLICT (execution, path) DO UPDATE SET
    seq = excluded.seq, kind = excluded.kind, name = excluded.name, title = excluded.title,
    status = excluded.status, pure = excluded.pure, tries = excluded.tries,
    started_at = excluded.started_at, ended_at = excluded.ended_at,
    inputs = excluded.inputs, result = excluded.result, failure = excluded.failure
    WHERE steps.status = {STATUS["retrying"]} OR steps.seq < 0
"""
"""A step that is tried again, or one that a replay copied (its seq is negative) and runs afresh."""
INSERT_LOG = f"INSERT INTO logs VALUES (NULL, {NUMBER}, ?, ?, ?, ?, ?)"
INSERT_ATTEMPT = """
INSERT OR REPLACE INTO attempts
SELECT id, attempt, claimed_at, ?, ?, ? FROM executions WHERE id = ?
"""
WAKE = """
UPDATE executions SET due_at = ?1 WHERE id = ?2 AND state IN ('queued', 'waiting')
    AND heard < (SELECT count(*) FROM signals WHERE execution = ?2)
    AND (due_at IS NULL OR due_at > ?1)
RETURNING order_scope
"""


def unheld(execution: str, error: UnicodeEncodeError) -> Rejected:
    """Says that an event cannot be kept."""
    return Rejected(
        f"execution {execution}: its event has text that UTF-8 cannot hold ({error}); "
        "decode the request's headers as Latin-1, and its path and query as UTF-8",
        status=400,
    )


def add(
    connection: sqlite3.Connection,
    execution: str,
    records: Sequence[Record],
    logs: Sequence[LogLine],
) -> None:
    """Add records (a retrying one is overwritten by its next try) and log lines."""
    for begin in range(0, len(records), AT_ONCE):
        values: list[object] = [execution]
        for each in records[begin : begin + AT_ONCE]:
            values += (
                each.path,
                each.seq,
                KIND[each.kind],
                None if each.name == each.path else each.name,
                text(each.title),
                STATUS[each.status],
                each.pure,
                each.tries,
                each.started_at,
                each.ended_at,
                each.inputs,
                each.result,
                encode_failure(each.failure),
            )
        connection.execute(upsert_steps(min(len(records) - begin, AT_ONCE)), values)
    for line in logs:
        connection.execute(
            INSERT_LOG,
            (execution, line.at, line.level, text(line.message), line.fields, line.step),
        )


@cache
def upsert_steps(count: int) -> str:
    """The statement for so many steps: each statement waits for the interpreter, which others use."""
    return UPSERT_STEPS.format(steps=", ".join([A_STEP] * count))


def write_state(connection: sqlite3.Connection, writes: Sequence[StateChange], now: Micros) -> bool:
    """Write keys of the state; False, with nothing written, where a compare-and-set failed."""
    found = {key: read_state(connection, *key) for key in read_first(writes)}
    stored = {key: value for key, value in found.items() if value is not None}
    if (after := change(stored, writes)) is None:
        return False
    for (scope, key), value in after.values.items():
        if value is None:
            connection.execute("DELETE FROM state WHERE scope = ? AND key = ?", (scope, key))
        else:
            connection.execute(
                "INSERT INTO state VALUES (?, ?, ?, ?) ON CONFLICT (scope, key) DO UPDATE"
                " SET value = excluded.value, changed_at = excluded.changed_at",
                (scope, key, value, now),
            )
    for name, value in after.moves:
        move(connection, name, value, now)
    return True


def read_state(connection: sqlite3.Connection, scope: str, key: str) -> bytes | None:
    """The value of one key."""
    row = connection.execute(
        "SELECT value FROM state WHERE scope = ? AND key = ?", (scope, key)
    ).fetchone()
    return None if row is None else row[0]


def note_attempt(
    connection: sqlite3.Connection, execution: str, now: Micros, how: str, failure: bytes | None
) -> None:
    """Keep what became of an attempt that did not end its execution."""
    connection.execute(INSERT_ATTEMPT, (now, how, failure, execution))


def wake(connection: sqlite3.Connection, execution: str, now: Micros) -> None:
    """Make an execution due that waits for signals, where there are more than it had heard of."""
    for (order,) in connection.execute(WAKE, (now, execution)).fetchall():
        if order is not None:
            pause(connection, execution, now)


def text(value: str) -> str:
    """Text for people to read; what UTF-8 cannot hold (lone surrogates) is escaped."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def encode_failure(failure: Failure | None) -> bytes | None:
    """A failure as it is kept."""
    if failure is None:
        return None
    return msgspec.json.encode(
        replace(
            failure,
            message=text(failure.message),
            where=text(failure.where),
            trace=text(failure.trace),
            cause=text(failure.cause),
        )
    )
