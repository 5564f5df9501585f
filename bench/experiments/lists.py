"""Measure how long lists of executions take, by each filter and by pairs, over a large history.

    python -m bench.experiments.lists --executions 1000000
    python -m bench.experiments.lists --executions 1000000 --store postgresql://…

Rows are made by SQL: 50 customers with two instances each, of three integrations with ten flows and
twelve versions, over 30 days; 3 % failed of 40 causes, 8 % ignored, 1 % cancelled. One version, one flow
and one cause are rare, and one of each kind of value does not occur. Each filter and each pair of filters
is asked for a page of 50, as the API asks; and each filter alone for as many pages as it takes to find
50 or to have looked everywhere. Printed are the percentiles of the first pages, of the pages of these
walks, of whole walks, of counts and of lists of causes; then the slowest first pages.

Without `--store`, a SQLite file is made in a temporary folder. With `--cpu`, processor time is measured,
as suits a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg

from halflap.api.operations.executions import MOST_COUNTED
from halflap.model import Micros
from halflap.store.protocol import Filter, Journal
from halflap.store.store import FILE, Store
from halflap.store.vault import Vault

DAY: Micros = 86_400_000_000
NOW: Micros = 1_790_000_000_000_000
ROUNDS = 3
Clock = Callable[[], float]
MOST_PAGES = 60

NUMBERED = """
SELECT n, 'exe_' || {pad} AS id,
    'cus_' || (n % 50) AS customer, 'ins_' || (n % 50) || '_' || (n / 50 % 2) AS instance,
    'shop' || (n % 3) AS integration,
    CASE WHEN n % 50021 = 7 THEN 'rare' ELSE 'flow' || (n % 10) END AS flow,
    CASE WHEN n % 50021 = 11 THEN 'rare' ELSE 'v' || (n % 12) END AS version,
    CASE WHEN n % 100 < 3 THEN 'failed' WHEN n % 100 < 11 THEN 'ignored'
        WHEN n % 100 = 11 THEN 'cancelled' ELSE 'succeeded' END AS state,
    {now} - {span} + {span} / {count} * n AS accepted_at,
    CASE WHEN n % 100 < 3 THEN 'the app answered 503 for order ' || n
        WHEN n % 100 < 11 THEN 'echo: acme.contact c' || n || ' is as it was left'
        WHEN n % 100 = 11 THEN 'withdrawn' ELSE '' END AS reason,
    CASE WHEN n % 100 >= 3 THEN NULL WHEN n % 50021 < 100 THEN 'rare' ELSE 'cause' || (n / 100 % 40) END
        AS cause,
    CASE WHEN n % 100 >= 3 THEN NULL WHEN n % 200 < 100 THEN 503 ELSE 404 END AS status,
    CASE WHEN n % 100 >= 3 THEN NULL WHEN n % 7 = 0 THEN 'Timeout' ELSE 'UpstreamError' END
        AS failure_kind,
    CASE WHEN n % 100 >= 3 THEN NULL WHEN n % 300 < 100 THEN 'acme' ELSE 'salesforce' END AS component,
    CASE WHEN n % 50021 = 13 THEN 60000000 ELSE 1000 END AS ran,
    'k' || (n % 100000) AS record_key
"""
SQLITE = (
    """
INSERT INTO executions (id, customer, instance, integration, flow, version, revision, state, attempt,
    accepted_at, started_at, ended_at, reason, failure, cause, status, failure_kind,
    component, record_key, ran, dismissed)
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {count}),
rows AS ("""
    + NUMBERED
    + """ FROM numbers)
SELECT id, customer, instance, integration, flow, version, 1, state, 1, accepted_at, accepted_at,
    accepted_at + 1000, reason, CASE WHEN state = 'failed' THEN x'{failure}' END, cause, status,
    failure_kind, component, record_key, ran, n % 2 FROM rows
"""
)
POSTGRES = (
    """
INSERT INTO {place} ({slot}id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, started_at, ended_at, reason, failure, cause, status, failure_kind,
    component, record_key, ran, received_at, part, attempts, head, body, steps, logs)
SELECT {slots}id, customer, instance, integration, flow, version, 1, state, 1, id, accepted_at,
    accepted_at, accepted_at + 1000, reason::bytea,
    CASE WHEN state = 'failed' THEN '\\x{failure}'::bytea END, cause,
    status, failure_kind, component, record_key::bytea, ran, accepted_at, 0, '\\x90', '\\x90',
    decode(repeat('61', 300), 'hex'),
    decode(repeat('61', 300), 'hex'), '\\x90'
FROM ("""
    + NUMBERED
    + """ FROM generate_series(0, {count} - 1) AS n) AS rows
WHERE {where}
"""
)
FAILURE = b'{"kind":"UpstreamError","message":"the app answered 503"}'.hex()


def fill_sqlite(file: Path, count: int) -> None:
    """Make executions in a file."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        sql = SQLITE.format(
            count=count, failure=FAILURE, now=NOW, span=30 * DAY, pad="printf('%026d', n)"
        )
        connection.execute(sql)
    connection.close()


