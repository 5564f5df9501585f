"""Read the journal in PostgreSQL: executions, and what each did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from halflap.model import (
    ENDED,
    CauseGroup,
    Clock,
    Event,
    Execution,
    ExecutionState,
    LogLine,
    Micros,
    OutcomeCount,
    Paused,
    Record,
    Tally,
    made_at,
)
from halflap.store import reading
from halflap.store.blobs.payloads import Payloads
from halflap.store.history import order_of_list
from halflap.store.postgres import gates, listing, rows
from halflap.store.postgres.columns import Texts
from halflap.store.postgres.database import PostgresWays
from halflap.store.postgres.slots import OF_A_DAY, first_slot
from halflap.store.protocol import MOST_EXAMINED, Attempt, Filter, Page, Position
from halflap.store.retention import DAY
from halflap.store.rules.listing import Found, compare_all, conjunction, merge, plan_scans, sum_up

PLACES = {"executions": rows.LIVE, "letters": rows.LETTER, "history": rows.HISTORY}
SINCE = {"executions": "", "letters": "", "history": " AND slot >= %(since)s"}
"""Conditions that skip the slots of the days before an id was made."""
ONE = " UNION ALL ".join(
    f"SELECT {columns} FROM {place} WHERE id = %(id)s{SINCE[place]}"
    for place, columns in PLACES.items()
)
OF_DAYS = "slot >= %(slot)s"
ENDED_IN = [
    ("letters", "true"),
    *(("history", f"{OF_DAYS} AND state = '{each}'") for each in ENDED),
]
CAME_TO = [("executions", "true"), ("letters", "true"), ("history", OF_DAYS)]
TALLY = """
SELECT customer, instance, integration, flow, version, state, cause, min(reason), sum(count)::bigint
FROM ({places}) AS found (customer, instance, integration, flow, version, state, cause, reason, count)
GROUP BY 1, 2, 3, 4, 5, 6, 7
ORDER BY 9 DESC, 1, 2, 3, 4, 5, 6, 7 LIMIT %s
"""
ALIKE = """
SELECT customer, instance, integration, flow, version, state, {why}, count(*)
FROM {place} WHERE {where} GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
WHY, WHY_ENDED = {"executions": "'', ''::bytea"}, "coalesce(cause, ''), min(reason)"
COUNT = "SELECT state, count(*) FROM ({places}) AS found GROUP BY state"
FAILED = """
SELECT cause, ended_at, id, flow, instance, customer, accepted_at, replay_of, replay
FROM {place} WHERE {where} AND state = 'failed'"""
# What is counted once is sorted by each aggregate: of few rows, which were put together before.
CAUSES = """
SELECT cause, sum(count)::bigint, min(first), max(last), max(newest),
    string_agg(DISTINCT flow, ','), left(string_agg(DISTINCT instance, ','), 154),
    count(DISTINCT instance), count(DISTINCT customer)
FROM (
    SELECT coalesce(cause, '') AS cause, flow, instance, customer, count(*) AS count,
        min(ended_at) AS first, max(ended_at) AS last, max(id) AS newest
    FROM ({places}) AS found GROUP BY 1, 2, 3, 4
) AS found GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %s
"""
# What is replayed came when the replay's event did, or later, and ended before the replay came.
FIRST = f"""
WITH RECURSIVE found AS (
    SELECT cause, ended_at, accepted_at, replay_of, replay FROM ({{places}}) AS own WHERE cause = ANY(%s)
    UNION ALL SELECT before.* FROM found CROSS JOIN LATERAL (
        SELECT cause, ended_at, accepted_at, replay_of, replay FROM history
        WHERE id = found.replay_of AND cause = found.cause AND slot BETWEEN
            (coalesce((found.replay::json ->> 'event_at')::bigint, 0) / {DAY} - 1) * {OF_A_DAY}
            AND (found.accepted_at / {DAY} + 2) * {OF_A_DAY} - 1 LIMIT 1
    ) AS before WHERE found.replay_of IS NOT NULL
) SELECT cause, min(ended_at) FROM found GROUP BY 1
"""
ENDED_WITHIN = f"""
SELECT customer, integration, flow, version, state, coalesce(cause, ''),
    {reading.took_place("coalesce(ran, 0)")}, count(*)
FROM {{}} WHERE {{}} AND ended_at >= %(begin)s AND ended_at < %(end)s AND {reading.OF_EVENTS}
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
ACCEPTED_WITHIN = f"""
SELECT customer, integration, flow, version, 'accepted', '', 0, count(*) FROM {{}}
WHERE {{}} AND accepted_at >= %(begin)s AND accepted_at < %(end)s AND {reading.OF_EVENTS}
GROUP BY 1, 2, 3, 4
"""
OUTCOMES = " UNION ALL ".join(
    [ENDED_WITHIN.format(*each) for each in ENDED_IN]
    + [ACCEPTED_WITHIN.format(*each) for each in CAME_TO]
)
FIRST_OF = "SELECT min(ended_at) AS at FROM {} WHERE {} AND ended_at >= %(since)s"
FIRST_CAME = "SELECT min(accepted_at) FROM executions WHERE accepted_at >= %(since)s"
FIRSTS = " UNION ALL ".join([*(FIRST_OF.format(*each) for each in ENDED_IN), FIRST_CAME])
FIRST_END = f"SELECT min(at) FROM ({FIRSTS}) AS found"
BACKLOG = """
SELECT count(*), min(accepted_at) FROM
    (SELECT accepted_at FROM executions WHERE customer = %s LIMIT %s) AS found
