"""A transactional outbox for SQLAlchemy: events are written in the app's own transaction, then sent.

`Outbox.insert` is a statement for any session or connection, sync or async. A relay sends what is
committed: each customer's events in the order in which they were written, each until the server has it.
Any number of relays may run: one holds a customer by a lease on its first row, renewed where a request
could outlast it, and what two of them send is one event by its key.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Update,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from halflap.errors import UpstreamError
from halflap.export.client import LONGEST_WAIT as LONGEST_PAUSE
from halflap.export.client import MOST_EVENTS, AsyncPublisher, Publisher
from halflap.export.event_type import EventTypes, ProductEvent

log = logging.getLogger("halflap.export")

TRIES = 2
"""The tries of a request: a connection may have ended while it was idle. Else the relay waits itself."""
LEASE_MARGIN = 5.0
"""Seconds for which a relay has a customer to itself beyond those that its tries may take."""
LOOK_SECONDS = 0.5
"""Seconds between two looks of a relay that found nothing."""
MOST_CUSTOMERS = 20
"""The customers that a relay takes at once."""
FIRST_WAIT = 1.0
LONGEST_WAIT = 300.0
MOST_REFUSALS = 10
"""The refusals of a customer's first event after which it is set aside, and the next one sent."""
REFUSALS = frozenset({400, 409, 413, 422})
"""Statuses by which the server refuses an event for what it is."""
LONGEST_ERROR = 500


class Outbox:
    """The table of events that are to be sent, and the statements that write them.

    Make it with the `metadata` of the app, so that its migrations have the table.
    """

    def __init__(
        self, events: EventTypes, metadata: MetaData | None = None, *, table: str = "halflap_outbox"
    ) -> None:
        self.events = events
        self.table = Table(
            table,
            MetaData() if metadata is None else metadata,
            Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
            Column("customer", String(200), nullable=False),
            Column("key", String(255), nullable=False),
            Column("type", String(128), nullable=False),
            Column("version", Integer),
            Column("subject", String(255)),
            Column("at", String(40), nullable=False),
            Column("data", Text, nullable=False),
            Column("tries", Integer, nullable=False, default=0),
            Column("due_at", Float, nullable=False, default=0.0),
            Column("claimed_until", Float, nullable=False, default=0.0),
            Column("set_aside", Integer, nullable=False, default=0),
            Column("error", Text, nullable=False, default=""),
            Index(f"{table}_by_customer", "customer", "set_aside", "id"),
            sqlite_autoincrement=True,  # an id that a relay still knows never comes again
        )

    def insert(
        self,
        customer: str,
        event: object,
        *,
        key: str | None = None,
        subject: str | None = None,
        at: datetime | None = None,
    ) -> Insert:
        """Return the statement that writes an event for a customer: execute it in your transaction.

        `event` is data of a declared class, or a `ProductEvent`; the rest is as of `Publisher.publish`,
        but that it happened now where no time is given.
        """
        made = (
            event
            if isinstance(event, ProductEvent)
            else self.events.of(event, key=key, subject=subject, at=at)
        )
        return insert(self.table).values(
            customer=customer,
            key=made.key,
            type=made.type,
            version=made.version,
            subject=made.subject,
            at=(made.at or datetime.now(UTC)).isoformat(),
            data=made.data,
        )

    def create(self, connection: Connection) -> None:
        """Create the table where it is not there, for an app without migrations."""
        self.table.create(connection, checkfirst=True)

    def waiting(self, connection: Connection) -> int:
        """Return how many events are still to be sent."""
        return self._count(connection, 0)

    def set_aside(self, connection: Connection) -> int:
        """Return how many events were refused for what they are, and wait for `retry`."""
        return self._count(connection, 1)

    def retry(self, connection: Connection) -> int:
        """Have what was set aside sent again; returns how many."""
        again = update(self.table).where(self.table.c.set_aside == 1)
        return connection.execute(again.values(set_aside=0, tries=0, due_at=0.0)).rowcount

    def _count(self, connection: Connection, aside: int) -> int:
        count = select(func.count()).select_from(self.table).where(self.table.c.set_aside == aside)
        return connection.execute(count).scalar_one()


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """The first events of a customer, which a relay has to itself by the lease on the first of them."""

    customer: str
    ids: tuple[int, ...]
    events: tuple[ProductEvent, ...]
    tries: int
    until: float
    """The end of the lease, by which the relay knows it as its own."""


