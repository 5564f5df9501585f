"""The checker: reads a store past our own code, while a server has it open or not.

A store is a directory with its file, or the URL of a PostgreSQL database.
"""

from __future__ import annotations

import atexit
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

LIVE = frozenset({"queued", "running", "waiting"})


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as it stands in the file."""

    id: str
    state: str
    failure: str
    result: str


Place = Path | str


def _read(directory: Path, job: Callable[[sqlite3.Connection], T]) -> T:
    path = directory / "halflap.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return job(connection)


_connections: dict[str, psycopg.Connection[Any]] = {}
"""A connection to each database, as a poll by one of its own costs more than what it asks."""


@atexit.register
def _close() -> None:
    for each in _connections.values():
        each.close()


def _rows(url: str, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    if known := _connections.get(url):
        try:
            return known.execute(sql.encode(), values).fetchall()
        except psycopg.OperationalError:  # the server was ended since
            known.close()
    _connections[url] = psycopg.connect(url, autocommit=True, connect_timeout=10)
    return _connections[url].execute(sql.encode(), values).fetchall()


def executions(place: Place, flow: str = "numbered") -> dict[str, Row]:
    """The executions of a flow, by id."""
    if isinstance(place, str):
        columns = "id, state, coalesce(failure, ''::bytea)"
        sql = (
            f"SELECT {columns}, ''::bytea FROM executions WHERE flow = %s UNION ALL "
            f"SELECT {columns}, coalesce(result, '') FROM letters WHERE flow = %s UNION ALL "
            f"SELECT {columns}, coalesce(result, '') FROM history WHERE flow = %s"
        )
        found = _rows(place, sql, (flow, flow, flow))
        assert len({row[0] for row in found}) == len(found), "an execution is in two tables"
        return {row[0]: Row(row[0], row[1], *map(_text, row[2:])) for row in found}
    sql = "SELECT id, state, coalesce(failure, ''), coalesce(result, '') FROM executions"

    def job(connection: sqlite3.Connection) -> dict[str, Row]:
        connection.text_factory = _text
        rows = connection.execute(f"{sql} WHERE flow = ?", (flow,)).fetchall()
        return {row[0]: Row(row[0], row[1], *map(_text, row[2:])) for row in rows}

    return _read(place, job)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def live(place: Place, flow: str | None = "numbered") -> int:
    """Count the executions of a flow, or of all flows, that have no outcome yet."""
    if isinstance(place, str):
        sql = "SELECT count(*) FROM executions WHERE flow = coalesce(%s, flow)"
        return _rows(place, sql, (flow,))[0][0]
    sql = (
        "SELECT count(*) FROM executions "
        "WHERE flow = coalesce(?, flow) AND state IN ('queued','running','waiting')"
    )
    return _read(place, lambda c: c.execute(sql, (flow,)).fetchone()[0])


def count(place: Place) -> int:
    """Count the executions."""
    if isinstance(place, str):
        tables = ("executions", "letters", "history")
        counts = (_rows(place, f"SELECT count(*) FROM {each}")[0][0] for each in tables)
        return sum(counts)
    return _read(place, lambda c: c.execute("SELECT count(*) FROM executions").fetchone()[0])


def marks(place: Place, flow: str) -> list[int]:
    """Up to when the ticks of a flow are dealt with, in microseconds."""
    sql = "SELECT last_tick FROM schedules WHERE flow = "
    if isinstance(place, str):
        return [row[0] for row in _rows(place, f"{sql}%s", (flow,))]
    return _read(place, lambda c: [row[0] for row in c.execute(f"{sql}?", (flow,))])


def outcomes(directory: Path) -> dict[str, int]:
    """Count the executions by how they ended: the state, and the reason up to its first colon."""
    sql = (
        "SELECT state || ': ' || substr(reason, 1, instr(reason || ':', ':') - 1), count(*) "
        "FROM executions GROUP BY 1 ORDER BY 1"
    )
    return _read(directory, lambda c: {row[0]: row[1] for row in c.execute(sql)})


def ended(directory: Path) -> int:
    """Count the executions that have an outcome."""
    sql = "SELECT count(*) FROM executions WHERE ended_at IS NOT NULL"
    return _read(directory, lambda c: c.execute(sql).fetchone()[0])


def dead_letters(directory: Path) -> list[tuple[str, str]]:
    """The executions that failed and were neither replayed nor dismissed, and why."""
    sql = (
        "SELECT id, coalesce(failure, '') FROM executions WHERE state = 'failed' AND dismissed = 0"
    )
    rows = _read(directory, lambda c: c.execute(sql).fetchall())
    return [(id, _text(failure)) for id, failure in rows]


def arrived(directory: Path) -> Iterator[tuple[str, str]]:
    """The headers and the body of each event that was kept."""
    sql = "SELECT headers, body FROM events"
    rows = _read(directory, lambda c: c.execute(sql).fetchall())
    return ((_text(headers), _text(body)) for headers, body in rows)


def pairs(directory: Path, name: str) -> list[dict[str, str]]:
    """The pairs of that name, each once for each record that is in one."""
    sql = "SELECT value FROM state WHERE scope LIKE 'pairs:%:' || ?"
    rows = _read(directory, lambda c: c.execute(sql, (name,)).fetchall())
    return [json.loads(row[0]) for row in rows]


def problems(place: Place) -> list[str]:
    """Return what is not whole: rows that belong to nothing, and complaints of the database itself."""
    if isinstance(place, str):
        return [
            f"{table}: {count} rows of no live execution"
            for table in ("events", "steps", "logs", "attempts", "signals", "orders")
            for (count,) in _rows(
                place,
                f"SELECT count(*) FROM {table} WHERE NOT EXISTS "
                f"(SELECT FROM executions WHERE id = {table}.execution)",
            )
            if count
        ]

    def job(connection: sqlite3.Connection) -> list[str]:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        keys = [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
        return [each for each in found if each != "ok"] + keys

    return _read(place, job)
