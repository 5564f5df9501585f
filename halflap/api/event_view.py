"""The shapes of the product's own events at the API: their types, and what is published."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from halflap.api.view import Input, Json, JsonObject, ListPage, Time, View
from halflap.sdk.event_type import NAME

MOST_EVENTS = 100
"""The most events of one request."""
MOST_TYPES = 500
"""The most types that one request declares."""

TypeName = Annotated[str, StringConstraints(max_length=128, pattern=f"^{NAME}$")]
Key = Annotated[str, StringConstraints(max_length=255, pattern=r"^[!-~]+$")]


class EventTypeDraft(Input):
    """A type of your product's events, in one version of its schema."""

    name: TypeName
    """order.created, say."""
    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    schema_: Annotated[JsonObject, Field(alias="schema")]
    """The JSON Schema (2020-12) of its `data`."""
    title: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Annotated[str, StringConstraints(max_length=4_000)] = ""
    example: Json = None
    """Data of such an event, for forms, tests and docs."""


class EventTypesDraft(Input):
    """Types to be declared, all or none."""

    types: Annotated[list[EventTypeDraft], Field(min_length=1, max_length=MOST_TYPES)]


class EventTypeView(View):
    """A type of your product's events."""

    name: str
    version: int
    schema_: Annotated[JsonObject, Field(alias="schema")]
    title: str
    description: str
    example: Json
    changed_at: Time


class EventTypePage(ListPage[EventTypeView]):
    """Types of your product's events, each in its newest version, by name."""


class AppEventDraft(Input):
    """An event of your product to be published for a customer."""

    type: TypeName
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of the type's schema; the newest by default."""
    data: Json
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The record that it is about: its executions are found by it, and in order by it."""
    timestamp: AwareDatetime | None = None
    """When it happened; now by default."""
    idempotency_key: Key | None = None
    """Of your choosing: the same event with it again within 7 days is the same one."""


class AppEventsDraft(Input):
    """Events to be published for a customer, all or none, in their order."""

    events: Annotated[list[AppEventDraft], Field(min_length=1, max_length=MOST_EVENTS)]


class PublishedEvent(View):
    """An event that was published."""

    id: str
    """The same for every flow that takes it."""
    type: str
    version: int
    executions: list[str]
    """By id, all that it started, now or before; empty where no flow of the customer takes it."""
    duplicate: bool
    """All of these were started by the same event before."""


class PublishedEvents(View):
    """Events that were published, in their order."""

    events: list[PublishedEvent]
