"""Webhooks go out: signed, at least once, each webhook in a lane of its own.

A lane sends one delivery at a time, the longest due first: in order while the receiver answers, and
past a delivery that waits for its next try. The signature is that of Standard Webhooks 1.0.0.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count

from halflap_sandbox.acme.model import EventName, Json, Webhook, Workspace, new_id, timestamp
from halflap_sandbox.acme.settings import Settings
from halflap_sandbox.answer import dump
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.poster import Posted, Poster

PREFIX = "whsec_"
NOT_SENT = Posted()
TOO_MANY = Posted(error="too many deliveries are pending")


def signing_key(secret: str) -> bytes:
    """Read a `whsec_…` secret; a ValueError says what is wrong with it."""
    if not secret.startswith(PREFIX):
        raise ValueError("begins with whsec_, then 24 to 64 bytes in base64")
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError(f"holds 24 to 64 bytes in base64 after whsec_, not {len(key)}")
    return key


def sign(key: bytes, id: str, at: str, body: bytes) -> str:
    """Sign a delivery, as the value of its webhook-signature header."""
    digest = hmac.digest(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver one message.

    `outcome` is `delivered`, `failed` (to be tried again), `given_up` or `dropped` (a fault).
    """

    id: str
    webhook_id: str
    event: str
    url: str
    attempt: int
    outcome: str
    status: int | None
    error: str | None
    at: str
    duration_ms: float

    def json(self) -> Json:
        """Give the attempt as the sandbox lists it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, order=True)
class Pending:
    """A delivery that is to be tried at `due`, by the event loop's clock."""

    due: float
    order: int
    attempt: int = field(compare=False)
    id: str = field(compare=False)
    body: bytes = field(compare=False)


class Lane:
    """The deliveries of one webhook."""

    def __init__(
        self,
        webhook: Webhook,
        settings: Settings,
        poster: Poster,
        record: Callable[[Attempt], None],
    ) -> None:
        self.last: Attempt | None = None
        self._webhook = webhook
        self._key = signing_key(webhook.secret)
        self._settings = settings
        self._poster = poster
        self._record = record
        self._pending: list[Pending] = []
        self._underway = 0
        self._order = count()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """The number of deliveries that are not done yet, the one on its way included."""
        return len(self._pending) + self._underway

    def send(self, id: str, body: bytes, *, held_back: float = 0) -> None:
        """Have a message delivered, after those before it or `held_back` seconds later."""
        due = asyncio.get_running_loop().time() + held_back
        if len(self._pending) >= self._settings.kept:
            self._note(heappop(self._pending), "given_up", TOO_MANY)
        self._push(Pending(due, next(self._order), 1, id, body))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"acme lane {self._webhook.id}")

    def drop(self, id: str, body: bytes) -> None:
        """Record that a message is never sent."""
        self._note(Pending(0, 0, 0, id, body), "dropped")

    def stop(self) -> asyncio.Task[None] | None:
        """Stop: what is pending is not sent any more. Returns the task that ends with that."""
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()
        return self._task

    async def _run(self) -> None:
        while True:
            pending = await self._next()
            self._underway = 1
            await self._try(pending)

    async def _next(self) -> Pending:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            wait = self._pending[0].due - loop.time() if self._pending else None
            if wait is not None and wait <= 0:
                return heappop(self._pending)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)

    async def _try(self, pending: Pending) -> None:
        started = time.perf_counter()
        posted = await self._post(pending)
        took = round((time.perf_counter() - started) * 1000, 3)
        if posted.is_taken:
            outcome = "delivered"
        elif pending.attempt >= self._settings.tries:
            outcome = "given_up"
        else:
            outcome = "failed"
            self._push(self._later(pending))
        self._underway = 0
        self._note(pending, outcome, posted, took)

    async def _post(self, pending: Pending) -> Posted:
        at = str(int(self._settings.clock()))
        headers = {
            "content-type": "application/json",
            "user-agent": "Acme-Webhooks/1",
            "webhook-id": pending.id,
            "webhook-timestamp": at,
            "webhook-signature": sign(self._key, pending.id, at, pending.body),
        }
        return await self._poster.post(self._webhook.url, pending.body, headers)

    def _later(self, pending: Pending) -> Pending:
        backoff = self._settings.backoff
        wait = backoff[min(pending.attempt, len(backoff)) - 1] if backoff else 0
        due = asyncio.get_running_loop().time() + wait
        return replace(pending, due=due, order=next(self._order), attempt=pending.attempt + 1)

    def _push(self, pending: Pending) -> None:
        heappush(self._pending, pending)
        self._wake.set()

    def _note(
        self, pending: Pending, outcome: str, posted: Posted = NOT_SENT, duration_ms: float = 0
    ) -> None:
        self.last = Attempt(
            id=pending.id,
            webhook_id=self._webhook.id,
            event=self._webhook.event,
            url=self._webhook.url,
            attempt=pending.attempt,
            outcome=outcome,
            status=posted.status,
            error=posted.error,
            at=timestamp(self._settings.clock()),
            duration_ms=duration_ms,
        )
        self._record(self.last)


class Deliverer:
    """Sends what happens in a workspace to the webhooks that asked for it."""

    def __init__(self, settings: Settings, faults: FaultBoard) -> None:
        self._settings = settings
        self._faults = faults
        self._lanes: dict[str, Lane] = {}
        self._attempts: dict[str, deque[Attempt]] = {}
        self._poster = Poster(settings.delivery_timeout)

    def publish(self, workspace: Workspace, event: EventName, record: Json) -> None:
        """Tell every webhook that asked for `event`."""
        webhooks = [each for each in workspace.webhooks.values() if each.event == event]
        if not webhooks:
            return
        now = timestamp(self._settings.clock())
        body = dump({"type": event, "timestamp": now, "data": record})
        for webhook in webhooks:
            self._send(workspace, webhook, body)

    def attempts(self, workspace: Workspace) -> deque[Attempt]:
        """List the last tries to deliver, the oldest first."""
        if workspace.id not in self._attempts:
            self._attempts[workspace.id] = deque(maxlen=self._settings.kept)
        return self._attempts[workspace.id]

    def lane(self, webhook: Webhook) -> Lane | None:
        """Find the deliveries of a webhook, None before its first."""
        return self._lanes.get(webhook.id)

    def remove(self, webhook: Webhook) -> None:
        """Stop calling a webhook, also for what is pending."""
        lane = self._lanes.pop(webhook.id, None)
        if lane is not None:
            lane.stop()

    def forget(self, workspace: Workspace) -> None:
        """Stop calling all webhooks of a workspace and forget its deliveries."""
        for webhook in workspace.webhooks.values():
            self.remove(webhook)
        self._attempts.pop(workspace.id, None)

    async def close(self) -> None:
        """Stop all deliveries."""
        ending = [task for lane in self._lanes.values() if (task := lane.stop())]
        if ending:
            await asyncio.wait(ending)
        self._lanes.clear()
        await self._poster.close()

    def _send(self, workspace: Workspace, webhook: Webhook, body: bytes) -> None:
        lane = self._lanes.get(webhook.id)
        if lane is None:
            record = self.attempts(workspace).append
            lane = Lane(webhook, self._settings, self._poster, record)
            self._lanes[webhook.id] = lane
        plan, message = self._faults.of(workspace.id), new_id("msg")
        if plan.drops():
            lane.drop(message, body)
            return
        for _ in range(2 if plan.doubles() else 1):
            lane.send(message, body, held_back=plan.holds_back())
