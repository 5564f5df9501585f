"""Every kind of source → Acme: one flow for each, and what comes is an activity under its text."""

from typing import Annotated, Any

import acme
from pydantic import Field

from halflap import (
    CloudEvent,
    Config,
    Context,
    Integration,
    app,
    email,
    header,
    http,
    hubspot,
    imap,
    kafka,
    salesforce,
    slack,
    sns,
    sqs,
    webhook,
)


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    acme: acme.Acme
    api: http.Http
    aws: sns.Sns
    hubspot: hubspot.HubSpot
    kafka: kafka.Kafka
    mailbox: imap.Imap
    queues: sqs.Sqs
    salesforce: salesforce.Salesforce
    slack: slack.Slack
    queue: Annotated[str, Field(title="URL of the queue")]
    topic: Annotated[str, Field(title="ARN of the topic")]


integration = Integration("sources", config=Settings, title="Every kind of source → Acme")
Ctx = Context[Settings]


async def arrived(ctx: Ctx, source: str, text: object) -> None:
    """Log what came."""
    await acme.log_activity(ctx.config.acme, kind=source, title=str(text))


# Requests ------------------------------------------------------------------------------------


@integration.flow(
    trigger=webhook.request(signature="github", dedupe=header("x-github-delivery")),
    title="Webhook",
)
async def hook(ctx: Ctx, event: dict[str, Any]) -> None:
    """A request, signed as GitHub signs."""
    await arrived(ctx, "hook", event["text"])


@integration.flow(
    trigger=webhook.request(signature="standard", dedupe=header("webhook-id")),
    title="Standard Webhooks",
)
async def standard(ctx: Ctx, event: dict[str, Any]) -> None:
    """A request, signed as Standard Webhooks says."""
    await arrived(ctx, "standard", event["text"])


@integration.flow(trigger=webhook.cloud_event(), title="CloudEvents")
async def cloud(ctx: Ctx, event: CloudEvent) -> None:
    """A CloudEvent by HTTP; its source and its id say which it is."""
    await arrived(ctx, "cloud", event.data["text"])


@integration.flow(
    trigger=hubspot.change(events=["contact.propertyChange"]), title="An app's one URL"
)
async def endpoint(ctx: Ctx, change: hubspot.Change) -> None:
    """A change in the portal, which HubSpot sends to the one URL of the team's app."""
    await arrived(ctx, "endpoint", change.property_value)


@integration.flow(trigger=sns.notification(topic=Settings.topic), title="Amazon SNS")
async def topic(ctx: Ctx, event: sns.Notification) -> None:
    """A message of a topic, which the trigger subscribed to and confirmed."""
    await arrived(ctx, "topic", event.message)


@integration.flow(trigger=email.received, title="Mail by SMTP")
async def mail(ctx: Ctx, received: email.Mail) -> None:
    """A mail to the flow's own address."""
    await arrived(ctx, "mail", received.subject)


@integration.flow(trigger=app.event("order.created"), title="The team's own product")
async def product(ctx: Ctx, event: app.AppEvent[dict[str, Any]]) -> None:
    """An event that the team's product published for this customer."""
    await arrived(ctx, "product", event.data["text"])


# What calls nobody, and is read ----------------------------------------------------------------


@integration.flow(trigger=kafka.records(topic="orders", start="earliest"), title="Apache Kafka")
async def record(ctx: Ctx, event: kafka.Record) -> None:
    """A record of a topic."""
    await arrived(ctx, "record", event.value)


@integration.flow(
    trigger=sqs.message(queue=Settings.queue, visibility=5, wait=2), title="Amazon SQS"
)
async def queue(ctx: Ctx, event: sqs.QueueMessage) -> None:
    """A message of a queue."""
    await arrived(ctx, "queue", event.body)


@integration.flow(trigger=imap.message(start="earliest"), title="Mailbox (IMAP)")
async def mailbox(ctx: Ctx, found: imap.FolderMail) -> None:
    """A mail in the inbox."""
    await arrived(ctx, "mailbox", found.subject)


@integration.flow(
    trigger=slack.socket(events=["message"], interactions=False), title="Slack by WebSocket"
)
async def socket(ctx: Ctx, event: slack.Event | slack.Interaction) -> None:
    """A message in the workspace, by Socket Mode."""
    assert isinstance(event, slack.Event)
    await arrived(ctx, "socket", event.text)


@integration.flow(
    trigger=salesforce.event(topic="/event/Order_Shipped__e", start="earliest"),
    title="Salesforce's Pub/Sub API",
)
async def platform(ctx: Ctx, event: dict[str, Any]) -> None:
    """A platform event, by gRPC."""
    await arrived(ctx, "platform", event["Text__c"])


@integration.flow(trigger=http.events(path="/streamed/stream"), title="Server-Sent Events")
async def stream(ctx: Ctx, event: http.ServerEvent) -> None:
    """An event of a stream."""
    await arrived(ctx, "stream", event.data["text"])


@integration.flow(
    trigger=http.long_poll(path="/waited/waiting", cursor="/next", items="/items", id="/id"),
    title="Long poll",
)
async def waiting(ctx: Ctx, item: dict[str, Any]) -> None:
    """An item of an API that answers once there is one."""
    await arrived(ctx, "waiting", item["text"])


@integration.flow(
    trigger=http.poll(
        path="/polled/cursor",
        items="/items",
        cursor="/next",
        since="after",
        interval=1,
        start="earliest",
    ),
    title="Poll",
)
async def poll(ctx: Ctx, item: dict[str, Any]) -> None:
    """An item of an API that has to be asked."""
    await arrived(ctx, "poll", item["text"])
