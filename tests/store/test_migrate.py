import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from halflap.errors import StoreError
from halflap.store.migrate import Migration, migrate, statements
from halflap.store.sqlite import SqliteDatabase
from tests.cases import for_each

FIRST = Migration(1, "events", "CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT);")
SECOND = Migration(
    2,
    "headers",
    "ALTER TABLE events ADD COLUMN headers TEXT; CREATE INDEX by_body ON events (body);",
    "DROP INDEX by_body;",
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


def names(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {row[0] for row in rows} - {"migrations"}


def test_what_is_missing_is_applied_once_and_in_order(connection: sqlite3.Connection):
    assert migrate(connection, [FIRST]) == [(1, "before"), (1, "after")]
    assert migrate(connection, [SECOND, FIRST]) == [(2, "before"), (2, "after")]
    assert migrate(connection, [FIRST, SECOND]) == []
    assert names(connection) == {"events"}


def test_each_applied_phase_is_recorded_with_its_time(connection: sqlite3.Connection):
    migrate(connection, [FIRST], clock=lambda: 1234)
    rows = connection.execute("SELECT number, phase, name, checksum, applied_at FROM migrations")
    assert rows.fetchall() == [
        (1, "before", "events", FIRST.checksum("before"), 1234),
        (1, "after", "events", FIRST.checksum("after"), 1234),
    ]


def test_a_store_that_newer_code_has_migrated_is_refused(connection: sqlite3.Connection):
    migrate(connection, [FIRST, SECOND])
    connection.execute("UPDATE migrations SET version = '9.8.7'")
    with pytest.raises(StoreError, match=r"migration 2 \(headers\).*install Halflap 9\.8\.7 or"):
        migrate(connection, [FIRST])


@pytest.mark.parametrize(
    "changed",
    [Migration(2, "headers", SECOND.before + " ", SECOND.after), Migration(2, "x", SECOND.before)],
)
def test_a_migration_changed_after_it_was_applied_is_refused(
    connection: sqlite3.Connection, changed: Migration
):
    migrate(connection, [FIRST, SECOND])
    with pytest.raises(StoreError, match=r"migration 2 .* was changed after"):
        migrate(connection, [FIRST, changed])


@pytest.mark.parametrize("wrong", [[SECOND], [FIRST, FIRST], [FIRST, Migration(3, "far", "")]])
def test_numbers_with_gaps_or_doubles_are_refused(
    connection: sqlite3.Connection, wrong: list[Migration]
):
    with pytest.raises(StoreError, match="is expected"):
        migrate(connection, wrong)


def test_a_store_with_a_gap_is_refused(connection: sqlite3.Connection):
    migrate(connection, [FIRST, SECOND])
    connection.execute("DELETE FROM migrations WHERE number = 1")
    with pytest.raises(StoreError, match=r"has migration 2 .* without 1"):
        migrate(connection, [FIRST, SECOND])


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("CREATE TABLE a (x); INSERT INTO nowhere VALUES (1);", "no such table"),
        ("CREATE TABLE a (x); CREATE TABLE b (y", "does not end"),
        ("CREATE TABLE a (x); COMMIT;", "COMMIT cannot stand in a migration"),
        ("CREATE TABLE a (x); /* then */ vacuum;", "VACUUM cannot stand in a migration"),
        (
            "CREATE TABLE a (x REFERENCES events (id)); INSERT INTO a VALUES (7);",
            "a row of table a refers to none of events",
        ),
    ],
)
def test_a_failing_migration_leaves_nothing_and_keeps_the_ones_before_it(
    connection: sqlite3.Connection, sql: str, says: str
):
    with pytest.raises(StoreError, match=rf"migration 2 \(wrong\), before: .*{says}"):
        migrate(connection, [FIRST, Migration(2, "wrong", sql)])
    assert names(connection) == {"events"}
    assert not connection.in_transaction
    assert migrate(connection, [FIRST, SECOND]) == [(2, "before"), (2, "after")]


def test_a_table_is_rebuilt_without_its_children_being_deleted(connection: sqlite3.Connection):
    rebuild = """
        CREATE TABLE new_events (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
        INSERT INTO new_events SELECT id, body FROM events;
        DROP TABLE events;
        ALTER TABLE new_events RENAME TO events;
    """
    child = "CREATE TABLE steps (event INTEGER REFERENCES events (id) ON DELETE CASCADE);"
    two = [FIRST, Migration(2, "steps", child)]
    migrate(connection, two)
    connection.execute("INSERT INTO events (id, body) VALUES (1, 'x')")
    connection.execute("INSERT INTO steps VALUES (1)")
    migrate(connection, [*two, Migration(3, "rebuild", "", rebuild)])
    assert connection.execute("SELECT event FROM steps").fetchall() == [(1,)]
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_script_is_split_where_its_statements_end():
    script = """
        -- a comment; with a semicolon
        CREATE TABLE t (x TEXT DEFAULT ';');;
        /* another; one */ INSERT INTO t VALUES ('it''s; fine'); ;
        CREATE TRIGGER r AFTER INSERT ON t BEGIN
            UPDATE t SET x = 'a;b'; DELETE FROM t WHERE x = ''; -- END;
        END;
        -- the end
    """
    split = list(statements(script))
    assert len(split) == 3
    assert split[0].endswith("DEFAULT ';');")
    assert split[2].endswith("END;")
    connection = sqlite3.connect(":memory:")
    for statement in split:
        connection.execute(statement)
    connection.close()


@for_each("empty", ["", "  \n", "-- nothing;", "/* ; */", ";;", "/* never ended"])
def test_a_script_of_comments_has_no_statements(empty: str):
    assert list(statements(empty)) == []


async def test_an_open_store_migrates_itself(tmp_path: Path):
    database = await SqliteDatabase.open(tmp_path / "halflap.db")
    await database.alone(lambda connection: migrate(connection, [FIRST, SECOND]))
    assert await database.read(names) == {"events"}
    wrong = [FIRST, SECOND, Migration(3, "x", "y;")]
    with pytest.raises(StoreError, match="nothing of it was applied"):
        await database.alone(lambda connection: migrate(connection, wrong))
    assert await database.read(names) == {"events"}
    assert database.failed is None
    await database.close()
