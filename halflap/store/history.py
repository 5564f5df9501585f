"""Read the journal in SQLite: executions, and what each did."""

from __future__ import annotations

import sqlite3
from typing import Any

from halflap.errors import NotFound
from halflap.model import (
    CONTINUED,
    CauseGroup,
    Event,
    Execution,
    ExecutionState,
    LogLine,
    Micros,
    Outcome,
    OutcomeCount,
    Paused,
    Record,
    Tally,
)
from halflap.store import gates, reading
from halflap.store.blobs.payloads import Payloads
from halflap.store.claiming import EVENT, STEPS
from halflap.store.protocol import MOST_EXAMINED, Attempt, Filter, Journal, Page, Position
from halflap.store.rules.listing import Found, merge, plan_scans, sum_up
from halflap.store.sqlite import Ways

LOGS = f"""
SELECT id, at, level, message, fields, step FROM logs
WHERE execution = {reading.NUMBER} AND id > ? ORDER BY id LIMIT ?
"""


class History:
    """The verbs of the journal that only read (see store/protocol.py)."""

    payloads: Payloads

    def __init__(self, database: Ways) -> None:
        self._database = database
        self._names_indexes = True

    async def execution(self, execution: str) -> Execution | None:
        found = await self._rows(f"{reading.EXECUTION} WHERE id = ?", (execution,))
        return await self.payloads.load_result(reading.execution(found[0])) if found else None

    async def executions(self, which: Filter) -> list[Execution]:
        where, values = reading.where(which)
        order = order_of_list(which)
        hint = self._indexed_by("executions_live") if reading.is_living(which) else ""
        rows = await self._rows(
            f"{reading.EXECUTION} {hint} WHERE {where} ORDER BY {order} LIMIT ?",
            (*values, which.limit),
        )
        return self.payloads.without_large([reading.execution(each) for each in rows])

    async def page(
        self, which: Filter, after: Position | None = None, *, examine: int = MOST_EXAMINED
    ) -> Page:
        def job(connection: sqlite3.Connection) -> list[Found]:
            scans = plan_scans(which)
            return [reading.read_scan(connection, e, which, after, examine) for e in scans]

        return merge(await self._database.read(job), which)

    async def count_listed(self, which: Filter, most: int, *, examine: int) -> int | None:
        def job(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            return [reading.count_scan(connection, e, which, examine) for e in plan_scans(which)]

        return sum_up(await self._database.read(job), most, examine)

    async def count(self, which: Filter) -> dict[ExecutionState, int]:
        where, values = reading.where(which)
        rows = await self._rows(f"{reading.COUNT} WHERE {where} GROUP BY state", values)
        return dict(rows)

    async def outcomes(self, begin: Micros, end: Micros) -> list[OutcomeCount]:
        rows = await self._rows(reading.OUTCOMES, (begin, end))
        return [OutcomeCount(*row) for row in rows]

    async def first_end(self, since: Micros) -> Micros | None:
        return (await self._rows(reading.FIRST_END, (since,)))[0][0]

    async def backlog(self, customer: str | None, most: int) -> tuple[int, Micros | None]:
        of, values = ("", ()) if customer is None else ("AND customer = ?", (customer, most))
        limit = "" if customer is None else "LIMIT ?"
        sql = reading.BACKLOG.format(of=of, limit=limit, hint=self._indexed_by("executions_live"))
        count, first = (await self._rows(sql, values))[0]
        return count, first

    async def causes(self, which: Filter) -> list[CauseGroup]:
        hint = self._indexed_by("executions_dead") if which.dead_letters else ""
        where, values = reading.where_failed(which)
        sql = reading.CAUSES.format(where=where, hint=hint)
        # An empty list of choices leaves nothing to search an index for.
        is_void = () in (which.ids, which.flows)
        rows = [] if is_void else await self._rows(sql, (*values, which.limit))
        if not rows:
            return []
        causes = [row[0] for row in rows]
        where, values = reading.where_failed(reading.first_of(which))
        # Of all that was looked at, what replays may have failed before.
        if which.since is None and which.until is None:
            where += " AND replay_of IS NOT NULL"
        marks = ", ".join("?" * len(causes))
        first = reading.FIRST.format(where=where, causes=marks, hint=hint)
        found = dict(await self._rows(first, (*values, *causes)))
        return [reading.cause_group(row, found) for row in rows]

    async def tally(self, which: Filter) -> list[Tally]:
        where, values = reading.where(which)
        rows = await self._rows(reading.TALLY.format(where=where), (*values, which.limit))
        return [Tally(*row) for row in rows]

    async def event(self, execution: str) -> Event | None:
        rows = await self._rows(EVENT, (execution,))
        return await self.payloads.load_event(reading.event(rows[0]), execution) if rows else None

    async def steps(
        self, execution: str, *, after: int | None = None, limit: int | None = None
    ) -> list[Record]:
        if limit is None:
            rows = await self._rows(STEPS, (execution,))
        else:
            first = -reading.LARGEST if after is None else after
            rows = await self._rows(reading.STEP_PAGE, (execution, first, limit))
        return await self.payloads.load_steps(map(reading.record, rows), execution)

    async def step_heads(self, execution: str) -> list[Record]:
        rows = await self._rows(reading.STEP_HEADS, (execution,))
        return [reading.record(row) for row in rows]

    async def logs(
        self, execution: str, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, LogLine]]:
        rows = await self._rows(LOGS, (execution, after, -1 if limit is None else limit))
        lines = [(row[0], LogLine(*row[1:])) for row in rows]
        return await self.payloads.load_lines(lines, execution)

    async def attempts(self, execution: str) -> list[Attempt]:
        rows = await self._rows(
            "SELECT number, started_at, ended_at, how, failure FROM attempts"
            " WHERE execution = ? ORDER BY number",
            (execution,),
        )
        return [Attempt(*row[:4], failure=reading.failure(row[4])) for row in rows]

    async def paused(self) -> list[Paused]:
        return gates.paused(await self._rows(gates.LIST, ()))

    async def live(self, instance: str) -> int:
        rows = await self._rows(
            f"SELECT count(*) FROM executions {self._indexed_by('executions_live')}"
            " WHERE instance = ? AND state IN ('queued', 'running', 'waiting')",
            (instance,),
        )
        return rows[0][0]

    def _indexed_by(self, index: str) -> str:
        """Name the index of a query; a view, which a scope reads, has none to name."""
        return f"INDEXED BY {index}" if self._names_indexes else ""

    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return await self._database.read(lambda c: c.execute(sql, values).fetchall())


