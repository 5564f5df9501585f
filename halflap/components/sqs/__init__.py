"""Amazon SQS: queues, what is sent to them, and the listener that receives from one.

A message stays with SQS, invisible to others, until it is deleted; that follows its durable accept
(`lease`). What is not deleted comes again, with the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halflap import (
    Batch,
    Choice,
    Component,
    DefinitionError,
    Json,
    Limits,
    Listening,
    Model,
    Request,
    Source,
    UpstreamError,
)
from halflap.components.aws.connection import Aws, values_of
from halflap.components.aws.message import Attributes, MessageAttribute, typed
from halflap.components.sqs.lease import AT_ONCE, MessageLease
from halflap.components.sqs.received import IDEMPOTENCY_KEY, event_of, group_of, message_of

RECEIVED_BYTES = 1024 * 1024
"""The bytes that one answer is expected to have."""
MOST_ANSWERS = 8
"""The most answers that are asked for at once, while all of them are full."""
MOST_LISTED = 1_000
MOST_ATTRIBUTES = 10
"""The most attributes of a message that SQS takes."""
TRIES = 3


class Sqs(Aws):
    """An AWS account whose SQS queues are used."""

    service: ClassVar[str] = "sqs"
    target: ClassVar[str] = "AmazonSQS"
    limits: ClassVar[Limits] = Limits(total=45.0, response_bytes=32 * 1024 * 1024)

    async def test(self) -> None:
        try:
            await self.call_json("ListQueues", {"MaxResults": 1})
        except UpstreamError as error:
            # The keys are right, and are for less than a list of all queues.
            if "AccessDenied" not in str(error):
                raise


class QueueMessage(Model):
    """A message of a queue; where a topic of SNS sent it there, the one that was published."""

    message_id: str
    """SQS's id; of a message that SNS sent, the id that it has there."""

    body: str

    data: Json = None
    """The body as JSON; None where it is something else."""

    attributes: dict[str, MessageAttribute] = {}

    group_id: str | None = None
    """The group in whose order it comes, of a FIFO queue."""

    sent_at: datetime

    receive_count: int = 1
    """The number of times that it was received until it was accepted."""

    topic: str | None = None
    """The ARN of the topic of SNS that it comes from."""

    subject: str | None = None


class QueuedMessage(Model):
    """A message that SQS has accepted."""

    message_id: str
    sequence_number: str | None = None
    """Its place in a FIFO queue."""


class OutgoingMessage(Model):
    """A message to send with others."""

    body: str
    attributes: Attributes = None
    group_id: str | None = None
    deduplication_id: str | None = None


class RefusedMessage(Model):
    """A message that SQS did not take: its place among those to send, and why."""

    index: int
    code: str
    reason: str


class QueuedBatch(Model):
    """The outcome of sending many messages; `sent` has None where one was refused."""

    sent: list[QueuedMessage | None]
    refused: list[RefusedMessage] = []


component = Component(
    "sqs",
    title="Amazon SQS",
    description="Queues of Amazon SQS: send to them, and run a flow for each message of one.",
    connection=Sqs,
)


@component.action
async def list_queues(aws: Sqs) -> list[Choice]:
    """List the queues of the connection's region."""
    found: list[str] = []
    token: str | None = None
    for _ in range(aws.most_pages):
        asked = {"MaxResults": MOST_LISTED, "NextToken": token}
        page = await aws.call_json("ListQueues", asked)
        found += values_of(page, "QueueUrls")
        before, token = token, page.get("NextToken")
        if token is None or token == before:
            break
    return [Choice(value=each, label=each.rpartition("/")[2]) for each in found]


Queue = Annotated[
    str,
    Source(list_queues),
    Field(description="The URL of the queue.", pattern=r"^https?://[^?#\s]+/[A-Za-z0-9_.-]+$"),
]
GroupId = Annotated[
    str | None, Field(description="For a FIFO queue: in whose order it is received.")
]
DeduplicationId = Annotated[
    str | None,
    Field(description="For a FIFO queue: by what SQS knows it again for five minutes."),
]


def keyed(attributes: dict[str, str | Decimal] | None, key: str) -> dict[str, str | Decimal]:
    """Return attributes with the key of a message, where SQS takes one more."""
    given = attributes or {}
    return {IDEMPOTENCY_KEY: key, **given} if len(given) < MOST_ATTRIBUTES else given


def entry(
    body: str,
    attributes: Mapping[str, str | Decimal] | None,
    group_id: str | None,
    deduplication_id: str | None,
) -> dict[str, Any]:
    """Return a message as the API takes it."""
    given = {
        name: {"DataType": kind, "StringValue": value} for name, kind, value in typed(attributes)
    }
    return {
        "MessageBody": body,
        **({"MessageAttributes": given} if given else {}),
        **({"MessageGroupId": group_id} if group_id is not None else {}),
        **({"MessageDeduplicationId": deduplication_id} if deduplication_id is not None else {}),
    }


@component.action
async def send(
    aws: Sqs,
    queue: Queue,
    body: str,
    attributes: Attributes = None,
    delay: Annotated[int, Field(ge=0, le=900, description="Seconds until it is there.")] = 0,
    group_id: GroupId = None,
    deduplication_id: DeduplicationId = None,
) -> QueuedMessage:
    """Send a message to a queue.

    A FIFO queue wants a `group_id`, and takes no `delay`. Without a `deduplication_id` it gets the key of
    this step, which is the same on every try; in a standard queue the message has that as its attribute
    `idempotency-key`, where there is room for one more. Where an answer is lost, the message is not
    sent again; a step that a crash repeats sends it twice to a standard queue, with the same key.
    """
    if not queue.endswith(".fifo"):
        attributes = keyed(attributes, aws.upcoming_key())
    elif deduplication_id is None:
        deduplication_id = aws.upcoming_key()
    sent = await aws.call_json(
        "SendMessage",
        {
            "QueueUrl": queue,
            "DelaySeconds": delay or None,
            **entry(body, attributes, group_id, deduplication_id),
        },
    )
    return queued(sent)


