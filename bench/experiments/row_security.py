"""Measure what row-level security costs lists of executions, and whether they still use their indexes.

    python -m bench.experiments.row_security postgresql:///test?host=/run/postgresql [rows]

Makes a store in an empty database, whose user should be no superuser, with so many ended executions
(100,000) of 100 customers, each with 4 instances. Then a customer's lists are asked for as the team's
token does it, by name, and as the customer's does it, in its scope, in turn; the latter is explained.
Printed: the median of each, the ratio, the indexes that the plan names.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.guard import ENTER
from halflap.store.postgres.history import PLACES
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.protocol import Filter
from halflap.store.scope import CustomerScope
from halflap.store.store import Store
from halflap.store.vault import Vault

CUSTOMERS, INSTANCES, ROUNDS = 100, 4, 200
VAULT = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FILL = """
INSERT INTO history (id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, ended_at, reason, received_at, part, head, body, steps, logs, attempts, slot)
SELECT 'exe_' || lpad(n::text, 26, '0'), 'cus_' || lpad((n % {customers})::text, 26, '0'),
    'ins_' || lpad((n % {customers} * {instances} + n / {customers} % {instances})::text, 26, '0'),
    'sync', 'in', repeat('f', 64), 1, 'succeeded', 1, 'exe_' || lpad(n::text, 26, '0'),
    n, n, '', n, 0, '', '', '', '', '', 0
FROM generate_series(1, {rows}) AS n
"""


async def main(url: str, rows: int) -> None:
    store = await Store.open(url, vault=Vault.from_text(VAULT))
    await store.close()
    database = await PostgresDatabase.open(url)
    journal = PostgresJournal(database)
    filled = FILL.format(customers=CUSTOMERS, instances=INSTANCES, rows=rows)

    async with database.connection() as connection:
        if not await database.fetch("SELECT FROM history LIMIT 1"):
            await connection.execute(filled.encode())
        await connection.execute("ANALYZE history")
    customer, instance = f"cus_{'7':0>26}", f"ins_{7 * INSTANCES!s:0>26}"
    # In a customer's scope the API does not name the customer a second time.
    lists = {
        "the newest 50": (Filter(customer=customer), Filter()),
        "those of an instance": (Filter(instance=instance),) * 2,
        "those of a record": (Filter(customer=customer, key="r"), Filter(key="r")),
    }
    view = journal.within(CustomerScope(customer))
    print(f"{rows:,} ended executions, {CUSTOMERS} customers; ms, the median of {ROUNDS}")
    for name, (by_name, in_scope) in lists.items():
        plain, scoped = await timed(
            [partial(journal.executions, by_name), partial(view.executions, in_scope)]
        )
        told = ", ".join(sorted(await indexes(database, customer, in_scope)))
        print(f"  {name}: {plain:.2f} → {scoped:.2f} ({scoped / plain:.2f} ×); {told}")
    one = f"exe_{7 + rows // 2 // CUSTOMERS * CUSTOMERS!s:0>26}"
    plain, scoped = await timed([partial(journal.execution, one), partial(view.execution, one)])
    print(f"  one of them: {plain:.2f} → {scoped:.2f} ({scoped / plain:.2f} ×)")
    await database.close()


async def timed(calls: Sequence[Callable[[], Awaitable[object]]]) -> list[float]:
    """The median time of each call in ms, made in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, took in zip(calls, times, strict=True):
            began = time.perf_counter()
            await call()
            took.append((time.perf_counter() - began) * 1e3)
    return [statistics.median(each) for each in times]


async def indexes(database: PostgresDatabase, customer: str, which: Filter) -> set[str]:
    """The indexes by which the history is looked through for a filter, in a scope."""
    clauses = " AND ".join(
        f"{column} = '{value}'"
        for column, value in (("instance", which.instance), ("record_key", which.key))
        if value is not None
    )
    sql = (
        f"EXPLAIN SELECT {PLACES['history']} FROM history WHERE {clauses or 'true'}"
        " ORDER BY id DESC LIMIT 50"
    )
    async with database.transaction() as connection:
        await connection.execute(ENTER, (customer,))
        plan = await (await connection.execute(sql.encode())).fetchall()
    return set(re.findall(r"(?:using|Index Scan on) (\w+)", "\n".join(row[0] for row in plan)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000))
