"""Comparisons of a filter, and the index by which a list of executions is read: the same on all stores.

A list is read newest acceptance first, along one index; a period of what has ended (`Filter.time`) newest
end first. Of what the filter says besides, each row is compared, up to `MOST_EXAMINED` rows; where the
page is not full by then, the next page goes on behind the last row that was examined. So no page costs
more than that, however rare what is looked for is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from halflap.model import LIVE, Execution, ExecutionState
from halflap.store.protocol import Filter, Page, Position
from halflap.store.rules.cause import PUBLIC_MARK

UNUSUAL: frozenset[ExecutionState] = frozenset({"failed", "cancelled", "ignored"})
"""States that have an index: most executions succeed."""
COLUMNS = (
    ("record_key", "key"),
    ("parent", "parent"),
    ("replay_of", "replay_of"),
    ("cause", "cause"),
    ("instance", "instance"),
    ("status", "status"),
    ("component", "component"),
    ("failure_kind", "failure_kind"),
)
MORE_COLUMNS = (
    ("customer", "customer"),
    ("version", "version"),
    ("flow", "flow"),
    ("integration", "integration"),
)
"""Columns that have an index, with their names in a filter: the most selective come first. Between the
two come dead letters and unusual states, along which reasons are found too."""


MOST_SCANS = 20
"""The most flows each of which is read along its index."""


LARGEST_SEARCHED = 1024 * 1024
"""The largest value that is searched for a text, in bytes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column, how it is compared with what: an operator of SQL, or a word (`in`, `contains`, …)."""

    column: str
    how: str
    value: Any


@dataclass(frozen=True, slots=True)
class IndexScan:
    """One index to read along: what it is searched for, and what is compared of each row."""

    index: str
    by: tuple[Comparison, ...]
    rest: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that were read along one index, and where it stopped, if there may be more."""

    executions: Sequence[Execution]
    stopped_at: Position | None


def compare(which: Filter) -> dict[str, Comparison]:
    """Return what a page compares of each row, by column."""
    scope, key = which.order or (None, None)
    columns = [(c, getattr(which, name)) for c, name in (*COLUMNS, *MORE_COLUMNS)]
    columns += [("order_scope", scope), ("order_key", key)]
    found = {
        column: Comparison(column, "=", value) for column, value in columns if value is not None
    }
    if which.dead_letters:
        found["dead"] = Comparison("dead", "=", True)
    elif which.states:
        found["state"] = Comparison("state", "in", tuple(dict.fromkeys(which.states)))
    if which.reason:
        found["reason"] = Comparison("reason", "contains", which.reason)
    if which.bulk is not None:
        found["bulk"] = Comparison("replay", "bulk", which.bulk)
    if which.ids is not None:
        found["ids"] = Comparison("id", "in", which.ids)
    if which.flows is not None:
        found["flows"] = Comparison("flow", "among", which.flows)
    if which.reference is not None:
        found["reference"] = Comparison("id", "or key", which.reference)
    if which.min_ran is not None:
        found["min_ran"] = Comparison("ran", ">=", which.min_ran)
    if which.cause is not None and len(which.cause) == PUBLIC_MARK:
        found["cause"] = Comparison("cause", "begins", which.cause)
    if which.hidden:
        found["hidden"] = Comparison("customer", "not in", which.hidden)
    if which.payload:
        found["payload"] = Comparison("id", "payload", which.payload)
    return found


def compare_all(which: Filter) -> list[Comparison]:
    """Return all that a filter compares."""
    more = (
        ("chain", "=", which.chain),
        ("link", "=", which.link),
        ("id", ">", which.replay_of),  # ids sort by time: a replay comes later
        ("id", "<", which.before),
        ("id", ">", which.after),
        (which.time, ">=", which.since),
        (which.time, "<", which.until),
        ("flow", "of events", which.of_events or None),
    )
    found = [Comparison(*each) for each in more if each[2] is not None]
    return [*compare(which).values(), *found]


def plan_scans(which: Filter) -> list[IndexScan]:
    """Return along which indexes a filter is read: one, or one for each of several states."""
    rest = compare(which)
    states = () if which.dead_letters else tuple(dict.fromkeys(which.states))

    def scan(index: str, *by: Comparison, but: str = "") -> IndexScan:
        return IndexScan(
            index, by, tuple(each for name, each in rest.items() if name != (but or index))
        )

    if which.bulk is not None:
        return [scan("bulk", rest["bulk"])]
    if which.ids is not None:
        return [scan("ids", rest["ids"])]
    if which.reference is not None:
        by_id = Comparison("id", "=", which.reference)
        by_key = Comparison("record_key", "=", which.reference)
        return [scan("ids", by_id, but="reference"), scan("record_key", by_key, but="reference")]
    if which.reason:  # what succeeds has none
        states = tuple(each for each in states or sorted(UNUSUAL) if each in UNUSUAL)
    if which.time == "ended_at":
        is_failed = which.dead_letters or not (states or which.reason)
        among = ("failed",) if is_failed else states
        return [scan("end", Comparison("state", "ended", each), but="state") for each in among]
    # its index has an order by it
    if rest.get("cause") == Comparison("cause", "begins", which.cause):
        states = ("failed",)
    for column, _ in COLUMNS:
        if column in rest and rest[column].how == "=":
            return [scan(column, rest[column])]
    if which.dead_letters:
        return [scan("dead", rest["dead"])]
    if states and {*states} <= {*LIVE} and not which.reason:
        return [scan("live", Comparison("state", "live", None))]
    if which.reason or (states and UNUSUAL.issuperset(states)):
        return [scan("state", Comparison("state", "=", each)) for each in states]
    for column, _ in MORE_COLUMNS:
        if column in rest:
            return [scan(column, rest[column])]
    if which.flows is not None and len(which.flows) <= MOST_SCANS:
        names = sorted({flow for _, flow in which.flows})
        return [scan("flow", Comparison("flow", "=", each)) for each in names]
    return [scan("time")]


def position_of(execution: Execution, which: Filter) -> Position:
    """Return where an execution stands in a list."""
    ended = execution.ended_at if which.time == "ended_at" else None
    return execution.accepted_at if ended is None else ended, execution.id


def merge(found: Sequence[Found], which: Filter) -> Page:
    """Return the page of what several indexes gave: nothing behind where any of them stopped.

    Of each index as many as its limit and one more were read, where there were as many.
    """
    limit, place = which.limit, partial(position_of, which=which)
    border = max((each.stopped_at for each in found if each.stopped_at is not None), default=None)
    rows = sorted(
        {each.id: each for some in found for each in some.executions}.values(),
        key=place,
        reverse=True,
    )
    if border is not None:
        rows = [each for each in rows if place(each) >= border]
    page = rows[:limit]
    if len(rows) > limit:
        return Page(page, place(page[-1]))
    return Page(page, border)


def sum_up(counts: Sequence[tuple[int, int]], most: int, examine: int) -> int | None:
    """Return the sum of what matches, up to `most`; None where rows were left that may match.

    `counts` has how many rows of each scan were examined, and how many of them match.
    """
    total = sum(matching for _, matching in counts)
    if total >= most:
        return most
    return total if all(examined < examine for examined, _ in counts) else None


Compare = Callable[[Comparison], tuple[str, tuple[Any, ...]]]
"""A comparison as SQL, with its values."""


def conjunction(some: Sequence[Comparison], sql: Compare) -> tuple[str, tuple[Any, ...]]:
    """Return comparisons as one condition of SQL, with its values."""
    parts = [sql(each) for each in some]
    text = " AND ".join(part for part, _ in parts) or "true"
    return text, tuple(value for _, values in parts for value in values)
