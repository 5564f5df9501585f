"""Amazon SNS: topics, what is published to them, and the trigger that a topic calls.

A topic asks an endpoint to confirm its subscription, and signs what it sends with a certificate that has
to be fetched. Both are outgoing requests, so the gateway makes neither: it takes only what names the
flow's topic, is fresh and has the shape of a message, durably; the execution verifies and confirms
(`_envelope`), before the flow sees anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from halflap import (
    Choice,
    Component,
    Declaration,
    DefinitionError,
    Endpoint,
    Ignore,
    Json,
    Model,
    Request,
    Source,
    Subscription,
    UpstreamError,
)
from halflap.components.aws.connection import Aws, text
from halflap.components.aws.message import TOPIC, Attributes, MessageAttribute, as_json, typed
from halflap.components.sns._envelope import (
    SnsEnvelope,
    delivery,
    fields_of,
    is_raw,
    require_genuine,
)

RETRIES = {
    "minDelayTarget": 5,
    "maxDelayTarget": 150,
    "numRetries": 20,
    "numMaxDelayRetries": 8,
    "backoffFunction": "exponential",
}
"""Tries for most of the hour that SNS allows; by itself it gives up after three in a minute."""


class Sns(Aws):
    """An AWS account whose SNS topics are used."""

    service: ClassVar[str] = "sns"
    api_version: ClassVar[str] = "2010-03-31"

    async def test(self) -> None:
        try:
            await self.call("ListTopics", {})
        except UpstreamError as error:
            # The keys are right, and are for less than a list of all topics.
            if "AuthorizationError" not in str(error) and "AccessDenied" not in str(error):
                raise


class Notification(Model):
    """A message that was published to a topic."""

    message_id: str = ""
    topic: str = ""
    message: str
    """The message as it was published."""

    data: Json = None
    """The message as JSON; None where it is something else."""

    subject: str | None = None
    timestamp: datetime
    """When it was published; of a raw message, when it arrived."""

    attributes: dict[str, MessageAttribute] = {}
    """A raw message arrives without them."""


class Published(Model):
    """A message that SNS has accepted."""

    message_id: str
    sequence_number: str | None = None
    """Its place in a FIFO topic."""


class TopicSubscription(Model):
    """A subscription to a topic; its `arn` is `PendingConfirmation` until its endpoint confirms it."""

    arn: str
    protocol: str
    endpoint: str


component = Component(
    "sns",
    title="Amazon SNS",
    description="Topics of Amazon SNS: publish to them, and run a flow for each message of one.",
    connection=Sns,
)


@component.action
async def list_topics(aws: Sns) -> list[Choice]:
    """List the topics of the connection's region."""
    arns = [text(each, "TopicArn") async for each in aws.listed("ListTopics", "Topics")]
    return [Choice(value=each, label=each.rpartition(":")[2]) for each in arns]


Topic = Annotated[
    str, Source(list_topics), Field(description="The ARN of the topic.", pattern=TOPIC.pattern)
]
Policy = Annotated[
    dict[str, Any] | None,
    Field(description="Attributes that a message must have to be sent here, as SNS matches them."),
]


@component.action
async def publish(
    aws: Sns,
    topic: Topic,
    message: str,
    subject: str | None = None,
    attributes: Attributes = None,
    group_id: str | None = None,
    deduplication_id: str | None = None,
) -> Published:
    """Publish a message to a topic.

    A FIFO topic wants a `group_id`, in whose order it sends, and knows a repeated message by its
    `deduplication_id` for five minutes. Where an answer is lost, the message is not sent again.
    """
    values: dict[str, str | None] = {
        "TopicArn": topic,
        "Message": message,
        "Subject": subject,
        "MessageGroupId": group_id,
        "MessageDeduplicationId": deduplication_id,
    }
    for number, (name, kind, value) in enumerate(typed(attributes), start=1):
        place = f"MessageAttributes.entry.{number}"
        values[f"{place}.Name"] = name
        values[f"{place}.Value.DataType"] = kind
        values[f"{place}.Value.StringValue"] = value
    result = await aws.call("Publish", values)
    return Published(
        message_id=text(result, "MessageId"), sequence_number=text(result, "SequenceNumber") or None
    )


@component.action
async def list_subscriptions(aws: Sns, topic: Topic) -> list[TopicSubscription]:
    """List the subscriptions to a topic."""
    found = aws.listed("ListSubscriptionsByTopic", "Subscriptions", {"TopicArn": topic})
    return [
        TopicSubscription(
            arn=text(each, "SubscriptionArn"),
            protocol=text(each, "Protocol"),
            endpoint=text(each, "Endpoint"),
        )
        async for each in found
    ]


@component.action(repeatable=True)
async def subscribe(
    aws: Sns,
    topic: Topic,
    protocol: str,
    endpoint: str,
    raw: bool = False,
    filter_policy: Policy = None,
) -> TopicSubscription:
    """Subscribe an endpoint to a topic: an address of email, a queue, a function, a URL.

    Asked twice, it subscribes once. SNS asks the endpoint to confirm; a flow with the trigger
    `sns.notification` subscribes and confirms by itself.
    """
    return await subscribed(aws, topic, protocol, endpoint, attributes_of(raw, filter_policy))


@component.action(repeatable=True)
async def unsubscribe(aws: Sns, subscription: str) -> None:
    """End a subscription, by its ARN; one that is gone already is fine."""
    try:
        await aws.call("Unsubscribe", {"SubscriptionArn": subscription})
    except UpstreamError as error:
        if error.status != 404:
            raise


