"""Limits of customers, in SQLite, and their use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from halflap.model import SYSTEM, CustomerLimits, CustomerLoad, Micros
from halflap.store.turns import Limited, TurnRotation, limited, spent

OWN = "SELECT customer, concurrency, rate, burst, full_at FROM limits WHERE customer = ?"
SPEND = """
INSERT INTO limits (customer, full_at) VALUES (?, ?)
ON CONFLICT (customer) DO UPDATE SET full_at = excluded.full_at
"""
RUNNING = "SELECT count(*) FROM executions WHERE state = 'running' AND lane = ?"
DUE = """
SELECT count(*) FROM (SELECT 1 FROM executions
    WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
        AND lane = ? AND instance = ? AND probation IN (0, 1) AND due_at <= ? LIMIT ?)
"""
NEXT_INSTANCE = """
SELECT min(instance) FROM executions
WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0
    AND lane = ? AND instance > ?
"""
HELD = """
SELECT count(*) FROM (SELECT 1 FROM executions
    WHERE held <> 0 AND state IN ('queued', 'waiting') AND lane = ? LIMIT ?)
"""


def limits_of(
    connection: sqlite3.Connection, lanes: Iterable[str], default: CustomerLimits
) -> dict[str, Limited]:
    """The limits on running of those customers that have any."""
    everybody = bool(default.concurrency or default.rate)
    found: dict[str, Limited] = {}
    for lane in lanes:
        row = connection.execute(OWN, (lane,)).fetchone()
        if row is None and everybody and not lane.startswith(SYSTEM):
            row = (lane, None, None, None, 0)
        if row is not None:
            found[lane] = limited(row, default)
    return found


def running(connection: sqlite3.Connection, limits: Mapping[str, Limited]) -> dict[str, int]:
    """Return the number of running executions of each of these, where that is limited."""
    return {
        each.customer: connection.execute(RUNNING, (each.customer,)).fetchone()[0]
        for each in limits.values()
        if each.concurrency is not None
    }


def spend(
    connection: sqlite3.Connection,
    limits: Mapping[str, Limited],
    begun: Mapping[str, int],
    turns: TurnRotation,
    running: Mapping[str, int],
    now: Micros,
) -> None:
    """Note that so many have begun."""
    changed = spent(limits, begun, turns, running, now)
    connection.executemany(SPEND, list(changed.items()))


def load(connection: sqlite3.Connection, customer: str, now: Micros, most: int) -> CustomerLoad:
    """Return the number of a customer's executions that run, and that, up to `most`, could or are
    held.
    """
    running: int = connection.execute(RUNNING, (customer,)).fetchone()[0]
    queued: int = connection.execute(HELD, (customer, most)).fetchone()[0]
    instance: str | None = ""
    while queued < most:
        instance = connection.execute(NEXT_INSTANCE, (customer, instance)).fetchone()[0]
        if instance is None:
            break
        values = (customer, instance, now, most - queued)
        queued += connection.execute(DUE, values).fetchone()[0]
    return CustomerLoad(running, queued)
