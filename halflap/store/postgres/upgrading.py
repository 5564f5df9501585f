"""Finishing migrations: their `after`, once no process is left whose code needs what that removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from halflap.errors import StoreError
from halflap.model import Micros, Process
from halflap.store.migrate import Migration, Phase, in_order, read_history
from halflap.store.postgres.connecting import connect_blocking
from halflap.store.postgres.explain import explain, where
from halflap.store.postgres.jobs import JobLink
from halflap.store.postgres.migrate import alone, migrate
from halflap.store.postgres.presence import present
from halflap.store.postgres.schema import MIGRATIONS
from halflap.store.postgres.time import NOW


@dataclass(frozen=True, slots=True)
class MigrationState:
    """The state of a store's migrations, and the processes that have it open.

    begun: those of which only `before` is applied. old: processes whose code does not know all.
    """

    applied: Sequence[tuple[int, Phase]]
    begun: Sequence[Migration]
    processes: Sequence[Process]
    old: Sequence[Process]


def advance(url: str, *, finish: bool) -> MigrationState:
    """Apply what is `before`; with `finish`, what is `after` too. Returns how things stand then.

    Raises `StoreError`, and applies no `after`, while a process of older code has the store open.
    """
    try:
        with connect_blocking(url) as connection:
            return _advance(connection, finish=finish)
    except psycopg.Error as error:
        raise explain(error, where(url)) from error


def standing(connection: psycopg.Connection[Any]) -> MigrationState:
    """Return the state of a store that was made."""
    history = read_history(JobLink(connection))
    begun = [
        each
        for each in in_order(MIGRATIONS)
        if (each.number, "before") in history
        and (each.number, "after") not in history
        and each.after.strip()
    ]
    processes = present(connection, now(connection))
    newest = max((number for number, _ in history), default=0)
    return MigrationState((), begun, processes, [e for e in processes if e.migration < newest])


def _advance(connection: psycopg.Connection[Any], *, finish: bool) -> MigrationState:
    applied = migrate(connection, MIGRATIONS, phase="before", clock=lambda: now(connection))
    if finish:
        with alone(connection):  # nobody opens the store between the look and the end
            found = standing(connection)
            if found.old:
                named = "; ".join(
                    f"{each.role} {each.pid} on {each.host} ({each.version})" for each in found.old
                )
                raise StoreError(
                    f"processes of older code have the store open: {named}. Replace them, then "
                    "run this again."
                )
            applied += migrate(connection, MIGRATIONS, phase="after", clock=lambda: now(connection))
    found = standing(connection)
    return MigrationState(applied, found.begun, found.processes, found.old)


def now(connection: psycopg.Connection[Any]) -> Micros:
    """The database's time."""
    row = connection.execute(NOW).fetchone()
    return row[0] if row else 0
