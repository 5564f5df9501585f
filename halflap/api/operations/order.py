"""Orders: which execution waits for which, in words, and what came later in one."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.model import (
    FLOW_ORDERS,
    LIVE,
    Execution,
    Micros,
    NothingNewer,
    position_in_chain,
)
from halflap.store.protocol import Filter, Journal
from halflap.store.replays import was_cut
from halflap.store.rules.replaying import is_effect, is_settled

MOST_READ = 100
UNSEEN: Micros = 60_000_000
"""The time for which an event that is being accepted may not be seen yet."""


@dataclass(frozen=True, slots=True)
class Overtaking:
    """The executions of an order that came after another one, and write newer values."""

    count: int
    last: str


def because(execution: Execution, ahead: Execution | None) -> str:
    """Why an execution waits for one that has its turn in their order."""
    order = execution.order
    if ahead is not None and ahead.state == "failed":
        return "it came first, and failed: the next goes on once it is replayed or dismissed"
    if order is not None and order.width > 1:
        return f"at most {order.width} of the flow run at once"
    if order is None or not order.scope.startswith(FLOW_ORDERS):
        return "the same record; it came first"
    return f"the same key, {order.key}; it came first" if order.key else "it came first"


async def overtaking(
    journal: Journal, execution: Execution, now: Micros
) -> Overtaking | NothingNewer:
    """Return what came later in the order of an execution, and writes; or that nothing has.

    A replay comes last in its order; one of what blocks it comes before all that has not begun.
    In an order without a key, that is what came of the same record, if its id is known.
    """
    order = execution.order
    assert order is not None
    is_dead_letter = execution.state == "failed" and not execution.dismissed
    keeps_place = order.after_failure == "block" and is_dead_letter
    of_record = execution.key if order.key in ("", execution.key) else None
    which = Filter(
        instance=execution.flow.instance,
        flow=execution.flow.flow,
        key=of_record,
        order=(order.scope, order.key),
        since=execution.event_at,
        limit=MOST_READ,
    )
    since, known = now - UNSEEN, list[str]()
    page = await journal.page(which)
    while True:
        newer: list[str] = []
        for each in page.executions:
            if _came_later(each, execution) and (each.attempt or not keeps_place):
                writes = await _may_write(journal, each)
                if writes or each.accepted_at >= since:
                    (newer if writes else known).append(each.id)
        if newer:
            return Overtaking(len(newer), newer[0])
        if page.next is None:
            begun = int(keeps_place)
            return NothingNewer(execution.event_at, since, of_record, begun, tuple(known))
        page = await journal.page(which, page.next)


def _came_later(one: Execution, other: Execution) -> bool:
    """Return whether an event is newer, or the same one further on in its chain."""
    ours, theirs = [(each.event_at, position_in_chain(each)[1]) for each in (one, other)]
    if ours == theirs:
        return one.replay_of is None and other.replay_of is None and one.id > other.id
    return ours > theirs


async def _may_write(journal: Journal, execution: Execution) -> bool:
    """Return whether an execution has written, or will, what no replay of it would write again."""
    if execution.state in LIVE or execution.state == "succeeded":
        return True
    is_over = execution.dismissed or execution.state == "cancelled"
    cut = is_over and await was_cut(journal, execution)
    return any(
        is_effect(e) and (e.status == "succeeded" or (is_over and not is_settled(e, was_cut=cut)))
        for e in await journal.steps(execution.id)
    )