@component.action
async def send_batch(aws: Sqs, queue: Queue, messages: list[OutgoingMessage]) -> QueuedBatch:
    """Send many messages to a queue, ten in a request.

    What SQS could not take for reasons of its own is sent again, at most twice; what it refuses is in
    `refused`, and the others are sent. A FIFO queue gets them in their order; behind a refused one of a
    group it gets the rest all the same.
    """
    key, is_fifo = aws.upcoming_key(), queue.endswith(".fifo")
    sent: list[QueuedMessage | None] = [None] * len(messages)
    refused: list[RefusedMessage] = []
    entries: dict[str, dict[str, Any]] = {}
    for number, each in enumerate(messages):
        dedup = each.deduplication_id
        if is_fifo and dedup is None:
            dedup = f"{key}-{number}"
        attributes = each.attributes if is_fifo else keyed(each.attributes, f"{key}-{number}")
        entries[str(number)] = entry(each.body, attributes, each.group_id, dedup)
    names = list(entries)
    for first in range(0, len(names), AT_ONCE):
        left = names[first : first + AT_ONCE]
        for attempt in range(TRIES):
            asked = [{"Id": name, **entries[name]} for name in left]
            answer = await aws.call_json("SendMessageBatch", {"QueueUrl": queue, "Entries": asked})
            for each in values_of(answer, "Successful"):
                sent[int(each["Id"])] = queued(each)
            failed = values_of(answer, "Failed")
            again = [each["Id"] for each in failed if not each.get("SenderFault", True)]
            is_last = attempt == TRIES - 1
            refused += [
                RefusedMessage(
                    index=int(each["Id"]),
                    code=str(each.get("Code", "")),
                    reason=str(each.get("Message", "")),
                )
                for each in failed
                if is_last or each["Id"] not in again
            ]
            if not again or is_last:
                break
            left = again
            await asyncio.sleep(0.2 * 2**attempt)
    return QueuedBatch(sent=sent, refused=refused)


def queued(answer: Mapping[str, Any]) -> QueuedMessage:
    """Return what SQS says of a message that it took."""
    return QueuedMessage(
        message_id=answer["MessageId"], sequence_number=answer.get("SequenceNumber")
    )


@component.trigger(methods=(), title="Message", dedupe_for=timedelta(days=15), key=group_of)
async def message(
    request: Request,
    queue: Queue,
    unwrap: Annotated[
        bool,
        Field(description="Whether a message that a topic of SNS sent is the one published there."),
    ] = True,
    dedupe_by: Annotated[
        Literal["message_id", "deduplication_id", "idempotency_key"],
        Field(
            description="By what a message is known again for 15 days: SQS's id of it; of a FIFO queue, "
            "the id that its sender gave it; of a standard queue, the attribute idempotency-key, by "
            "which one that was sent twice by `sqs.send` is one event."
        ),
    ] = "message_id",
    visibility: Annotated[
        int,
        Field(
            ge=2,
            le=43_200,
            description="Seconds until a message comes again whose reader has died.",
        ),
    ] = 60,
    wait: Annotated[
        int, Field(ge=0, le=20, description="Seconds that SQS waits for a message to come.")
    ] = 20,
) -> QueueMessage:
    """A message of a queue of Amazon SQS.

    It is deleted once it is accepted, durably; until then it stays invisible to others, however long
    that takes. Of a FIFO queue, the group is the record (`key`): order the flow by key to handle each
    group's messages one after the other.
    """
    return QueueMessage.model_validate(event_of(request))


@message.listen(tuning=("unwrap", "dedupe_by", "visibility", "wait"))
async def _(
    aws: Sqs,
    listening: Listening,
    queue: str,
    unwrap: bool,
    dedupe_by: str,
    visibility: int,
    wait: int,
) -> AsyncGenerator[Batch]:
    if dedupe_by == "deduplication_id" and not queue.endswith(".fifo"):
        raise DefinitionError("sqs.message: dedupe_by=deduplication_id is for a FIFO queue")
    answers = 1
    while True:
        await listening.credit(answers * RECEIVED_BYTES)
        received = await received_by(aws, queue, visibility, wait, answers)
        if not received:
            answers = 1
            await listening.rest(0 if wait else 1.0)
            continue
        is_full = len(received) == answers * AT_ONCE
        answers = min(answers * 2, MOST_ANSWERS) if is_full else 1
        async with MessageLease(aws, queue, visibility, received) as lease:
            messages = [message_of(each, unwrap, dedupe_by) for each in received]
            yield Batch(messages, ack=lease.delete)


async def received_by(
    aws: Sqs, queue: str, visibility: int, wait: int, answers: int
) -> Sequence[dict[str, Any]]:
    """Return messages of a queue: of one answer that is waited for, or of many at once."""
    asked = {
        "QueueUrl": queue,
        "MaxNumberOfMessages": AT_ONCE,
        "VisibilityTimeout": visibility,
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    }
    waits = [wait, *(0 for _ in range(answers - 1))]
    found = await asyncio.gather(
        *(aws.call_json("ReceiveMessage", {**asked, "WaitTimeSeconds": each}) for each in waits),
        return_exceptions=True,
    )
    received: list[dict[str, Any]] = []
    failed: BaseException | None = None
    for each in found:
        if isinstance(each, BaseException):
            failed = each
        else:
            received += values_of(each, "Messages")
    if failed is not None and not received:
        raise failed
    return received