"""
FAILURES = """
SELECT id, failure FROM letters WHERE id = ANY(%(ids)s)
UNION ALL SELECT id, failure FROM history WHERE id = ANY(%(ids)s)
"""
IN_HISTORY = "FROM history WHERE id = %(id)s AND slot >= %(since)s"
EVENT = f"""
SELECT received_at, part, head, body FROM events WHERE execution = %(id)s
UNION ALL SELECT received_at, part, head, body FROM letters WHERE id = %(id)s
UNION ALL SELECT received_at, part, head, body {IN_HISTORY} AND body IS NOT NULL
"""
STEPS = f"""
(SELECT data, false FROM steps WHERE execution = %(id)s AND seq > %(after)s
    ORDER BY seq LIMIT %(limit)s::bigint)
UNION ALL SELECT steps, true FROM letters WHERE id = %(id)s
UNION ALL SELECT steps, true {IN_HISTORY} AND steps IS NOT NULL
"""
LINES = f"""
(SELECT number, data FROM logs WHERE execution = %(id)s AND number > %(after)s
    ORDER BY number LIMIT %(limit)s::bigint)
UNION ALL SELECT NULL, logs FROM letters WHERE id = %(id)s
UNION ALL SELECT NULL, logs {IN_HISTORY} AND logs IS NOT NULL
ORDER BY 1
"""
ATTEMPTS = """
SELECT number, started_at, ended_at, how, failure, NULL::bytea FROM attempts
    WHERE execution = %(id)s
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, attempts FROM letters WHERE id = %(id)s
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, attempts FROM history
    WHERE id = %(id)s AND slot >= %(since)s
