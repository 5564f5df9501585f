"""The event bus of an org: platform events, and change events of the objects that are selected for them.

Events are kept for 72 hours, each with a replay id; Avro encodes them, by a schema for each topic that is
named by a digest of itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halflap_sandbox.salesforce.model import Change, Entity, Org, Values

RETENTION = 72 * 3600.0
NAMESPACE = "com.sforce.eventbus"
STRINGS = {"type": "array", "items": "string"}
KINDS = ("CREATE", "UPDATE", "DELETE", "UNDELETE")
KINDS_OF_CHANGE = [*KINDS, *(f"GAP_{each}" for each in KINDS), "GAP_OVERFLOW"]
HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": STRINGS},
        {
            "name": "changeType",
            "type": {"type": "enum", "name": "ChangeType", "symbols": KINDS_OF_CHANGE},
        },
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": STRINGS},
        {"name": "diffFields", "type": STRINGS},
        {"name": "changedFields", "type": STRINGS},
    ],
}
AVRO = {"boolean": "boolean", "int": "int"}
AVRO.update(dict.fromkeys(("double", "currency", "percent"), "double"))
AVRO.update(dict.fromkeys(("date", "datetime"), "long"))
NOT_TOLD = ("Id", "IsDeleted", "SystemModstamp")
"""Fields that a change event has not."""


@dataclass(frozen=True, slots=True)
class BusEvent:
    """An event on the bus."""

    number: int
    topic: str
    id: str
    schema: str
    payload: bytes
    at: float


class EventBus:
    """The events of an org, and the objects whose changes are published."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.members: dict[str, tuple[str, str]] = {}
        """By the name of a channel's member: the channel, and the selected entity."""
        self.schemas: dict[str, str] = {}
        self.topics: dict[str, str] = {}
        """By topic: the id of its schema now."""
        self.events: deque[BusEvent] = deque()
        self.number = 0
        self.forgotten = 0
        """The number of the last event that is no longer kept."""
        self.subscribers: set[asyncio.Event] = set()
        self.cuts = 0
        """The number of times that all streams were cut."""

    def selected(self, object: str) -> bool:
        """Return whether the changes of an object are published on its own topic."""
        return ("ChangeEvents", entity_of(object)) in self.members.values()

    def declare(self, topic: str, schema: Mapping[str, Any]) -> str:
        """Give a topic its schema; returns its id."""
        text = json.dumps(schema, separators=(",", ":"))
        id = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()[:22]
        self.schemas[id] = text
        self.topics[topic] = id
        return id

    def publish(self, topic: str, payload: bytes, schema: str, id: str = "") -> BusEvent:
        """Publish an encoded event."""
        self.number += 1
        event = BusEvent(self.number, topic, id or str(uuid.uuid4()), schema, payload, self.clock())
        self.events.append(event)
        self.wake()
        return event

    def wake(self) -> None:
        """Have the streams look."""
        for each in self.subscribers:
            each.set()

    def kept(self, topic: str, after: int) -> Iterable[BusEvent]:
        """Yield the events of a topic behind a place, as far as they are kept."""
        self.prune()
        return (each for each in self.events if each.topic == topic and each.number > after)

    def prune(self) -> None:
        """Forget events that are too old."""
        while self.events and self.events[0].at < self.clock() - RETENTION:
            self.forgotten = self.events.popleft().number

    def expire(self) -> None:
        """Forget all events, as time does."""
        self.number += 1
        self.forgotten = self.number
        self.events.clear()

    def cut(self) -> None:
        """End all streams."""
        self.cuts += 1
        self.wake()

    def place(self, replay: bytes) -> int | None:
        """Read a replay id; None where it is none, or what follows it is no longer kept."""
        self.prune()
        if len(replay) != 10:
            return None
        number = int.from_bytes(replay[:8], "big")
        return number if self.forgotten <= number <= self.number else None


def replay_of(number: int) -> bytes:
    """Write a place as a replay id, which is opaque to clients."""
    return number.to_bytes(8, "big") + b"\0\0"


def entity_of(object: str) -> str:
    """Return the name of an object's change events."""
    if object.endswith("__c"):
        return object.removesuffix("__c") + "__ChangeEvent"
    return f"{object}ChangeEvent"


