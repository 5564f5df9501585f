"""Who may run next, and all that running it needs."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right

from halflap.model import FlowKey, Micros, Start
from halflap.store import reading
from halflap.store.place import order_of
from halflap.store.protocol import Claim, Lease

NEXT_DUE = """
SELECT min(due_at) FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0 AND probation = ?
"""
ALL_DUE = """
SELECT id FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND due_at <= ? AND probation = ?
ORDER BY due_at, id LIMIT ?
"""
# The next customer is one seek in the index, however many executions the one before it has.
CUSTOMERS_DUE = """
WITH RECURSIVE waiting (customer) AS (
    SELECT min(customer) FROM executions
        WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    UNION ALL
    SELECT (SELECT min(customer) FROM executions
        WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
            AND customer > waiting.customer)
    FROM waiting WHERE waiting.customer IS NOT NULL
)
SELECT customer FROM waiting WHERE customer IS NOT NULL
"""
DUE_OF_CUSTOMER = """
SELECT id FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND customer = ? AND due_at <= ? AND probation = ?
ORDER BY due_at, id LIMIT ? OFFSET ?
"""
TAKE = """
UPDATE executions SET state = 'running', fence = fence + 1, attempt = attempt + 1,
    lease_until = ?1, claimed_at = ?2, started_at = ifnull(started_at, ?2), due_at = NULL,
    waiting_for = ''
WHERE id = ?3
"""


def next_due(connection: sqlite3.Connection, probation: bool) -> Micros | None:
    """When the next execution that may be claimed becomes due."""
    return connection.execute(NEXT_DUE, (int(probation),)).fetchone()[0]


def due(
    connection: sqlite3.Connection, now: Micros, room: int, probation: bool, after: str
) -> tuple[list[str], str]:
    """Who is next: customers in turn, an equal share each, what is left to those who have more.

    The turn begins behind the customer `after`, who was the last one served; also returns the last
    one now.
    """
    everything = connection.execute(ALL_DUE, (now, int(probation), room + 1)).fetchall()
    if len(everything) <= room:  # nobody has to wait, so nothing is to be shared
        return [row[0] for row in everything], after
    chosen: list[str] = []
    customers = [row[0] for row in connection.execute(CUSTOMERS_DUE)]
    first = bisect_right(customers, after)
    customers = customers[first:] + customers[:first]
    taken = 0
    while customers and len(chosen) < room:
        share = max(1, (room - len(chosen)) // len(customers))
        with_more: list[str] = []
        for customer in customers:
            found = connection.execute(
                DUE_OF_CUSTOMER, (customer, now, int(probation), share, taken)
            ).fetchall()
            chosen += [row[0] for row in found]
            if found:
                after = customer
            if len(found) == share:
                with_more.append(customer)
            if len(chosen) == room:
                break
        customers = with_more
        taken += share
    return chosen, after


def take(
    connection: sqlite3.Connection, executions: list[str], now: Micros, until: Micros
) -> list[Claim]:
    """Claim executions that are due."""
    connection.executemany(TAKE, [(until, now, each) for each in executions])
    return [claimed(connection, each) for each in executions]


def claimed(connection: sqlite3.Connection, execution: str) -> Claim:
    """An execution that was just taken, with its event and its journal."""
    row = connection.execute(
        "SELECT customer, instance, integration, flow, version, revision, root, replay_of,"
        " record_key, attempt, fence, lease_until, accepted_at, cancelling, probation, crashes,"
        " order_scope, order_key, order_rule, parent"
        " FROM executions WHERE id = ?",
        (execution,),
    ).fetchone()
    event = connection.execute("SELECT * FROM events WHERE execution = ?", (execution,)).fetchone()
    steps = connection.execute(
        "SELECT * FROM steps WHERE execution = ? ORDER BY seq", (execution,)
    ).fetchall()
    start = Start(
        execution=execution,
        flow=FlowKey(*row[:6]),
        event=reading.event(event),
        root=row[6],
        replay_of=row[7],
        key=row[8],
        order=order_of(row[16], row[17], row[18]),
        parent=row[19],
    )
    return Claim(
        start=start,
        lease=Lease(execution, row[10], row[11], row[16] is not None, row[19]),
        attempt=row[9],
        accepted_at=row[12],
        cancelling=row[13],
        probation=bool(row[14]),
        crashes=row[15],
        history=tuple(reading.record(each) for each in steps),
    )