class Courier:
    """The relay's work at the database: claims what is due, and settles what became of it."""

    def __init__(
        self, outbox: Outbox, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """`seconds` are those that an answer may take: the lease is longer than all tries."""
        self.table = outbox.table
        self._seconds = TRIES * seconds + (TRIES - 1) * LONGEST_PAUSE
        self._lease = self._seconds + LEASE_MARGIN
        self._clock = clock

    def claim(self, connection: Connection) -> list[ClaimedBatch]:
        """Claim the first events of some customers, each customer's until the lease ends."""
        table, now = self.table.c, self._clock()
        before = self.table.alias("before")
        is_first = ~exists().where(
            before.c.customer == table.customer, before.c.set_aside == 0, before.c.id < table.id
        )
        due = (table.set_aside == 0, table.due_at <= now, table.claimed_until <= now)
        first = select(table.id, table.customer).where(*due, is_first).order_by(table.id)
        first = first.limit(MOST_CUSTOMERS).with_for_update(skip_locked=True, of=self.table)
        found: list[ClaimedBatch] = []
        until = now + self._lease
        for id, customer in connection.execute(first).all():
            taken = update(self.table).where(table.id == id, *due)
            if connection.execute(taken.values(claimed_until=until)).rowcount:
                found.append(self._batch(connection, customer, until))
        return found

    def is_short(self, batch: ClaimedBatch) -> bool:
        """Return whether a lease may end before a request that is sent now does."""
        return self._clock() + self._seconds > batch.until

    def renew(self, connection: Connection, batch: ClaimedBatch) -> ClaimedBatch | None:
        """Begin a lease anew; None where another relay has its events by now."""
        until = self._clock() + self._lease
        renewed = connection.execute(self._held(batch).values(claimed_until=until)).rowcount
        return replace(batch, until=until) if renewed else None

    def _held(self, batch: ClaimedBatch) -> Update:
        """Return the update of a batch's first row, as long as its lease is the batch's own."""
        table = self.table.c
        return update(self.table).where(
            table.id == batch.ids[0], table.claimed_until == batch.until
        )

    def _batch(self, connection: Connection, customer: str, until: float) -> ClaimedBatch:
        table = self.table.c
        of = select(self.table).where(table.customer == customer, table.set_aside == 0)
        rows = connection.execute(of.order_by(table.id).limit(MOST_EVENTS)).mappings().all()
        # After a refusal they go one by one, so that it is known which of them is refused.
        rows = rows[:1] if rows and rows[0]["tries"] else rows
        return ClaimedBatch(
            customer,
            tuple(row["id"] for row in rows),
            tuple(event_of(row) for row in rows),
            rows[0]["tries"] if rows else 0,
            until,
        )

    def sent(self, connection: Connection, batch: ClaimedBatch) -> None:
        """Remove events that the server has."""
        connection.execute(delete(self.table).where(self.table.c.id.in_(batch.ids)))

    def failed(self, connection: Connection, batch: ClaimedBatch, error: UpstreamError) -> None:
        """Let go of a customer's events until they are due again."""
        tries = batch.tries + 1
        wait = min(FIRST_WAIT * 2 ** min(batch.tries, 20), LONGEST_WAIT)
        is_refused = error.status in REFUSALS and len(batch.ids) == 1
        values: dict[str, Any] = {
            "claimed_until": 0.0,
            "tries": tries,
            "due_at": self._clock() + (0.0 if error.status in REFUSALS and tries == 1 else wait),
            "set_aside": int(is_refused and tries >= MOST_REFUSALS),
            "error": error.message[:LONGEST_ERROR],
        }
        what = "is set aside" if values["set_aside"] else "waits"
        log.warning("an event of %s %s: %s", batch.customer, what, error.message)
        connection.execute(self._held(batch).values(values))


def event_of(row: Any) -> ProductEvent:
    """Return the event of a row."""
    named = (row["type"], row["data"], row["key"], row["version"], row["subject"])
    return ProductEvent(*named, datetime.fromisoformat(row["at"]))


class OutboxRelay:
    """Sends what an outbox has, in a thread of the app or in a process of its own."""

    def __init__(self, outbox: Outbox, engine: Engine, publisher: Publisher) -> None:
        self._engine = engine
        self._publisher = publisher
        self._courier = Courier(outbox, publisher.timeout.total_seconds())
        self._stopping = threading.Event()

    def send(self) -> int:
        """Send what is due once; returns how many events the server has now."""
        with self._engine.begin() as connection:
            claimed = self._courier.claim(connection)
        return sum(self._send(each) for each in claimed if each.ids)

    def _send(self, batch: ClaimedBatch) -> int:
        failure: UpstreamError | None = None
        if self._courier.is_short(batch):
            with self._engine.begin() as connection:
                renewed = self._courier.renew(connection, batch)
            if renewed is None:
                return 0
            batch = renewed
        try:
            self._publisher.publish_all(batch.customer, batch.events, tries=TRIES)
        except UpstreamError as error:
            failure = error
        with self._engine.begin() as connection:
            if failure is None:
                self._courier.sent(connection, batch)
                return len(batch.ids)
            self._courier.failed(connection, batch, failure)
        return 0

    def run(self) -> None:
        """Send until `stop`, whatever the database or the server do meanwhile."""
        while not self._stopping.is_set():
            sent = 0
            try:
                sent = self.send()
            except Exception:  # the database is away, say: nothing is lost, and the next look tells
                log.exception("the relay of the outbox failed, and goes on")
            if not sent:
                self._stopping.wait(LOOK_SECONDS)

    def stop(self) -> None:
        """Have `run` return once what it sends is sent."""
        self._stopping.set()


class AsyncOutboxRelay:
    """Sends what an outbox has, as a task of an app on asyncio."""

    def __init__(self, outbox: Outbox, engine: AsyncEngine, publisher: AsyncPublisher) -> None:
        self._engine = engine
        self._publisher = publisher
        self._courier = Courier(outbox, publisher.timeout.total_seconds())

    async def send(self) -> int:
        """Send what is due once; returns how many events the server has now."""
        async with self._engine.begin() as connection:
            claimed = await connection.run_sync(self._courier.claim)
        return sum([await self._send(each) for each in claimed if each.ids])

    async def _send(self, batch: ClaimedBatch) -> int:
        failure: UpstreamError | None = None
        if self._courier.is_short(batch):
            async with self._engine.begin() as connection:
                renewed = await connection.run_sync(self._courier.renew, batch)
            if renewed is None:
                return 0
            batch = renewed
        try:
            await self._publisher.publish_all(batch.customer, batch.events, tries=TRIES)
        except UpstreamError as error:
            failure = error
        async with self._engine.begin() as connection:
            if failure is None:
                await connection.run_sync(self._courier.sent, batch)
                return len(batch.ids)
            await connection.run_sync(self._courier.failed, batch, failure)
        return 0

    async def run(self) -> None:
        """Send until the task is cancelled, whatever the database or the server do meanwhile."""
        while True:
            sent = 0
            try:
                sent = await self.send()
            except Exception:  # the database is away, say: nothing is lost, and the next look tells
                log.exception("the relay of the outbox failed, and goes on")
            if not sent:
                await asyncio.sleep(LOOK_SECONDS)
