"""Clients of a Halflap server for publishing events: one that blocks, and one that is async."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from halflap.errors import UpstreamError
from halflap.export.event_type import EventTypes, ProductEvent

if TYPE_CHECKING:
    import aiohttp

MOST_EVENTS = 100
"""The most events of one request."""
TRIES = 4
FIRST_WAIT = 0.2
LONGEST_WAIT = 10.0
"""Seconds until a request is sent again, at most, whatever the server asks for."""
SECONDS = 15.0
"""Seconds that a request may take."""

Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Publication:
    """An event that the server has durably: the executions that it started, or had started before."""

    id: str
    executions: tuple[str, ...]
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request to the API."""

    method: str
    path: str
    body: bytes


class Protocol:
    """Requests to the API and what their answers say, without any transport."""

    def __init__(self, url: str, key: str, events: EventTypes | None) -> None:
        """`url` is the server's, `key` one of its keys with the right `events`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a server; write https://halflap.example")
        self.url = url.rstrip("/")
        self.origin, self.prefix = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        self.events = EventTypes() if events is None else events
        self.headers: Headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "User-Agent": "halflap-export",
        }

    def declare(self, events: EventTypes | None) -> ApiCall:
        """Return the request that declares event types."""
        types = [each.declaration() for each in (self.events if events is None else events)]
        return ApiCall("PUT", "/api/event-types", json.dumps({"types": types}).encode())

    def publish(self, customer: str, events: Sequence[object]) -> Iterator[ApiCall]:
        """Yield the requests that publish events for a customer, in their order."""
        made = [self.event(each) for each in events]
        path = f"/api/customers/{quote(f'external:{customer}', safe='')}/events/batch"
        for start in range(0, len(made), MOST_EVENTS):
            bodies = [each.body() for each in made[start : start + MOST_EVENTS]]
            yield ApiCall("POST", path, f'{{"events": [{", ".join(bodies)}]}}'.encode())

    def event(
        self,
        data: object,
        key: str | None = None,
        subject: str | None = None,
        at: datetime | None = None,
    ) -> ProductEvent:
        """Return an event as it is, or that of data of a declared class."""
        if isinstance(data, ProductEvent):
            return data
        return self.events.of(data, key=key, subject=subject, at=at)


def published(answer: bytes) -> list[Publication]:
    """Return what the answer to a publication says."""
    return [
        Publication(each["id"], tuple(each["executions"]), each["duplicate"])
        for each in json.loads(answer)["events"]
    ]


def checked(status: int, body: bytes) -> bytes:
    """Return the body of an answer; raise `UpstreamError` where the server refused or failed."""
    if status < 300:
        return body
    try:
        detail = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = body[:200].decode("utf-8", "replace")
    said = body[:2_000].decode("utf-8", "replace")
    raise UpstreamError(f"Halflap answered {status}: {detail}", status=status, body=said)


def unanswered(call: ApiCall, error: Exception) -> UpstreamError:
    """Return the error for a request that was not answered."""
    what = str(error) or type(error).__name__
    return UpstreamError(f"Halflap did not answer {call.method} {call.path}: {what}")


def wait_of(tries: int, after: str | None) -> float:
    """Return the seconds until a request is sent again: what the server asks for, or some by chance."""
    if after is not None and after.isdecimal():
        return min(float(after), LONGEST_WAIT)
    return random.uniform(0.5, 1) * min(FIRST_WAIT * 4**tries, LONGEST_WAIT)  # noqa: S311


class Publisher:
    """Declares event types and publishes events, and blocks meanwhile; threads, and forks, may share one.

    What may help to send again is sent again, 4 times in all: it is the same event by its key.
    """

    def __init__(
        self,
        url: str,
        key: str,
        events: EventTypes | None = None,
        *,
        timeout: timedelta = timedelta(seconds=SECONDS),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`url` is the server's, `key` one of its keys with the right `events`."""
        self._protocol = Protocol(url, key, events)
        self.timeout = timeout
        self._tls = tls
        self._local = threading.local()

    def declare(self, events: EventTypes | None = None) -> None:
        """Declare event types, those of the publisher by default; call it as the app starts.

        Raises `UpstreamError` with the status 409 where a change would break whoever listens.
        """
        self._send(self._protocol.declare(events))

    def publish(
        self,
        customer: str,
        event: object,
        *,
        key: str | None = None,
        subject: str | None = None,
        at: datetime | None = None,
        tries: int = TRIES,
    ) -> Publication:
        """Publish an event for a customer, by its id in your own product; durable on return."""
        made = self._protocol.event(event, key, subject, at)
        return self.publish_all(customer, [made], tries=tries)[0]

    def publish_all(
        self, customer: str, events: Sequence[object], *, tries: int = TRIES
    ) -> list[Publication]:
        """Publish events for a customer in their order, a hundred a request, each sent so often.

        An event is one of a declared class, or one with a key of yours: `events.of(event, key=…)`.
        """
        calls = self._protocol.publish(customer, events)
        return [each for call in calls for each in published(self._send(call, tries))]

    def close(self) -> None:
        """Close this thread's connection."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: ApiCall, most: int = TRIES) -> bytes:
        for tries in range(most):
            after: str | None = None
            try:
                status, after, body = self._ask(call)
                return checked(status, body)
            except UpstreamError as error:
                if not error.retryable or tries == most - 1:
                    raise
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if tries == most - 1:
                    raise unanswered(call, error) from error
            time.sleep(wait_of(tries, after))
        raise AssertionError("unreachable")

    def _ask(self, call: ApiCall) -> tuple[int, str | None, bytes]:
        if getattr(self._local, "process", None) != os.getpid():
            self.close()  # of before a fork: the parent, and each child, would read others' answers
            self._local.process = os.getpid()
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            parts = urlsplit(self._protocol.origin)
            assert parts.hostname is not None
            where = (parts.hostname, parts.port)
            if parts.scheme == "https":
                connection = http.client.HTTPSConnection(
                    *where, timeout=self.timeout.total_seconds(), context=self._tls
                )
            else:
                connection = http.client.HTTPConnection(
                    *where, timeout=self.timeout.total_seconds()
                )
            self._local.connection = connection
        path = f"{self._protocol.prefix}{call.path}"
        connection.request(call.method, path, call.body, self._protocol.headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Retry-After"), answer.read()


class AsyncPublisher:
    """Declares event types and publishes events, for apps on asyncio; see `Publisher`.

    Event loops may share one, each with connections of its own.
    """

    def __init__(
        self,
        url: str,
        key: str,
        events: EventTypes | None = None,
        *,
        timeout: timedelta = timedelta(seconds=SECONDS),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`url` is the server's, `key` one of its keys with the right `events`."""
        self._protocol = Protocol(url, key, events)
        self.timeout = timeout
        self._tls = tls
        self._sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def declare(self, events: EventTypes | None = None) -> None:
        """Declare event types, those of the publisher by default; call it as the app starts.

        Raises `UpstreamError` with the status 409 where a change would break whoever listens.
        """
        await self._send(self._protocol.declare(events))

    async def publish(
        self,
        customer: str,
        event: object,
        *,
        key: str | None = None,
        subject: str | None = None,
        at: datetime | None = None,
        tries: int = TRIES,
    ) -> Publication:
        """Publish an event for a customer, by its id in your own product; durable on return."""
        made = self._protocol.event(event, key, subject, at)
        return (await self.publish_all(customer, [made], tries=tries))[0]

    async def publish_all(
        self, customer: str, events: Sequence[object], *, tries: int = TRIES
    ) -> list[Publication]:
        """Publish events for a customer in their order, a hundred a request, each sent so often.

        An event is one of a declared class, or one with a key of yours: `events.of(event, key=…)`.
        """
        calls = self._protocol.publish(customer, events)
        return [each for call in calls for each in published(await self._send(call, tries))]

    async def close(self) -> None:
        """Close the connections of this event loop."""
        await self._close(asyncio.get_running_loop())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _close(self, own: asyncio.AbstractEventLoop | None = None) -> None:
        """Close the session of a loop, and those whose loops are over."""
        for loop in list(self._sessions):  # threads add to it, each with a loop
            over = loop is own or loop.is_closed()
            if over and (session := self._sessions.pop(loop, None)) is not None:
                await session.close()

    async def _send(self, call: ApiCall, most: int = TRIES) -> bytes:
        import aiohttp

        session = self._sessions.get(loop := asyncio.get_running_loop())
        if session is None:
            await self._close()
            timeout = aiohttp.ClientTimeout(total=self.timeout.total_seconds())
            session = aiohttp.ClientSession(timeout=timeout, headers=self._protocol.headers)
            self._sessions[loop] = session
        how: dict[str, Any] = {"data": call.body, "allow_redirects": False}
        if self._tls is not None:
            how["ssl"] = self._tls
        for tries in range(most):
            after: str | None = None
            try:
                url = f"{self._protocol.url}{call.path}"
                async with session.request(call.method, _exact(url), **how) as answer:
                    after = answer.headers.get("Retry-After")
                    return checked(answer.status, await answer.read())
            except UpstreamError as error:
                if not error.retryable or tries == most - 1:
                    raise
            except (OSError, TimeoutError, aiohttp.ClientError) as error:
                if tries == most - 1:
                    raise unanswered(call, error) from error
            await asyncio.sleep(wait_of(tries, after))
        raise AssertionError("unreachable")


def _exact(url: str) -> Any:
    """Return a URL that is sent as it is written: `%2F` stays that."""
    from yarl import URL

    return URL(url, encoded=True)
