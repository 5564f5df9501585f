"""A record of a topic: how it is stored as an event, and how a trigger reads it again.

An event has the record's value as its body, as it came, and where it stands in headers of ours beside the
record's own. So what cannot be read is stored all the same, and fails visibly.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Literal

from pydantic import TypeAdapter

from halflap import (
    CloudEvent,
    InvalidEvent,
    Json,
    Message,
    Model,
    Request,
    decode_json,
    encode_json,
)
from halflap.components.kafka.reader.wire import ReadRecord

Format = Literal["json", "avro", "text", "bytes"]
KeyOf = Literal["key", "partition"]
DecodedRecord = tuple[ReadRecord, bytes | None, str]
"""A record, its value as it is stored, and why that could not be decoded."""

PLACE = ("topic", "partition", "offset", "timestamp", "key", "tombstone", "unread")
NOWHERE = {"topic": "", "partition": 0, "offset": 0}
OURS = frozenset(f"kafka-{name}" for name in PLACE)
"""The headers that we add; a record's own of these names are left out."""


MOST_BYTES = 32 * 1024 * 1024
"""The bytes of a record's value and headers that are stored: a customer's share of the memory."""


class Record(Model):
    """A record of a topic.

    `value` is JSON, or text; None for a tombstone. A key or a header that is no text is in base64. Of
    headers of one name it has the last.
    """

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = None
    key: str | None = None
    headers: dict[str, str] = {}
    value: Json = None


def text_of(data: bytes | str | None) -> str:
    """Return bytes as text, where they are some; else in base64."""
    if data is None or isinstance(data, str):
        return data or ""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
    return base64.b64encode(data).decode() if "\0" in text else text


@lru_cache(1_024)  # of many that are read at once, most are of the same milliseconds
def at_time(millis: int) -> datetime | None:
    """Return the time of a record's milliseconds, of which a producer may write any number, or none."""
    try:
        return datetime.fromtimestamp(millis / 1_000, UTC) if millis > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(1_024)
def time_text(millis: int) -> str:
    """Return the time of a record's milliseconds as text; empty where it is none."""
    at = at_time(millis)
    return "" if at is None else at.isoformat()


def own_headers(record: ReadRecord) -> list[tuple[str, str]]:
    """Return a record's own headers as text."""
    return [
        (name.replace("\0", "\ufffd"), text_of(value))
        for name, value in record.headers
        if name.lower() not in OURS
    ]


def place_of(record: ReadRecord, key: str | None) -> dict[str, str]:
    """Return where a record stands, by the names of our headers without their prefix."""
    found = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
    }
    at = at_time(record.millis)
    if at is not None:
        found["timestamp"] = at.isoformat()
    if key is not None:
        found["key"] = key
    if record.value is None:
        found["tombstone"] = "true"
    return found


def message_of(
    record: ReadRecord, order_by: KeyOf, value: bytes | None, unread: str = ""
) -> Message:
    """Return the message of one record, whose value may have been decoded; `unread` says why not."""
    key = None if record.key is None else text_of(record.key)
    place = place_of(record, key)
    if unread:
        place["unread"] = unread
    ours = [(f"kafka-{name}", each) for name, each in place.items()]
    return Message(
        value or b"",
        [*ours, *own_headers(record)],
        key=key if order_by == "key" else str(record.partition),
        at=at_time(record.millis),
    )


def batch_of(records: Sequence[DecodedRecord]) -> Message:
    """Return one message of many records of a partition, each with its decoded value.

    Topic and partition are in the message's headers; of the rest, a record has what is not empty.
    """
    documents: list[dict[str, Any]] = []
    for record, value, unread in records:
        document: dict[str, Any] = {"offset": record.offset}
        at, key, headers = record.millis, record.key, record.headers
        if at > 0 and (time := time_text(at)):
            document["timestamp"] = time
        if key is not None:
            document["key"] = text_of(key)
        if headers:
            document["headers"] = own_headers(record)
        if unread:
            document["unread"] = unread
        if value is None:
            document["tombstone"] = "true"
        else:
            try:
                document["value"] = value.decode()
            except UnicodeDecodeError:
                document["value_base64"] = base64.b64encode(value).decode()
        documents.append(document)
    last = records[-1][0]
    ours = [("kafka-topic", last.topic), ("kafka-partition", str(last.partition))]
    return Message(encode_json(documents), ours, key=str(last.partition), at=at_time(last.millis))


