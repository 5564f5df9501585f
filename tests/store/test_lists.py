"""Every filter that lists of executions offer is read along an index, on both stores."""

from __future__ import annotations

import atexit
import functools
import re
import sqlite3
from dataclasses import fields
from typing import Any

import psycopg
import pytest

from halflap.model import new_id
from halflap.store import journal, migrate, reading, schema
from halflap.store.postgres import journal as postgres_journal
from halflap.store.postgres import schema as postgres_schema
from halflap.store.postgres.columns import Texts, register
from halflap.store.postgres.history import FIRST
from halflap.store.postgres.listing import scans_of_places
from halflap.store.postgres.migrate import migrate as migrate_postgres
from halflap.store.protocol import Filter
from halflap.store.rules.listing import plan_scans
from tests.cases import for_each
from tests.cluster import fresh_url
from tests.journals import postgres_url

OFFERED: dict[str, Any] = {
    "customer": "cus_1",
    "instance": "ins_1",
    "flow": "in",
    "integration": "shop",
    "version": "v1",
    "key": "k1",
    "reason": "echo",
    "cause": "0" * 12,
    "status": 503,
    "failure_kind": "UpstreamError",
    "component": "shop",
    "ids": ("exe_1", "exe_2"),
    "flows": (("shop", "in"), ("store", "in")),
    "reference": "exe_1",
    "min_ran": 5,
    "payload": (b"o-1",),
    "replay_of": "exe_1",
    "parent": "exe_1",
    "bulk": new_id("blk", now=0),
    "states": ("cancelled",),
    "dead_letters": True,
    "since": 5,
    "until": 50,
}
ALONG = {
    "customer": ("executions_of_customer", "customer"),
    "instance": ("executions_of_instance", "instance"),
    "flow": ("executions_by_flow", "flow"),
    "integration": ("executions_by_integration", "integration"),
    "version": ("executions_by_version", "version"),
    "key": ("executions_by_key", "record_key"),
    "reason": ("executions_by_state", "state"),
    "cause": ("executions_by_cause", "state"),
    "status": ("executions_by_status", "state"),
    "failure_kind": ("executions_by_kind", "state"),
    "component": ("executions_by_component", "state"),
    "ids": ("sqlite_autoindex_executions_1", "id"),
    "flows": ("executions_by_flow", "flow"),
    "reference": ("sqlite_autoindex_executions_1|executions_by_key", "id|record_key"),
    "min_ran": ("executions_by_time", "accepted_at"),
    "payload": ("executions_by_time", "accepted_at"),
    "replay_of": ("executions_by_replay", "replay_of"),
    "parent": ("executions_by_parent", "parent"),
    "bulk": ("sqlite_autoindex_executions_1", "id"),
    "states": ("executions_by_state", "state"),
    "dead_letters": ("executions_dead", ""),
    "since": ("executions_by_time", "accepted_at"),
    "until": ("executions_by_time", "accepted_at"),
}
"""By filter: the index in SQLite, and the column that PostgreSQL's history is searched by."""
ROWS = """
INSERT INTO history (id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, ended_at, reason, received_at, part, head, body, steps, logs, attempts, slot)
SELECT 'exe_' || lpad(n::text, 26, '0'), 'cus_' || n % 100, 'ins_' || n % 200, 'shop' || n % 10,
    'in' || n % 20, 'v' || n % 20, 1, CASE WHEN n % 20 = 0 THEN 'cancelled' ELSE 'succeeded' END, 1,
    'exe_1', n, n, '', n, 0, '', '', '', '', '', n % 3 * 64
FROM generate_series(1, 6000) AS n
"""


PERIODS = {
    "dead letters": {"dead_letters": True},
    "cause": {"cause": "0" * 12},
    "states": {"states": ("cancelled", "succeeded")},
    "reason of a customer": {"reason": "echo", "customer": "cus_1"},
}
"""Filters of what has ended, which are read by the end where a period is given."""


def test_each_filter_is_offered() -> None:
    left = {"before", "after", "chain", "link", "of_events", "order", "hidden", "limit"}
    assert {each.name for each in fields(Filter)} - left == OFFERED.keys() == ALONG.keys()


@functools.cache
def empty() -> sqlite3.Connection:
    """An empty store in memory, for whoever only asks for plans."""
    connection = sqlite3.connect(":memory:")
    migrate.migrate(connection, schema.MIGRATIONS)
    atexit.register(connection.close)
    return connection


@for_each("name", sorted(OFFERED))
@for_each("after", [None, (40, "exe_1")])
def test_sqlite_reads_along_the_index_and_never_the_whole_table(name: str, after: Any) -> None:
    connection = empty()
    which = Filter(**{name: OFFERED[name]})
    for scan in plan_scans(which):
        source, values = reading.scan_sql(scan, which, after)
        sql = f"EXPLAIN QUERY PLAN SELECT id {source}"
        plan = [row[3] for row in connection.execute(sql, (*values, 50)).fetchall()]
        used = [each for each in plan if "executions" in each]
        assert len(used) == 1, plan
        assert re.search(ALONG[name][0], used[0]), plan
        if name not in ("key", "parent", "bulk", "ids", "reference", "replay_of"):  # these are few
            sorted_by = [each for each in plan if "TEMP B-TREE" in each]
            assert sorted_by == ["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"], plan  # of one moment


@for_each("name", sorted(PERIODS))
@for_each("bound", ["since", "until"])
@for_each("after", [None, (40, "exe_1")])
def test_sqlite_reads_a_period_along_the_end(name: str, bound: str, after: Any) -> None:
    connection = empty()
    which = Filter(**PERIODS[name], **{bound: 5})
    for scan in plan_scans(which):
        source, values = reading.scan_sql(scan, which, after)
        rows = connection.execute(f"EXPLAIN QUERY PLAN SELECT id {source}", (*values, 50))
        plan, sorted_by = [row[3] for row in rows]
        assert "executions_by_end (state=? AND ended_at" in plan, plan
        assert sorted_by == "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"


