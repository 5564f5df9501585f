"""What row-level security costs who lists executions, and whether their indexes are still used.

    python -m bench.experiments.row_security postgresql:///test?host=/run/postgresql [rows]

Makes a store in an empty database, whose user should be no superuser, with so many ended executions
(100,000) of 100 customers, each with 4 instances. Then the API's queries run without a scope, in the
whole tenant's and in a customer's, in turn, and each is explained. Printed: the median of each, the
ratio to no scope, the indexes that the plan names.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from halflap.store.postgres.database import Database, Ways
from halflap.store.postgres.guard import ENTER, named
from halflap.store.postgres.history import ONE, PLACES
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.protocol import Filter
from halflap.store.scope import WHOLE, Scope
from halflap.store.store import Store
from halflap.store.vault import Vault

CUSTOMERS, INSTANCES, ROUNDS = 100, 4, 200
VAULT = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
FILL = """
INSERT INTO history (id, customer, instance, integration, flow, version, revision, state, attempt,
    root, accepted_at, ended_at, reason, received_at, part, head, body, steps, logs, attempts)
SELECT 'exe_' || lpad(n::text, 26, '0'), 'cus_' || lpad((n % {customers})::text, 26, '0'),
    'ins_' || lpad((n % {customers} * {instances} + n / {customers} % {instances})::text, 26, '0'),
    'sync', 'in', repeat('f', 64), 1, 'succeeded', 1, 'exe_' || lpad(n::text, 26, '0'),
    n, n, '', n, 0, '', '', '', '', ''
FROM generate_series(1, {rows}) AS n
"""


async def main(url: str, rows: int) -> None:
    store = await Store.open(url, vault=Vault.from_text(VAULT))
    await store.close()
    database = await Database.open(url)
    journal = PostgresJournal(database)
    filled = FILL.format(customers=CUSTOMERS, instances=INSTANCES, rows=rows)

    async with database.connection() as connection:
        if not await database.fetch("SELECT FROM history LIMIT 1"):
            await connection.execute(filled.encode())
        await connection.execute("ANALYZE history")
    customer, instance = f"cus_{'7':0>26}", f"ins_{7 * INSTANCES!s:0>26}"
    # In a customer's scope the API does not name the customer a second time.
    lists = {
        "the newest 50": (WHOLE, Filter(), Filter()),
        "of an instance": (WHOLE, *[Filter(instance=instance)] * 2),
        "of a customer, named": (WHOLE, *[Filter(customer=customer)] * 2),
        "of a customer, in its scope": (Scope(customer), Filter(customer=customer), Filter()),
        "of an instance, in its scope": (Scope(customer), *[Filter(instance=instance)] * 2),
    }
    print(f"{rows:,} ended executions, {CUSTOMERS} customers; ms, the median of {ROUNDS}")
    for name, (scope, named_one, which) in lists.items():
        calls = (
            partial(journal.executions, named_one),
            partial(journal.within(scope).executions, which),
        )
        plain, scoped = await timed(calls)
        told = ", ".join(sorted(await indexes(database, scope, which)))
        print(f"  {name}: {plain:.2f} → {scoped:.2f} ({scoped / plain:.2f} ×); {told}")
    one = {"id": f"exe_{rows // 2!s:0>26}"}
    ways: list[Ways] = [database, database.within(WHOLE)]
    plain, scoped = await timed([partial(w.fetch, ONE, one) for w in ways])
    print(f"  one execution: {plain:.2f} → {scoped:.2f} ({scoped / plain:.2f} ×)")
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


async def indexes(database: Database, scope: Scope, which: Filter) -> set[str]:
    """The indexes by which the history is looked through for a filter, in a scope."""
    clauses = " AND ".join(
        f"{column} = '{value}'"
        for column, value in (("customer", which.customer), ("instance", which.instance))
        if value is not None
    )
    sql = (
        f"EXPLAIN SELECT {PLACES['history']} FROM history WHERE {clauses or 'true'}"
        " ORDER BY id DESC LIMIT 50"
    )
    async with database.transaction() as connection:
        await connection.execute(ENTER, (named(scope),))
        plan = await (await connection.execute(sql.encode())).fetchall()
    return set(re.findall(r"(?:using|Index Scan on) (\w+)", "\n".join(row[0] for row in plan)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000))