def fill_postgres(url: str, count: int) -> None:
    """Make executions in a database: failed ones that are not dismissed among the dead letters."""
    given: dict[str, Any] = {
        "count": count,
        "failure": FAILURE,
        "now": NOW,
        "span": 30 * DAY,
        "pad": "lpad(n::text, 26, '0')",
    }
    with psycopg.connect(url, autocommit=True) as connection:
        for day in range((NOW - 30 * DAY) // DAY, NOW // DAY + 1):
            name, slot = f"history_{day * 64}", day * 64
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF history FOR VALUES IN ({slot})".encode()
            )
        letters = "state = 'failed' AND n % 2 = 0"
        for place, slot, slots, where in (
            ("letters", "", "", letters),
            ("history", "slot, ", f"(accepted_at + 1000) / {DAY} * 64, ", f"NOT ({letters})"),
        ):
            sql = POSTGRES.format(place=place, slot=slot, slots=slots, where=where, **given)
            connection.execute(sql.encode())
        connection.execute("VACUUM ANALYZE")


def filters(*, pairs: bool = True) -> list[Filter]:
    """Return every filter alone, and every pair: common values, rare ones, and ones that do not occur."""
    values: dict[str, list[Any]] = {
        "customer": ["cus_7", "cus_none"],
        "instance": ["ins_7_1", "ins_none"],
        "flow": ["flow3", "rare", "none"],
        "integration": ["shop1", "none"],
        "version": ["v5", "rare", "none"],
        "states": [
            ("failed",),
            ("cancelled",),
            ("succeeded",),
            ("queued",),
            ("cancelled", "ignored"),
        ],
        "dead_letters": [True],
        "key": ["k77", "none"],
        "reason": ["echo", "order 100", "nowhere"],
        "cause": ["cause7", "rare", "none"],
        "status": [503, 418],
        "failure_kind": ["UpstreamError", "None"],
        "component": ["acme", "none"],
        "flows": [(("shop1", "flow3"), ("shop2", "rare")), (("none", "flow3"),)],
        "reference": ["k77", "none"],
        "min_ran": [1_000, 5_000_000],
        "since": [NOW - DAY, NOW - 20 * DAY],
        "until": [NOW - 29 * DAY, NOW - DAY],
    }
    single = [(name, value) for name, some in values.items() for value in some]
    both = [
        each
        for each in itertools.combinations(single, 2)
        if each[0][0] != each[1][0] and {each[0][0], each[1][0]} != {"states", "dead_letters"}
    ]
    return [
        Filter(limit=50),
        *(Filter(limit=50, **dict(e)) for e in ([(s,) for s in single] + both * pairs)),
    ]


async def timed(clock: Clock, asked: Awaitable[Any]) -> tuple[float, Any]:
    """Wait for an answer; its milliseconds, and the answer."""
    began = clock()
    answer = await asked
    return (clock() - began) * 1e3, answer


async def measure(journal: Journal, clock: Clock = time.perf_counter) -> None:
    """Ask for everything, in a random order, and print what it took."""
    asked = filters() * ROUNDS
    random.Random(1).shuffle(asked)
    slow: list[tuple[float, Filter]] = []
    for which in asked:
        took, _ = await timed(clock, journal.page(which))
        slow.append((took, which))
    first = [took for took, _ in slow]
    later: list[float] = []
    whole: list[float] = []
    for which in filters(pairs=False):
        total, found, after, pages = 0.0, 0, None, 0
        while pages == 0 or (found < which.limit and after is not None and pages < MOST_PAGES):
            took, page = await timed(clock, journal.page(which, after))
            total, found, after, pages = (
                total + took, found + len(page.executions), page.next, pages + 1,
            )  # fmt: skip
            later.append(took)
        whole.append(total)
    counts: list[float] = []
    causes: list[float] = []
    for which in filters():
        count = journal.count_listed(which, MOST_COUNTED, examine=MOST_COUNTED)
        counts.append((await timed(clock, count))[0])
        if which.dead_letters:
            causes.append((await timed(clock, journal.causes(which)))[0])
    for name, some in (
        ("first pages", first),
        ("pages of walks", later),
        ("whole walks", whole),
        ("counts", counts),
        ("causes of dead letters", causes),
    ):
        if len(some) > 1:
            cut = statistics.quantiles(some, n=100)
            print(
                f"{name:<23} {len(some):>6}: p50 {cut[49]:.1f} ms, p95 {cut[94]:.1f} ms, "
                f"p99 {cut[98]:.1f} ms, slowest {max(some):.1f} ms"
            )
    for took, which in sorted(slow, key=lambda each: -each[0])[:5]:
        given = {
            each.name: value
            for each in fields(Filter)
            if (value := getattr(which, each.name)) not in (None, (), False, 50)
        }
        print(f"  {took:7.1f} ms  {given}")


async def run(count: int, url: str | None, clock: Clock) -> None:
    """Make the store, fill it, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        where: Any = Path(folder) if url is None else url
        vault = Vault.from_file(Path(folder) / "key")
        store = await Store.open(where, vault=vault)
        await store.close()
        began = time.perf_counter()
        fill_sqlite(Path(folder) / FILE, count) if url is None else fill_postgres(url, count)
        print(f"{count:,} executions made in {time.perf_counter() - began:.0f} s")
        store = await Store.open(where, vault=vault)
        try:
            await measure(store.journal, clock)
        finally:
            await store.close()


def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--store", help="a PostgreSQL URL of an empty database")
    parser.add_argument(
        "--cpu", action="store_true", help="this process's processor time: all there is on SQLite"
    )
    given = parser.parse_args()
    clock = time.process_time if given.cpu else time.perf_counter
    asyncio.run(run(given.executions, given.store, clock))


if __name__ == "__main__":
    main()
