"""Migrations of a PostgreSQL store: the pairs of store/migrate.py, by one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import psycopg

from halflap.errors import StoreError
from halflap.store.migrate import (
    TABLE,
    Migration,
    Phase,
    check_turn,
    compare,
    in_order,
    phases,
    read_history,
    record,
)
from halflap.store.postgres.jobs import Link

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' is migrated', 0))"


def migrate(
    connection: psycopg.Connection[Any],
    migrations: Sequence[Migration],
    *,
    phase: Literal["before", "after", "both"] = "both",
    clock: Callable[[], int],
) -> list[tuple[int, Phase]]:
    """Apply what this store lacks, each phase in a transaction, and say what was applied.

    Of many processes that start at once, one applies and the others wait. Raises `StoreError`, with
    nothing of the migration applied, where the store is newer than this code or has another
    history, or where the SQL fails.
    """
    ordered = in_order(migrations)
    link = Link(connection)
    with alone(connection):
        connection.execute(
            TABLE.replace("INTEGER", "bigint").replace(") STRICT", ")").encode(), prepare=False
        )
        compare(ordered, read_history(link))
    done: list[tuple[int, Phase]] = []
    for migration in ordered:
        for step in phases(phase):
            with alone(connection):
                history = read_history(link)
                if (migration.number, step) in history:
                    continue
                check_turn(migration, step, history)
                try:
                    if script := migration.sql(step).strip():
                        connection.execute(script.encode(), prepare=False)
                except psycopg.Error as error:
                    raise StoreError(
                        f"migration {migration}, {step}: {error}; "
                        "nothing of it was applied: mend it and start again."
                    ) from error
                record(link, migration, step, clock())
                done.append((migration.number, step))
    return done


@contextmanager
def alone(connection: psycopg.Connection[Any]) -> Generator[None]:
    """A transaction that no other process' start runs beside."""
    with connection.transaction():
        connection.execute(LOCK, prepare=False)
        yield
