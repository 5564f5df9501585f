"""Claim the executions that may run next, with all that running them needs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence

from halflap.model import CustomerLimits, Micros
from halflap.store import limiting, reading
from halflap.store.protocol import Claim
from halflap.store.turns import Place, Share, TurnRotation, allowances

NEXT_DUE = """
SELECT min(due_at) FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0 AND probation = ?
"""
ALL_DUE = """
SELECT id, lane FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND due_at <= ? AND probation = ?
ORDER BY due_at, id LIMIT ?
"""
NEXT_LANE = """
SELECT lane, instance FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0 AND lane > ?
ORDER BY lane, instance LIMIT 1
"""
DUE_OF_PLACE = """
SELECT id FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND lane = ? AND instance = ? AND due_at <= ? AND probation = ?
ORDER BY due_at, id LIMIT ? OFFSET ?
"""
NEXT_OF_PLACE = """
SELECT min(due_at) FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND lane = ? AND instance = ? AND probation = ?
"""
TAKE = """
UPDATE executions SET state = 'running', fence = fence + 1, attempt = attempt + 1,
    lease_until = ?1, claimed_at = ?2, started_at = ifnull(started_at, ?2), due_at = NULL,
    waiting_for = ''
WHERE id = ?3
"""
TAKEN = f"SELECT {reading.CLAIMED} FROM executions WHERE id = ?"
HASTEN = """
UPDATE executions SET due_at = ?1 WHERE id IN (
    SELECT id FROM executions WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL
        AND held = 0 AND probation IN (0, 1) AND due_at > ?1 AND due_at <= ?2
    UNION ALL SELECT id FROM executions WHERE state IN ('queued', 'waiting') AND held <> 0
        AND due_at > ?1 AND due_at <= ?2)
"""
"""Hasten due executions after the clock was set back: they stay due; what waits for its time goes
by the new one.
"""

EVENT = f"SELECT * FROM events WHERE execution = {reading.NUMBER}"
STEPS = f"SELECT * FROM steps WHERE execution = {reading.NUMBER} ORDER BY seq"

NONE = CustomerLimits()


def next_due(
    connection: sqlite3.Connection, now: Micros, probation: bool, turns: TurnRotation
) -> Micros | None:
    """When the next execution that may be claimed becomes due.

    Those that the last claim held back do not count, but for when their rate lets them go on.
    """
    soonest: Micros | None = connection.execute(NEXT_DUE, (int(probation),)).fetchone()[0]
    if not turns.held_back or soonest is None or soonest > now:
        return soonest
    found = [
        connection.execute(NEXT_OF_PLACE, (*place, int(probation))).fetchone()[0]
        for place in places(connection, turns.held_back)
    ]
    return min((each for each in (*found, turns.tokens_at) if each is not None), default=None)


def places(connection: sqlite3.Connection, but: frozenset[str] = frozenset()) -> list[Place]:
    """Where something is due or will be, sorted; nothing of some lanes."""
    # Each step is one seek in the index, however many executions the place before it has. SQLite
    # would not seek by a comparison of both columns at once, but pass over all of that place.
    found: list[Place] = []
    place: Place | None = connection.execute(NEXT_LANE, ("",)).fetchone()
    while place is not None:
        lane, instance = place
        while instance is not None and lane not in but:
            found.append((lane, instance))
            instance = connection.execute(limiting.NEXT_INSTANCE, (lane, instance)).fetchone()[0]
        place = connection.execute(NEXT_LANE, (lane,)).fetchone()
    return found


def due(
    connection: sqlite3.Connection,
    now: Micros,
    room: int,
    probation: bool,
    turns: TurnRotation,
    share: Share | None = None,
    default: CustomerLimits = NONE,
) -> list[str]:
    """Return the next executions: customers in turn, then their instances, each as far as its
    limits allow.
    """
    everything: list[tuple[str, str]] = connection.execute(
        ALL_DUE, (now, int(probation), room + 1)
    ).fetchall()
    counts = Counter(lane for _, lane in everything)
    limits = limiting.limits_of(connection, counts, default)
    running = limiting.running(connection, limits)
    allowed = allowances(list(counts), limits, running, share, now)
    if len(everything) <= room and all(counts[each] <= allowed[each] for each in allowed):
        turns.all()  # nobody has to wait, so nothing is to be shared
        chosen, begun = [id for id, _ in everything], counts
    else:
        there = places(connection)
        lanes = list(dict.fromkeys(lane for lane, _ in there))
        limits = limiting.limits_of(connection, lanes, default)
        running = limiting.running(connection, limits)
        allowed = allowances(lanes, limits, running, share, now)
        chosen, begun = _chosen(connection, now, room, probation, turns, there, allowed)
    if limits:
        limiting.spend(connection, limits, begun, turns, running, now)
    return chosen


def due_of(
    connection: sqlite3.Connection, now: Micros, room: int, probation: bool, only: Iterable[Place]
) -> list[str]:
    """Return the next executions of places."""
    found: list[str] = []
    for place in only:
        values = (*place, now, int(probation), room - len(found), 0)
        found += [row[0] for row in connection.execute(DUE_OF_PLACE, values)]
    return found


def _chosen(
    connection: sqlite3.Connection,
    now: Micros,
    room: int,
    probation: bool,
    turns: TurnRotation,
    there: Sequence[Place],
    allowed: dict[str, int],
) -> tuple[list[str], Counter[str]]:
    begun: Counter[str] = Counter()
    choosing = turns.choose(there, room, allowed)
    found: list[list[str]] | None = None
    while True:
        try:
            asks = next(choosing) if found is None else choosing.send(found)
        except StopIteration as done:
            return done.value, begun
        found = []
        for ask in asks:
            values = (*ask.place, now, int(probation), ask.limit, ask.skip)
            found.append([row[0] for row in connection.execute(DUE_OF_PLACE, values)])
            begun[ask.place[0]] += len(found[-1])


def take(
    connection: sqlite3.Connection, executions: list[str], now: Micros, until: Micros
) -> list[Claim]:
    """Claim executions that are due, with their events and their journals."""
    connection.executemany(TAKE, [(until, now, each) for each in executions])
    claims: list[Claim] = []
    for each in executions:
        row = connection.execute(TAKEN, (each,)).fetchone()
        event = connection.execute(EVENT, (each,)).fetchone()
        steps = connection.execute(STEPS, (each,)).fetchall()
        claims.append(reading.claim(row, reading.event(event), map(reading.record, steps)))
    return claims
