"""Counts of outcomes by time, from which curves are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from halflap.model import Micros, OutcomeCount
from halflap.store.catalogue.table import CatalogueNoun
from halflap.store.catalogue.writer import conditions, marks
from halflap.store.job import JobTransaction
from halflap.store.retention import DAY

if TYPE_CHECKING:
    from halflap.store.protocol import Journal

MINUTE: Micros = 60_000_000
SHORT, LONG = STEPS = (5 * MINUTE, 60 * MINUTE)
"""The time that a row counts: five minutes, or an hour."""
LATE: Micros = 30_000_000
"""The time that the commit of an end may take."""
KEPT: dict[Micros, Micros] = {SHORT: 2 * DAY, LONG: 400 * DAY}
EVERYBODY = ""
"""The customer of rows that count those of all customers."""
UNTIL = "outcomes_until"

SeriesKey = Literal["customer", "integration", "flow", "version", "state", "cause"]
OUTCOME = "version/state"
"""The key of curves by version and state, as `<hash>/failed`."""
ADD = """
INSERT INTO outcomes (step, customer, at, integration, flow, version, state, cause, took, count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (step, customer, at, integration, flow, version, state, cause, took)
    DO UPDATE SET count = outcomes.count + excluded.count
"""
READ_MARK = "SELECT value FROM settings WHERE name = ?"
PUT_MARK = """
INSERT INTO settings (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
PRUNE = "DELETE FROM outcomes WHERE step = ? AND at < ?"
KEYS: dict[SeriesKey | Literal["version/state"], str] = {
    "customer": "customer",
    "integration": "integration",
    "flow": "integration || '/' || flow",
    "version": "version",
    "state": "state",
    OUTCOME: "version || '/' || state",
    "cause": "cause",
}
Place = tuple[Micros, str, int]
"""A step of time, a key, and a place in `TOOK`."""


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """A question for counts: by what, over which time, of whom; None matches all.

    `since` begins a `step`, which is a multiple of five minutes.
    """

    by: SeriesKey | Literal["version/state"]
    since: Micros
    until: Micros
    step: Micros
    customer: str | None = None
    integration: str | None = None
    flow: str | None = None
    state: str | None = None

    @property
    def row_step(self) -> Micros:
        """The step of the rows that are read."""
        return LONG if self.step % LONG == 0 else SHORT

    def counts(self, each: OutcomeCount) -> bool:
        """Return whether a count is one of those that were asked for."""
        if self.by == "cause" and not each.cause:
            return False
        if each.state == "accepted" and self.by != "state" and self.state is None:
            return False
        return (
            self.customer in (None, each.customer)
            and self.integration in (None, each.integration)
            and self.flow in (None, each.flow)
            and self.state in (None, each.state)
        )

    def key(self, each: OutcomeCount) -> str:
        """Return the key of a count's series."""
        match self.by:
            case "flow":
                return f"{each.integration}/{each.flow}"
            case "version/state":
                return f"{each.version}/{each.state}"
            case _:
                return getattr(each, self.by)


class OutcomeCounts(CatalogueNoun):
    """Adds and reads counts of outcomes."""

    async def until(self) -> Micros | None:
        """Return the time up to which all is counted; None where nothing is."""
        row = await self._writer.row(READ_MARK, UNTIL)
        return None if row is None else int(row[0])

    async def roll_up(self, journal: Journal, now: Micros) -> bool:
        """Count the next minute in which anything ended, if it is over; return whether it was."""
        before = await self.until()
        first = await journal.first_end(before or 0)
        if first is None:
            return False
        begin = max(first - first % MINUTE, before or 0)
        end = begin + MINUTE
        if end + LATE > now:
            return False
        rows = _rows(await journal.outcomes(begin, end), begin)

        def job(connection: JobTransaction) -> None:
            found = connection.execute(READ_MARK, (UNTIL,)).fetchone()
            if (None if found is None else int(found[0])) != before:
                return  # another process did that
            if rows:
                connection.executemany(ADD, rows)
            connection.execute(PUT_MARK, (UNTIL, str(end)))
            if before is None or before // LONG != end // LONG:
                for step, kept in KEPT.items():
                    connection.execute(PRUNE, (step, end - kept))

        await self._writer.note(job)
        return True

    async def top(self, which: SeriesQuery, most: int) -> list[str]:
        """Return the keys that have most, the first of them first."""
        where, values = _where(which)
        rows = await self._writer.rows(
            f"SELECT {KEYS[which.by]}, sum(count) FROM outcomes {where}"
            " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?",
            (*values, most),
        )
        return [row[0] for row in rows]

    async def read(self, which: SeriesQuery, keys: Sequence[str]) -> dict[Place, int]:
        """Return the counts of some series."""
        if not keys:
            return {}
        where, values = _where(which)
        key = KEYS[which.by]
        rows = await self._writer.rows(
            f"SELECT at - at % ?, {key}, took, sum(count) FROM outcomes"
            f" {where} AND {key} IN ({marks(keys)}) GROUP BY 1, 2, 3",
            (which.step, *values, *keys),
        )
        return {(row[0], row[1], row[2]): int(row[3]) for row in rows}


def _rows(counts: Iterable[OutcomeCount], at: Micros) -> list[tuple[str | int, ...]]:
    """Return counts as rows of each step, of their customers and of everybody; sorted, as locks are."""
    sums: dict[tuple[str | int, ...], int] = {}
    for each in counts:
        for step in STEPS:
            for customer in (each.customer, EVERYBODY):
                about = (each.integration, each.flow, each.version, each.state, each.cause)
                row = (step, customer, at - at % step, *about, each.took)
                sums[row] = sums.get(row, 0) + each.count
    return [(*row, count) for row, count in sorted(sums.items())]


def _where(which: SeriesQuery) -> tuple[str, tuple[object, ...]]:
    is_of_one = which.customer is not None or which.by != "customer"
    return conditions(
        {
            "step = ?": which.row_step,
            "at >= ?": which.since,
            "at < ?": which.until,
            f"customer {'=' if is_of_one else '>'} ?": which.customer or EVERYBODY,
            "integration = ?": which.integration,
            "flow = ?": which.flow,
            "state = ?": which.state,
            "cause <> ?": "" if which.by == "cause" else None,
            "state <> ?": "accepted" if which.by != "state" and which.state is None else None,
        }
    )
