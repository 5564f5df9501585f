"""An event is written and read as two strangers' code does it, and nothing malformed is read."""

from __future__ import annotations

import base64
import json
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings import http, kafka
from cloudevents.core.v1.event import CloudEvent as TheirEvent
from hypothesis import given
from hypothesis import strategies as st

from halflap import CloudEvent, InvalidEvent
from halflap.sdk.cloudevents import BATCH, STRUCTURED, Prefix
from tests.cases import for_each

ROOT = Path(__file__).resolve().parents[2]
TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
PLAIN = CloudEvent(id="1", source="/s", type="t")
FULL = CloudEvent(
    id='Ünï "1" 100%',
    source="https://acme.example/orders?x=%C3%A4",
    type="com.acme.order.created",
    subject="orders/ 7 €",
    time=TIME,
    datacontenttype="application/json",
    dataschema="https://acme.example/schema",
    data={"amount": Decimal("12.340"), "note": "schön", "list": [1, None, True]},
    extensions={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
)
TEXT = CloudEvent(id="2", source="/s", type="t", datacontenttype="text/plain", data="grüß\n")
BYTES = CloudEvent(
    id="3",
    source="/s",
    type="t",
    datacontenttype="application/octet-stream",
    data_base64=base64.b64encode(bytes(range(256))).decode(),
)
EVENTS = [PLAIN, FULL, TEXT, BYTES]
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def read(headers: dict[str, str], body: bytes, prefix: Prefix = "ce-") -> CloudEvent:
    [event] = CloudEvent.read(headers, body, prefix=prefix)
    return event


def carried(event: CloudEvent) -> CloudEvent:
    """The event as binary mode carries it: data without a type are said to be JSON."""
    kind = event.datacontenttype or ("application/json" if event.data is not None else None)
    return event.model_copy(update={"datacontenttype": kind})


def document(value: Any) -> CloudEvent:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read({"content-type": STRUCTURED}, body)


def batch(events: list[CloudEvent]) -> bytes:
    return b"[" + b",".join(each.structured()[1] for each in events) + b"]"


def theirs(found: TheirEvent, event: CloudEvent) -> dict[str, Any]:
    """Their event in the words of ours, without what was not set; their time is now by default."""
    told = {name: each for name, each in found.get_attributes().items() if each is not None}
    return told if event.time is not None else {n: each for n, each in told.items() if n != "time"}


def ours(event: CloudEvent) -> dict[str, Any]:
    named = event.model_dump(exclude={"data", "data_base64", "extensions"}, exclude_none=True)
    return {"specversion": "1.0", **named, **event.extensions}


@for_each("event", EVENTS, ids=lambda event: event.id)
def test_an_event_is_read_as_it_was_written(event: CloudEvent) -> None:
    assert read(*event.binary()) == carried(event)
    assert read(*event.binary(prefix="ce_"), "ce_") == carried(event)
    assert read(*event.structured()) == event
    assert CloudEvent.read({"content-type": BATCH}, batch(EVENTS)) == EVENTS
    assert CloudEvent.read({"content-type": BATCH}, event.structured()[1]) == [
        event
    ]  # one, cut out


# ---- Strangers


@for_each("event", EVENTS, ids=lambda event: event.id)
def test_the_cloudevents_package_reads_ours(event: CloudEvent) -> None:
    message = http.HTTPMessage(*event.binary())
    assert theirs(http.from_http_event(message), event) == ours(event)
    message = http.HTTPMessage(*event.structured())
    assert theirs(http.from_http_event(message), event) == ours(event)
    told, body = event.binary(prefix="ce_")
    record = kafka.KafkaMessage({name: each.encode() for name, each in told.items()}, None, body)
    assert theirs(kafka.from_kafka_event(record), event) == ours(event)


@for_each("event", EVENTS, ids=lambda event: event.id)
def test_what_the_cloudevents_package_writes_is_read(event: CloudEvent) -> None:
    data: Any = event.content or None
    if event is FULL:
        data = json.loads(event.content)
    elif event is TEXT:
        data = event.data
    made = TheirEvent(ours(event), data)
    message = http.to_binary_event(made)
    told = {name.lower(): each for name, each in message.headers.items()}
    found = [read(told, message.body), document(http.to_structured_event(made).body)]
    record = kafka.to_binary_event(made)
    told = {name.lower(): each.decode() for name, each in record.headers.items()}
    found.append(read(told, record.value or b"", "ce_"))
    for each in found:
        assert each.model_copy(update={"time": event.time}) == event
        assert each.time == event.time or event.time is None


PEER = """
const {HTTP, CloudEvent} = require("cloudevents")
let text = ""
process.stdin.on("data", each => text += each).on("end", () => {
  const found = JSON.parse(text).map(({headers, body}) =>
    [HTTP.toEvent({headers, body})].flat().map(event => ({
      attributes: {...event, data: undefined, data_base64: undefined},
      binary: HTTP.binary(event), structured: HTTP.structured(event),
    })))
  process.stdout.write(JSON.stringify(found))
})
"""


def test_the_npm_package_reads_ours_and_writes_what_we_read() -> None:
    # It percent-encodes no header, so that others are ASCII; bodies pass through text here.
    plain: dict[str, Any] = {"id": "1", "source": "/orders", "subject": "7", "time": TIME}
    readable = [each.model_copy(update=plain) for each in (PLAIN, FULL, TEXT)]
    messages: list[dict[str, Any]] = []
    for each in readable:
        for told, body in (each.binary(), each.structured()):
            messages.append({"headers": told, "body": body.decode()})
    messages.append({"headers": {"content-type": BATCH}, "body": batch(readable).decode()})
    ran = subprocess.run(
        ["node", "-e", PEER],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout)
    assert [len(each) for each in answers] == [1] * 6 + [3]
    for number, each in enumerate(readable):
        for [answer] in answers[2 * number : 2 * number + 2]:
            assert (answer["attributes"]["id"], answer["attributes"]["source"]) == (
                each.id,
                each.source,
            )
            told = {name.lower(): value for name, value in answer["binary"]["headers"].items()}
            found = read(told, (answer["binary"].get("body") or "").encode())
            assert (found.identity, found.time, found.subject) == (
                each.identity,
                each.time,
                each.subject,
            )
            back = document(answer["structured"]["body"].encode())
            assert (back.identity, back.subject, back.time) == (
                each.identity,
                each.subject,
                each.time,
            )
            assert (back.data or None) == each.data


# ---- The letter of the specification


def test_a_header_is_percent_encoded_as_the_specification_says() -> None:
    # Of the HTTP binding: the Euro sign, an emoji, a space, a quotation mark and a percent sign.
    event = PLAIN.model_copy(update={"subject": 'Euro € 😀 "100%"'})
    assert event.binary()[0]["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22"
    for written in ('"Euro\\" x"', "Euro%22%20x", "Euro%22 x"):
        told = {f"ce-{name}": value for name, value in ATTRIBUTES.items()} | {"ce-subject": written}
        assert read(told, b"").subject == 'Euro" x'


def test_data_are_json_text_or_base64_by_their_type() -> None:
    told = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
    for kind, body, data, encoded in (
        (None, b'{"a":1.10}', {"a": Decimal("1.10")}, None),
        ("application/json; charset=utf-8", b"[]", [], None),
        ("application/problem+json", b'"x"', "x", None),
        ("text/csv", b"a,b", "a,b", None),
        ("image/svg+xml", b"<svg/>", "<svg/>", None),
        ("text/plain; charset=latin-1", b"\xe4", None, "5A=="),
        ("text/plain", b"\xff", None, "/w=="),
        ("application/octet-stream", b"a", None, "YQ=="),
    ):
        found = read(told if kind is None else {**told, "content-type": kind}, body)
        assert (found.data, found.data_base64) == (data, encoded), kind
        assert found.content == body


def test_without_data_there_is_none() -> None:
    assert PLAIN.binary() == ({f"ce-{name}": each for name, each in ATTRIBUTES.items()}, b"")
    assert json.loads(PLAIN.structured()[1]) == ATTRIBUTES
    assert document({**ATTRIBUTES, "subject": None}) == PLAIN


def test_the_source_and_the_id_together_identify() -> None:
    one = CloudEvent(id="bc", source="a", type="t")
    assert one.identity != CloudEvent(id="c", source="ab", type="t").identity
    assert one.identity == CloudEvent(id="bc", source="a", type="u").identity


@for_each(
    "changed",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"specversion": None},
        {"id": ""},
        {"id": 7},
        {"source": None},
        {"type": ""},
        {"time": "yesterday"},
        {"time": 1767323045},
        {"time": "2026-01-02T03:04:05"},
        {"time": "2026-13-02T03:04:05Z"},
        {"data_base64": "é"},
        {"data_base64": "YQ"},
        {"data": 1, "data_base64": "YQ=="},
        {"subject": "a\nb"},
        {"Upper": "x"},
        {"with_line": "x"},
        {"nested": {"a": 1}},
        {"nested": [1]},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        document({**ATTRIBUTES, **changed})


@for_each("body", [b"", b"{", b"\xff", b"1", b"[1]", b"[" * 100_000])
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    for kind in (STRUCTURED, BATCH):
        with pytest.raises(InvalidEvent):
            CloudEvent.read({"content-type": kind}, body)


def test_the_mode_is_told_by_the_headers() -> None:
    written = "Application/CloudEvents+JSON; charset=utf-8"
    assert read({"content-type": written}, PLAIN.structured()[1]) == PLAIN
    told = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
    kafka_told = {f"ce_{name}": value for name, value in ATTRIBUTES.items()}
    wrong: list[tuple[dict[str, str], Prefix, str]] = [
        ({"content-type": "application/json"}, "ce-", "no CloudEvent"),
        (kafka_told, "ce-", "no CloudEvent"),
        (told, "ce_", "no CloudEvent"),
        ({"content-type": "application/cloudevents+avro"}, "ce-", "avro"),
        ({**told, "ce-subject": "%ff"}, "ce-", "percent"),
        ({**told, "ce-data": "x"}, "ce-", "no header"),
    ]
    for headers, prefix, why in wrong:
        with pytest.raises(InvalidEvent, match=why):
            CloudEvent.read(headers, b"", prefix=prefix)


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1)


@given(texts, texts, texts, st.none() | texts, st.recursive(st.none() | st.text(), st.lists))
def test_any_event_travels_in_every_mode(
    id: str, source: str, type: str, subject: str | None, data: Any
) -> None:
    event = CloudEvent(id=id, source=source, type=type, subject=subject, data=data)
    assert read(*event.binary()) == carried(event)
    assert read(*event.structured()) == event


NAMES = st.text() | st.sampled_from(["ce-id", "ce-time", "ce-source", "ce-type", "content-type"])


@given(st.dictionaries(NAMES, st.text()), st.binary())
def test_nothing_but_an_invalid_event_escapes(sent: dict[str, str], body: bytes) -> None:
    with suppress(InvalidEvent):
        CloudEvent.read(sent | {"ce-specversion": "1.0"}, body)
