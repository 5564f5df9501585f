"""Outbound messages go out: at least once, in no order, each with the records' latest data.

Each message and endpoint has a queue of its own. An idle queue sends at once; what comes while one
message is on its way is gathered into the next, up to 100 notifications. A message that is not
acknowledged is sent again, later and later, until the day is over.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from itertools import count

from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.poster import LONGEST_ANSWER, Poster
from halflap_sandbox.salesforce.model import Json, Org, OutboundMessage, Values, World
from halflap_sandbox.salesforce.notification import HEADERS, acknowledged, envelope
from halflap_sandbox.salesforce.settings import Settings

ADDRESS = "https://sandbox.my.salesforce.com"


@dataclass(frozen=True, slots=True, order=True)
class Notification:
    """That a record was saved: to be sent at `due`, by the event loop's clock."""

    due: float
    order: int
    id: str = field(compare=False)
    record_id: str = field(compare=False)
    created: float = field(compare=False)
    attempt: int = field(default=1, compare=False)
    repeats: bool = field(default=False, compare=False)

    def json(self) -> Json:
        """Give the notification as the sandbox lists it."""
        return {"id": self.id, "record_id": self.record_id, "attempt": self.attempt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try to deliver one message, with its notifications.

    `outcome` is `delivered`, `failed` (to be tried again), `expired` (a day old), `stopped` (the
    message was removed meanwhile) or `dropped` (a fault).
    """

    message: str
    action_id: str
    url: str
    notifications: tuple[Notification, ...]
    outcome: str
    status: int | None = None
    error: str | None = None
    at: str
    duration_ms: float = 0

    def json(self) -> Json:
        """Give the delivery as the sandbox lists it."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return own | {"notifications": [each.json() for each in self.notifications]}


class Sender:
    """Sends the outbound messages of all orgs.

    `address` is the host that the messages name for calling back; `dead_letters` are the expired
    notifications of the messages that keep them.
    """

    def __init__(self, settings: Settings, faults: FaultBoard, world: World) -> None:
        self.settings = settings
        self.faults = faults
        self.world = world
        self.address = ADDRESS
        self._queues: dict[tuple[str, str, str], _Queue] = {}
        self._deliveries: dict[str, deque[Delivery]] = {}
        self._dead_letters: dict[str, deque[Delivery]] = {}
        self._poster = Poster(settings.delivery_timeout)

    def enqueue(self, org: Org, message: OutboundMessage, record_id: str) -> None:
        """Have a record's notification sent to the message's endpoint."""
        key = (org.id, message.id, message.endpoint_url)
        if key not in self._queues:
            self._queues[key] = _Queue(self, org, message)
        queue = self._queues[key]
        queue.message = message
        plan, loop = self.faults.of(org.id), asyncio.get_running_loop()
        notification = Notification(
            due=loop.time() + plan.holds_back(),
            order=next(queue.order),
            id=org.new_id("04l"),
            record_id=record_id,
            created=org.clock(),
        )
        if plan.drops():
            queue.note([notification], "dropped")
        else:
            queue.push([notification])

    def remove(self, message: OutboundMessage) -> None:
        """Stop sending a message, also what of it is pending."""
        for key in [each for each in self._queues if each[1] == message.id]:
            self._queues.pop(key).stop()

    def forget(self, org: Org) -> None:
        """Stop sending an org's messages and forget its deliveries."""
        for key in [each for each in self._queues if each[0] == org.id]:
            self._queues.pop(key).stop()
        self._deliveries.pop(org.id, None)
        self._dead_letters.pop(org.id, None)

    def pending(self, org: Org, message: OutboundMessage | None = None) -> int:
        """Count the notifications that are to be sent yet, those on their way included."""
        return sum(
            queue.count
            for (of, action, _), queue in self._queues.items()
            if of == org.id and (message is None or action == message.id)
        )

    def deliveries(self, org: Org) -> deque[Delivery]:
        """List the last tries to deliver, the oldest first."""
        return self._deliveries.setdefault(org.id, deque(maxlen=self.settings.kept))

    def dead_letters(self, org: Org) -> deque[Delivery]:
        """List what expired of the messages that have a dead-letter queue."""
        return self._dead_letters.setdefault(org.id, deque(maxlen=self.settings.kept))

    async def close(self) -> None:
        """Stop all sending."""
        ending = [task for queue in self._queues.values() if (task := queue.cancel())]
        if ending:
            await asyncio.wait(ending)
        self._queues.clear()
        await self._poster.close()

    async def post(self, url: str, body: bytes) -> tuple[int | None, str | None]:
        """Send a message once; tells the status, and what is wrong with the answer."""
        if not url.lower().startswith(("http://", "https://")):
            return None, "the endpoint is no http or https URL"
        posted = await self._poster.post(url, body, HEADERS)
        if posted.status is None or len(posted.body) > LONGEST_ANSWER:
            return None, posted.error or "the answer is too long"
        return posted.status, acknowledged(posted.status, posted.body)


class _Queue:
    """The notifications of one message for one endpoint."""

    def __init__(self, sender: Sender, org: Org, message: OutboundMessage) -> None:
        self.message = message
        self.order = count()
        self._sender = sender
        self._org = org
        self._url = message.endpoint_url
        self._pending: list[Notification] = []
        self._underway = 0
        self._stopped = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        return len(self._pending) + self._underway

    def push(self, notifications: Iterable[Notification]) -> None:
        for each in notifications:
            heappush(self._pending, each)
        self._wake.set()
        if self._pending and self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"messages {self.message.full_name}")

    def stop(self) -> None:
        """Send nothing more; a message that is on its way may arrive."""
        self._stopped = True
        self._pending.clear()
        self._wake.set()

    def cancel(self) -> asyncio.Task[None] | None:
        self.stop()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def note(
        self,
        notifications: Iterable[Notification],
        outcome: str,
        *,
        status: int | None = None,
        error: str | None = None,
        duration_ms: float = 0,
    ) -> Delivery:
        delivery = Delivery(
            message=self.message.full_name,
            action_id=self.message.id,
            url=self._url,
            notifications=tuple(notifications),
            outcome=outcome,
            status=status,
            error=error,
            at=self._org.now(),
            duration_ms=duration_ms,
        )
        if self._org.id in self._sender.world.orgs:
            self._sender.deliveries(self._org).append(delivery)
        return delivery

    async def _run(self) -> None:
        while self._pending:
            wait = self._pending[0].due - asyncio.get_running_loop().time()
            if wait > 0:
                self._wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
            elif self._removed():
                self._pending.clear()
            else:
                await self._deliver(self._gather())
        self._task = None

    def _removed(self) -> bool:
        known = self._org.outbound_messages.values()
        return self._stopped or all(each.id != self.message.id for each in known)

    def _gather(self) -> list[tuple[Notification, Values | None]]:
        """Return what is due, up to a whole message, with the records as they are now.

        A record that was deleted meanwhile has no values.
        """
        now, oldest = asyncio.get_running_loop().time(), self._org.clock()
        oldest -= self._sender.settings.message_lasts
        self._expire(oldest)
        taken = list[tuple[Notification, Values | None]]()
        table = self._org.tables.get(self.message.object, {})
        while self._pending and self._pending[0].due <= now:
            if len(taken) == self._sender.settings.batch:
                break
            notification = heappop(self._pending)
            record = table.get(notification.record_id)
            deleted = record is None or record.get("IsDeleted")
            taken.append((notification, None if deleted else record))
        return taken

    def _expire(self, oldest: float) -> None:
        expired = [each for each in self._pending if each.created <= oldest]
        if not expired:
            return
        self._pending = [each for each in self._pending if each.created > oldest]
        heapify(self._pending)
        delivery = self.note(expired, "expired")
        if self.message.use_dead_letter_queue:
            self._sender.dead_letters(self._org).append(delivery)

    async def _deliver(self, batch: list[tuple[Notification, Values | None]]) -> None:
        if not batch:
            return
        notifications = [each for each, _ in batch]
        body = envelope(
            self._org,
            self.message,
            [(each.id, values) for each, values in batch],
            address=self._sender.address,
            session=self._session_id(),
        )
        self._underway, started = len(batch), time.perf_counter()
        try:
            status, error = await self._sender.post(self._url, body)
        finally:
            self._underway = 0
        took = round((time.perf_counter() - started) * 1000, 3)
        removed = self._removed()
        outcome = "delivered" if error is None else "stopped" if removed else "failed"
        self.note(notifications, outcome, status=status, error=error, duration_ms=took)
        if removed:
            return
        if error is not None:
            self.push(self._later(notifications))
        else:
            self._repeat(notifications)

    def _session_id(self) -> str | None:
        if not self.message.include_session_id:
            return None
        user = self._org.user_by_name(self.message.integration_user)
        return self._sender.world.open(self._org, user).token if user else None

    def _later(self, failed: list[Notification]) -> Iterable[Notification]:
        backoff, now = self._sender.settings.backoff, asyncio.get_running_loop().time()
        for each in failed:
            wait = backoff[min(each.attempt, len(backoff)) - 1] if backoff else 0
            yield replace(each, due=now + wait, order=next(self.order), attempt=each.attempt + 1)

    def _repeat(self, delivered: list[Notification]) -> None:
        """Send a message again that was acknowledged, where that fault is on; once at most."""
        plan = self._sender.faults.of(self._org.id)
        if any(each.repeats for each in delivered) or not plan.doubles():
            return
        now = asyncio.get_running_loop().time()
        self.push(
            replace(each, due=now, order=next(self.order), repeats=True) for each in delivered
        )