@pytest.mark.parametrize("states", [("queued",), ("queued", "waiting", "running")])
def test_sqlite_finds_what_is_live_without_its_history(states: Any) -> None:
    connection = empty()
    for which in (Filter(states=states), Filter(states=states, since=5, until=50)):
        [scan] = plan_scans(which)
        source, values = reading.scan_sql(scan, which, None)
        rows = connection.execute(f"EXPLAIN QUERY PLAN SELECT id {source}", (*values, 50))
        assert "executions_live" in next(rows)[3]


@pytest.fixture(scope="module")
def history() -> Any:
    with psycopg.connect(fresh_url(), autocommit=True) as connection:
        register(connection)
        migrate_postgres(connection, postgres_schema.MIGRATIONS, clock=lambda: 0)
        for slot in (0, 64, 128):
            connection.execute(
                f"CREATE TABLE history_{slot} PARTITION OF history FOR VALUES IN ({slot})".encode()
            )
        connection.execute(ROWS.encode())
        connection.execute("ANALYZE")
        yield connection


@for_each("name", sorted(OFFERED))
def test_postgresql_reads_along_the_index_and_never_the_whole_history(
    history: Any, name: str
) -> None:
    which = Filter(**{name: OFFERED[name]})
    scans = [
        each
        for scan in plan_scans(which)
        for each in scans_of_places(scan, which, None)
        if each.place == "history"
    ]
    assert bool(scans) != (name == "dead_letters")  # which are in a table of their own
    for scan in scans:
        sql, values = scan.select(51, 20_000)
        rows = history.execute(b"EXPLAIN " + sql.encode(), values).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert re.search(r"Seq Scan on history_\d", plan) is None, plan
        along = rf"Index Cond: \(+({ALONG[name][1]}) ="
        assert re.search(along, plan) or "accepted_at" in plan, plan


@for_each("name", sorted(PERIODS))
def test_postgresql_reads_a_period_along_the_end_and_the_days_of_it_alone(
    history: Any, name: str
) -> None:
    which = Filter(**PERIODS[name], since=86_400_000_000)
    for each in (e for scan in plan_scans(which) for e in scans_of_places(scan, which, None)):
        sql, values = each.select(51, 20_000)
        rows = history.execute(b"EXPLAIN " + sql.encode(), values).fetchall()
        plan = "\n".join(row[0] for row in rows)
        assert re.search(r"Seq Scan on history_\d", plan) is None, plan
        assert "history_0" not in plan, plan


def test_the_control_a_filter_without_an_index_reads_the_whole_history(history: Any) -> None:
    sql = "EXPLAIN SELECT id FROM history WHERE root = 'exe_2' ORDER BY accepted_at LIMIT 51"
    plan = "\n".join(row[0] for row in history.execute(sql).fetchall())
    assert "root = 'exe_2'" in plan
    assert "Index Cond" not in plan


FAILED = """
INSERT INTO {table} (id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, ended_at, reason, received_at, part, head, body, steps, logs, attempts, cause,
    replay_of, replay{slot})
SELECT 'exe_{table}_' || n, 'cus_1', 'ins_1', 'shop', 'in', 'v1', 1, 'failed', 1, 'exe_1',
    {at}, {at}, '', n, 0, '', '', '', '', '', 'c', {replayed}{value}
FROM generate_series(0, 2399) AS n
"""
A_DAY = 86_400_000_000


def test_postgresql_looks_for_what_was_replayed_on_its_days_alone() -> None:
    with psycopg.connect(fresh_url(), autocommit=True) as connection:
        register(connection)
        migrate_postgres(connection, postgres_schema.MIGRATIONS, clock=lambda: 0)
        for slot in (day * 64 + bare for day in range(24) for bare in (0, 63)):
            made = f"CREATE TABLE history_{slot} PARTITION OF history FOR VALUES IN ({slot})"
            connection.execute(made.encode())
        at, replayed = f"n % 24 * {A_DAY}", "NULL, NULL"
        slot = {"slot": ", slot", "value": ", n % 24 * 64"}
        before = FAILED.format(table="history", at=at, replayed=replayed, **slot)
        at = f"11 * {A_DAY}"
        replayed = f"'exe_history_' || n / 24 * 24 + 10, '{{\"event_at\": {10 * A_DAY}}}'"
        after = FAILED.format(table="letters", at=at, replayed=replayed, slot="", value="")
        for each in (before, after, "ANALYZE"):
            connection.execute(each.encode())
        sql = FIRST.format(places="SELECT * FROM letters")
        explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "
        rows = connection.execute((explain + sql).encode(), (Texts(["c"]),)).fetchall()
        plan = "\n".join(row[0] for row in rows)
        read = {int(each) // 64 for each in re.findall(r" on history_(\d+) .*\(actual", plan)}
        assert {10} <= read <= {9, 10, 11, 12}, plan
        assert connection.execute(sql.encode(), (Texts(["c"]),)).fetchall() == [("c", 10 * A_DAY)]


def test_what_is_kept_as_health_is_found_along_its_index() -> None:
    rows = empty().execute(f"EXPLAIN QUERY PLAN {journal.HEALTHS}").fetchall()
    assert ["state_of_health" in each[3] for each in rows] == [True], rows
    with psycopg.connect(postgres_url()) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {postgres_journal.HEALTHS}".encode()).fetchall()
    assert any("state_of_health" in row[0] for row in plan), plan
