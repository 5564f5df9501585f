"""Values of records: Avro with a schema registry, CloudEvents; written and read by strangers' clients."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka.serialization import MessageField, SerializationContext

from halflap import DefinitionError, InvalidEvent, Unauthorized, kafka
from halflap.components.avro import Schema as ParsedSchema
from halflap.components.avro import Undecodable
from halflap.components.kafka import reading
from halflap.components.kafka.publishing import producers
from halflap.components.kafka.reader.wire import ReadRecord
from halflap.components.kafka.record import at_time
from halflap.components.kafka.registry import SchemaCache, schema_of, schemas
from halflap.sdk.connection import egress
from halflap.sdk.egress import Egress, Policy
from halflap.testing.listeners import AcceptedLog
from tests.brokers import KafkaBroker, broker
from tests.components.test_kafka import event_of, read
from tests.loopback import on_loopback

with warnings.catch_warnings(action="ignore"):  # of what the client imports
    from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer

ADDRESS = {"type": "record", "name": "Address", "fields": [{"name": "city", "type": "string"}]}
ORDER = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "id", "type": "long"},
        {
            "name": "total",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
        },
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "raw", "type": "bytes"},
        {"name": "to", "type": "Address"},
    ],
}
BIG = {
    "id": 9007199254740993,
    "total": Decimal("12345678901234.50"),
    "at": 1_700_000_000_123,
    "raw": b"\xff",
    "to": {"city": "Zürich"},
}


class Registry:
    """A schema registry in memory, as Confluent's clients and ours ask it."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def check(self, request: web.Request) -> None:
        self.asked.append(request.path)
        if request.headers.get("authorization") != "Basic dXNlcjpwdw==":
            raise web.HTTPUnauthorized

    async def register(self, request: web.Request) -> web.Response:
        self.check(request)
        body, subject = await request.json(), request.match_info["subject"]
        version = 1 + sum(each["subject"] == subject for each in self.schemas)
        self.schemas.append(
            {**body, "subject": subject, "version": version, "id": len(self.schemas) + 1}
        )
        return web.json_response(self.schemas[-1])

    async def by_id(self, request: web.Request) -> web.Response:
        self.check(request)
        id = int(request.match_info["id"])
        if id > len(self.schemas):
            body = {"error_code": 40403, "message": "Schema not found"}
            return web.json_response(body, status=404)
        return web.json_response(self.schemas[id - 1])

    async def by_version(self, request: web.Request) -> web.Response:
        self.check(request)
        subject, version = request.match_info["subject"], request.match_info["version"]
        found = [each for each in self.schemas if each["subject"] == subject]
        wanted = [each for each in found if version in ("latest", "-1", str(each["version"]))]
        if not wanted:
            return web.json_response({"error_code": 40401}, status=404)
        return web.json_response(wanted[-1])

    async def subjects(self, request: web.Request) -> web.Response:
        self.check(request)
        return web.json_response(sorted({each["subject"] for each in self.schemas}))


@pytest.fixture
async def registry() -> AsyncIterator[tuple[Registry, str]]:
    made: Any = web.Application()
    found = Registry()
    made.add_routes(
        [
            web.get("/subjects", found.subjects),
            web.post("/subjects/{subject}/versions", found.register),
            web.get("/subjects/{subject}/versions/{version}", found.by_version),
            web.get("/schemas/ids/{id}", found.by_id),
        ]
    )
    async with on_loopback(made) as url:
        yield found, url


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with broker("noida", tmp_path_factory.mktemp("values") / "data") as made:
        yield made


@pytest.fixture(autouse=True)
async def allowed() -> AsyncIterator[None]:
    client = Egress(Policy(("127.0.0.1",)))
    egress.set(client)
    yield
    await client.close()
    egress.set(None)
    producers.clear()
    schemas.clear()


def connected(at: KafkaBroker, url: str | None = None, password: str = "pw") -> kafka.Kafka:
    return kafka.Kafka(
        servers=at.servers,
        encryption="none",
        auth=kafka.NoSignIn(),
        registry_url=url,
        registry_username="user",
        registry_password=password,  # pyright: ignore[reportArgumentType]
    )


def stranger(url: str) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": url, "basic.auth.user.info": "user:pw"})


