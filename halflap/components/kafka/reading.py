"""Triggers that read a topic: a flow for each record, or for many of a partition at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import Field

from halflap import Batch, CloudEvent, Listening, Message, Request, header
from halflap.components.avro import Undecodable
from halflap.components.kafka.connection import Kafka, component
from halflap.components.kafka.member import Member
from halflap.components.kafka.reader.wire import Fetched, ReadRecord
from halflap.components.kafka.record import (
    DecodedRecord,
    Format,
    KeyOf,
    Record,
    by_partition,
    message_of,
    read_batch,
    read_event,
    read_record,
)
from halflap.components.kafka.registry import (
    MOST_TEXT,
    is_framed,
    read_avro,
    schema_id,
    schema_of,
)

Values = Sequence[DecodedRecord]

CREDIT_BYTES = 1024 * 1024
IDLE_SECONDS = 1.0
AT_ONCE = 1_000
BATCHED_AT_ONCE = 10_000
"""Records that are accepted in one transaction, each as an execution or in batches."""
MOST_AT_ONCE = 5_000

Topic = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$", description="The topic's name: orders.")
]
Group = Annotated[
    str | None,
    Field(
        description="The consumer group, where the cluster permits none but some. Each flow of each "
        "instance needs one of its own: those of one group divide the records between them."
    ),
]
Static = Annotated[
    bool,
    Field(
        description="Whether a process keeps its partitions while it is started anew (static "
        "membership): of one that stays away, others read them once its session has run out (10 s)."
    ),
]
Start = Annotated[
    Literal["now", "earliest"],
    Field(
        description="Where to begin at first: with new records, or with the oldest that there are."
    ),
]


@component.trigger(methods=(), title="Record", key=header("kafka-key"))
async def records(
    request: Request,
    topic: Topic,
    format: Format = "json",
    key: KeyOf = "key",
    start: Start = "now",
    group: Group = None,
    static: Static = False,
) -> Record:
    """A record of a topic.

    `key` is what `order=` by key goes by: the record's key, or its partition. A value that is not of its
    format is an execution that fails, and can be replayed.
    """
    return read_record(request, format)


@records.listen(owned_by="source", tuning=["format", "key", "static"])
async def _(
    connection: Kafka,
    listening: Listening,
    topic: str,
    format: Format,
    key: KeyOf,
    group: str | None,
    static: bool,
) -> AsyncGenerator[Batch]:
    reader = Member(connection, listening, topic, group=group, static=static, most=AT_ONCE)
    async with reader as member:
        async for batch in read(member, listening, connection, format, partial(each_record, key)):
            yield batch


@component.trigger(methods=(), title="Records", key=header("kafka-partition"))
async def batches(
    request: Request,
    topic: Topic,
    most: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 500,
    format: Format = "json",
    start: Start = "now",
    group: Group = None,
    static: Static = False,
) -> list[Record]:
    """Many records of one partition of a topic, in their order: at most `most`, and all that there are.

    The key is the partition. Where a value is not of its format, the execution of all of them fails.
    """
    return read_batch(request, format)


@batches.listen(owned_by="source", tuning=["format", "most", "static"])
async def _(
    connection: Kafka,
    listening: Listening,
    topic: str,
    most: int,
    format: Format,
    group: str | None,
    static: bool,
) -> AsyncGenerator[Batch]:
    reader = Member(connection, listening, topic, group=group, static=static, most=BATCHED_AT_ONCE)
    async with reader as member:
        async for batch in read(member, listening, connection, format, partial(by_partition, most)):
            yield batch


@component.trigger(methods=(), title="CloudEvent", key=header("kafka-key"))
async def cloud_events(
    request: Request,
    topic: Topic,
    key: KeyOf = "key",
    start: Start = "now",
    group: Group = None,
    static: Static = False,
) -> CloudEvent:
    """An event as CloudEvents 1.0 describes it, which a record carries in binary or structured mode.

    A record that carries none is an execution that fails.
    """
    return read_event(request)


@cloud_events.listen(owned_by="source", tuning=["key", "static"])
async def _(
    connection: Kafka,
    listening: Listening,
    topic: str,
    key: KeyOf,
    group: str | None,
    static: bool,
) -> AsyncGenerator[Batch]:
    reader = Member(connection, listening, topic, group=group, static=static, most=AT_ONCE)
    async with reader as member:
        async for batch in read(member, listening, connection, "bytes", partial(each_record, key)):
            yield batch


def each_record(key: KeyOf, values: Values) -> list[Message]:
    """Return one message for each record."""
    return [message_of(each, key, value, unread) for each, value, unread in values]


async def read(
    member: Member,
    listening: Listening,
    connection: Kafka,
    form: Format,
    messages: Callable[[Values], list[Message]],
) -> AsyncGenerator[Batch]:
    """Yield what a member of a group reads, for ever."""
    while True:
        await listening.credit(CREDIT_BYTES)
        fetched = await member.fetch(IDLE_SECONDS)
        if fetched is None:
            if member.is_assigned:
                await listening.rest(0)
            listening.beat()
            continue
        values = await decoded(connection, form, fetched)
        found = await anyio.to_thread.run_sync(messages, values)
        yield Batch(found, fetched.cursors, partial(member.commit, fetched.cursors))
        member.accepted()


async def decoded(connection: Kafka, form: Format, fetched: Fetched) -> Values:
    """Return records with their values as they are stored: Avro as JSON, where it can be read."""
    records = fetched.records
    if form != "avro":
        return [(each, each.value, each.unread) for each in records]
    values: list[DecodedRecord] = []
    known: dict[int, Any] = {}
    begin = size = 0
    for number, each in enumerate(records):
        value = each.value
        if value is not None and is_framed(value) and (id := schema_id(value)) not in known:
            if size > MOST_TEXT:
                values += await anyio.to_thread.run_sync(read_values, records[begin:number], known)
                known, begin, size = {}, number, 0
            try:
                known[id] = await schema_of(connection, id)
                size += known[id].size
            except Undecodable as error:
                known[id] = error
    return values + await anyio.to_thread.run_sync(read_values, records[begin:], known)


def read_values(records: Sequence[ReadRecord], known: Mapping[int, Any]) -> list[DecodedRecord]:
    """Return records with their values in Avro as JSON, by the schemas that they name."""
    return [(each, *read_value(each, known)) for each in records]


def read_value(record: ReadRecord, known: Mapping[int, Any]) -> tuple[bytes | None, str]:
    """Return a value in Avro as JSON; one that cannot be read as it is, and why."""
    value = record.value
    if record.unread:
        return value, record.unread
    if value is None:
        return None, ""
    if not is_framed(value):
        return value, "it does not begin with a schema's id, as a registry's Avro does"
    schema = known[schema_id(value)]
    if isinstance(schema, Undecodable):
        return value, str(schema)
    try:
        return read_avro(value, schema), ""
    except Undecodable as error:
        return value, str(error)
