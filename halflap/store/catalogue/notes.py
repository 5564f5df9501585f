"""Notes beside the executions: refused requests, and counts of what was not kept.

Nobody waits for a note. Those that come while one write is under way gather into the next, so a
flood of refused requests costs the store one small write at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import msgspec
import structlog

from halflap.model import Micros, Rejection
from halflap.store.catalogue.writer import Wanted, conditions, containing
from halflap.store.job import Database, Jobs, JobTransaction, fetch
from halflap.store.scope import CustomerScope

log = structlog.get_logger("halflap.store")

KEPT = 100
"""The number of rejections that an endpoint keeps."""

# Of one that was removed while a request was on its way nobody is left who could remove it.
FORGET = """
DELETE FROM rejections WHERE endpoint = ?
    AND NOT EXISTS (SELECT 1 FROM endpoints WHERE id = ?)
    AND NOT EXISTS (SELECT 1 FROM shared_endpoints WHERE id = ?)
    AND NOT EXISTS (SELECT 1 FROM oauth_apps WHERE endpoint = ?)
"""
_Headers = tuple[tuple[str, str], ...]
INTEGRATION = "coalesce(i.integration, s.integration)"
LISTED = f"""
SELECT r.id, r.endpoint, r.at, r.reason, r.status, r.headers, coalesce(e.flow, s.flow), e.instance,
    e.customer, {INTEGRATION}
FROM rejections AS r LEFT JOIN endpoints AS e ON e.id = r.endpoint
    LEFT JOIN instances AS i ON i.id = e.instance LEFT JOIN shared_endpoints AS s ON s.id = r.endpoint
"""


@dataclass(frozen=True, slots=True)
class RejectionFilter:
    """A filter of refused requests; what is None does not matter. `reason` is a part of it."""

    endpoint: str | None = None
    instance: str | None = None
    customer: str | None = None
    integration: str | None = None
    status: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ListedRejection:
    """A refused request with its number, and whose endpoint it was sent to; None where that is gone.

    A shared endpoint has no instance and no customer.
    """

    number: int
    rejection: Rejection
    flow: str | None
    instance: str | None
    customer: str | None
    integration: str | None


class Rejections:
    """The last refused requests of each endpoint."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: Jobs = database
        self._gathered: dict[str, list[Rejection]] = {}
        self._flight = _Flight(database, self._take)

    def within(self, scope: CustomerScope) -> Rejections:
        """The same for whoever is in a scope, and reads."""
        found = copy(self)
        found._jobs = self._database.within(scope)
        return found

    def note(self, rejection: Rejection) -> None:
        """Note a refused request, without waiting; the last 100 of its endpoint are kept."""
        noted = self._gathered.setdefault(rejection.endpoint, [])
        noted.append(rejection)
        if len(noted) > KEPT:
            del noted[0]
        self._flight.go()

    async def list(
        self, which: RejectionFilter, before: int | None = None, limit: int = KEPT
    ) -> Sequence[ListedRejection]:
        """Return refused requests, newest first: so many of those before a number."""
        await self.settled()
        wanted: Wanted = {
            "r.endpoint = ?": which.endpoint,
            "e.instance = ?": which.instance,
            "e.customer = ?": which.customer,
            f"{INTEGRATION} = ?": which.integration,
            "r.status = ?": which.status,
            "lower(r.reason) LIKE ? ESCAPE '!'": which.reason and containing(which.reason),
            "r.id < ?": before,
        }
        where, values = conditions(wanted)
        sql = f"{LISTED} {where} ORDER BY r.id DESC LIMIT {limit:d}"
        rows = await fetch(self._jobs, sql, *values)
        return [
            ListedRejection(
                number,
                Rejection(*noted, headers=msgspec.json.decode(headers, type=_Headers)),
                *place,
            )
            for number, *noted, headers, flow, instance, customer, integration in rows
            for place in [(flow, instance, customer, integration)]
        ]

    async def settled(self) -> None:
        """Wait until what was noted is written."""
        await self._flight.landed()

    def _take(self) -> Callable[[JobTransaction], None] | None:
        if not self._gathered:
            return None
        gathered, self._gathered = self._gathered, {}
        rows = [
            (each.endpoint, each.at, each.reason, each.status, headers(each.headers))
            for noted in gathered.values()
            for each in noted
        ]

        def job(connection: JobTransaction) -> None:
            connection.executemany(
                "INSERT INTO rejections (endpoint, at, reason, status, headers)"
                " VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            connection.executemany(
                "DELETE FROM rejections WHERE endpoint = ? AND id <= (SELECT id FROM rejections"
                " WHERE endpoint = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                [(endpoint, endpoint, KEPT) for endpoint in gathered],
            )
            connection.executemany(FORGET, [(endpoint,) * 4 for endpoint in gathered])

        return job


