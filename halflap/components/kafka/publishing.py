"""An action that publishes a record, by an idempotent producer that a process keeps for each cluster."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from pydantic import AwareDatetime, Field

from halflap import (
    ClientCredentials,
    CloudEvent,
    DefinitionError,
    Json,
    Model,
    UpstreamError,
    encode_json,
)
from halflap.components.kafka.connection import Kafka, component
from halflap.components.kafka.reader.client import KafkaClient, failure
from halflap.components.kafka.reading import Topic
from halflap.components.kafka.record import Format, at_time
from halflap.components.kafka.registry import write_avro

DELIVERY_SECONDS = 20.0
MOST_PRODUCERS = 16
MAY_BE_STORED = "the cluster did not say what became of the record, so it may have been stored"
UNSENT = frozenset(
    {
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
        "_AUTHENTICATION",
        "_QUEUE_FULL",
        "CLUSTER_AUTHORIZATION_FAILED",
        "INVALID_RECORD",
        "MSG_SIZE_TOO_LARGE",
        "POLICY_VIOLATION",
        "RECORD_LIST_TOO_LARGE",
        "TOPIC_AUTHORIZATION_FAILED",
        "TOPIC_EXCEPTION",
        "UNKNOWN_TOPIC_OR_PART",
    }
)
"""The errors after which a record is surely not stored."""

SETTINGS = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "delivery.timeout.ms": int(DELIVERY_SECONDS * 1_000),
    "message.max.bytes": 8 * 1024 * 1024,
}


class Published(Model):
    """Where a record was stored."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None = None


@component.action
async def publish(
    kafka: Kafka,
    topic: Topic,
    value: Json = None,
    key: str | None = None,
    headers: dict[str, str] | None = None,
    partition: Annotated[int | None, Field(ge=0)] = None,
    format: Format = "json",
    subject: Annotated[
        str | None,
        Field(
            description="Avro: the subject whose newest schema is used, where it is not TOPIC-value."
        ),
    ] = None,
) -> Published:
    """Publish a record to a topic.

    It is stored by all replicas that are in sync, and once, whatever is repeated on the way. Without a
    value it is a tombstone, which deletes its key from a compacted topic. `format` is what becomes of the
    value: JSON, Avro by a schema of the registry, text as it is, or the bytes that stand for it in
    base64. Where the cluster did not say what became of a record, it is not published again. A step that
    a crash repeats publishes it again, with the same header `idempotency-key`.
    """
    if value is None and key is None:
        raise DefinitionError(
            "kafka.publish: a record has a value, or a key whose value it deletes"
        )
    content: bytes | None = None
    if format == "avro" and value is not None:
        content = await write_avro(kafka, subject or f"{topic}-value", value)
    elif value is not None:
        content = content_of(value, format)
    own = {"idempotency-key": kafka.upcoming_key(), **(headers or {})}
    return await published(kafka, topic, content, key, own, partition)


@component.action(title="Publish a CloudEvent")
async def publish_cloud_event(
    kafka: Kafka,
    topic: Topic,
    type: str,
    source: Annotated[str, Field(min_length=1, description="Where it happened, as /orders.")],
    data: Any = None,
    id: str | None = None,
    subject: str | None = None,
    time: AwareDatetime | None = None,
    datacontenttype: str | None = None,
    dataschema: str | None = None,
    extensions: dict[str, str | int | bool] | None = None,
    key: str | None = None,
) -> Published:
    """Publish an event as CloudEvents 1.0 describes it: its attributes in headers, its data as the value.

    Without an `id` it has one for each step, the same on every try. Without a `key` it has that of the
    extension `partitionkey`.
    """
    event = CloudEvent(
        id=id or kafka.upcoming_key(),
        source=source,
        type=type,
        subject=subject,
        time=time,
        datacontenttype=datacontenttype,
        dataschema=dataschema,
        data=data,
        extensions=extensions or {},
    )
    headers, body = event.binary(prefix="ce_")
    if key is None and "partitionkey" in event.extensions:
        key = str(event.extensions["partitionkey"])
    return await published(kafka, topic, body, key, headers, None)


def content_of(value: Json, form: str) -> bytes:
    """Return a value as bytes."""
    if form == "json":
        return encode_json(value)
    if not isinstance(value, str):
        raise DefinitionError(f"kafka.publish: a value of the format {form} is a text")
    try:
        return value.encode() if form == "text" else base64.b64decode(value, validate=True)
    except ValueError as error:
        raise DefinitionError(f"kafka.publish: the value is not base64: {error}") from error


async def published(
    kafka: Kafka,
    topic: str,
    value: bytes | None,
    key: str | None,
    headers: Mapping[str, str],
    partition: int | None,
) -> Published:
    """Publish bytes; raise where they are not stored, or it is not known whether they are."""
    producer = await producer_of(kafka)
    record: dict[str, Any] = {"value": value, "key": None if key is None else key.encode()}
    if headers:
        record["headers"] = [(name, each.encode()) for name, each in headers.items()]
    if partition is not None:
        record["partition"] = partition
    return await anyio.to_thread.run_sync(partial(deliver, producer, topic, record))


def deliver(producer: KafkaClient, topic: str, record: Mapping[str, Any]) -> Published:
    """Hand a record to librdkafka, and wait for its report."""
    done, reports = threading.Event(), list[tuple[Any, Any]]()

    def report(error: Any, stored: Any) -> None:
        reports.append((error, stored))
        done.set()

    try:
        producer.inner.produce(topic, on_delivery=report, **record)
    except BufferError as error:
        raise UpstreamError("Kafka: too many records are under way", in_doubt=False) from error
    except producer.library.KafkaException as error:
        raise failure(error.args[0]) from None
    while not done.is_set():  # librdkafka reports in time, whatever happens
        producer.inner.poll(0.1)
    [(error, stored)] = reports
    if error is None:
        at = at_time(stored.timestamp()[1])
        return Published(
            topic=topic, partition=stored.partition(), offset=stored.offset(), timestamp=at
        )
    found = (
        producer.error if producer.error is not None and error.name() in UNSENT else failure(error)
    )
    if error.name() in UNSENT:
        raise found
    raise UpstreamError(f"{found.message}; {MAY_BE_STORED}", retryable=False, in_doubt=True)


producers: OrderedDict[tuple[int, bytes], KafkaClient] = OrderedDict()


async def producer_of(kafka: Kafka) -> KafkaClient:
    """Return this process's producer for a cluster; it connects once for many records."""
    settings = kafka.settings()
    # librdkafka's settings do not tell whose token it is
    if isinstance(kafka.auth, ClientCredentials):
        auth = kafka.auth
        secret = auth.client_secret.get_secret_value()
        settings["token"] = [auth.token_url, auth.client_id, secret, *auth.scopes]
    place = id(asyncio.get_running_loop()), encode_json(settings)
    found = producers.get(place)
    if found is None or found.error is not None:
        found = await kafka.client("Producer", SETTINGS)
        await kafka.reached(found)
        producers[place] = found
        while len(producers) > MOST_PRODUCERS:
            producers.popitem(last=False)
    producers.move_to_end(place)
    return found