def written(url: str, topic: str, value: dict[str, Any]) -> bytes:
    """Return a value as Confluent's own serializer writes it."""
    with stranger(url) as client:
        client.register_schema("address", Schema(json.dumps(ADDRESS), "AVRO"))
        schema = Schema(json.dumps(ORDER), "AVRO", [SchemaReference("Address", "address", 1)])
        serialize = AvroSerializer(client, schema, conf={"auto.register.schemas": True})
        found = serialize(value, SerializationContext(topic, MessageField.VALUE))
    assert found is not None
    return found


async def test_avro_of_confluents_serializer_is_read(
    at: KafkaBroker, registry: tuple[Registry, str]
):
    found, url = registry
    at.make_topic("avro")
    value = await asyncio.to_thread(written, url, "avro", BIG)
    at.put("avro", [value, value, None, b"{}", b"\0\0\0\0\x63abc", value[:-3], value + b"x"])
    trigger = kafka.records(topic="avro", format="avro", start="earliest")
    found.asked.clear()
    messages = await read(trigger, connected(at, url), AcceptedLog(), 7)
    first = await event_of(trigger, messages[0])
    assert first.value == {
        "id": 9007199254740993,
        "total": Decimal("12345678901234.50"),
        "at": "2023-11-14T22:13:20.123000Z",
        "raw": "/w==",
        "to": {"city": "Zürich"},
    }
    assert (await event_of(trigger, messages[2])).value is None
    for message, why in zip(
        messages[3:],
        ("does not begin", "has no schema 99", "does not fit", "1 bytes follow"),
        strict=True,
    ):
        if why == "does not begin":  # JSON among Avro can be read all the same
            assert (await event_of(trigger, message)).value == {}
            continue
        with pytest.raises(InvalidEvent, match=why):
            await event_of(trigger, message)
    assert messages[5].content == value[:-3]
    assert found.asked.count("/schemas/ids/2") == 1


async def test_avro_of_ours_is_read_by_confluents_deserializer(
    at: KafkaBroker, registry: tuple[Registry, str]
):
    _, url = registry
    at.make_topic("ours")
    kafka_ = connected(at, url)
    schema = json.dumps({**ADDRESS, "name": "Place"})
    raw = kafka.records(topic="ours", format="bytes", start="earliest")
    place = SerializationContext("ours", MessageField.VALUE)
    with stranger(url) as client:
        await asyncio.to_thread(client.register_schema, "ours-value", Schema(schema, "AVRO"))
        await kafka.publish(kafka_, "ours", {"city": "Zürich"}, format="avro")
        [message] = await read(raw, kafka_, AcceptedLog(), 1)
        found = await asyncio.to_thread(AvroDeserializer(client), message.content, place)
        assert found == {"city": "Zürich"}
    with pytest.raises(DefinitionError, match="does not fit the schema of ours-value"):
        await kafka.publish(kafka_, "ours", {"town": "Bern"}, format="avro")
    with pytest.raises(DefinitionError, match="has no subject nothing"):
        await kafka.publish(kafka_, "ours", {}, format="avro", subject="nothing")


async def test_a_registry_that_refuses_holds_the_topic_up(
    at: KafkaBroker, registry: tuple[Registry, str]
):
    _, url = registry
    at.make_topic("held")
    at.put("held", [await asyncio.to_thread(written, url, "held", BIG)])
    wrong = connected(at, url, "wrong")
    trigger = kafka.records(topic="held", format="avro", start="earliest")
    log = AcceptedLog()
    with pytest.raises(Unauthorized):
        await read(trigger, wrong, log, 1)
    with pytest.raises(Unauthorized):
        await wrong.test()
    assert log.cursors == {}
    assert len(await read(trigger, connected(at, url), log, 1)) == 1


async def test_cloud_events_go_out_and_come_in(at: KafkaBroker, tmp_path: Path):
    at.make_topic("events")
    kafka_ = connected(at)
    await kafka.publish_cloud_event(
        kafka_,
        "events",
        "order.placed",
        "/orders",
        {"n": 1.5},
        id="e1",
        subject="o/1",
        extensions={"partitionkey": "k1"},
    )
    structured = b'{"specversion":"1.0","id":"e2","source":"/s","type":"t","data":{"n":2}}'
    kind = [("content-type", b"application/cloudevents+json; charset=utf-8")]
    at.put("events", [structured], headers=kind)
    at.put("events", [b"{}"])
    trigger = kafka.cloud_events(topic="events", start="earliest")
    messages = await read(trigger, kafka_, AcceptedLog(), 3)
    headers = dict(messages[0].headers)
    assert (headers["ce_id"], headers["ce_subject"], messages[0].key) == ("e1", "o/1", "k1")
    assert headers["content-type"] == "application/json"
    first, second = await event_of(trigger, messages[0]), await event_of(trigger, messages[1])
    assert (first.id, first.type, first.data) == ("e1", "order.placed", {"n": Decimal("1.5")})
    assert (second.id, second.data) == ("e2", {"n": 2})
    with pytest.raises(InvalidEvent, match="no CloudEvent"):
        await event_of(trigger, messages[2])


