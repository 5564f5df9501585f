"""What an order makes of a new execution: a turn, a place behind others, or its end at once."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from halflap.model import Micros, Order, Outcome, Start
from halflap.store import ordering
from halflap.store.lineage import cancel_children, tell
from halflap.store.place import rule_of, superseded, verdict

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
    """Where an execution stands in its order.

    It may have inherited its turn; `aside`: it may take one that was set aside. `outcome` is set
    where it ends at once; `replaced` have ended for it.
    """

    start: Start
    order: Order
    name: str
    has_turn: bool
    inherits_from: str | None = None
    aside: bool = False
    outcome: Outcome | None = None
    replaced: tuple[str, ...] = ()

    def enter(self, connection: sqlite3.Connection, now: Micros) -> None:
        """Take the place, once the execution is inserted; or end."""
        order, execution = self.order, self.start.execution
        rule = rule_of(order)
        connection.execute(NOTE_ORDER, (order.scope, order.key, rule, execution))
        if self.outcome is not None:
            end(connection, execution, self.outcome, now)
            return
        if self.inherits_from is not None:
            ordering.inherit(connection, order, execution, self.inherits_from)
        else:
            ordering.enter(connection, self.name, order, execution, turn=self.has_turn)
        if self.aside:
            ordering.settle(connection, self.name, order.width, now)


def admit(connection: sqlite3.Connection, start: Start, now: Micros) -> Admission | None:
    """What its order makes of a start that is about to be inserted; None where it has no order."""
    order = start.order
    if order is None:
        return None
    name = ordering.name_of(connection, order)
    replaced: list[str] = []
    if order.when_busy != "wait" and not _is_there(connection, start.execution):
        others = ordering.others(connection, name)
        outcome, replaced = verdict(order, start.replay_of is not None, others)
        if outcome is not None:
            return Admission(start, order, name, has_turn=False, outcome=outcome)
        for each in replaced:
            end(connection, each, superseded(start.execution), now)
            connection.execute(ordering.LEAVE, (each,))
    if start.replay_of is not None and ordering.is_kept(connection, name, start.replay_of):
        return Admission(start, order, name, has_turn=True, inherits_from=start.replay_of)
    has_turn, aside = ordering.has_room(connection, name, order.width)
    aside = aside and not has_turn
    return Admission(start, order, name, has_turn, aside=aside, replaced=tuple(replaced))


def end(connection: sqlite3.Connection, execution: str, outcome: Outcome, now: Micros) -> None:
    """End an execution that has not begun."""
    found = connection.execute(END, (outcome.state, outcome.reason, now, execution)).fetchone()
    if found is not None and found[0] is not None:
        tell(connection, found[0], execution, now)
    if outcome.state == "cancelled":
        cancel_children(connection, execution, now)


def _is_there(connection: sqlite3.Connection, execution: str) -> bool:
    return connection.execute(IS_THERE, (execution,)).fetchone() is not None
