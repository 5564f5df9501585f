"""Operations on the events of the team's own product: their types, and publishing them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import anyio.to_thread

from halflap.api.operations.event_schema import (
    LARGEST_SCHEMA,
    data_faults,
    faults_of_data,
    schema_fault,
)
from halflap.engine.library import Library
from halflap.errors import ConfigError, Conflict, DefinitionError, NotFound
from halflap.model import (
    CONTENTS,
    PUBLISH,
    RECEIVERS,
    Clock,
    EventType,
    Instance,
    Started,
    new_id,
    to_datetime,
)
from halflap.sdk import codec
from halflap.sdk.dedupe import digest_of_body
from halflap.sdk.event_type import takes
from halflap.sdk.request import Headers, Request
from halflap.store.catalogue import Catalogue

if TYPE_CHECKING:
    from halflap.api.event_view import AppEventDraft, EventTypeDraft

MOST_CHECKS = 2
"""The most threads that check schemas and data at a time, beside which the server goes on."""
TEST, TEST_DATA = "webhook.test", {"test": True}
"""The type of a test event that is no example of another one, and its data."""


class FanOut(Protocol):
    """Starts the flows of a customer that take events, each with its type, in one transaction.

    An event without a type is for all flows: of one `instance`, where it is named.
    """

    def __call__(
        self,
        customer: str,
        events: Sequence[tuple[str | None, Request]],
        instance: str | None = None,
    ) -> Awaitable[list[list[Started]]]: ...


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """An event that was published, and the executions that it started, or had started before."""

    id: str
    type: str
    version: int
    executions: tuple[str, ...]
    duplicate: bool


@dataclass(slots=True)
class AppEvents:
    """Declares event types, and publishes events for customers."""

    catalogue: Catalogue
    fan_out: FanOut
    clock: Clock
    known: dict[tuple[str, int | None], EventType] = field(
        default_factory=dict[tuple[str, int | None], EventType]
    )
    known_at: int = -1
    checking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_CHECKS))

    async def declare(self, drafts: Sequence[EventTypeDraft]) -> list[EventType]:
        """Declare types, all or none; `ConfigError` where a schema is none."""
        async with self.checking:
            wrong = await anyio.to_thread.run_sync(faults_of, drafts)
        if wrong:
            raise ConfigError("an event type is not declared as it has to be", fields=wrong)
        return await self.catalogue.event_types.put([as_type(each) for each in drafts])

    async def publish(self, customer: str, drafts: Sequence[AppEventDraft]) -> list[AcceptedEvent]:
        """Publish events for a customer (by id), all or none; durable on return.

        An event whose idempotency key is known is the same as before: flows that had it are not given
        it again. Raises `Conflict` where it has other contents; then nothing is stored.
        """
        wrong: dict[str, str] = {}
        events: list[tuple[EventType, Request, str]] = []
        for number, each in enumerate(drafts):
            if number % 10 == 9:
                await asyncio.sleep(0)
            place = f"events.{number}." if len(drafts) > 1 else ""
            try:
                type = await self._type(each.type, each.version)
            except NotFound as error:
                wrong[f"{place}type"] = error.message
                continue
            faults = await data_faults(type.schema, each.data, self.checking)
            wrong |= {f"{place}{path}": why for path, why in faults.items()}
            if not faults:
                events.append((type, *self._request(customer, type.name, type.version, each)))
        if wrong:
            first = next(iter(wrong.items()))
            raise ConfigError(f"the event does not fit: {first[0]}: {first[1]}", fields=wrong)
        started = await self.fan_out(customer, [(type.name, each) for type, each, _ in events])
        accepted = [
            accepted_event(id, type, found)
            for (type, _, id), found in zip(events, started, strict=True)
        ]
        now = self.clock()
        for each in accepted:
            if not each.duplicate:
                self.catalogue.counters.published(each.type, now)
        return accepted

    async def test(self, customer: str, instance: str, type: str) -> AcceptedEvent:
        """Publish a type's example to one instance, whatever it takes; raises `NotFound`."""
        from halflap.api.event_view import AppEventDraft

        version, data = 1, TEST_DATA
        if type != TEST:
            found = await self.catalogue.event_types.get(type)
            version, data = found.version, found.example
        draft = AppEventDraft(type=type, data=data)
        request, id = self._request(customer, type, version, draft)
        [started] = await self.fan_out(customer, [(None, request)], instance)
        if not started:
            raise Conflict("it is not active; activate it")
        return AcceptedEvent(id, type, version, tuple(each.execution for each in started), False)

    def _request(
        self, customer: str, type: str, version: int, draft: AppEventDraft
    ) -> tuple[Request, str]:
        """Return an event as its flows read it, and its id."""
        now = self.clock()
        key = draft.idempotency_key
        id = new_id("evt", now=now) if key is None else f"evt_{digest_of_key(customer, key)}"
        at = draft.timestamp
        named = [type, draft.version, draft.subject, at and at.astimezone(UTC), draft.data]
        said = {
            "id": id,
            "type": type,
            "version": version,
            "timestamp": (at or to_datetime(now)).astimezone(UTC),
            **({} if draft.subject is None else {"subject": draft.subject}),
            "data": draft.data,
        }
        headers = [("content-type", "application/json")]
        if key is not None:
            headers.append((CONTENTS, digest_of_body(codec.encode(named, sort=True))))
        request = Request(
            method=PUBLISH,
            path="",
            query="",
            headers=Headers(headers),
            body=codec.encode(said),
            url="",
            received_at=to_datetime(now),
        )
        return request, id

    async def _type(self, name: str, version: int | None) -> EventType:
        at = self.catalogue.changed
        if self.known_at != at:
            self.known.clear()
            self.known_at = at
        found = self.known.get((name, version))
        if found is None:
            found = await self.catalogue.event_types.get(name, version)
            if at == self.catalogue.changed:
                self.known[name, version] = found
        return found