PRODUCT = ""
"""In the place of an instance, the team's own product, whose event types stand in that of flows."""


class Counters:
    """Counters of requests to each flow that are counted and not stored, and of the product's events."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: Jobs = database
        self._gathered: Counter[tuple[str, str, str]] = Counter()
        self._latest: dict[str, int] = {}
        self._flight = _Flight(database, self._take)

    def within(self, scope: CustomerScope) -> Counters:
        """The same for whoever is in a scope, and reads."""
        found = copy(self)
        found._jobs = self._database.within(scope)
        return found

    def count(self, instance: str, flow: str, what: str, n: int = 1) -> None:
        """Count something (`filtered`, `handshake`), without waiting."""
        self._gathered[instance, flow, what] += n
        self._flight.go()

    def published(self, type: str, at: Micros) -> None:
        """Count an event of the product, and note when it was published, without waiting."""
        self._latest[type] = max(at, self._latest.get(type, 0))
        self.count(PRODUCT, type, "published")

    async def of(self, instance: str) -> dict[str, dict[str, int]]:
        """An instance's counts: `{flow: {what: count}}`."""
        await self.settled()
        sql = "SELECT flow, what, count FROM counters WHERE instance = ? ORDER BY flow, what"
        rows = await fetch(self._jobs, sql, instance)
        found: dict[str, dict[str, int]] = {}
        for flow, what, count in rows:
            found.setdefault(flow, {})[what] = count
        return found

    async def settled(self) -> None:
        """Wait until what was counted is written."""
        await self._flight.landed()

    def _take(self) -> Callable[[JobTransaction], None] | None:
        if not self._gathered:
            return None
        gathered, self._gathered = self._gathered, Counter()
        latest, self._latest = self._latest, {}
        times = [(PRODUCT, type, "published_at", at) for type, at in sorted(latest.items())]
        # Sorted, so that two processes lock these rows in one order.
        rows = [(*key, n) for key, n in sorted(gathered.items())]

        def job(connection: JobTransaction) -> None:
            connection.executemany(
                "INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT (instance, flow, what)"
                " DO UPDATE SET count = counters.count + excluded.count",
                rows,
            )
            if times:
                connection.executemany(
                    "INSERT INTO counters VALUES (?, ?, ?, ?) ON CONFLICT (instance, flow, what) DO"
                    " UPDATE SET count = excluded.count WHERE counters.count < excluded.count",
                    times,
                )

        return job


class _Flight:
    """One write under way at a time; `take` gives the next one, None where nothing gathered."""

    def __init__(
        self,
        database: Database,
        take: Callable[[], Callable[[JobTransaction], None] | None],
    ) -> None:
        self._database = database
        self._take = take
        self._under_way: asyncio.Future[None] | None = None

    def go(self) -> None:
        if self._under_way is None and (job := self._take()) is not None:
            self._under_way = self._database.post(job)
            self._under_way.add_done_callback(self._done)

    async def landed(self) -> None:
        while self._under_way is not None:
            await asyncio.wait([self._under_way])

    def _done(self, future: asyncio.Future[None]) -> None:
        self._under_way = None
        if not future.cancelled() and (error := future.exception()) is not None:
            log.warning("notes were lost", error=str(error))
        self.go()


def headers(pairs: _Headers) -> str:
    """Headers to be kept for people to read; what UTF-8 cannot hold is escaped."""
    text = msgspec.json.encode(
        [[each.encode("utf-8", "backslashreplace").decode() for each in pair] for pair in pairs]
    )
    return text.decode()
