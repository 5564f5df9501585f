"""Orders: who has a turn, and how an order's rule is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from halflap.model import Micros, Order, Outcome

BEHIND = 2
"""The bit of `held` that says that an execution has no turn in its order."""

DUE, NEVER = 1, 2**62
"""When one comes back that is due already, whatever a clock that is behind says; or by no time."""


@dataclass(frozen=True, slots=True)
class OrderPlace:
    """An execution's place in an order; `number` grows with each that is accepted.

    `fixed`: its turn cannot be taken from it, since it runs, or failed and blocks. `back_at`: when
    it is due that was set aside; 0 for one that was not.
    """

    execution: str
    number: int
    width: int
    has_turn: bool
    fixed: bool
    back_at: Micros = 0


def turns(places: Iterable[OrderPlace], now: Micros) -> set[str]:
    """Return the executions that are to have a turn.

    First come those whose turn cannot be taken from them; then those that were set aside and are
    due; then all others, as they were accepted. What is left goes to those that are not due yet, the
    soonest first: they lose it again to whoever comes meanwhile. Where the rule has changed, there
    are no more than anyone of them allows.
    """

    def rank(each: OrderPlace) -> tuple[int, Micros, int]:
        if each.fixed:
            return 0, 0, each.number
        if not each.back_at:
            return 2, 0, each.number
        return (3 if each.back_at > now else 1), each.back_at, each.number

    chosen: set[str] = set()
    width: int | None = None
    for each in sorted(places, key=rank):
        width = each.width if width is None else min(width, each.width)
        if not each.fixed and len(chosen) >= width:
            break
        chosen.add(each.execution)
    return chosen


def verdict(
    order: Order, replays: bool, others: Sequence[tuple[str, bool]], *, is_blocked: bool = False
) -> tuple[Outcome | None, list[str]]:
    """Return the verdict on a new execution: end at once, or go on in the place of others.

    others: who lives in its order, as accepted, and whether each has begun. is_blocked: one of them
    waits for its connection; meanwhile an order that would end the new one keeps the latest.
    """
    waiting = [execution for execution, has_begun in others if not has_begun]
    match order.when_busy:
        case "end" if others and not is_blocked:
            return Outcome("ignored", f"singleton: {others[0][0]} is still running"), []
        case "replace" | "end" if waiting and replays:  # what it replays is older than what waits
            return superseded(waiting[-1]), []
        case "replace" | "end":
            return None, waiting
        case _:
            return None, []


def superseded(by: str) -> Outcome:
    """Return the outcome of an execution that a newer one replaces."""
    return Outcome("cancelled", f"superseded by {by}")


def rule_of(order: Order) -> str | None:
    """An order's rule as it is kept; None for the ordinary one."""
    rule = (order.width, order.when_busy, order.after_failure, order.while_waiting)
    return None if rule == _ORDINARY else msgspec.json.encode(rule).decode()


def order_of(scope: str | None, key: str | None, rule: str | None) -> Order | None:
    """The order that an execution was started in, where it has one."""
    if scope is None or key is None:
        return None
    more: tuple[Any, ...] = msgspec.json.decode(rule) if rule is not None else ()
    return Order(scope, key, *more)


_ORDINARY = (1, "wait", "go_on", "block")


def text_of(value: bytes) -> str:
    """A value of the state as the key of an order."""
    return value.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class SettledTurns:
    """The turns that are given, and those that are taken back."""

    given: list[str]
    taken: list[str]


def free_turns(places: Iterable[OrderPlace], width: int) -> int:
    """Return how many turns there are beside those that cannot be taken back."""
    return width - sum(each.fixed for each in places)


def settle(places: Sequence[OrderPlace], now: Micros) -> SettledTurns:
    """Decide who gets a turn and whose is taken back, among those that have one and the next ones."""
    chosen = turns(places, now)
    return SettledTurns(
        [e.execution for e in places if not e.has_turn and e.execution in chosen],
        [e.execution for e in places if e.has_turn and e.execution not in chosen],
    )
