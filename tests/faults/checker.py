"""The checker: reads a store's file past our own code, while a server has it open or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

LIVE = frozenset({"queued", "running", "waiting"})


@dataclass(frozen=True, slots=True)
class Row:
    """An execution as it stands in the file."""

    id: str
    state: str
    failure: str
    result: str


def _read(directory: Path, job: Callable[[sqlite3.Connection], T]) -> T:
    path = directory / "halflap.db"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return job(connection)


def executions(directory: Path, flow: str = "numbered") -> dict[str, Row]:
    """The executions of a flow, by id."""
    sql = "SELECT id, state, coalesce(failure, ''), coalesce(result, '') FROM executions"

    def job(connection: sqlite3.Connection) -> dict[str, Row]:
        connection.text_factory = _text
        rows = connection.execute(f"{sql} WHERE flow = ?", (flow,)).fetchall()
        return {row[0]: Row(row[0], row[1], *map(_text, row[2:])) for row in rows}

    return _read(directory, job)


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def live(directory: Path, flow: str = "numbered") -> int:
    """How many executions of a flow have no outcome yet."""
    sql = (
        "SELECT count(*) FROM executions WHERE flow = ? AND state IN ('queued','running','waiting')"
    )
    return _read(directory, lambda c: c.execute(sql, (flow,)).fetchone()[0])


def problems(directory: Path) -> list[str]:
    """What `PRAGMA integrity_check` and `foreign_key_check` complain of."""

    def job(connection: sqlite3.Connection) -> list[str]:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        keys = [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
        return [each for each in found if each != "ok"] + keys

    return _read(directory, job)
