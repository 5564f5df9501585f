"""Who may run next, among many workers, and all that running it needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import Any

from halflap.model import FlowKey, Micros, Start
from halflap.store.postgres import rows
from halflap.store.postgres.columns import Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.protocol import Claim, Lease

NEXT_DUE = """
SELECT min(due_at) FROM executions WHERE due_at IS NOT NULL AND held = 0 AND probation = %s
"""
_DUE = "due_at IS NOT NULL AND held = 0 AND probation = %s AND due_at <= %s"
HOW_MANY = f"SELECT count(*) FROM (SELECT FROM executions WHERE {_DUE} LIMIT %s) AS found"  # noqa: S608
ALL_DUE = f"""
SELECT id FROM executions WHERE {_DUE} ORDER BY due_at, id LIMIT %s
FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608
# The next customer is one seek in the index, however many executions the one before it has.
CUSTOMERS_DUE = """
WITH RECURSIVE waiting (customer) AS (
    (SELECT customer FROM executions WHERE due_at IS NOT NULL AND held = 0
        ORDER BY customer LIMIT 1)
    UNION ALL
    SELECT (SELECT customer FROM executions WHERE due_at IS NOT NULL AND held = 0
            AND customer > waiting.customer ORDER BY customer LIMIT 1)
    FROM waiting WHERE waiting.customer IS NOT NULL
)
SELECT customer FROM waiting WHERE customer IS NOT NULL
"""
DUE_OF_CUSTOMERS = f"""
SELECT w.customer, due.id FROM unnest(%s::text[]) WITH ORDINALITY AS w (customer, turn)
CROSS JOIN LATERAL (
    SELECT id FROM executions WHERE customer = w.customer AND {_DUE}
    ORDER BY due_at, id LIMIT %s OFFSET %s FOR NO KEY UPDATE SKIP LOCKED
) AS due ORDER BY w.turn
"""  # noqa: S608
TAKE = """
UPDATE executions SET state = 'running', fence = fence + 1, attempt = attempt + 1,
    lease_until = %s, claimed_at = %s, started_at = coalesce(started_at, %s), due_at = NULL,
    waiting_for = '', worker = %s
WHERE id = ANY(%s)
RETURNING id, customer, instance, integration, flow, version, revision, root, replay_of,
    record_key, attempt, fence, accepted_at, cancelling, probation, crashes, order_scope, order_key,
    order_rule, parent
"""
EVENTS = """
SELECT execution, received_at, part, head, body FROM events WHERE execution = ANY(%s)
"""
STEPS = "SELECT execution, data FROM steps WHERE execution = ANY(%s) ORDER BY execution, seq"


async def due(
    connection: Connection, now: Micros, room: int, probation: bool, after: str
) -> tuple[list[str], str]:
    """Lock who is next: customers in turn, an equal share each, what is left to those with more.

    What another worker is claiming is passed over. The turn begins behind the customer `after`, who
    was the last one served; also returns the last one now.
    """
    some = await connection.execute(HOW_MANY, (probation, now, room + 1), binary=True)
    if (await _first(some)) <= room:  # nobody has to wait, so nothing is to be shared
        everything = await connection.execute(ALL_DUE, (probation, now, room), binary=True)
        return [row[0] for row in await everything.fetchall()], after
    found = await connection.execute(CUSTOMERS_DUE, binary=True)
    customers: list[str] = [row[0] for row in await found.fetchall()]
    first = bisect_right(customers, after)
    customers = customers[first:] + customers[:first]
    chosen: dict[str, None] = {}
    taken = 0
    while customers and len(chosen) < room:
        share = max(1, (room - len(chosen)) // len(customers))
        with_more: list[str] = []
        while customers and len(chosen) < room:
            fit = max(1, (room - len(chosen)) // share)
            asked, customers = customers[:fit], customers[fit:]
            cursor = await connection.execute(
                DUE_OF_CUSTOMERS, (Texts(asked), probation, now, share, taken), binary=True
            )
            counts = dict.fromkeys(asked, 0)
            for customer, id in await cursor.fetchall():
                counts[customer] += 1
                chosen[id] = None
                after = customer
            with_more += (each for each in asked if counts[each] == share)
        customers = with_more
        taken += share
    return list(chosen), after


async def take(
    connection: Connection, executions: Collection[str], now: Micros, until: Micros, worker: str
) -> list[Claim]:
    """Claim executions that are locked, with their events and journals, in the order given."""
    ids = Texts(executions)
    taken = await connection.execute(TAKE, (until, now, now, worker, ids), binary=True)
    events = await connection.execute(EVENTS, (ids,), binary=True)
    steps = await connection.execute(STEPS, (ids,), binary=True)
    found = {row[0]: row for row in await taken.fetchall()}
    arrived = {row[0]: row[1:] for row in await events.fetchall()}
    histories: dict[str, list[bytes]] = {}
    for id, data in await steps.fetchall():
        histories.setdefault(id, []).append(data)
    return [_claim(found[id], arrived[id], histories.get(id, []), until) for id in executions]


def _claim(row: Any, event: Any, steps: list[bytes], until: Micros) -> Claim:
    return Claim(
        start=Start(
            execution=row[0],
            flow=FlowKey(*row[1:7]),
            event=rows.event(event),
            root=row[7],
            replay_of=row[8],
            key=rows.plain(row[9]),
            order=rows.order(row[16], row[17], row[18]),
            parent=row[19],
        ),
        lease=Lease(row[0], row[11], until, row[16] is not None, row[19]),
        attempt=row[10],
        accepted_at=row[12],
        cancelling=rows.plain(row[13]),
        probation=row[14],
        crashes=row[15],
        history=tuple(rows.record(each) for each in steps),
    )


async def _first(cursor: Any) -> int:
    row = await cursor.fetchone()
    return row[0]
