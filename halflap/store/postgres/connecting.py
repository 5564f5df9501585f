"""Making a connection to PostgreSQL, and what its complaints mean."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg import conninfo, errors

from halflap.errors import StoreError, StoreFull
from halflap.store.postgres.columns import register

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
        settings = {
            **_KEPT_ALIVE,
            "connect_timeout": CONNECT_SECONDS,
            **conninfo.conninfo_to_dict(url),
        }
        settings.setdefault("application_name", "halflap")
        connection = await psycopg.AsyncConnection.connect("", autocommit=True, **settings)
    except psycopg.Error as error:
        raise StoreError(
            f"{where(url)}: the database cannot be reached ({_one_line(error)}); see that it runs "
            "and that the URL is right."
        ) from error
    connection.prepare_threshold = 0
    connection.prepared_max = 300
    register(connection)
    try:
        await connection.execute(_SESSION, prepare=False)
    except BaseException:
        await connection.close()
        raise
    return connection


def where(url: str) -> str:
    """A database as it may be shown: without its password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return "the database"
    host = parts.get("host") or "localhost"
    return f"{parts.get('dbname') or parts.get('user') or 'postgres'} on {host}"


def explain(error: BaseException, name: str) -> BaseException:
    """What an error of PostgreSQL's means for who wrote.

    What is wrong with the row or the statement stays as it is: it is the caller's.
    """
    match error:
        case errors.DiskFull():
            return StoreFull(
                f"{name}: the database's disk is full; make room, or let it keep less history."
            )
        case psycopg.IntegrityError() | psycopg.DataError() | psycopg.ProgrammingError():
            return error
        case psycopg.Error():
            return StoreError(
                f"{name}: the database failed ({_one_line(error)}); nothing was written. "
                "See its log."
            )
        case _:
            return error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
