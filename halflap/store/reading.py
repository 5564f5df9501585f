"""Rows of the journal as values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, get_args

import msgspec

from halflap.model import (
    ENDED,
    LIVE,
    ONCE,
    PARKED,
    TOOK,
    CauseGroup,
    Event,
    Execution,
    Failure,
    FlowKey,
    Micros,
    Record,
    Replay,
    Start,
    StepKind,
    StepStatus,
    replays_of_bulk,
)
from halflap.store.protocol import Claim, Filter, Lease, Position
from halflap.store.rules.listing import (
    LARGEST_SEARCHED,
    Comparison,
    Found,
    IndexScan,
    compare_all,
    conjunction,
)
from halflap.store.rules.order import order_of

IS_PARKED = "state = 'waiting' AND waiting_for >= 'connection:' AND waiting_for < 'connection;'"
OF_START = (
    "id text, customer text, instance text, integration text, flow text, version text, revision bigint,"
    " replay_of text, parent text, accepted_at bigint, replay text, chain text, link bigint"
)
"""The columns of a start that both stores insert alike, with their types in PostgreSQL."""
STARTED = ", ".join(each.split()[0] for each in OF_START.split(", "))
_COMMON = f"{STARTED}, root, record_key, order_scope, order_key, order_rule, attempt"
_OWN = (
    "state, started_at, ended_at, due_at, reason, failure, result, duplicates, waiting_for, dismissed,"
    " removed, cause, ran, held"
)
COLUMNS = f"{_COMMON}, {_OWN}"
EXECUTION = f"SELECT {COLUMNS} FROM executions"
CLAIMED = f"{_COMMON}, fence, lease_until, cancelling, probation, crashes, bound"
"""The columns of an execution that was just claimed."""
ID = "SELECT id FROM executions"
NUMBER = "(SELECT number FROM executions WHERE id = ?1)"
NUMBERED = ("events", "steps", "logs")
"""Tables in which executions are named by their `number`, not by their id."""
ID_AND_ORDER = "SELECT id, order_scope FROM executions"
CANCELLING = "SELECT id, cancelling, cut_at FROM executions"
OF_EVENTS = "substr(flow, 1, 1) <> '$'"


def places(columns: str, names: str) -> tuple[int, ...]:
    """Return the places of some columns among all."""
    return tuple(map(columns.split(", ").index, names.split()))


def took_place(ran: str) -> str:
    """Return the place of a time in `TOOK` as SQL: a search by halves."""

    def among(begin: int, end: int) -> str:
        if begin == end:
            return str(begin)
        middle = (begin + end) // 2
        less, more = among(begin, middle), among(middle + 1, end)
        return f"CASE WHEN {ran} < {TOOK[middle]} THEN {less} ELSE {more} END"

    return among(0, len(TOOK))


STEP_PAGE = f"""
SELECT * FROM steps WHERE execution = {NUMBER} AND path IN (
    SELECT path FROM steps WHERE execution = {NUMBER} AND seq > ?2 ORDER BY seq LIMIT ?3)
ORDER BY seq
"""
"""The values of a page are read, and of what comes before it none."""
TALLY = """
SELECT customer, instance, integration, flow, version, state, ifnull(cause, ''), min(reason), count(*)
FROM executions
WHERE {where} GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 9 DESC, 1, 2, 3, 4, 5, 6, 7 LIMIT ?
"""
CAUSES = """
SELECT found.cause, count, first, last, example.id, flows, instances, instance_count, customer_count,
    example.failure
FROM (
    SELECT ifnull(cause, '') AS cause, count(*) AS count, min(ended_at) AS first,
        max(ended_at) AS last, max(number) AS newest, group_concat(DISTINCT flow) AS flows,
        substr(group_concat(DISTINCT instance), 1, 154) AS instances,
        count(DISTINCT instance) AS instance_count, count(DISTINCT customer) AS customer_count
    FROM executions {hint} WHERE {where}
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?
) AS found JOIN executions AS example ON example.number = newest
ORDER BY count DESC, found.cause
"""
# The ends of each state are found along the index by end.
ENDED_WITHIN = f"""
SELECT customer, integration, flow, version, state, ifnull(cause, ''),
    {took_place("ifnull(ran, 0)")}, count(*)
FROM executions WHERE state = '{{}}' AND ended_at IS NOT NULL AND ended_at >= ?1 AND ended_at < ?2
    AND {OF_EVENTS} GROUP BY 1, 2, 3, 4, 6, 7
