"""Making a connection to PostgreSQL, set up as the journal needs it."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg import conninfo

from halflap.store.postgres.columns import register
from halflap.store.postgres.explain import explain, where

Connection: TypeAlias = psycopg.AsyncConnection[Any]

CONNECT_SECONDS = 10
# A peer that is gone without a word is noticed within about 20 s.
_KEPT_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# An acknowledged event is on disk, whatever the server's or the role's default says; `local` and
# what is stronger stay as they are.
_SESSION = """
SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('TimeZone', 'UTC', false),
    set_config('idle_in_transaction_session_timeout', '60s', false),
    set_config('lock_timeout', '20s', false),
    set_config('jit', 'off', false)
"""


async def connect(url: str) -> Connection:
    """A connection that commits each statement by itself, set up as the store needs it."""
    try:
        settings: dict[str, Any] = {
            **_KEPT_ALIVE,
            "connect_timeout": CONNECT_SECONDS,
            **conninfo.conninfo_to_dict(url),
        }
        settings.setdefault("application_name", "halflap")
        connection = await psycopg.AsyncConnection.connect("", autocommit=True, **settings)
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


async def changed(connection: Connection, sql: str, values: Any) -> int:
    """Run a statement that changes rows, and wait for how many it changed."""
    counted = f"WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed"  # noqa: S608
    cursor = await connection.execute(counted.encode(), values, binary=True)
    row = await cursor.fetchone()
    return row[0] if row else 0
