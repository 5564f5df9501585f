"""Triggers that read a topic: a flow for each record, or for many of a partition at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from pydantic import Field

from halflap import Batch, Listening, Message, Request, header
from halflap.components.kafka.connection import Kafka, component
from halflap.components.kafka.member import Fetched, Member
from halflap.components.kafka.record import (
    Format,
    KeyOf,
    Record,
    by_partition,
    message_of,
    read_batch,
    read_record,
)

Values = Sequence[tuple[Any, bytes | None, str]]
"""Records, each with its value as it is stored, and why it could not be decoded."""

CREDIT_BYTES = 1024 * 1024
IDLE_SECONDS = 1.0
AT_ONCE = 1_000
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
    def messages(values: Values) -> list[Message]:
        return [message_of(each, key, value, unread) for each, value, unread in values]

    reader = Member(connection, listening, topic, group=group, static=static, most=AT_ONCE)
    async with reader as member:
        async for batch in read(member, listening, connection, format, messages):
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
    reader = Member(connection, listening, topic, group=group, static=static, most=most)
    async with reader as member:
        async for batch in read(member, listening, connection, format, by_partition):
            yield batch


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
    """Return records with their values as they are stored."""
    return [(each, each.value(), "") for each in fetched.records]
