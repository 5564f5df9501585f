"""Decide an order's answer to a new execution: a turn, a place behind others, or its end at once."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from halflap.model import Micros, Outcome, Start
from halflap.store import ordering
from halflap.store.lineage import follow
from halflap.store.rules.admission import Standing, asks_for_members, superseded_by
from halflap.store.rules.admission import admit as decide
from halflap.store.rules.ending import consequences
from halflap.store.rules.order import rule_of

IS_THERE = "SELECT 1 FROM executions WHERE id = ?"
NOTE_ORDER = """
UPDATE executions SET order_scope = ?, order_key = ?, order_rule = ? WHERE id = ?
"""
END = """
UPDATE executions SET state = ?, reason = ?, ended_at = ?, due_at = NULL, waiting_for = '',
    probation = 0, held = 0, fence = fence + 1
WHERE id = ? RETURNING parent
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """Where an execution stands in its order, which has a name."""

    start: Start
    name: str
    standing: Standing

    def enter(self, connection: sqlite3.Connection, now: Micros) -> None:
        """Take the place, once the execution is inserted; or end."""
        standing, execution = self.standing, self.start.execution
        order = standing.order
        rule = rule_of(order)
        connection.execute(NOTE_ORDER, (order.scope, order.key, rule, execution))
        if standing.outcome is not None:
            end(connection, execution, standing.outcome, now)
            return
        if standing.inherits_from is not None:
            ordering.inherit(connection, order, execution, standing.inherits_from)
        else:
            ordering.enter(connection, self.name, order, execution, turn=standing.has_turn)
        if standing.settles:
            ordering.settle(connection, self.name, order.width, now)


def admit(connection: sqlite3.Connection, start: Start, now: Micros) -> Admission | None:
    """Decide about a start that is about to be inserted, and end what it replaces; None: no order."""
    order = start.order
    if order is None:
        return None
    name = ordering.name_of(connection, order)
    members = asks_for_members(order)
    line = ordering.line_of(connection, name, members=members, replayed=start.replay_of)
    is_there = members and _is_there(connection, start.execution)
    standing = decide(line, start, order, is_there=is_there)
    for each in standing.replaced:
        end(connection, each, superseded_by(start), now)
        connection.execute(ordering.LEAVE, (each,))
    return Admission(start, name, standing)


def end(connection: sqlite3.Connection, execution: str, outcome: Outcome, now: Micros) -> None:
    """End an execution that has not begun."""
    found = connection.execute(END, (outcome.state, outcome.reason, now, execution)).fetchone()
    parent = None if found is None else found[0]
    after = consequences(outcome.state, ordered=False, parent=parent, child=execution)
    follow(connection, execution, after, now)


def _is_there(connection: sqlite3.Connection, execution: str) -> bool:
    return connection.execute(IS_THERE, (execution,)).fetchone() is not None
