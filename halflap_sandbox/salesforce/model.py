"""The data: orgs, and in each its users, sessions, objects, records and automation.

An org is one customer's Salesforce. All orgs live behind one address, as they do on an instance of
the real one: what a request may see is told by its session alone.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Literal, TypeVar

from halflap_sandbox.salesforce.event_bus import EventBus, entity_of, schema_of

T = TypeVar("T")

Value = str | bool | int | Decimal | None
Values = dict[str, Value]
"""A record: its fields by API name, `Id` too; date-times in UTC as `2026-01-31T10:00:00.000+0000`."""
Json = dict[str, Any]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
API_VERSION = "63.0"


def with_checksum(id15: str) -> str:
    """Make an 18-character id of one of 15, as Salesforce does: case folded into three letters."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << i for i, c in enumerate(id15[start : start + 5]) if c.isupper())
        suffix += ALPHABET[bits]
    return id15 + suffix


def full_id(text: str) -> str | None:
    """Give the 18-character form of an id of 15 or 18 characters; None where it is no id."""
    if not (text.isascii() and text.isalnum() and len(text) in (15, 18)):
        return None
    whole = with_checksum(text[:15])
    return whole if len(text) == 15 or whole == text[:15] + text[15:].upper() else None


def timestamp(seconds: float) -> str:
    """Write Unix seconds as Salesforce writes a date-time."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


FieldType = Literal[
    "id",
    "string",
    "textarea",
    "email",
    "phone",
    "url",
    "picklist",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "reference",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an object, with what `describe` reports of it.

    A picklist that is not `restricted` takes any text, as a new one does in a real org.
    """

    name: str
    label: str
    type: FieldType
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    unique: bool = False
    external_id: bool = False
    createable: bool = True
    updateable: bool = True
    picklist: tuple[str, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    default: Value = None

    @property
    def custom(self) -> bool:
        """True if the customer added it."""
        return self.name.endswith("__c")


@dataclass(slots=True, kw_only=True)
class Entity:
    """An object (a table): its API name, the prefix of its records' ids, its fields by API name."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: dict[str, Field]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign in to an org."""

    id: str
    username: str
    password: str
    security_token: str
    email: str
    display_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedApp:
    """An OAuth client that an org knows.

    `certificate` (PEM) checks the JWTs of the JWT bearer flow; `run_as` is the user name that the
    client-credentials flow signs in; `rotates` makes refresh tokens single-use.
    """

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...] = ()
    certificate: str | None = None
    run_as: str | None = None
    rotates: bool = False
    requires_pkce: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session: what its id (an access token) opens, and the refresh token that it came of, if
    any.
    """

    token: str
    org: Org
    user: User
    expires_at: float
    refresh_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A user's grant to a connected app: behind an OAuth code or a refresh token."""

    org: Org
    user: User
    client_id: str
    scope: str
    redirect_uri: str = ""
    challenge: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """A workflow outbound message: which fields of a record are sent to which URL."""

    id: str
    object: str
    name: str
    description: str | None
    api_version: str
    endpoint_url: str
    fields: tuple[str, ...]
    include_session_id: bool
    integration_user: str
    protected: bool = False
    use_dead_letter_queue: bool = False
    label: str = ""

    @property
    def full_name(self) -> str:
        """The name that metadata uses, such as `Opportunity.Halflap_1`."""
        return f"{self.object}.{self.name}"