def accepted_event(id: str, type: EventType, started: Sequence[Started]) -> AcceptedEvent:
    """Return an event that was published, with what it started."""
    executions = tuple(each.duplicate_of or each.execution for each in started)
    again = bool(started) and all(each.duplicate_of is not None for each in started)
    return AcceptedEvent(id, type.name, type.version, executions, again)


def digest_of_key(customer: str, key: str) -> str:
    """Return what stands for an idempotency key of a customer in an event's id."""
    return blake2b(f"{customer}\0{key}".encode(), digest_size=16).hexdigest()


def faults_of(drafts: Sequence[EventTypeDraft]) -> dict[str, str]:
    """Return what is wrong with types, by their fields."""
    wrong: dict[str, str] = {}
    seen: set[tuple[str, int]] = set()
    for number, each in enumerate(drafts):
        place = f"types.{number}"
        if (each.name, each.version) in seen:
            wrong[place] = f"declares {each.name} in version {each.version} again"
        seen.add((each.name, each.version))
        if fault := schema_fault(each.schema_):
            wrong[f"{place}.schema"] = fault
        elif len(codec.encode(each.example)) > LARGEST_SCHEMA:
            wrong[f"{place}.example"] = f"has more than {LARGEST_SCHEMA:,} bytes"
        elif each.example is not None:
            wrong |= {
                f"{place}.example{path.removeprefix('data')}": why
                for path, why in faults_of_data(each.schema_, each.example).items()
            }
    return wrong


def as_type(draft: EventTypeDraft) -> EventType:
    """Return a type as it is declared."""
    said = (draft.schema_, draft.title, draft.description, draft.example)
    return EventType(draft.name, draft.version, *said, changed_at=0)


MOST_LOOKED_AT = 5_000
"""The most receivers whose types are looked at."""
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ListeningFlow:
    """A flow of a version in use that takes events of a type."""

    integration: str
    title: str
    version: str
    flow: str
    instances: int
    """The number of instances that have it open."""
    by_config: bool
    """Each instance's config says which types it takes."""


@dataclass(frozen=True, slots=True)
class EventListeners:
    """The listeners of a type: `receivers` are the oldest of `receiver_count`."""

    flows: Sequence[ListeningFlow]
    receivers: Sequence[tuple[Instance, Sequence[str]]]
    receiver_count: int


async def listeners_of(type: str, catalogue: Catalogue, library: Library) -> EventListeners:
    """Return the flows and the receivers, of all customers, that take events of a type."""
    flows: list[ListeningFlow] = []
    for integration, version, name, count in await catalogue.endpoints.open_by_flow():
        if integration == RECEIVERS:
            continue
        try:
            loaded = await library.integration(version)
        except (NotFound, DefinitionError):
            continue
        flow = loaded.flows.get(name)
        if flow is None or flow.trigger.declaration.app_events is None:
            continue
        by_config = bool(flow.trigger.references)
        if by_config or takes(flow.trigger.declaration.app_events, type):
            flows.append(ListeningFlow(integration, loaded.title, version, name, count, by_config))
    configs = await catalogue.instances.configs(RECEIVERS, MOST_LOOKED_AT)
    taking = {id: config["types"] for id, config in configs if takes(config["types"], type)}
    found = await catalogue.instances.some(list(taking)[:MOST_SHOWN])
    shown = [(found[id], types) for id, types in taking.items() if id in found]
    return EventListeners(flows, shown, len(taking))