def schema_of(entity: Entity) -> dict[str, Any]:
    """Return the schema of an object's change events: the header, and each field or null."""
    told = [each for each in entity.fields.values() if each.name not in NOT_TOLD]
    fields = [
        {"name": each.name, "type": ["null", AVRO.get(each.type, "string")], "default": None}
        for each in told
    ]
    header = {"name": "ChangeEventHeader", "type": HEADER}
    name = entity_of(entity.name)
    return {"type": "record", "name": name, "namespace": NAMESPACE, "fields": [header, *fields]}


def publish_changes(changes: Sequence[Change]) -> None:
    """Publish the changes of a transaction; those of one kind that say the same are one event."""
    org, transaction = changes[0].org, str(uuid.uuid4())
    told: dict[tuple[Any, ...], list[Change]] = {}
    for each in changes:
        if org.bus.selected(each.object):
            values = tuple(sorted(changed(each).items(), key=lambda pair: pair[0]))
            told.setdefault((each.object, kind_of(each), values), []).append(each)
    for sequence, ((object, kind, values), same) in enumerate(told.items(), 1):
        entity = org.entities[object]
        schema = schema_of(entity)
        header = {
            "entityName": object,
            "recordIds": [each.id for each in same],
            "changeType": kind,
            "changeOrigin": "com/salesforce/api/rest",
            "transactionKey": transaction,
            "sequenceNumber": sequence,
            "commitTimestamp": int(org.clock() * 1000),
            "commitNumber": int(org.clock() * 1_000_000),
            "commitUser": same[0].by.id,
            "nulledFields": [],
            "diffFields": [],
            "changedFields": [],
        }
        fields = [each["name"] for each in schema["fields"]]
        if kind == "UPDATE":
            header["changedFields"] = bitmaps(fields, [name for name, _ in values])
            header["nulledFields"] = bitmaps(fields, [n for n, value in values if value is None])
        record = {n: avro(value, entity.fields[n].type) for n, value in values}
        publish_record(org, f"/data/{entity_of(object)}", schema, header, record)


def publish_record(
    org: Org,
    topic: str,
    schema: Mapping[str, Any],
    header: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Publish one change event."""
    id = org.bus.declare(topic, schema)
    org.bus.publish(topic, encode(schema, {**record, "ChangeEventHeader": header}), id)


def publish_platform_event(org: Org, topic: str, values: Mapping[str, Any]) -> BusEvent:
    """Publish a platform event, whose fields are those that it has."""
    kinds: dict[Any, str] = {bool: "boolean", int: "double", float: "double", Decimal: "double"}
    fields: list[dict[str, Any]] = [
        {"name": "CreatedDate", "type": "long"},
        {"name": "CreatedById", "type": "string"},
        *(
            {"name": name, "type": ["null", kinds.get(type(value), "string")], "default": None}
            for name, value in values.items()
        ),
    ]
    name = topic.rpartition("/")[2]
    schema = {"type": "record", "name": name, "namespace": NAMESPACE, "fields": fields}
    id = org.bus.declare(topic, schema)
    user = next(iter(org.users.values()))
    record = {name: avro(value, "") for name, value in values.items()}
    record |= {"CreatedDate": int(org.clock() * 1000), "CreatedById": user.id}
    return org.bus.publish(topic, encode(schema, record), id)


def kind_of(change: Change) -> str:
    """Return the kind of a change."""
    if change.after is None:
        return "DELETE"
    return "CREATE" if change.before is None else "UPDATE"


def changed(change: Change) -> Values:
    """Return the fields that a change event tells: those that are new."""
    if change.after is None:
        return {}
    before = change.before or {}
    return {
        name: value
        for name, value in change.after.items()
        if name not in NOT_TOLD and before.get(name) != value
    }


def bitmaps(fields: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the bitmap of some of the fields, by their places in the schema."""
    bits = 0
    for name in names:
        bits |= 1 << fields.index(name)
    return [f"0x{bits:X}"] if bits else []


def avro(value: Any, kind: str) -> Any:
    """Return a record's value as Avro holds it: times in milliseconds."""
    if value is None:
        return None
    if kind in ("date", "datetime"):
        text = str(value)
        at = datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00+00:00")
        return int(at.timestamp() * 1000)
    if kind in ("double", "currency", "percent") or isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bool | int | float):
        return value
    return str(value)


def encode(schema: Mapping[str, Any], record: Mapping[str, Any]) -> bytes:
    """Encode a record."""
    fastavro: Any = import_module("fastavro")
    out = io.BytesIO()
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()
