"""Migrations of a PostgreSQL store: the pairs of store/migrate.py, by one process at a time.

What changes a table waits for everybody who uses it, and everybody who comes meanwhile waits behind
it. So it waits for less than a second, gives way, and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import structlog
from psycopg import errors as sql

from halflap.errors import StoreError
from halflap.store.migrate import (
    BOTH,
    TABLE,
    Migration,
    Phase,
    compare,
    in_order,
    read_history,
    record,
)
from halflap.store.postgres.explain import one_line
from halflap.store.postgres.guard import have_role
from halflap.store.postgres.jobs import JobLink

log = structlog.get_logger("halflap.store")

PATIENCE_SECONDS = 60.0
"""For how long a migration that meets somebody's lock is tried again."""
REST_SECONDS = 1.0
"""Seconds that the sessions behind a try have to themselves before the next one."""
WAIT = "SET LOCAL lock_timeout = '900ms'"
"""Less than `deadlock_timeout`, so that of two in a ring the migration gives way."""
IN_THE_WAY = """
SELECT DISTINCT a.pid, a.application_name, a.state, a.xact_start,
    extract(epoch FROM clock_timestamp() - a.xact_start)::int, left(a.query, 80)
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND c.relnamespace = current_schema()::regnamespace AND a.pid <> pg_backend_pid()
    AND a.xact_start IS NOT NULL
ORDER BY a.xact_start LIMIT 3
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' is migrated', 0))"


def migrate(
    connection: psycopg.Connection[Any],
    migrations: Sequence[Migration],
    *,
    phase: Phase | None = None,
    clock: Callable[[], int],
) -> list[tuple[int, Phase]]:
    """Apply what this store lacks, of one phase or both, each in a transaction; say what was applied.

    A new store gets both phases. Of many processes that start at once, one applies and the others
    wait. Raises `StoreError`, with nothing of the phase applied, where the store is newer than this
    code or has another history, where the SQL fails, or where a lock of somebody's stays in the way.
    """
    ordered = in_order(migrations)
    link = JobLink(connection)
    with alone(connection):
        connection.execute(
            TABLE.replace("INTEGER", "bigint").replace(") STRICT", ")").encode(), prepare=False
        )
        history = read_history(link)
        compare(ordered, history)
        have_role(connection)
    # No older code has a new store open.
    steps = BOTH if phase is None or not history else (phase,)
    done: list[tuple[int, Phase]] = []
    for migration in ordered:
        for step in steps:
            if _patiently(connection, migration, step, clock):
                done.append((migration.number, step))
    return done


def _patiently(
    connection: psycopg.Connection[Any],
    migration: Migration,
    phase: Phase,
    clock: Callable[[], int],
) -> bool:
    """Apply a phase as soon as nobody's lock is in the way; whether this store lacked it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return _apply(connection, migration, phase, clock)
        except (sql.LockNotAvailable, sql.DeadlockDetected) as error:
            holder = _in_the_way(connection)
            if time.monotonic() > end:
                raise StoreError(
                    f"migration {migration}, {phase}: {one_line(error)}, tried for "
                    f"{PATIENCE_SECONDS:g} s; nothing of it was applied. In the way: {holder}. "
                    "Wait until that has ended, or end it, and start again."
                ) from error
            log.warning("a migration waits for a lock", migration=str(migration), holder=holder)
        time.sleep(REST_SECONDS)


def _apply(
    connection: psycopg.Connection[Any],
    migration: Migration,
    phase: Phase,
    clock: Callable[[], int],
) -> bool:
    link = JobLink(connection)
    with alone(connection):
        history = read_history(link)
        if (migration.number, phase) in history:
            return False
        if phase == "after" and (migration.number, "before") not in history:
            raise StoreError(
                f"migration {migration}: its 'before' has not been applied to this store; "
                "apply that, then replace the servers, then apply 'after'."
            )
        connection.execute(WAIT)
        try:
            if script := migration.sql(phase).strip():
                connection.execute(script.encode(), prepare=False)
        except (sql.LockNotAvailable, sql.DeadlockDetected):
            raise
        except psycopg.Error as error:
            raise StoreError(
                f"migration {migration}, {phase}: {error}; "
                "nothing of it was applied: mend it and start again."
            ) from error
        record(link, migration, phase, clock())
    return True


def _in_the_way(connection: psycopg.Connection[Any]) -> str:
    """Return the session that has used tables of the store for longest in a transaction that goes
    on.
    """
    found = connection.execute(IN_THE_WAY).fetchall()
    return (
        "; ".join(
            f"process {pid} of the database ({name or 'no name'}, {state}, for {seconds} s: "
            f"{' '.join(query.split())})"
            for pid, name, state, _, seconds, query in found
        )
        or "nobody by now"
    )


@contextmanager
def alone(connection: psycopg.Connection[Any]) -> Generator[None]:
    """A transaction that no other process' start runs beside."""
    with connection.transaction():
        connection.execute(LOCK, prepare=False)
        yield