"""
ACCEPTED_WITHIN = f"""
SELECT customer, integration, flow, version, 'accepted', '', 0, count(*) FROM executions
WHERE accepted_at >= ?1 AND accepted_at < ?2 AND {OF_EVENTS} GROUP BY 1, 2, 3, 4
"""
OUTCOMES = " UNION ALL ".join([*map(ENDED_WITHIN.format, ENDED), ACCEPTED_WITHIN])
FIRST_OF = "SELECT min(ended_at) AS at FROM executions WHERE state = '{}' AND ended_at >= ?1"
FIRST_CAME = "SELECT min(accepted_at) FROM executions WHERE accepted_at >= ?1"
FIRST_END = (
    f"SELECT min(at) FROM ({' UNION ALL '.join([*map(FIRST_OF.format, ENDED), FIRST_CAME])})"
)
BACKLOG = """
SELECT count(*), min(accepted_at) FROM (SELECT accepted_at FROM executions {hint}
    WHERE state IN ('queued', 'running', 'waiting') {of} {limit})
"""
FIRST = """
WITH RECURSIVE found (cause, ended_at, replay_of) AS (
    SELECT cause, ended_at, replay_of FROM executions {hint}
    WHERE {where} AND +cause IN ({causes})
    UNION ALL SELECT found.cause, before.ended_at, before.replay_of FROM found
    JOIN executions AS before ON before.id = found.replay_of AND before.cause = found.cause
) SELECT cause, min(ended_at) FROM found GROUP BY 1
"""
COUNT = "SELECT state, count(*) FROM executions"
OF_BULK = "id BETWEEN ? AND ? AND replay LIKE ?"
MOST_INSTANCES = 5
"""The most instances of which a group of failures has the ids."""


STATUSES: dict[int, StepStatus] = dict(enumerate(get_args(StepStatus)))
KINDS: dict[int, StepKind] = dict(enumerate(get_args(StepKind)))
"""Both are kept by their place: one is added at the end, and none is moved."""
STEP_HEADS = f"""
SELECT execution, path, seq, kind, name, title, status, pure, tries, started_at, ended_at, NULL,
    iif(status = {get_args(StepStatus).index("retrying")}, result, NULL),
    iif(status = {get_args(StepStatus).index("succeeded")}, NULL, failure)
