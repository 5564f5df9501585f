"""A long queue of one customer costs others nothing: claims look at what they claim, on both stores."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from halflap.store import claiming, limiting, migrate, schema, traffic
from halflap.store.postgres import claiming as postgres_claiming
from halflap.store.postgres import limiting as postgres_limiting
from halflap.store.postgres import schema as postgres_schema
from halflap.store.postgres.columns import Numbers, Texts, register
from halflap.store.postgres.migrate import migrate as migrate_postgres
from halflap.store.turns import Share, TurnRotation
from tests.cases import for_each
from tests.cluster import fresh_url

LATER = 10**9
QUEUED = """
INSERT INTO executions (id, customer, instance, integration, flow, version, revision, state,
    accepted_at, due_at)
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
SELECT printf('exe_%s%09d', ?2, n), 'cus_' || ?2, 'ins_' || ?2 || (n % 2), 'shop', 'in', 'v1', 1,
    'queued', n, n + ?3 FROM n
"""
IN_ORDER = """
INSERT INTO orders (name, execution, width, turn, blocks, passable)
SELECT 'one', id, 1, id = 'exe_many000000001', 0, 0 FROM executions
"""
Verb = Callable[[sqlite3.Connection], object]


def claim_of_others(connection: sqlite3.Connection) -> object:
    turns = TurnRotation()
    found = claiming.due(connection, LATER, 50, False, turns, Share(50, {"cus_many": 0}))
    assert sorted(found) == ["exe_few000000001", "exe_few000000002", "exe_few000000003"]
    assert turns.held_back == {"cus_many"}
    return claiming.next_due(connection, LATER, False, turns)


def claim_of_all(connection: sqlite3.Connection) -> object:
    found = claiming.due(connection, LATER, 50, False, TurnRotation(), Share(25))
    assert len(found) == 28
    return found


def claim_on_probation(connection: sqlite3.Connection) -> object:
    places = [("cus_many", "ins_many0")]
    turns = TurnRotation()
    turns.held_back = frozenset(["cus_few"])
    assert claiming.due_of(connection, LATER, 50, True, places) == []
    assert claiming.next_due(connection, LATER, True, turns) is None
    return claiming.due(connection, LATER, 50, True, TurnRotation(), Share(25))


def load(connection: sqlite3.Connection) -> object:
    return limiting.load(connection, "cus_few", LATER, 100_000)


def waits_for(connection: sqlite3.Connection) -> object:
    values = ("exe_many000000002",)
    assert connection.execute(traffic.WAITS_FOR, values).fetchone() == ("exe_many000000001",)
    return values


def by_both_columns(connection: sqlite3.Connection) -> object:
    """Look for the place behind one as SQLite does not seek."""
    sql = claiming.NEXT_LANE.replace("lane > ?", "(lane, instance) > (?, ?)")
    return connection.execute(sql, ("cus_many", "ins_many0")).fetchone()


def work(verb: Verb, queued: int) -> int:
    """Return the number of steps of SQLite's machine that a verb takes behind so many queued."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate.migrate(connection, schema.MIGRATIONS)
    connection.execute(QUEUED, (queued, "many", 0))
    connection.execute(QUEUED, (3, "few", queued))
    connection.execute(IN_ORDER)
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    connection.set_progress_handler(count, 1)
    verb(connection)
    connection.set_progress_handler(None, 0)
    connection.close()
    return steps[0]


@for_each("verb", [claim_of_others, claim_of_all, claim_on_probation, load, waits_for])
def test_sqlite_does_no_more_work_the_longer_anothers_queue_is(verb: Verb) -> None:
    assert work(verb, 4_000) < work(verb, 400) + 200


def test_the_control_a_comparison_of_both_columns_passes_over_the_whole_queue() -> None:
    assert work(by_both_columns, 4_000) > work(by_both_columns, 400) + 10_000


# PostgreSQL ---------------------------------------------------------------------------------------

OTHERS = """
INSERT INTO executions (id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, due_at, fence)
SELECT 'exe_' || %(who)s || lpad(n::text, 9, '0'), 'cus_' || %(who)s, 'ins_' || %(who)s, 'shop',
    'in', 'v1', 1, 'queued', 0, 'exe_1', n, n + %(behind)s, 0
FROM generate_series(1, %(count)s) AS n
"""
OF_FEW: dict[str, tuple[bytes | str, Any]] = {
    "due": (
        postgres_claiming.DUE_OF_PLACES,
        (
            Texts(["cus_few"]),
            Texts(["ins_few"]),
            Numbers([9]),
            Numbers([0]),
            False,
            False,
            LATER,
        ),
    ),
    "next": (
        postgres_claiming.NEXT_OF_PLACES,
        (Texts(["cus_few"]), Texts(["ins_few"]), False, False),
    ),
    "next on probation": (
        postgres_claiming.NEXT_OF_PLACES,
        (Texts(["cus_many"]), Texts(["ins_many"]), True, True),
    ),
    "places": (postgres_claiming.PLACES, ()),
    "load": (
        postgres_limiting.LOAD,
        {"customer": "cus_few", "now": LATER, "most": 100_000},
    ),
}
ALONG_THE_TIME = """
SELECT due.id FROM unnest(%s::text[], %s::text[]) AS w (lane, instance) CROSS JOIN LATERAL (
    SELECT id FROM executions WHERE due_at IS NOT NULL AND held = 0 AND probation = %s
        AND lane = w.lane AND instance = w.instance AND due_at <= %s
    ORDER BY due_at, id LIMIT 10) AS due
"""


@pytest.fixture(scope="module")
def queue() -> Iterator[Any]:
    with psycopg.connect(fresh_url(), autocommit=True) as connection:
        register(connection)
        migrate_postgres(connection, postgres_schema.MIGRATIONS, clock=lambda: 0)
        connection.execute("ALTER TABLE executions SET (autovacuum_enabled = off)")
        connection.execute(OTHERS.encode(), {"who": "many", "count": 20_000, "behind": 0})
        connection.execute("ANALYZE executions")  # the few are not known of
        connection.execute(OTHERS.encode(), {"who": "few", "count": 3, "behind": 20_000})
        yield connection


def pages(queue: Any, sql: bytes | str, values: Any) -> int:
    """Return the number of pages that a statement looks at."""
    text = sql.encode() if isinstance(sql, str) else sql
    [(plan,)] = queue.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, values).fetchall()
    [found] = json.loads(plan) if isinstance(plan, str | bytes) else plan
    return found["Plan"]["Shared Hit Blocks"] + found["Plan"]["Shared Read Blocks"]


@for_each("scans", ["on", "off"])
@for_each("name", sorted(OF_FEW))
def test_postgresql_looks_at_few_pages_behind_anothers_queue(
    queue: Any, name: str, scans: str
) -> None:
    queue.execute(f"SET enable_seqscan = {scans}")  # off in what writes, as a claim does
    try:
        assert pages(queue, *OF_FEW[name]) < 50
    finally:
        queue.execute("RESET enable_seqscan")


def test_the_control_where_all_seem_one_customers_it_looks_along_the_time_of_all(
    queue: Any,
) -> None:
    values = (Texts(["cus_few"]), Texts(["ins_few"]), False, LATER)
    assert pages(queue, ALONG_THE_TIME, values) > 500
