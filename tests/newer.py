"""Halflap as its next version might be: with one more migration of the PostgreSQL store."""

from __future__ import annotations

from halflap.cli import main
from halflap.store.migrate import Migration
from halflap.store.postgres.schema import MIGRATIONS

TABLES = ("executions", "events", "steps", "logs", "letters", "history", "dedupe", "state")
BEFORE = "".join(
    f"ALTER TABLE {table} ADD COLUMN planted text NOT NULL DEFAULT 'here';" for table in TABLES
)
AFTER = "DROP INDEX executions_by_replay;"

MIGRATIONS.append(Migration(len(MIGRATIONS) + 1, "planted", BEFORE, AFTER))

if __name__ == "__main__":
    main()
