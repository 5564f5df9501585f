"""A record of a topic: how it is stored as an event, and how a trigger reads it again.

An event has the record's value as its body, as it came, and where it stands in headers of ours beside the
record's own. So what cannot be read is stored all the same, and fails visibly.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from halflap import CloudEvent, InvalidEvent, Json, Message, Model, Request, encode_json

Format = Literal["json", "avro", "text", "bytes"]
KeyOf = Literal["key", "partition"]

PLACE = ("topic", "partition", "offset", "timestamp", "key", "tombstone", "unread")
OURS = frozenset(f"kafka-{name}" for name in PLACE)
"""The headers that we add; a record's own of these names are left out."""


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


def time_of(record: Any) -> datetime | None:
    """Return a record's time, of its producer or of the broker; None where there is no such time."""
    _, at = record.timestamp()
    try:
        return datetime.fromtimestamp(at / 1_000, UTC) if at > 0 else None
    except (ValueError, OverflowError, OSError):  # a producer may write any number
        return None


def own_headers(record: Any) -> list[tuple[str, str]]:
    """Return a record's own headers as text."""
    return [
        (name.replace("\0", "\ufffd"), text_of(value))
        for name, value in record.headers() or ()
        if name.lower() not in OURS
    ]


def place_of(record: Any, key: str | None) -> dict[str, str]:
    """Return where a record stands, by the names of our headers without their prefix."""
    found = {
        "topic": record.topic(),
        "partition": str(record.partition()),
        "offset": str(record.offset()),
    }
    at = time_of(record)
    if at is not None:
        found["timestamp"] = at.isoformat()
    if key is not None:
        found["key"] = key
    if record.value() is None:
        found["tombstone"] = "true"
    return found


def message_of(record: Any, order_by: KeyOf, value: bytes | None, unread: str = "") -> Message:
    """Return the message of one record, whose value may have been decoded; `unread` says why not."""
    key = None if record.key() is None else text_of(record.key())
    place = place_of(record, key)
    if unread:
        place["unread"] = unread
    ours = [(f"kafka-{name}", each) for name, each in place.items()]
    return Message(
        value or b"",
        [*ours, *own_headers(record)],
        key=key if order_by == "key" else str(record.partition()),
        at=time_of(record),
    )


def batch_of(records: Sequence[tuple[Any, bytes | None, str]]) -> Message:
    """Return one message of many records of a partition, each with its decoded value."""
    documents: list[dict[str, Any]] = []
    for record, value, unread in records:
        key = None if record.key() is None else text_of(record.key())
        document: dict[str, Any] = {**place_of(record, key), "headers": own_headers(record)}
        if unread:
            document["unread"] = unread
        if value is not None:
            try:
                document["value"] = value.decode()
            except UnicodeDecodeError:
                document["value_base64"] = base64.b64encode(value).decode()
        documents.append(document)
    last = records[-1][0]
    ours = [("kafka-topic", last.topic()), ("kafka-partition", str(last.partition()))]
    return Message(encode_json(documents), ours, key=str(last.partition()), at=time_of(last))


def read_record(request: Request, form: Format) -> Record:
    """Return the record of an event; `InvalidEvent` where its value is not of its format."""
    headers = request.headers
    place = {name: headers[f"kafka-{name}"] for name in PLACE if f"kafka-{name}" in headers}
    own = {name: each for name, each in headers.raw if name.lower() not in OURS}
    value = None if "tombstone" in place else request.body
    return record_of(request, place, own, value, form)


def read_event(request: Request) -> CloudEvent:
    """Return the event of CloudEvents that a record carries."""
    found = CloudEvent.read(request.headers, request.body, prefix="ce_")
    if len(found) != 1:
        raise InvalidEvent("A record carries one CloudEvent, and not a batch of them.")
    return found[0]


def read_batch(request: Request, form: Format) -> list[Record]:
    """Return the records of an event of many."""
    found: list[Record] = []
    for each in request.json():
        value = each.get("value")
        data = base64.b64decode(each.get("value_base64", "")) if value is None else value.encode()
        data = None if "tombstone" in each else data
        found.append(record_of(request, each, dict(each["headers"]), data, form))
    return found


def record_of(
    request: Request,
    place: Mapping[str, Any],
    headers: Mapping[str, str],
    value: bytes | None,
    form: Format,
) -> Record:
    """Return a record as flows have it."""
    return Record(
        topic=place.get("topic", ""),
        partition=int(place.get("partition", 0)),
        offset=int(place.get("offset", 0)),
        timestamp=place.get("timestamp"),
        key=place.get("key"),
        headers=dict(headers),
        value=None if value is None else value_of(request, value, form, place),
    )


def value_of(request: Request, value: bytes, form: Format, place: Mapping[str, Any]) -> Json:
    """Return a value as its format says; Avro was decoded as it was read, and is JSON here."""
    if form == "bytes":
        return base64.b64encode(value).decode()
    try:
        if form == "text":
            return value.decode()
        body = body_of(value)
        if body is request.body:
            return request.json()
        at = request.received_at
        return Request(request.method, "", "", request.headers, body, "", at).json()
    except (InvalidEvent, UnicodeDecodeError) as error:
        where = f"{place.get('topic')}[{place.get('partition')}]@{place.get('offset')}"
        why = place.get("unread") or str(error)
        raise InvalidEvent(f"the value of {where} is not {form}: {why}") from error


def body_of(value: bytes) -> bytes:
    """Return a value without the five bytes by which a registry's JSON names its schema."""
    return value[5:] if value[:1] == b"\0" and len(value) > 5 else value


def by_partition(records: Iterable[tuple[Any, bytes | None, str]]) -> list[Message]:
    """Return one message for each partition."""
    found: dict[int, list[tuple[Any, bytes | None, str]]] = {}
    for each in records:
        found.setdefault(each[0].partition(), []).append(each)
    return [batch_of(each) for each in found.values()]