def read_record(request: Request, form: Format) -> Record:
    """Return the record of an event; `InvalidEvent` where its value is not of its format."""
    headers, place = request.headers, place_in(request)
    own = {name: each for name, each in headers.raw if name.lower() not in OURS}
    value = None if "tombstone" in place else value_of(request, request.body, form, place)
    return Record.model_validate({**NOWHERE, **place, "headers": own, "value": value})


def place_in(request: Request) -> dict[str, str]:
    """Return what our headers say, by their names without the prefix."""
    headers = request.headers
    return {name: headers[f"kafka-{name}"] for name in PLACE if f"kafka-{name}" in headers}


def refuse_unread(value: bytes, place: Mapping[str, Any]) -> None:
    """Raise `InvalidEvent` for a record of which nothing is stored."""
    if "unread" in place and not value:
        raise InvalidEvent(f"the value of {text_of_place(place)} was not read: {place['unread']}")


def text_of_place(place: Mapping[str, Any]) -> str:
    """Return where a record stands, for people."""
    return f"{place.get('topic')}[{place.get('partition')}]@{place.get('offset')}"


def read_event(request: Request) -> CloudEvent:
    """Return the event of CloudEvents that a record carries."""
    refuse_unread(request.body, place_in(request))
    found = CloudEvent.read(request.headers, request.body, prefix="ce_")
    if len(found) != 1:
        raise InvalidEvent("A record carries one CloudEvent, and not a batch of them.")
    return found[0]


def read_batch(request: Request, form: Format) -> list[Record]:
    """Return the records of an event of many."""
    shared: dict[str, Any] = {**NOWHERE, **place_in(request), "headers": {}}
    documents: list[dict[str, Any]] = []
    for each in request.json():
        document: dict[str, Any] = {**shared, **each}
        if "value" in each:
            document["value"] = value_of(request, each["value"].encode(), form, document)
        elif "value_base64" in each:
            value = base64.b64decode(each["value_base64"])
            document["value"] = value_of(request, value, form, document)
        if "headers" in each:
            document["headers"] = dict(document["headers"])
        documents.append(document)
    return many_records().validate_python(documents)


@cache
def many_records() -> TypeAdapter[list[Record]]:
    """Return what reads a list of records: at once, in half the time of one after the other."""
    return TypeAdapter(list[Record])


def value_of(request: Request, value: bytes, form: Format, place: Mapping[str, Any]) -> Json:
    """Return a value as its format says; Avro was decoded as it was read, and is JSON here."""
    refuse_unread(value, place)
    if form == "bytes":
        return base64.b64encode(value).decode()
    try:
        if form == "text":
            return value.decode()
        body = body_of(value)
        return request.json() if body is request.body else decode_json(body)
    except (InvalidEvent, ValueError) as error:
        where = text_of_place(place)
        why = place.get("unread") or str(error)
        raise InvalidEvent(f"the value of {where} is not {form}: {why}") from error


def body_of(value: bytes) -> bytes:
    """Return a value without the five bytes by which a registry's JSON names its schema."""
    return value[5:] if value[:1] == b"\0" and len(value) > 5 else value


def by_partition(most: int, records: Iterable[DecodedRecord]) -> list[Message]:
    """Return the messages of each partition, each of at most so many records."""
    found: dict[int, list[DecodedRecord]] = {}
    for each in records:
        found.setdefault(each[0].partition, []).append(each)
    return [
        batch_of(each[begin : begin + most])
        for each in found.values()
        for begin in range(0, len(each), most)
    ]
