"""Claim executions, among many workers, with all that running them needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from halflap.model import CustomerLimits, Micros, Record
from halflap.store import reading
from halflap.store.postgres import limiting, rows
from halflap.store.postgres.columns import Columns, Texts
from halflap.store.postgres.connecting import Connection
from halflap.store.protocol import Claim
from halflap.store.turns import ClaimRequest, Place, Share, TurnRotation, allowances

NEXT_DUE = """
SELECT min(due_at) FROM executions WHERE due_at IS NOT NULL AND held = 0 AND probation = %s
"""
_DUE = "due_at IS NOT NULL AND held = 0 AND probation = %s AND due_at <= %s"
LANES_DUE = f"""
SELECT due.lane, count(*), bool_or(limits.customer IS NOT NULL)
FROM (SELECT lane FROM executions WHERE {_DUE} ORDER BY due_at, id LIMIT %s) AS due
LEFT JOIN limits ON limits.customer = due.lane GROUP BY due.lane
"""
ALL_DUE = f"""
SELECT id, lane FROM executions WHERE {_DUE} ORDER BY due_at, id LIMIT %s
FOR NO KEY UPDATE SKIP LOCKED
"""
# The next place is one seek in the index, however many executions the one before it has.
_NEXT = "SELECT lane, instance FROM executions WHERE due_at IS NOT NULL AND held = 0"
PLACES = f"""
WITH RECURSIVE place (lane, instance) AS (
    ({_NEXT} ORDER BY lane, instance LIMIT 1)
    UNION ALL
    SELECT next.lane, next.instance FROM place CROSS JOIN LATERAL (
        {_NEXT} AND (lane, instance) > (place.lane, place.instance)
        ORDER BY lane, instance LIMIT 1
    ) AS next
)
SELECT lane, instance FROM place
"""
# Bounded and ordered as executions_due is. Where statistics know of one customer alone, it would else
# seem as good to go along the time, past all that this customer has queued.
_FROM_PLACE = (
    "due_at IS NOT NULL AND held = 0 AND (lane, instance, probation) >= (w.lane, w.instance, %s)"
)
_ALONG_PLACE = "ORDER BY lane, instance, probation, due_at, id"
ASKED = Columns("lane text, instance text, most bigint, skip bigint")
DUE_OF_PLACES = f"""
SELECT w.turn, due.id FROM {ASKED.unnest} WITH ORDINALITY AS w ({ASKED.names}, turn)
CROSS JOIN LATERAL (
    SELECT id FROM executions WHERE {_FROM_PLACE}
        AND (lane, instance, probation, due_at) <= (w.lane, w.instance, %s, %s)
    {_ALONG_PLACE} LIMIT w.most OFFSET w.skip FOR NO KEY UPDATE SKIP LOCKED
) AS due ORDER BY w.turn
"""
OTHERS = Columns("lane text, instance text")
NEXT_OF_PLACES = f"""
SELECT min(due.at) FROM {OTHERS.rows}
CROSS JOIN LATERAL (
    SELECT due_at AS at FROM executions WHERE {_FROM_PLACE}
        AND (lane, instance, probation) <= (w.lane, w.instance, %s)
    {_ALONG_PLACE} LIMIT 1
) AS due
"""
TAKE = f"""
UPDATE executions SET state = 'running', fence = fence + 1, attempt = attempt + 1,
    lease_until = %s, claimed_at = %s, started_at = coalesce(started_at, %s), due_at = NULL,
    waiting_for = '', worker = %s
