"""Lists of executions, read along one index of each of the places that an execution may be in."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from halflap.model import ENDED, LIVE, ExecutionState
from halflap.store.postgres import rows
from halflap.store.postgres.slots import first_slot
from halflap.store.protocol import Filter, Position
from halflap.store.reading import OF_BULK, OF_EVENTS, of_bulk, spelt_flows
from halflap.store.rules.listing import LARGEST_SEARCHED, Comparison, IndexScan, conjunction

COLUMNS = {"executions": rows.LIVE, "letters": rows.LETTER, "history": rows.HISTORY}
INDEXED = {
    "letters": {
        "ids", "record_key", "parent", "replay_of", "cause", "instance", "status", "component",
        "failure_kind", "customer", "bulk",
    },
    "history": {
        "ids", "record_key", "parent", "replay_of", "instance", "customer", "state", "version", "flow",
        "integration", "end", "bulk",
    },
}  # fmt: skip
"""By place: the indexes of scans that it has; along all others it is read by time."""
OF_FAILURES = frozenset({"cause", "status", "component", "failure_kind"})
"""Scans without an index in the history, which are read among what failed."""


@dataclass(frozen=True, slots=True)
class PlaceScan:
    """A scan in one of the places: what is read of it, and what is compared."""

    place: str
    source: str
    values: tuple[Any, ...]
    rest: str
    more: tuple[Any, ...]
    time: str

    @property
    def _order(self) -> str:
        return f"ORDER BY {self.time} DESC, id DESC"

    @property
    def bounded(self) -> bool:
        """Return whether rows are left out, so that it may stop before the page is full."""
        return self.rest != "true"

    def select(self, limit: int, examine: int) -> tuple[str, tuple[Any, ...]]:
        """Return the statement for the first `limit` rows of those that are examined."""
        inner = f"SELECT * {self.source} {self._order} LIMIT %s"
        columns = COLUMNS[self.place]
        sql = f"SELECT {columns} FROM ({inner}) AS found WHERE {self.rest} LIMIT %s"
        most = examine if self.bounded else limit
        return sql, (*self.values, most, *self.more, limit)

    def count(self, examine: int) -> tuple[str, tuple[Any, ...]]:
        """Return the statement that counts the rows that are examined, and those that match."""
        inner = f"SELECT * {self.source} LIMIT %s"
        sql = f"SELECT count(*), count(*) FILTER (WHERE {self.rest}) FROM ({inner}) AS found"
        return sql, (*self.more, *self.values, examine)

    def last(self, examine: int) -> tuple[str, tuple[Any, ...]]:
        """Return the statement for the last row that is examined, where there are as many."""
        sql = f"SELECT {self.time}, id {self.source} {self._order} LIMIT 1 OFFSET %s"
        return sql, (*self.values, examine - 1)


def scans_of_places(scan: IndexScan, which: Filter, after: Position | None) -> Iterator[PlaceScan]:
    """Yield a scan for each place where there may be what a filter looks for."""
    for place in _places(scan, which):
        by, rest = scan.by, scan.rest
        if scan.index not in INDEXED.get(place, ()):
            by, rest = (), (*by, *rest)
            if place == "history" and scan.index in OF_FAILURES:
                by = (Comparison("state", "=", "failed"),)
        if place == "executions" and not which.payload:  # it is little: compared, then sorted
            by, rest = (*by, *rest), ()
        if place == "letters":  # all of them are dead letters, and failed
            rest = tuple(each for each in rest if each.column not in ("dead", "state"))
        sql = partial(compared, place=place)
        text, values = conjunction(by, sql)
        time = which.time
        for bound, value in ((">=", which.since), ("<", which.until)):
            if value is not None:
                text, values = f"{text} AND {time} {bound} %s", (*values, value)
        if place == "history" and time == "ended_at" and which.since is not None:
            text, values = f"{text} AND slot >= %s", (*values, first_slot(which.since))
        if after is not None:
            text = f"{text} AND {time} <= %s AND ({time}, id) < (%s, %s)"
            values = (*values, after[0], *after)
        source = f"FROM {place} WHERE {text}"
        yield PlaceScan(place, source, values, *conjunction(rest, sql), time)


def _places(scan: IndexScan, which: Filter) -> Iterator[str]:
    own = [each.value for each in scan.by if each.column == "state" and each.how != "live"]
    return places_of(which, own or which.states)


def places_of(which: Filter, some: Collection[ExecutionState]) -> Iterator[str]:
    """Yield the tables in which there may be what a filter looks for, in some states."""
    states = set(some)
    if not which.has_ended and (not states or states & {*LIVE}):
        yield "executions"
    if which.dead_letters or not states or "failed" in states:
        yield "letters"
    if not which.dead_letters and (not states or states & {*ENDED}):
        yield "history"


def contains(column: str, count: int) -> str:
    """Return that a value which is not too large contains one of so many texts."""
    found = " OR ".join([f"position(%s::bytea IN {column}) > 0"] * count)
    return f"(octet_length({column}) <= {LARGEST_SEARCHED} AND ({found}))"


def compared(each: Comparison, place: str = "") -> tuple[str, tuple[Any, ...]]:
    """Return a comparison as SQL, with its values; payloads are where their `place` has them."""
    match each.how, each.column:
        case "=", "record_key" | "order_scope" | "order_key":
            return f"{each.column} = %s", (each.value.encode(),)
        case "=", "state":
            return "state IN ('failed', 'cancelled', 'ignored') AND state = %s", (each.value,)
        case "bulk", _:
            return OF_BULK.replace("?", "%s"), of_bulk(each.value)
        case "of events", _:
            return OF_EVENTS, ()
        case "among", _:
            return "integration || ' ' || flow = ANY(%s)", (list(spelt_flows(each.value)),)
        case "payload", _ if place == "executions":
            body, data = (contains(e, len(each.value)) for e in ("body", "data"))
            places = {"events": body, "steps": data, "logs": data}
            found = [
                f"EXISTS (SELECT FROM {table} WHERE execution = found.id AND {text})"
                for table, text in places.items()
            ]
            return f"({' OR '.join(found)})", each.value * 3
        case "payload", _:
            found = [contains(e, len(each.value)) for e in ("body", "steps", "logs")]
            return f"({' OR '.join(found)})", each.value * 3
        case "or key", _:
            return "(id = %s OR record_key = %s)", (each.value, each.value.encode())
        case "ended", _:
            return "state = %s", (each.value,)
        case "live", _:  # a table of its own
            return "true", ()
        case "in", _:
            return f"{each.column} = ANY(%s)", (sorted(each.value),)
        case "contains", _:
            return f"position(%s::bytea IN {each.column}) > 0", (each.value.encode(),)
        case "begins", _:
            return f"starts_with({each.column}, %s)", (each.value,)
        case "not in", _:
            own = f"substr({each.column}, 1, 1) <> '$'"
            return f"{own} AND {each.column} <> ALL(%s)", (list(each.value),)
        case _:
            return f"{each.column} {each.how} %s", (each.value,)
