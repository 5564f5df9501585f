"""A PostgreSQL server of the tests' own, started when one first asks, and stopped at the end.

`TEST_POSTGRESQL` names another to use: the URL of an empty database, whose user may make schemas.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from bench.cluster import initialise, other_user, start_server
from halflap.store.postgres.connecting import Connection, connect
from halflap.store.postgres.guard import ROLE, have_role
from halflap.store.postgres.migrate import migrate
from halflap.store.postgres.schema import MIGRATIONS

GIVEN = "TEST_POSTGRESQL"
QUICK = (
    *("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"),
    *("-c", "autovacuum=off"),  # a day of the history that it holds is not dropped at that time
    *("-c", "dynamic_shared_memory_type=mmap"),  # in its folder, which goes with it
)
_numbers = itertools.count(1)


def fresh_url() -> str:
    """The URL of a schema of its own, empty."""
    url = os.environ.get(GIVEN) or server()
    name = f"t{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={name}')}"


def ordinary_url() -> str:
    """As `fresh_url`, for a user of its own whom row-level security binds: no superuser."""
    url = os.environ.get(GIVEN) or server()
    with psycopg.connect(url, autocommit=True) as connection:
        have_role(connection)
    return url_of_user(url, f"GRANT {ROLE} TO {{user}} WITH INHERIT FALSE, SET TRUE")


@functools.cache
def _lasting() -> tuple[str, str, list[str]]:
    """A migrated schema: its URL, its user, and its tables that have no rows yet."""
    url = ordinary_url()
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection, MIGRATIONS, clock=lambda: 0)
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        names = [each for (each,) in found]
        empty = [
            each
            for each in names
            if connection.execute(f"SELECT 1 FROM {each} LIMIT 1".encode()).fetchone() is None
        ]
    return url, psycopg.conninfo.conninfo_to_dict(url)["user"] or "", empty


def emptied_url() -> str:
    """As `ordinary_url`, but of a migrated schema without rows: the same for one test after another.

    A migration takes ten times as long. Not for tests of migrations, or that alter a table.
    """
    url, user, tables = _lasting()
    try:
        empty(_cleaner(), user, tables)
    except psycopg.OperationalError:  # a test has ended all sessions
        _cleaner.cache_clear()
        empty(_cleaner(), user, tables)
    return url


@functools.cache
def _cleaner() -> psycopg.Connection[Any]:
    """The session that empties a schema; a new one reads and plans everything anew."""
    connection = psycopg.connect(os.environ.get(GIVEN) or server(), autocommit=True)
    atexit.register(connection.close)
    connection.execute("SET session_replication_role = replica")
    return connection


def empty(connection: psycopg.Connection[Any], user: str, tables: Sequence[str]) -> None:
    """End the sessions of a user, but for those at rest; delete the rows of tables that have any."""
    kept = [each.pgconn.backend_pid for some in _at_rest.values() for each in some]
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = %s AND pid <> ALL (%s)",
        [user, kept],
    )
    filled = " UNION ALL ".join(
        f"SELECT '{each}' WHERE EXISTS (SELECT FROM {user}.{each})" for each in tables
    )
    deletes = [
        f"DELETE FROM {user}.{each}"
        for (each,) in connection.execute(filled.encode(), prepare=True)
    ]
    changes = f"UPDATE {user}.changes SET number = 0"
    connection.execute(";".join([*deletes, changes]).encode())


_at_rest: dict[str, list[Connection]] = {}


@contextmanager
def kept_sessions() -> Iterator[None]:
    """Have each store that is opened leave its sessions to the next one at its URL.

    A new backend plans each statement anew, which is half of what it does in a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("halflap.store.postgres.database.connect", reconnect)
        yield


async def reconnect(url: str) -> Connection:
    """Connect by a session that a store before has left, where there is one."""
    left = _at_rest.setdefault(url, [])
    while left:
        if is_at_rest(one := left.pop()):
            return one
        one.pgconn.finish()
    made = await connect(url)
    close = made.close

    async def leave() -> None:
        if not is_at_rest(made):
            await close()
        elif made not in left:
            left.append(made)

    made.close = leave
    return made


def is_at_rest(connection: Connection) -> bool:
    """Return whether a session is open at both ends, and has no transaction under way."""
    idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
    return idle and is_silent(connection)


def is_silent(connection: Connection) -> bool:
    """Return whether a session has nothing to read: one that was ended has, why, or the end."""
    said = select.poll()
    said.register(connection.pgconn.socket, select.POLLIN)
    return not said.poll(0)


@atexit.register
def let_go() -> None:
    """Close what was left for a next store: no loop runs by now that could await it."""
    for some in _at_rest.values():
        for each in some:
            each.pgconn.finish()


def url_of_user(url: str, also: str = "", rights: str = "") -> str:
    """The URL of a new schema for a new user, who owns it; `also` is run for the `user`."""
    name = f"u{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN {rights}".encode())
        connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}".encode())
        if also:
            connection.execute(also.format(user=name).encode())
    options = quote(f"-csearch_path={name}")
    return f"{url}{'&' if '?' in url else '?'}user={name}&options={options}"


@functools.cache
def server() -> str:
    """The URL of the tests' own server."""
    return started()


def started(*settings: str) -> str:
    """Start a server, with settings as `name=value`; its URL. It is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="halflap-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user := other_user():
        shutil.chown(folder, user)
    data = folder / "data"
    make_data(data)
    flags = [each for name in settings for each in ("-c", name)]
    running, url = start_server(data, folder, folder / "log", *QUICK, *flags)
    atexit.register(stop, running)
    return url


def make_data(data: Path) -> None:
    """Make the files of a server, as `initdb` does, which takes fifteen times as long."""
    subprocess.run(["cp", "-a", template(), data], check=True)


@functools.cache
def template() -> Path:
    """Return the files of a server that was never started; they are removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="halflap-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user := other_user():
        shutil.chown(folder, user)
    initialise(folder / "data", "-N")
    return folder / "data"


def stop(running: subprocess.Popen[bytes]) -> None:
    """Stop it at once: whoever is still connected belongs to a test that is over."""
    running.send_signal(signal.SIGINT)
    running.wait()
