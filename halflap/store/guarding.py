"""SQLite in a scope: views that lie before the tables, and triggers that refuse others' rows.

SQLite has no row-level security. But what a connection has of its own comes before what the file
has, so on the connections that read for the API each table's name is a view, which shows the rows
that are in scope; a query that forgets to ask for a customer sees that customer's all the same. The
connection that writes has triggers: what a job makes, changes or removes in a scope has to be in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from halflap.store.reading import NUMBERED
from halflap.store.scope import MADE, SEEN, CustomerScope, rule

ME = "halflap_scope()"
OWNER = "substr(state.scope, instr(state.scope, ':') + 1, 30)"
TABLES = """
SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'
"""
"""A view of the file's would show its tables as they are, so it is hidden as well."""
CATALOGUE = (
    "customers",
    "versions",
    "targets",
    "endpoints",
    "shared_endpoints",
    "subscriptions",
    "schedules",
    *MADE,
)
"""Tables that are written through the catalogue; the journal is written by the engine, which is in
no scope.
"""
VERBS = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
REFUSED = "a row of another customer, or of a table that no customer writes to"


class Guard:
    """The scope of one connection: none, until a job is run in one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._customer: str | None = None
        self._connection = connection
        connection.create_function("halflap_scope", 0, lambda: self._customer, deterministic=True)

    @classmethod
    def of_reader(cls, connection: sqlite3.Connection) -> Guard:
        """The guard of a connection that is read in scopes, and in nothing else."""
        guard = cls(connection)
        connection.execute("PRAGMA query_only = OFF")
        guard._show()
        connection.execute("PRAGMA query_only = ON")
        return guard

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def within(self, scope: CustomerScope) -> Generator[sqlite3.Connection]:
        """The connection, in a scope until the block ends, however it does."""
        self._customer = scope.customer
        try:
            yield self._connection
        finally:
            self._customer = None

    def _show(self) -> None:
        """Lay a view before each table: without a scope it has no rows."""
        for table in self._tables():
            key = "number" if table in NUMBERED else "id"
            where = rule(table, SEEN, ME, OWNER, key) if table in SEEN else "0"
            self._connection.execute(
                f"CREATE TEMP VIEW {table} AS SELECT * FROM main.{table} WHERE {where}"
            )

    def refuse(self) -> None:
        """Have what is written in a scope refused where it is not in it; without one, nothing.

        In the transaction that needs it, since its rollback takes the triggers along.
        """
        for table in CATALOGUE:
            for verb, rows in VERBS.items():
                mine = " AND ".join(f"{row}.customer IS {ME}" for row in rows)
                allowed = f"({mine})" if table in MADE else "0"
                self._connection.execute(
                    f"CREATE TEMP TRIGGER IF NOT EXISTS guard_{table}_{verb}"
                    f" BEFORE {verb} ON main.{table} WHEN {ME} IS NOT NULL AND NOT {allowed}"
                    f" BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
                )

    def _tables(self) -> list[str]:
        return [name for (name,) in self._connection.execute(TABLES).fetchall()]
