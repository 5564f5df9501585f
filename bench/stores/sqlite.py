"""Stores in a file of SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.stores import raw
from bench.stores.store import Kind, Sizes, Stored, event_id
from halflap.store.sqlite import SqliteDatabase
from halflap.store.store import FILE

LIVE = "SELECT count(*) FROM executions WHERE state IN ('queued', 'running', 'waiting')"
TABLES = ("executions", "events", "steps")
AT_ONCE = 50_000


class SqliteStore:
    """One file, in the directory of its server."""

    url = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = directory / FILE

    def live(self) -> int:
        with closing(self._open()) as connection:
            return int(connection.execute(LIVE).fetchone()[0])

    def used_bytes(self) -> int:
        with closing(self._open()) as connection:
            pages, free, size = (
                int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def read(self, flow: str, after: int = 0) -> Stored:
        with closing(self._open()) as connection:
            which = "FROM executions x WHERE x.flow = ? AND x.accepted_at >= ?"
            count, first, last = connection.execute(
                f"SELECT count(*), min(accepted_at), max(ended_at) {which}", (flow, after)
            ).fetchone()
            rows = connection.execute(
                "SELECT x.id, (SELECT substr(body, 1, 100) FROM events WHERE execution = x.number)"
                f" {which} AND x.state = 'succeeded'",
                (flow, after),
            ).fetchall()
        events = {execution: event_id(body) for execution, body in rows}
        return Stored(events, count, ((last or 0) - (first or 0)) / 1e6)

    def sizes(self, flow: str) -> Sizes:
        of = "JOIN executions x ON x.number = t.execution WHERE x.flow = ?"
        with closing(self._open()) as connection:
            size = connection.execute(
                f"SELECT sum(length(t.body) + length(t.headers)) FROM events t {of}", (flow,)
            )
            steps = connection.execute(f"SELECT count(*) FROM steps t {of}", (flow,))
            return Sizes(int(size.fetchone()[0] or 0), int(steps.fetchone()[0]))

    def cpu_ms(self) -> float:
        return 0.0

    def multiply(self, executions: int) -> int:
        """Copies have ids, and ended, before all that is there; no server may have it open."""
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -200000")
            connection.execute("CREATE TEMP TABLE model (n INTEGER PRIMARY KEY, number INTEGER)")
            connection.execute(
                "INSERT INTO model (number) SELECT number FROM executions WHERE state = 'succeeded'"
            )
            (models,) = connection.execute("SELECT count(*) FROM model").fetchone()
            there, most = connection.execute(
                "SELECT count(*), max(number) FROM executions"
            ).fetchone()
            for first in range(0, executions - there, AT_ONCE):
                last = min(first + AT_ONCE, executions - there)
                connection.execute("BEGIN")
                for table in TABLES:
                    connection.execute(_copying(connection, table), (first, last, models, most + 1))
                connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return int(connection.execute("SELECT count(*) FROM executions").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._file.resolve().as_uri()}?mode=ro", uri=True, timeout=30
        )
        connection.execute("PRAGMA query_only = ON")
        return connection


def _copying(connection: sqlite3.Connection, table: str) -> str:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    key = "number" if table == "executions" else "execution"
    shown = ", ".join(
        "?4 + numbers.n"
        if each == key
        else "printf('exe_0%025d', numbers.n)"
        if each in ("id", "root")
        else f"t.{each} - 3600000000 + numbers.n"
        if each in ("accepted_at", "ended_at")
        else f"t.{each}"
        for each in columns
    )
    return (
        "WITH RECURSIVE numbers (n) AS"
        " (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)"
        f" INSERT INTO {table} ({', '.join(columns)}) SELECT {shown} FROM numbers"
        f" JOIN model ON model.n = numbers.n % ?3 + 1 JOIN {table} t ON t.{key} = model.number"
    )


class SqliteKeeper:
    """A directory in which stores are made."""

    kind: Kind = "sqlite"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def fresh(self) -> Generator[SqliteStore]:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self._directory) as made:
            yield SqliteStore(Path(made))

    def raw(self, seconds: float) -> Mapping[str, float]:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self._directory) as made:
            return raw.rates(lambda tasks: _raw(Path(made) / f"raw-{tasks}.db", tasks, seconds))

    def about(self) -> Mapping[str, Any]:
        return {"sqlite": sqlite3.sqlite_version}


async def _raw(file: Path, tasks: int, seconds: float) -> float:
    database = await SqliteDatabase.open(file)
    await database.alone(
        lambda c: c.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT")
    )

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO rows (body) VALUES (?)", (raw.ROW,))

    try:
        return await raw.rate(lambda: database.post(insert), tasks, seconds)
    finally:
        await database.close()