WHERE id = ANY(%s)
RETURNING {reading.CLAIMED}
"""
TEXTS = reading.places(reading.CLAIMED, "record_key cancelling order_scope order_key")
"""The places of `CLAIMED` that are text, and bytes here."""
HASTEN = """
UPDATE executions SET due_at = %s WHERE id IN (
    SELECT id FROM executions WHERE due_at > %s AND due_at <= %s
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
"""
"""Hasten due executions after the clock was set back: they stay due; what waits for its time goes
by the new one.
"""
EVENTS = """
SELECT execution, received_at, part, head, body FROM events WHERE execution = ANY(%s)
"""
STEPS = "SELECT execution, data FROM steps WHERE execution = ANY(%s) ORDER BY execution, seq"


async def next_of_others(
    connection: Connection, probation: bool, turns: TurnRotation
) -> Micros | None:
    """When the next one becomes due of those that the last claim did not hold back."""
    found = await connection.execute(PLACES, binary=True)
    others = [place for place in await found.fetchall() if place[0] not in turns.held_back]
    values = (*OTHERS.of(others), probation, probation)
    cursor = await connection.execute(NEXT_OF_PLACES.encode(), values, binary=True)
    times = (await _first(cursor), turns.tokens_at)
    return min((each for each in times if each is not None), default=None)


async def due(
    connection: Connection,
    now: Micros,
    room: int,
    probation: bool,
    turns: TurnRotation,
    share: Share | None,
    default: CustomerLimits,
) -> list[str]:
    """Lock who is next: customers in turn, then their instances, each as far as its limits allow.

    What another worker is claiming is passed over.
    """
    some = await connection.execute(LANES_DUE, (probation, now, room + 1), binary=True)
    lanes: list[tuple[str, int, bool]] = await some.fetchall()
    counts = Counter({lane: count for lane, count, _ in lanes})
    everybody = bool(default.concurrency or default.rate)
    limited = [lane for lane, _, has_limits in lanes if has_limits or everybody]
    limits = await limiting.lock_limits(connection, limited, default)
    running = await limiting.running(connection, limits)
    allowed = allowances(list(counts), limits, running, share, now)
    if counts.total() <= room and all(counts[each] <= allowed[each] for each in allowed):
        turns.all()  # nobody has to wait, so nothing is to be shared
        cursor = await connection.execute(ALL_DUE, (probation, now, room), binary=True)
        everything: list[tuple[str, str]] = await cursor.fetchall()
        chosen, begun = [row[0] for row in everything], Counter(row[1] for row in everything)
        if any(begun[each] > allowed[each] for each in allowed):  # more came in between
            return await _in_turns(connection, now, room, probation, turns, share, default)
        if limits:
            await limiting.spend(connection, limits, begun, turns, running, now)
        return chosen
    return await _in_turns(connection, now, room, probation, turns, share, default)


async def due_of(
    connection: Connection, now: Micros, room: int, probation: bool, only: Iterable[Place]
) -> list[str]:
    """Lock who is next of places."""
    asks = [ClaimRequest(place, room, 0) for place in only]
    found = await _found(connection, asks, probation, now)
    return [id for ids in found for id in ids][:room]


async def _in_turns(
    connection: Connection,
    now: Micros,
    room: int,
    probation: bool,
    turns: TurnRotation,
    share: Share | None,
    default: CustomerLimits,
) -> list[str]:
    found = await connection.execute(PLACES, binary=True)
    places: list[Place] = [(row[0], row[1]) for row in await found.fetchall()]
    lanes = list(dict.fromkeys(lane for lane, _ in places))
    limits = await limiting.lock_limits(connection, lanes, default)
    running = await limiting.running(connection, limits)
    allowed = allowances(lanes, limits, running, share, now)
    begun: Counter[str] = Counter()
    choosing = turns.choose(places, room, allowed)
    ids: list[list[str]] | None = None
    while True:
        try:
            asks = next(choosing) if ids is None else choosing.send(ids)
        except StopIteration as done:
            chosen: list[str] = done.value
            break
        ids = await _found(connection, asks, probation, now)
        for ask, some in zip(asks, ids, strict=True):
            begun[ask.place[0]] += len(some)
    if limits:
        await limiting.spend(connection, limits, begun, turns, running, now)
    return chosen


async def _found(
    connection: Connection, asks: Sequence[ClaimRequest], probation: bool, now: Micros
) -> list[list[str]]:
    asked = ASKED.of((*each.place, each.limit, each.skip) for each in asks)
    values = (*asked, probation, probation, now)
    cursor = await connection.execute(DUE_OF_PLACES.encode(), values, binary=True)
    found: list[list[str]] = [[] for _ in asks]
    taken: list[tuple[int, str]] = await cursor.fetchall()
    for turn, id in taken:
        found[turn - 1].append(id)
    return found


async def take(
    connection: Connection, executions: Collection[str], now: Micros, until: Micros, worker: str
) -> list[Claim]:
    """Claim executions that are locked, with their events and journals, in the order given."""
    ids = Texts(executions)
    taken = await connection.execute(TAKE.encode(), (until, now, now, worker, ids), binary=True)
    events = await connection.execute(EVENTS, (ids,), binary=True)
    steps = await connection.execute(STEPS, (ids,), binary=True)
    found = {row[0]: rows.decoded(row, TEXTS) for row in await taken.fetchall()}
    arrived = {row[0]: rows.event(row[1:]) for row in await events.fetchall()}
    histories: dict[str, list[Record]] = {}
    for id, data in await steps.fetchall():
        histories.setdefault(id, []).append(rows.record(data))
    return [reading.claim(found[id], arrived[id], histories.get(id, ())) for id in executions]


async def _first(cursor: Any) -> int:
    row = await cursor.fetchone()
    return row[0]