Recording = Literal["Create", "Update", "CreateAndUpdate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTrigger:
    """The start of a record-triggered flow that runs after save, and the messages that it sends.

    `filter_formula` is the text of the start's formula (supported: `ISCHANGED({!$Record.Field})`,
    `ISNEW()`, joined by OR / AND / `||` / `&&`, or none). `messages` are full names of outbound messages.
    """

    object: str
    recording: Recording
    filter_formula: str | None
    messages: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class FlowVersion:
    """One version of a flow, with its metadata as it was deployed (an XML document)."""

    id: str
    number: int
    status: Literal["Active", "Draft", "Obsolete"]
    label: str
    source: bytes
    trigger: FlowTrigger | None


@dataclass(slots=True, kw_only=True)
class FlowDefinition:
    """A flow by its developer name, with its versions by number; at most one of them is active."""

    id: str
    name: str
    versions: dict[int, FlowVersion] = field(default_factory=dict[int, FlowVersion])

    @property
    def active(self) -> FlowVersion | None:
        """The version that runs."""
        return next((v for v in self.versions.values() if v.status == "Active"), None)

    @property
    def latest(self) -> FlowVersion | None:
        """The newest version there is."""
        return self.versions[max(self.versions)] if self.versions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRule:
    """A workflow rule: the older way to send outbound messages when a record is saved."""

    id: str
    object: str
    name: str
    active: bool
    trigger_type: Literal["onCreateOnly", "onCreateOrTriggeringUpdate", "onAllChanges"]
    formula: str | None
    messages: tuple[str, ...]
    source: bytes

    @property
    def full_name(self) -> str:
        """The name that metadata uses, such as `Account.Tell`."""
        return f"{self.object}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """The authors of a piece of metadata, first and last, with their times."""

    created_at: str
    created_by: User
    modified_at: str
    modified_by: User


@dataclass(frozen=True, slots=True)
class Change:
    """A saved record: its values before (None: it is new) and after (None: it was deleted)."""

    org: Org
    object: str
    id: str
    before: Mapping[str, Value] | None
    after: Mapping[str, Value] | None
    by: User


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One write of a record, as the backstage lists it.

    `by` is `api`, or `person` for an edit at the backstage; `values` are the fields that changed.
    """

    at: str
    object: str
    id: str
    kind: Literal["created", "updated", "deleted"]
    by: str
    user: str
    values: Values


class Org:
    """One customer's Salesforce.

    `saved` are called, in order, after each record that was created, updated or deleted; all the
    changes of one request (one transaction) come in one call. `outbound_messages` and `rules` are
    held by full name (`Opportunity.Tell`), `flows` by developer name. `stamps` tells of each piece of
    metadata, by id, who made and changed it, `denied` names
    the types that its users may not save; `deployments` holds what was deployed and retrieved.
    """

    def __init__(self, *, name: str, production: bool, clock: Callable[[], float]) -> None:
        self.name = name
        self.production = production
        self.clock = clock
        self._instance = secrets.token_hex(2)
        self._serial = count(1)
        self.id = self.new_id("00D")
        self.users: dict[str, User] = {}
        self.apps: dict[str, ConnectedApp] = {}
        self.entities: dict[str, Entity] = {}
        self.tables: dict[str, dict[str, Values]] = {}
        self.outbound_messages: dict[str, OutboundMessage] = {}
        self.flows: dict[str, FlowDefinition] = {}
        self.rules: dict[str, WorkflowRule] = {}
        self.stamps: dict[str, Stamp] = {}
        self.denied: frozenset[str] = frozenset()
        self.bus = EventBus(clock)
        self.deployments: dict[str, object] = {}
        self.lookups: dict[tuple[str, str], dict[object, set[str]]] = {}
        self.cursors: dict[str, Any] = {}
        self.jobs: dict[str, Any] = {}
        self.api_requests = 0
        self.daily_api_requests = 15_000
        self.saved: list[Callable[[list[Change]], None]] = []
        self.effects: deque[Effect] = deque(maxlen=100_000)

    def declare_topics(self) -> None:
        """Have the change events of each object be a topic, with the schema of now."""
        for entity in self.entities.values():
            self.bus.declare(f"/data/{entity_of(entity.name)}", schema_of(entity))

    def new_id(self, prefix: str) -> str:
        """Make an 18-character id: its prefix, the instance, a serial number, the checksum."""
        serial = next(self._serial)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        text = ""
        for _ in range(8):
            serial, digit = divmod(serial, 62)
            text = digits[digit] + text
        return with_checksum(prefix + self._instance + text)

    def now(self) -> str:
        """Tell the time by the org's clock."""
        return timestamp(self.clock())

    def user_by_name(self, username: str) -> User | None:
        """Find a user by user name, which has no case."""
        folded = username.casefold()
        return next((u for u in self.users.values() if u.username.casefold() == folded), None)


def by_name(things: Mapping[str, T], name: str) -> T | None:
    """Return what has a name, which has no case; None where nothing has it."""
    if name in things:
        return things[name]
    folded = name.casefold()
    return next((each for key, each in things.items() if key.casefold() == folded), None)


class World:
    """Every org, and the sessions that open them."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.orgs: dict[str, Org] = {}
        self.sessions: dict[str, Session] = {}
        self.codes: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, Grant] = {}

    def add(self, org: Org) -> None:
        """Add an org."""
        self.orgs[org.id] = org

    def open(
        self, org: Org, user: User, *, lasts: float = 7200, refresh_token: str | None = None
    ) -> Session:
        """Sign a user in: a new session."""
        token, ends = f"{org.id[:15]}!{secrets.token_urlsafe(48)}", self.clock() + lasts
        session = Session(
            token=token, org=org, user=user, expires_at=ends, refresh_token=refresh_token
        )
        self.sessions[token] = session
        return session

    def session(self, token: str) -> Session | None:
        """Find what a session id opens; None where it is unknown or over."""
        found = self.sessions.get(token)
        if found is None or found.expires_at <= self.clock():
            return None
        return found

    def user(self, username: str) -> tuple[Org, User] | None:
        """Find a user, and the org that is theirs: user names are unique over all orgs."""
        for org in self.orgs.values():
            if (user := org.user_by_name(username)) is not None:
                return org, user
        return None

    def app(self, client_id: str) -> tuple[Org, ConnectedApp] | None:
        """Find a connected app, and the org that knows it."""
        for org in self.orgs.values():
            if (app := org.apps.get(client_id)) is not None:
                return org, app
        return None