def order_of_list(which: Filter) -> str:
    """Return how executions of a filter are ordered."""
    if which.chain is not None:
        return "link DESC, id DESC"
    return "id DESC" if which.after is None else "id ASC"


async def outcome_at_end(journal: Journal, execution: str) -> Outcome | None:
    """Return how an execution ended, of a chain the last one; None where that has not.

    The last one may hand over to the next between two looks, so it is looked for again. Raises
    `NotFound`.
    """
    found = await journal.execution(execution)
    while found is not None and found.chain is not None and found.reason == CONTINUED:
        [last] = await journal.executions(Filter(chain=found.chain, limit=1))
        if last.id == found.id:
            break
        found = await journal.execution(last.id)
    return outcome_of(execution, found)


def outcome_of(execution: str, found: Execution | None) -> Outcome | None:
    """Return the outcome of an execution; raise `NotFound` where there is none."""
    if found is None:
        raise missing(execution)
    match found.state:
        case "succeeded" | "failed" | "cancelled" | "ignored" as state:
            return Outcome(state, found.reason, found.result, found.failure)
        case _:
            return None


def missing(execution: str) -> NotFound:
    """Says that an execution is not there."""
    return NotFound(
        f"no execution has the id {execution!r}: it was never accepted, or was pruned since; "
        "see: halflap executions list"
    )
