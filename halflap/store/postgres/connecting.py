"""Making a connection to PostgreSQL: for the event loop, or for a thread."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import anyio.to_thread
import psycopg
from psycopg import conninfo

from halflap.store.postgres.columns import register
from halflap.store.postgres.explain import explain, where

T = TypeVar("T")
_PLACES = re.compile(r"'(?:[^']|'')*'|[?%]")
Connection: TypeAlias = psycopg.AsyncConnection[Any]

SETTINGS: dict[str, Any] = {
    "connect_timeout": 10,
    "fallback_application_name": "halflap",
    # Of several hosts the primary: a standby answers too, and refuses every write.
    "target_session_attrs": "read-write",
    # A peer that is gone without a word is noticed within about 20 s.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""The settings that a URL may override."""
# An acknowledged event is on disk, whatever the server's or the role's default says; `local` and
# what is stronger stay as they are.
_SESSION = """
SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('TimeZone', 'UTC', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('idle_in_transaction_session_timeout', '10s', false),
    set_config('lock_timeout', '15s', false),
    set_config('statement_timeout', '30s', false),
    set_config('jit', 'off', false);
SELECT set_config('default_toast_compression', 'lz4', false) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)
"""
"""The settings of a session; one that hangs, in a transaction, a lock or a statement, is ended.

What is large is compressed by lz4 where the server was built with it, as that takes far less CPU.
"""
ALONG_INDEXES = "set_config('enable_seqscan', 'off', true)"
"""Has what is planned in a transaction read along an index, wherever there is one.

A plan is made once, maybe on an empty table of live executions; one that reads all of it would then read
all that has ended since the last vacuum, each time. How lists and counts are read is left to the planner.
"""


async def connect(url: str) -> Connection:
    """Connect for the event loop: each statement is committed by itself; raises `StoreError`."""
    try:
        connection = await psycopg.AsyncConnection.connect("", autocommit=True, **_settings(url))
    except psycopg.Error as error:
        raise explain(error, where(url)) from error
    connection.prepare_threshold = 0
    connection.prepared_max = 300
    register(connection)
    try:
        await connection.execute(_SESSION, prepare=False)
    except BaseException:
        await connection.close()
        raise
    return connection


def connect_blocking(url: str) -> psycopg.Connection[Any]:
    """Connect for a thread: each statement is committed by itself; raises what psycopg does."""
    return psycopg.connect("", autocommit=True, prepare_threshold=None, **_settings(url))


async def alone(url: str, job: Callable[[psycopg.Connection[Any]], T]) -> T:
    """Run a job in a thread, on a connection of its own with no transaction open."""

    def run() -> T:
        try:
            with connect_blocking(url) as connection:
                return job(connection)
        except psycopg.Error as error:
            raise explain(error, where(url)) from error

    return await anyio.to_thread.run_sync(run)


def _settings(url: str) -> dict[str, Any]:
    return {**SETTINGS, **conninfo.conninfo_to_dict(url)}


async def fetched(cursor: psycopg.AsyncCursor[Any] | None) -> list[Any]:
    """Return the rows of a statement that was sent before; none where it was not."""
    return [] if cursor is None else await cursor.fetchall()


async def changed(connection: Connection, sql: str, values: Any) -> int:
    """Run a statement that changes rows, and wait for how many it changed."""
    counted = f"WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed"
    cursor = await connection.execute(counted.encode(), values, binary=True)
    row = await cursor.fetchone()
    return row[0] if row else 0


@lru_cache(256)
def placed(sql: str) -> bytes:
    """SQL with psycopg's places for values in the place of each `?`."""
    there = {"?": "%s", "%": "%%"}
    return _PLACES.sub(lambda found: there.get(found[0], found[0].replace("%", "%%")), sql).encode()