FROM steps WHERE execution = {NUMBER} ORDER BY seq
"""
LARGEST = 2**63 - 1

_replay = msgspec.json.Decoder(Replay)


def of_start(start: Start, now: Micros) -> tuple[Any, ...]:
    """Return the values of `OF_START`."""
    flow = start.flow
    return (
        *(start.execution, flow.customer, flow.instance, flow.integration, flow.flow, flow.version),
        *(flow.revision, start.replay_of, start.parent, now, replay_text(start.replay)),
        *(start.chain, start.link),
    )


def _common(row: Any) -> tuple[dict[str, Any], Micros, int, Any]:
    """Return what a start and an execution have in common, when it was accepted, its attempt, and
    what else the row has.
    """
    id, *flow, replay_of, parent, accepted_at, how, chain, link = row[:13]
    root, key, scope, order_key, rule, attempt = row[13:19]
    common = {
        "flow": FlowKey(*flow),
        "replay_of": replay_of,
        "parent": parent,
        "replay": replay(how),
        "chain": chain,
        "link": link,
        "root": root or id,
        "key": key,
        "order": order_of(scope, order_key, rule),
    }
    return common, accepted_at, attempt, row[19:]


def execution(row: Any) -> Execution:
    """A row of `COLUMNS`."""
    common, accepted_at, attempt, others = _common(row)
    own = dict(zip(_OWN.split(", "), others, strict=True))
    own |= {
        "failure": failure(own["failure"]),
        "waiting_for": own["waiting_for"].removesuffix(ONCE),
        "dismissed": bool(own["dismissed"]),
        "payload_removed": bool(own.pop("removed")),
    }
    return Execution(id=row[0], accepted_at=accepted_at, attempt=attempt, **common, **own)


def claim(row: Any, event: Event, history: Iterable[Record]) -> Claim:
    """Return a claim from a row of `CLAIMED`, with its event and its journal."""
    common, accepted_at, attempt, others = _common(row)
    fence, until, cancelling, probation, crashes, bound = others
    bound = bool(bound) or common["parent"] is None
    start = Start(execution=row[0], event=event, bound=bound, **common)
    return Claim(
        start=start,
        lease=Lease(row[0], fence, until, start.order is not None, start.parent, start.chain),
        attempt=attempt,
        accepted_at=accepted_at,
        cancelling=cancelling,
        probation=bool(probation),
        crashes=crashes,
        history=tuple(history),
    )


def where_failed(which: Filter) -> tuple[str, tuple[Any, ...]]:
    """Return the WHERE clause of what failed of a filter, spelt as in a partial index, and its values."""
    text, values = where(which)
    if not which.dead_letters:
        text += " AND state IN ('failed', 'cancelled', 'ignored') AND state = 'failed'"
    return text, values


def first_of(which: Filter) -> Filter:
    """Return the filter of all that failed among which is the first of a cause."""
    return replace(which, since=None, until=None)


def cause_group(row: Any, first: Mapping[str, Micros]) -> CauseGroup:
    """A row of `CAUSES`, with when the first of each cause failed."""
    return CauseGroup(
        cause=row[0],
        count=row[1],
        first_at=min(first.get(row[0], row[2]), row[2]),
        last_at=row[3],
        example=row[4],
        failure=failure(row[9]),
        flows=tuple(sorted(row[5].split(","))),
        instances=tuple(sorted(row[6].split(",")))[:MOST_INSTANCES],
        instance_count=row[7],
        customer_count=row[8],
    )


def event(row: Any) -> Event:
    """A whole row of `events`."""
    _, method, path, query, url, part, received_at, headers, body = row
    return Event(
        method=method,
        path=path,
        query=query,
        headers=msgspec.json.decode(headers, type=tuple[tuple[str, str], ...]),
        body=body,
        received_at=received_at,
        url=url,
        part=part,
    )


def record(row: Any) -> Record:
    """A whole row of `steps`."""
    return Record(
        seq=row[2],
        path=row[1],
        kind=KINDS[row[3]],
        name=row[4] or row[1],
        title=row[5],
        status=STATUSES[row[6]],
        pure=bool(row[7]),
        tries=row[8],
        started_at=row[9],
        ended_at=row[10],
        inputs=row[11],
        result=row[12],
        failure=failure(row[13]),
    )


def failure(data: bytes | None) -> Failure | None:
    """A failure as it was encoded."""
    return None if data is None else msgspec.json.decode(data, type=Failure)


def replay(text: str | None) -> Replay | None:
    """Return the way in which an execution replays another one, as it was encoded."""
    return None if text is None else _replay.decode(text)


def replay_text(how: Replay | None) -> str | None:
    """Return the way in which an execution replays another one, as it is stored."""
    return None if how is None else msgspec.json.encode(how).decode()


def is_living(which: Filter) -> bool:
    """Return whether a filter is for what lives of an instance, which is found without its history."""
    return which.instance is not None and set(which.states) == set(LIVE) and not which.dead_letters


def compared(each: Comparison) -> tuple[str, tuple[Any, ...]]:
    """Return a comparison of a list as SQL, with its values; partial indexes are spelt as they are."""
    match each.how, each.column:
        case "=", "dead":
            return "state = 'failed' AND dismissed = 0", ()
        case "=", "state":
            return "state IN ('failed', 'cancelled', 'ignored') AND state = ?", (each.value,)
        case "=", "version":  # its beginning is in the index
            return "substr(version, 1, 8) = substr(?, 1, 8) AND version = ?", (each.value,) * 2
        case "live", _:
            return "state IN ('queued', 'running', 'waiting')", ()
        case "ended", _:
            return "state = ?", (each.value,)
        case "bulk", _:
            return OF_BULK, of_bulk(each.value)
        case "of events", _:
            return OF_EVENTS, ()
        case "among", _:
            marks = ", ".join("?" * len(each.value))
            return f"integration || ' ' || flow IN ({marks})", spelt_flows(each.value)
        case "or key", _:
            return "(id = ? OR record_key = ?)", (each.value,) * 2
        case "payload", _:
            places = {
                "events": ("body",),
                "steps": ("inputs", "result"),
                "logs": ("CAST(message AS BLOB)", "fields"),  # of texts, instr counts characters
            }
            found = [
                f"EXISTS (SELECT 1 FROM {table} WHERE execution = number AND ("
                f"{' OR '.join(contains(e, len(each.value)) for e in columns)}))"
                for table, columns in places.items()
            ]
            return f"({' OR '.join(found)})", each.value * 5
        case "in", _ if set(each.value) == set(LIVE):  # spelt as in the partial index
            return "state IN ('queued', 'running', 'waiting')", ()
        case "in", _:
            return f"{each.column} IN ({', '.join('?' * len(each.value))})", tuple(each.value)
        case "contains", _:
            return f"instr({each.column}, ?) > 0", (each.value,)
        case "begins", _:
            return f"substr({each.column}, 1, length(?)) = ?", (each.value,) * 2
        case "not in", _:
            marks = ", ".join("?" * len(each.value))
            return (
                f"substr({each.column}, 1, 1) <> '$' AND {each.column} NOT IN ({marks})",
                each.value,
            )
        case _:
            return f"{each.column} {each.how} ?", (each.value,)


def scan_sql(scan: IndexScan, which: Filter, after: Position | None) -> tuple[str, tuple[Any, ...]]:
    """Return what a scan reads of, newest first, and its values; what is compared is left out."""
    rows, time, values = _rows_of(scan, which, after)
    return f"{rows} ORDER BY {time} DESC, id DESC LIMIT ?", values


def _rows_of(
    scan: IndexScan, which: Filter, after: Position | None
) -> tuple[str, str, tuple[Any, ...]]:
    text, values = conjunction(scan.by, compared)
    # What is live or of a bulk is little: it is sorted, and not looked for along the time.
    time = f"+{which.time}" if scan.index in ("live", "bulk", "ids") else which.time
    for bound, value in ((">=", which.since), ("<", which.until)):
        if value is not None:
            text, values = f"{text} AND {time} {bound} ?", (*values, value)
    if after is not None:
        text = f"{text} AND {time} <= ? AND ({time}, id) < (?, ?)"
        values = (*values, after[0], *after)
    return f"FROM executions WHERE {text}", time, values


def read_scan(
    connection: sqlite3.Connection,
    scan: IndexScan,
    which: Filter,
    after: Position | None,
    examine: int,
) -> Found:
    """Read along one index: one execution more than the page has, or as many as are to be examined."""
    source, values = scan_sql(scan, which, after)
    rest, more = conjunction(scan.rest, compared)
    # The columns of a row that is left out are not read where the row is wide. The plus keeps SQLite
    # from an index of its own over these rows, whose first rows are not the newest.
    chosen = f"SELECT number FROM (SELECT {_named(scan)} {source}) WHERE +({rest}) LIMIT ?"
    sql = f"{EXECUTION} WHERE number IN ({chosen})"
    limit = which.limit + 1
    most = examine if scan.rest else limit
    found = connection.execute(sql, (*values, most, *more, limit)).fetchall()
    stopped: Position | None = None
    if len(found) < limit and scan.rest:
        stopped = last_examined(connection, scan, which, after, examine)
    return Found([execution(row) for row in found], stopped)


def last_examined(
    connection: sqlite3.Connection,
    scan: IndexScan,
    which: Filter,
    after: Position | None,
    examine: int,
) -> Position | None:
    """Return the last of so many rows of a scan; `None` where it has not as many."""
    # Times are in the index; ids are looked up only of those of one moment.
    rows, time, values = _rows_of(scan, which, after)
    sql = f"SELECT {time} {rows} ORDER BY {time} DESC LIMIT 1 OFFSET ?"
    last = connection.execute(sql, (*values, examine - 1)).fetchone()
    if last is None:
        return None
    values = (*values, *last)
    newer = connection.execute(f"SELECT count(*) {rows} AND {time} > ?", values).fetchone()[0]
    sql = f"SELECT {time}, id {rows} AND {time} = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
    return connection.execute(sql, (*values, examine - 1 - newer)).fetchone()


def count_scan(
    connection: sqlite3.Connection, scan: IndexScan, which: Filter, examine: int
) -> tuple[int, int]:
    """Return how many rows of a scan were examined, and how many of them match."""
    rows, _, values = _rows_of(scan, which, None)
    rest, more = conjunction(scan.rest, compared)
    sql = f"SELECT count(*), count(*) FILTER (WHERE {rest}) FROM (SELECT {_named(scan)} {rows} LIMIT ?)"
    return connection.execute(sql, (*more, *values, examine)).fetchone()


def _named(scan: IndexScan) -> str:
    """Return the columns that a scan compares."""
    columns = {"number"}
    for each in scan.rest:
        columns |= COMPARED_TOGETHER.get((each.column, each.how), {each.column})
    return ", ".join(sorted(columns))


COMPARED_TOGETHER = {
    ("dead", "="): {"state", "dismissed"},
    ("flow", "among"): {"integration", "flow"},
    ("id", "or key"): {"id", "record_key"},
    ("id", "payload"): {"number"},
}


def contains(column: str, count: int) -> str:
    """Return that a value which is not too large contains one of so many texts."""
    found = " OR ".join([f"instr({column}, ?) > 0"] * count)
    return f"(length({column}) <= {LARGEST_SEARCHED} AND ({found}))"


def spelt_flows(flows: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return pairs of an integration and a flow as they are compared."""
    return tuple(f"{integration} {flow}" for integration, flow in flows)


def of_bulk(bulk: str) -> tuple[str, str, str]:
    """Return the values of `OF_BULK`: its replays have ids of one time, and name it."""
    return (*replays_of_bulk(bulk), f"%{bulk}%")


def where(which: Filter) -> tuple[str, tuple[Any, ...]]:
    """A filter as a WHERE clause and its values."""
    return conjunction(compare_all(which), compared)


def parked(rows: Iterable[tuple[str | bytes, int]]) -> dict[str, int]:
    """Return the number of executions that wait for each connection, from what they wait for."""
    counts: dict[str, int] = {}
    for waiting_for, count in rows:
        name = waiting_for.decode() if isinstance(waiting_for, bytes) else waiting_for
        connection = name.removeprefix(PARKED).removesuffix(ONCE)
        counts[connection] = counts.get(connection, 0) + count
    return counts