ORDER BY 1
"""


class PostgresHistory:
    """The verbs of the journal that only read (see store/protocol.py)."""

    payloads: Payloads
    _database: PostgresWays
    _clock: Clock

    async def execution(self, execution: str) -> Execution | None:
        found = await self._found(ONE, execution)
        return await self.payloads.load_result(rows.execution(found[0])) if found else None

    async def executions(self, which: Filter) -> list[Execution]:
        order, limit = order_of_list(which), which.limit
        each = f"(SELECT {{columns}} FROM {{place}} WHERE {{where}} ORDER BY {order} LIMIT %s)"
        sql = f"SELECT * FROM ({{places}}) AS found ORDER BY {order} LIMIT %s"
        found = await self._of_places(sql, each, which, limit, beside=(limit,))
        return self.payloads.without_large([rows.execution(row) for row in found])

    async def page(
        self, which: Filter, after: Position | None = None, *, examine: int = MOST_EXAMINED
    ) -> Page:
        limit = which.limit + 1
        scans = [
            each
            for scan in plan_scans(which)
            for each in listing.scans_of_places(scan, which, after)
        ]
        found: list[Found] = []
        for each in scans:
            sql, values = each.select(limit, examine)
            read = [rows.execution(row) for row in await self._database.fetch(sql, values)]
            stopped: Position | None = None
            if len(read) < limit and each.bounded:
                last = await self._database.fetch(*each.last(examine))
                stopped = (last[0][0], last[0][1]) if last else None
            found.append(Found(read, stopped))
        return merge(found, which)

    async def count_listed(self, which: Filter, most: int, *, examine: int) -> int | None:
        counts: list[tuple[int, int]] = []
        for scan in plan_scans(which):
            for each in listing.scans_of_places(scan, which, None):
                [found] = await self._database.fetch(*each.count(examine))
                counts.append((found[0], found[1]))
        return sum_up(counts, most, examine)

    async def count(self, which: Filter) -> dict[ExecutionState, int]:
        each = "SELECT state FROM {place} WHERE {where}"
        return dict(await self._of_places(COUNT, each, which))

    async def outcomes(self, begin: Micros, end: Micros) -> list[OutcomeCount]:
        given = {"begin": begin, "end": end, "slot": first_slot(begin)}
        return [OutcomeCount(*row) for row in await self._database.fetch(OUTCOMES, given)]

    async def first_end(self, since: Micros) -> Micros | None:
        given = {"since": since, "slot": first_slot(since)}
        return (await self._database.fetch(FIRST_END, given))[0][0]

    async def backlog(self, customer: str | None, most: int) -> tuple[int, Micros | None]:
        if customer is None:
            sql, values = "SELECT count(*), min(accepted_at) FROM executions", ()
        else:
            sql, values = BACKLOG, (customer, most)
        count, first = (await self._database.fetch(sql, values))[0]
        return count, first

    async def causes(self, which: Filter) -> list[CauseGroup]:
        found = await self._of_places(CAUSES, FAILED, which, which.limit, but="executions")
        ids, causes = Texts(row[4] for row in found), Texts(row[0] for row in found)
        failures = dict(await self._database.fetch(FAILURES, {"ids": ids}))
        # Of all that was looked at, what replays may have failed before.
        whole = which.since is None and which.until is None
        each = f"{FAILED} AND replay_of IS NOT NULL" if whole else FAILED
        of = reading.first_of(which)
        first = dict(await self._of_places(FIRST, each, of, causes, but="executions"))
        return [reading.cause_group((*row, failures.get(row[4])), first) for row in found]

    async def tally(self, which: Filter) -> list[Tally]:
        found = await self._of_places(TALLY, ALIKE, which, which.limit)
        return [Tally(*row[:7], reason=row[7].decode(), count=int(row[8])) for row in found]

    async def _of_places(
        self,
        sql: str,
        each: str,
        which: Filter,
        *last: Any,
        but: str = "",
        beside: tuple[Any, ...] = (),
    ) -> list[Any]:
        """Read from all tables at once in which there may be what a filter looks for.

        So one that ends meanwhile is in one table or the other. `each` is the SELECT of one, with
        the values of the filter and those `beside`; `last` are the values after all of these.
        """
        selects: list[str] = []
        values: list[Any] = []
        for place, where, more in _places(which):
            if place != but:
                about = {"columns": PLACES[place], "why": WHY.get(place, WHY_ENDED)}
                selects.append(each.format(place=place, where=where, **about))
                values += (*more, *beside)
        if not selects:
            return []
        places = " UNION ALL ".join(selects)
        return await self._database.fetch(sql.format(places=places), (*values, *last))

    async def event(self, execution: str) -> Event | None:
        found = await self._found(EVENT, execution)
        return await self.payloads.load_event(rows.event(found[0]), execution) if found else None

    async def steps(
        self, execution: str, *, after: int | None = None, limit: int | None = None
    ) -> list[Record]:
        first = -reading.LARGEST if after is None else after
        records = (await self._records(execution, first, limit))[:limit]
        return await self.payloads.load_steps(records, execution)

    async def step_heads(self, execution: str) -> list[Record]:
        return [
            replace(each, inputs=None, result=each.result if each.status == "retrying" else None)
            for each in await self._records(execution, -reading.LARGEST, None)
        ]

    async def _records(self, execution: str, after: int, limit: int | None) -> list[Record]:
        records: list[Record] = []
        for data, whole in await self._of(STEPS, execution, after=after, limit=limit):
            records += rows.unpack_steps(data) if whole else [rows.record(data)]
        records = [each for each in records if each.seq > after]
        return sorted(records, key=lambda record: record.seq)

    async def logs(
        self, execution: str, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, LogLine]]:
        lines: list[tuple[int, LogLine]] = []
        for number, data in await self._of(LINES, execution, after=after, limit=limit):
            if number is not None:
                lines.append((number, rows.log_line(data)))
            else:
                lines += (each for each in rows.unpack_lines(data) if each[0] > after)
        return await self.payloads.load_lines(lines[:limit], execution)

    async def attempts(self, execution: str) -> list[Attempt]:
        attempts: list[Attempt] = []
        for *row, whole in await self._of(ATTEMPTS, execution):
            attempts += [rows.attempt(row)] if whole is None else rows.unpack_attempts(whole)
        return attempts

    async def paused(self) -> list[Paused]:
        found = await self._database.fetch(gates.LIST, ())
        return [Paused(what, since, by.decode(), why.decode()) for what, since, by, why in found]

    async def live(self, instance: str) -> int:
        sql = "SELECT count(*) FROM executions WHERE instance = %s"
        return (await self._database.fetch(sql, (instance,)))[0][0]

    async def _found(self, sql: str, execution: str) -> list[Any]:
        """As `_of`, of what every execution has.

        A statement looks for the tables of the history before it looks at rows. Of what ends in
        between, in a table that was made in between (a day's first), it finds nothing: it looks again.
        """
        return await self._of(sql, execution) or await self._of(sql, execution)

    async def _of(self, sql: str, execution: str, **values: Any) -> list[Any]:
        since = first_slot(max(made_at(execution, self._clock()) - DAY, 0))
        return await self._database.fetch(sql, {"id": execution, "since": since, **values})


def _places(which: Filter) -> list[tuple[str, str, Sequence[Any]]]:
    """Where to look for a filter: each table, its WHERE clause and the values of that."""
    compared = [each for each in compare_all(which) if each.column != "dead"]  # a table of its own
    where, values = conjunction(compared, listing.compared)
    return [(place, where, values) for place in listing.places_of(which, which.states)]