def attributes_of(raw: bool, filter_policy: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the attributes of a subscription; a policy that was taken away is the empty one."""
    return {
        "RawMessageDelivery": "true" if raw else "false",
        "FilterPolicy": json.dumps(filter_policy or {}),
    }


async def subscribed(
    aws: Sns, topic: str, protocol: str, endpoint: str, attributes: Mapping[str, str]
) -> TopicSubscription:
    """Ensure a subscription with these attributes: one that is confirmed is changed in place."""
    for each in await list_subscriptions.function(aws, topic):
        if (each.protocol, each.endpoint) == (protocol, endpoint) and each.arn.startswith("arn:"):
            for name, value in attributes.items():
                wanted = {"AttributeName": name, "AttributeValue": value}
                await aws.call("SetSubscriptionAttributes", {"SubscriptionArn": each.arn, **wanted})
            return each
    values = {"TopicArn": topic, "Protocol": protocol, "Endpoint": endpoint}
    for number, (name, value) in enumerate(attributes.items(), start=1):
        if (name, value) != ("FilterPolicy", "{}"):
            values[f"Attributes.entry.{number}.key"] = name
            values[f"Attributes.entry.{number}.value"] = value
    result = await aws.call("Subscribe", {**values, "ReturnSubscriptionArn": "true"})
    arn = text(result, "SubscriptionArn")
    return TopicSubscription(arn=arn, protocol=protocol, endpoint=endpoint)


@component.trigger(verify=SnsEnvelope(topic=""), dedupe=delivery)
async def notification(
    request: Request,
    topic: Topic,
    raw: Annotated[
        bool,
        Field(
            description="Whether SNS sends messages as they were published, without its envelope: "
            "they are unsigned then, so that the secret URL is all that protects the flow."
        ),
    ] = False,
    filter_policy: Policy = None,
) -> Notification:
    """A message was published to a topic of Amazon SNS.

    The trigger subscribes to the topic when an instance is activated, confirms that, and unsubscribes
    afterwards. Only this topic is confirmed, and only messages that it signed start the flow.
    """
    if is_raw(request):
        message = request.text
        return Notification(
            message_id=request.headers.get("x-amz-sns-message-id") or "",
            topic=topic,
            message=message,
            data=as_json(message),
            timestamp=request.received_at,
        )
    told: dict[str, Any] = {"TopicArn": topic, "Timestamp": request.received_at, **request.json()}
    attributes: dict[str, Any] = told.get("MessageAttributes") or {}
    return Notification.model_validate(
        {
            "message_id": told.get("MessageId", ""),
            "topic": told["TopicArn"],
            "message": told["Message"],
            "data": as_json(told["Message"]),
            "subject": told.get("Subject"),
            "timestamp": told["Timestamp"],
            "attributes": {
                name: {"type": each["Type"], "value": each["Value"]}
                for name, each in attributes.items()
            },
        }
    )


def is_control(request: Request) -> bool:
    """Return whether a message is about the subscription, and not one that was published."""
    return not is_raw(request) and fields_of(request)["Type"] != "Notification"


@notification.declare
def _(topic: str, raw: bool, filter_policy: Policy) -> Declaration:
    if topic.endswith(".fifo"):
        raise DefinitionError(
            f"sns.notification: {topic} is a FIFO topic, which sends to queues alone; subscribe a queue"
        )
    return Declaration(
        verify=SnsEnvelope(topic=topic, raw=raw), dedupe=delivery, control=is_control
    )


@notification.subscribe
async def _(
    aws: Sns, endpoint: Endpoint, topic: str, raw: bool, filter_policy: Policy
) -> Subscription:
    policy = json.dumps({"healthyRetryPolicy": RETRIES})
    attributes = {**attributes_of(raw, filter_policy), "DeliveryPolicy": policy}
    protocol = endpoint.url.partition(":")[0]
    return Subscription(id=(await subscribed(aws, topic, protocol, endpoint.url, attributes)).arn)


@notification.unsubscribe
async def _(aws: Sns, subscription: Subscription) -> None:
    await unsubscribe.function(aws, subscription.id)


@notification.exists
async def _(aws: Sns, subscription: Subscription) -> bool:
    try:
        found = await aws.call("GetSubscriptionAttributes", {"SubscriptionArn": subscription.id})
    except UpstreamError as error:
        if error.status == 404:
            return False
        raise
    entries = found.iterfind("{*}Attributes/{*}entry")
    return {"PendingConfirmation": "false"}.items() <= {
        text(each, "key"): text(each, "value") for each in entries
    }.items()


@notification.admit
async def _(aws: Sns, request: Request, topic: str) -> Ignore | None:
    if is_raw(request):
        return None
    told = fields_of(request)
    await require_genuine(aws, told, request.received_at)
    match told["Type"]:
        case "SubscriptionConfirmation":
            answer = {"TopicArn": topic, "Token": told["Token"]}
            await aws.call("ConfirmSubscription", {**answer, "AuthenticateOnUnsubscribe": "true"})
            return Ignore("Amazon SNS asked for a confirmation of the subscription, and has it")
        case "UnsubscribeConfirmation":
            raise UpstreamError(
                f"the subscription to {topic} was ended at Amazon SNS, and not by us: no message "
                "arrives any more; activate the instance again to subscribe",
                retryable=False,
                in_doubt=False,
            )
        case _:
            return None
