"""Admission: what an order makes of a new execution: a turn, a place behind others, or its end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from halflap.model import Order, Outcome, Start, frozen
from halflap.store.rules.order import superseded, verdict

ANY_WIDTH = 2**31


@frozen
class Member:
    """An execution that lives in an order. `is_blocked`: it waits for its connection."""

    execution: str
    has_begun: bool
    has_turn: bool
    is_blocked: bool = False


@frozen
class OrderLine:
    """An order as the next new execution finds it.

    `turns`: how many have one, `width`: how many they allow; `aside`: how many of them were set aside.
    `members` are only read where the new one asks for them (`when_busy`), as accepted. `kept`: those
    that failed, and have kept their turn.
    """

    turns: int = 0
    width: int = ANY_WIDTH
    aside: int = 0
    some_wait: bool = False
    members: tuple[Member, ...] = ()
    kept: frozenset[str] = frozenset()

    def without(self, executions: Collection[str]) -> OrderLine:
        """Return the order without members that end for a newer one."""
        if not executions:
            return self
        left = tuple(each for each in self.members if each.execution not in executions)
        gone = sum(each.has_turn for each in self.members) - sum(each.has_turn for each in left)
        some_wait = any(not each.has_turn for each in left)
        return replace(self, turns=self.turns - gone, members=left, some_wait=some_wait)

    def after(self, execution: str, standing: Standing) -> OrderLine:
        """Return the order once a new execution stands in it."""
        if standing.outcome is not None:
            return self
        line = self.without(standing.replaced)
        width = min(line.width, standing.order.width)
        members = (*line.members, Member(execution, False, standing.has_turn))
        if standing.inherits_from is not None:
            kept = line.kept - {standing.inherits_from}
            return replace(line, kept=kept, members=members)
        if standing.has_turn:
            return replace(line, turns=line.turns + 1, width=width, members=members)
        return replace(line, some_wait=True, members=members)

    def begun(self, execution: str) -> OrderLine:
        """Return the order once a member was claimed: a newer one does not replace it any more."""
        members = (
            replace(each, has_begun=True) if each.execution == execution else each
            for each in self.members
        )
        return replace(self, members=tuple(members))


@frozen
class Standing:
    """Where a new execution stands in its order.

    `inherits_from`: the one whose place and turn it takes over. `settles`: it may take the turn of
    one that was set aside. `outcome` is set where it ends at once; `replaced` have ended for it.
    """

    order: Order
    has_turn: bool = False
    inherits_from: str | None = None
    settles: bool = False
    outcome: Outcome | None = None
    replaced: tuple[str, ...] = ()


def asks_for_members(order: Order) -> bool:
    """Tell whether an order's rule needs to know its members."""
    return order.when_busy != "wait"


def admit(line: OrderLine, start: Start, order: Order, *, is_there: bool) -> Standing:
    """Decide where a start stands in its order.

    `is_there`: the execution was accepted before, so that nothing ends for it.
    """
    if start.continues is not None:
        return Standing(order, True, start.continues)
    replaced: list[str] = []
    if asks_for_members(order) and not is_there:
        others = [(each.execution, each.has_begun) for each in line.members]
        is_blocked = any(each.is_blocked for each in line.members)
        replays = start.replay_of is not None
        outcome, replaced = verdict(order, replays, others, is_blocked=is_blocked)
        if outcome is not None:
            return Standing(order, outcome=outcome)
    if start.replay_of is not None and start.replay_of in line.kept:
        return Standing(order, True, start.replay_of, replaced=tuple(replaced))
    line = line.without(replaced)
    has_turn = line.turns < min(order.width, line.width) and not line.some_wait
    settles = not has_turn and line.aside > 0
    return Standing(order, has_turn, settles=settles, replaced=tuple(replaced))


def superseded_by(start: Start) -> Outcome:
    """Return how those end that a start replaces."""
    return superseded(start.execution)