def test_a_time_that_no_calendar_has_is_none() -> None:
    assert at_time(253_402_300_800_000) is None


async def test_a_schema_that_one_may_read_is_not_given_to_another(
    at: KafkaBroker, registry: tuple[Registry, str]
):
    found, url = registry
    at.make_topic("shared")
    at.put("shared", [await asyncio.to_thread(written, url, "shared", BIG)])
    trigger = kafka.records(topic="shared", format="avro", start="earliest")
    assert len(await read(trigger, connected(at, url), AcceptedLog(), 1)) == 1
    asked = len(found.asked)
    assert len(await read(trigger, connected(at, url), AcceptedLog(), 1)) == 1
    assert len(found.asked) == asked  # the same one is not asked again
    with pytest.raises(Unauthorized):
        await read(trigger, connected(at, url, "wrong"), AcceptedLog(), 1)


class OneSchemaConnection(kafka.Kafka):
    """A connection whose registry has one schema, the user's name, for every id."""

    async def find(self, path: str, **more: Any) -> Any:
        return {"schema": self.registry_username}


def wide(count: int) -> str:
    """Return a record's schema of so many fields."""
    fields = [{"name": f"f{each}", "type": ["null", "string"]} for each in range(count)]
    return json.dumps({"type": "record", "name": "Wide", "fields": fields})


def having(text: str) -> OneSchemaConnection:
    return OneSchemaConnection(
        servers="127.0.0.1:9092",
        encryption="none",
        auth=kafka.NoSignIn(),
        registry_url="http://127.0.0.1:1",
        registry_username=text,
    )


async def test_a_schema_of_too_much_text_is_refused_and_a_large_one_does_not_stop_the_loop():
    with pytest.raises(Undecodable, match="more than 1,000,000 characters"):
        await schema_of(having(wide(25_000)), 1)
    assert schemas.size == 0
    text = wide(15_000)
    is_parsed, rounds = asyncio.create_task(schema_of(having(text), 1)), 0
    while not is_parsed.done():
        await asyncio.sleep(0)
        rounds += 1
    assert (await is_parsed).size == len(text)
    assert rounds > 10  # of the loop; two, where it parses by itself


def test_no_connection_has_more_than_its_share_of_the_schemas_that_are_remembered():
    found, other = SchemaCache(), ("http://other", "")
    small = ParsedSchema(None, size=1_000)
    found.add(other, 1, small)
    for each in range(100):
        found.add(("http://one", ""), each, ParsedSchema(None, size=900_000))
    assert found.size <= SchemaCache.MOST_OF_ONE + 2_000
    assert (found.get(("http://one", ""), 95), found.get(("http://one", ""), 0)) == (None, None)
    assert found.get(("http://one", ""), 99) is not None
    for each in range(100):
        found.add((f"http://{each}", ""), 1, ParsedSchema(None, size=900_000))
    assert found.size <= SchemaCache.MOST
    assert found.get(other, 1) is small


async def test_a_batch_that_names_many_large_schemas_has_few_of_them_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
):
    held: list[int] = []
    before = reading.read_values

    def noted(records: Any, known: Any) -> Any:
        held.append(sum(each.size for each in known.values()))
        return before(records, known)

    monkeypatch.setattr(reading, "MOST_TEXT", 10_000)
    monkeypatch.setattr(reading, "read_values", noted)
    text = json.dumps({"type": "record", "name": "R", "doc": "x" * 3_000, "fields": []})
    text = text.replace("[]", '[{"name": "a", "type": ["null", "string"]}]')
    framed = [b"\0" + each.to_bytes(4, "big") + b"\0" for each in range(20)]
    records = [ReadRecord("orders", 0, at, value=each) for at, each in enumerate(framed)]
    values = await reading.decoded(having(text), "avro", reading.Fetched(records))
    assert [(record.offset, value, why) for record, value, why in values] == [
        (each, b'{"a":null}', "") for each in range(20)
    ]
    assert len(held) > 3
    assert max(held) < 20_000
