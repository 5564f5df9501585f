"""Explain PostgreSQL's errors, and where its server is, in words without a password."""

from __future__ import annotations

import psycopg
from psycopg import errors as sql
from psycopg.conninfo import conninfo_to_dict

from halflap.errors import ConfigError, HalflapError, StoreError, StoreFull

READ_ONLY = "session is read-only"
"""Part of the message of libpq about a server that `target_session_attrs` passes over."""


def where(url: str) -> str:
    """A URL as it may be shown: its host, port and database, without user and password.

    Raises `StoreError` where it is none.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreError(
            "the store's URL cannot be read; write postgresql://user:password@host:5432/database"
        ) from None
    hosts = str(parts.get("host") or parts.get("hostaddr") or "localhost").split(",")
    ports = str(parts.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    places = [f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False)]
    return f"postgresql://{','.join(places)}/{parts.get('dbname') or parts.get('user') or ''}"


def explain(error: BaseException, place: str) -> BaseException:
    """The error that a caller can act on; as it is, what is the caller's or not PostgreSQL's."""
    told: HalflapError
    said = one_line(error)
    match error:
        case sql.DiskFull() | sql.OutOfMemory():
            told = StoreFull(f"{place}: no room left ({said}); free some: it goes on by itself.")
        case sql.TooManyConnections():
            told = StoreError(
                f"{place}: {said}; raise max_connections, or run fewer processes on it."
            )
        case sql.InvalidPassword() | sql.InvalidAuthorizationSpecification():
            told = StoreError(f"{place}: {said}; look at user and password in HALFLAP_STORE.")
        case sql.InvalidCatalogName():
            told = StoreError(f"{place}: {said}; make it (createdb), or name another one.")
        case sql.InsufficientPrivilege():
            told = StoreError(f"{place}: {said}; give Halflap's user that right (GRANT).")
        case psycopg.Error() if isinstance(error, sql.ReadOnlySqlTransaction) or READ_ONLY in said:
            told = StoreError(
                f"{place}: {said}; a standby, or a server that was made read-only (for want of room, "
                "say): name the primary, or have it take writes again."
            )
        case sql.LockNotAvailable() | sql.QueryCanceled() | sql.IdleInTransactionSessionTimeout():
            told = StoreError(
                f"{place}: {said}; another process holds what this one waits for: try again, and "
                "look at pg_stat_activity where that does not help."
            )
        case psycopg.DataError() if "NUL" in said:
            told = ConfigError(
                "a text has a NUL character in it; PostgreSQL keeps none: leave it out"
            )
        case psycopg.OperationalError():
            told = StoreError(f"{place}: {said}; is the server running, and can it be reached?")
        case psycopg.IntegrityError() | psycopg.DataError() | psycopg.ProgrammingError():
            return error
        case psycopg.Error():
            told = StoreError(f"{place}: {said}; look at the server's log.")
        case _:
            return error
    told.__cause__ = error
    return told


def one_line(error: BaseException) -> str:
    """Return an error's message in a line."""
    first = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((first or str(error) or type(error).__name__).split())
