"""The shapes of the product's own events at the API: their types, and what is published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr, StringConstraints

from halflap.api.view import (
    CustomerValue,
    Input,
    Json,
    JsonObject,
    Name,
    Time,
    View,
    pattern,
)
from halflap.model import InstanceState
from halflap.sdk.event_type import NAME

MOST_EVENTS = 100
"""The most events of one request."""
MOST_TYPES = 500
"""The most types that one request declares."""

TypeName = Annotated[
    str,
    StringConstraints(
        max_length=128, pattern=pattern(f"^{NAME}$", "is no name of a type, such as order.created")
    ),
]


def in_utc(at: datetime) -> datetime:
    """Return a time in UTC; refuse one that is none there."""
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from error


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Key = Annotated[
    str,
    StringConstraints(
        max_length=255,
        pattern=pattern(r"^[!-~]+$", "has a blank, or a character that is not in ASCII"),
    ),
]


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
    published: int
    """The events that were published, of all versions; those of the last seconds may be missing."""
    published_at: Time | None
    """When the last one was published."""


class ListeningReceiverView(View):
    """A receiver that is sent events of a type."""

    id: str
    name: str
    customer: str
    customer_name: str
    types: list[str]
    enabled: bool
    failing_since: Time | None
    """Since when it has taken nothing; null where it took the last event."""


class AppEventDraft(Input):
    """An event of your product to be published for a customer."""

    type: TypeName
    version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of the type's schema; the newest by default."""
    data: Json
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The record that it is about: its executions are found by it, and in order by it."""
    timestamp: Moment | None = None
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


Url = Annotated[
    str,
    StringConstraints(
        max_length=2_000,
        pattern=pattern(
            r"^https?://[^/?#\s]+[^#\s]*$", "is no URL, such as https://acme.example/hooks"
        ),
    ),
]
Patterns = Annotated[list[Annotated[str, StringConstraints(max_length=128)]], Field(max_length=200)]
HeaderValues = dict[str, Annotated[SecretStr, Field(max_length=2_000)]]


class ReceiverDraft(Input):
    """A customer's own endpoint that is to be sent webhooks."""

    url: Annotated[Url, CustomerValue()]
    types: Patterns = ["*"]
    """The events that it is sent: order.created, order.* or * for all."""
    headers: HeaderValues = {}
    """Further headers of each message, such as Authorization. Their values are not shown again."""
    name: Name | None = None
    """By default, the host of the URL."""


class ReceiverChange(Input):
    """A change of a receiver; what is left out stays."""

    url: Annotated[Url | None, CustomerValue()] = None
    types: Patterns | None = None
    headers: HeaderValues | None = None
    """In place of all that it had; to be given again where the URL is at another host."""
    name: Name | None = None


class ReceiverView(View):
    """A customer's own endpoint that is sent signed webhooks. Its executions are its deliveries."""

    id: str
    """That of the instance whose executions are its deliveries."""
    customer: str
    customer_name: str
    name: str
    url: str
    """Without `payloads` its scheme and host alone, as paths and queries have tokens."""
    types: list[str]
    header_names: list[str]
    state: InstanceState
    enabled: bool
    disabled_at: Time | None
    disabled_because: str
    failing_since: Time | None
    """Since when it has taken nothing; null where it took the last event."""
    former_until: Time | None
    """Until when messages are signed with the secret before, too."""
    created_at: Time


class ReceiverMade(ReceiverView):
    """A receiver with its secret, which is shown this once."""

    secret: str
    """Verifies its messages, as Standard Webhooks says."""


class SecretRotation(Input):
    """For how long messages are signed with the secret before, too."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400


class Disabling(Input):
    """The reason to disable a receiver."""

    reason: Annotated[str, StringConstraints(max_length=300)] = ""


class SampleEvent(Input):
    """An event to be sent as a test: the declared example of a type, and nothing else."""

    type: TypeName = "webhook.test"


class RecoveryPlan(View):
    """A plan of what is delivered again since a time."""

    missed: int
    """The deliveries that were not taken."""
    sent: int
    """Of these, those that are sent: others were taken since, or are on their way."""
    is_exact: bool
    """False where `sent` is an estimate, as there are too many to look at each."""
    waiting: int
    """Further ones that wait for their next try, and are sent by themselves then."""
    next_try_at: Time | None
    """When the first of these is tried again."""


class Recovery(Input):
    """Since when events that were not taken are delivered again."""

    since: Moment
