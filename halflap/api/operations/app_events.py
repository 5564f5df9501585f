"""Operations on the events of the team's own product: their types, and publishing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, cast

from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import CONTENTS, PUBLISH, Clock, EventType, Started, new_id, to_datetime
from halflap.sdk import codec
from halflap.sdk.dedupe import digest_of_body
from halflap.sdk.request import Headers, Request
from halflap.store.catalogue import Catalogue

if TYPE_CHECKING:
    from halflap.api.event_view import AppEventDraft, EventTypeDraft

LARGEST_DATA = 256 * 1024
"""The most bytes of an event's data."""
LARGEST_SCHEMA = 64 * 1024
"""The most bytes of a type's schema, and of its example."""
SHOWN = 3
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


Check = Callable[[Any], dict[str, str]]
"""Returns what of an event's data does not fit, by its path."""


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
    known: dict[tuple[str, int | None], tuple[EventType, Check]] = field(
        default_factory=dict[tuple[str, int | None], tuple[EventType, Check]]
    )
    known_at: int = -1

    async def declare(self, drafts: Sequence[EventTypeDraft]) -> list[EventType]:
        """Declare types, all or none; `ConfigError` where a schema is none."""
        wrong: dict[str, str] = {}
        types: dict[tuple[str, int], EventType] = {}
        for number, each in enumerate(drafts):
            place = f"types.{number}"
            if (each.name, each.version) in types:
                wrong[place] = f"declares {each.name} in version {each.version} again"
            wrong |= {f"{place}.{name}": why for name, why in faults_of(each).items()}
            types[each.name, each.version] = as_type(each)
        if wrong:
            raise ConfigError("an event type is not declared as it has to be", fields=wrong)
        return await self.catalogue.event_types.put(list(types.values()))

    async def publish(self, customer: str, drafts: Sequence[AppEventDraft]) -> list[AcceptedEvent]:
        """Publish events for a customer (by id), all or none; durable on return.

        An event whose idempotency key is known is the same as before: flows that had it are not given
        it again. Raises `Conflict` where it has other contents; then nothing is stored.
        """
        wrong: dict[str, str] = {}
        events: list[tuple[EventType, Request, str]] = []
        for number, each in enumerate(drafts):
            place = f"events.{number}." if len(drafts) > 1 else ""
            try:
                type, check = await self._type(each.type, each.version)
            except NotFound as error:
                wrong[f"{place}type"] = error.message
                continue
            faults = check(each.data)
            wrong |= {f"{place}{path}": why for path, why in faults.items()}
            if not faults:
                events.append((type, *self._request(customer, type.name, type.version, each)))
        if wrong:
            first = next(iter(wrong.items()))
            raise ConfigError(f"the event does not fit: {first[0]}: {first[1]}", fields=wrong)
        started = await self.fan_out(customer, [(type.name, each) for type, each, _ in events])
        return [
            accepted_event(id, type, found)
            for (type, _, id), found in zip(events, started, strict=True)
        ]

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

    async def _type(self, name: str, version: int | None) -> tuple[EventType, Check]:
        at = self.catalogue.changed
        if self.known_at != at:
            self.known.clear()
            self.known_at = at
        found = self.known.get((name, version))
        if found is None:
            type = await self.catalogue.event_types.get(name, version)
            found = type, check_of(type)
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


def faults_of(draft: EventTypeDraft) -> dict[str, str]:
    """Return what is wrong with a type, by its field."""
    from jsonschema import Draft202012Validator, SchemaError

    if len(codec.encode(draft.schema_)) > LARGEST_SCHEMA:
        return {"schema": f"has more than {LARGEST_SCHEMA:,} bytes"}
    if len(codec.encode(draft.example)) > LARGEST_SCHEMA:
        return {"example": f"has more than {LARGEST_SCHEMA:,} bytes"}
    if any(not ref.startswith("#") for ref in references(draft.schema_)):
        return {"schema": "refers to another document; put what it refers to under $defs"}
    try:
        Draft202012Validator.check_schema(draft.schema_)
    except SchemaError as error:
        return {"schema": f"is no JSON Schema: {error.json_path}: {error.message[:300]}"}
    if draft.example is None:
        return {}
    return {
        f"example{path.removeprefix('data')}": why
        for path, why in check_of(as_type(draft))(draft.example).items()
    }


def as_type(draft: EventTypeDraft) -> EventType:
    """Return a type as it is declared."""
    said = (draft.schema_, draft.title, draft.description, draft.example)
    return EventType(draft.name, draft.version, *said, changed_at=0)


def references(schema: Any) -> list[str]:
    """Return what a schema refers to, at any depth."""
    found: list[str] = []
    rest: list[Any] = [schema]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            found += [str(members[ref]) for ref in ("$ref", "$dynamicRef") if ref in members]
            rest += members.values()
        elif isinstance(each, list):
            rest += cast("list[Any]", each)
    return found


def check_of(type: EventType) -> Check:
    """Return what checks the data of an event of a type."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    validator: Any = Draft202012Validator(type.schema, registry=Registry())

    def check(data: Any) -> dict[str, str]:
        if len(codec.encode(data)) > LARGEST_DATA:
            return {"data": f"has more than {LARGEST_DATA:,} bytes"}
        found: dict[str, str] = {}
        for error in validator.iter_errors(data):
            place = "".join(f".{each}" for each in error.absolute_path)
            found[f"data{place}"] = error.message[:300]
            if len(found) == SHOWN:
                break
        return found

    return check
