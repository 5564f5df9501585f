"""The peers of the sources' demo, strangers' ones where there are any, and how each is sent a message.

Kafka is a broker of the Kafka protocol, SQS is moto, SNS is LocalStack, the mailbox is dovecot, each in a
process of its own; the apps are the sandboxes. Whoever sends uses the vendor's own client.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import smtplib
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import click
from aiohttp import web
from cloudevents.core.bindings import http as cloudevents
from cloudevents.core.v1.event import CloudEvent as TheirEvent
from pydantic import BaseModel
from standardwebhooks import Webhook

from halflap.cli.client import Client
from halflap.cli.demo.stage import HOST, PATIENT, Acme, SandboxApp, eventually
from halflap.errors import HalflapError, UpstreamError
from halflap.export import EventTypes, Publisher
from halflap_sandbox import acme, hubspot, salesforce, serving, slack
from halflap_sandbox.slack.model import APP_TOKEN
from tests import dovecot, localstack
from tests.brokers import KafkaBroker, broker
from tests.http_api import Api
from tests.loopback import on_loopback
from tests.moto_server import client, moto_server

T = TypeVar("T")
CUSTOMER = "shop-4711"
"""The customer, as the team's own product knows it."""
TOPIC = "/event/Order_Shipped__e"
MAIL_DOMAIN = "in.example"
AGAIN = 0.1
"""Seconds until a sender that was refused tries again."""

product = EventTypes()


@product.event("order.created")
class OrderMade(BaseModel):
    """An order was taken."""

    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A source: the flow that reads it, its kind, by what a message is sent, and how.

    `send` returns once the source has the text durably. repeats: it tries again where it is refused.
    left_out: why it cannot be shown here.
    """

    flow: str
    kind: str
    by: str
    send: Callable[[str], Awaitable[object]]
    repeats: bool = True
    left_out: str = ""


@dataclass
class Peers:
    """The peers that run, and what the connections to them are made of."""

    http: aiohttp.ClientSession
    stack: AsyncExitStack
    mail_port: int
    acme_key: str = ""
    refused: int = 0
    """The number of times that a sender was refused, and tried again."""
    connections: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    config: dict[str, str] = field(default_factory=dict[str, str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    """By flow, why its peer is not here."""
    feeds: dict[str, Api] = field(
        default_factory=lambda: {each: Api() for each in ("streamed", "waited", "polled")}
    )

    async def start(self, folder: Path, *, installs: bool) -> None:
        """Start all of them."""
        await asyncio.gather(
            self._start_kafka(folder),
            self._start_aws(installs=installs),
            self._start_mailbox(),
            self._start_apps(),
        )

    async def _entered(self, manager: AbstractContextManager[T]) -> T:
        entered = await asyncio.to_thread(manager.__enter__)
        self.stack.callback(manager.__exit__, None, None, None)
        return entered

    async def _start_kafka(self, folder: Path) -> None:
        self.kafka: KafkaBroker = await self._entered(broker("tansu", folder / "kafka"))
        await asyncio.to_thread(self.kafka.make_topic, "orders")
        servers = {"servers": self.kafka.servers, "encryption": "none", "auth": {"kind": "none"}}
        self.connections["kafka"] = servers

    async def _start_aws(self, *, installs: bool) -> None:
        moto, self.sns_url = await asyncio.gather(self._entered(moto_server()), self._sns(installs))
        self.sqs, self.sns = client("sqs", moto), client("sns", self.sns_url or moto)
        keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}
        self.connections["queues"] = {**keys, "endpoint_url": moto}
        self.connections["aws"] = {**keys, "endpoint_url": self.sns_url or moto}
        made = await asyncio.to_thread(self.sqs.create_queue, QueueName="orders")
        topic = await asyncio.to_thread(self.sns.create_topic, Name="orders")
        self.config |= {"queue": made["QueueUrl"], "topic": topic["TopicArn"]}

    async def _sns(self, installs: bool) -> str:
        if not (localstack.HOME / "ready").exists():
            if not installs:
                self.missing["topic"] = "LocalStack is not installed; `make demo` installs it"
                return ""
            click.echo("setup: LocalStack, into the user's cache")
        try:
            return await self.stack.enter_async_context(localstack.emulator())
        except (OSError, TimeoutError, subprocess.SubprocessError) as error:
            self.missing["topic"] = f"LocalStack cannot be installed or does not start: {error}"
            return ""

    async def _start_mailbox(self) -> None:
        port = self.mail_port  # nobody speaks IMAP there
        if dovecot.dovecot_program() is None:
            self.missing["mailbox"] = dovecot.MISSING
        else:
            self.dovecot = await self._entered(dovecot.dovecot())
            port = self.dovecot.port
        signed = {"username": "ada", "auth": {"kind": "password", "password": dovecot.PASSWORD}}
        self.connections["mailbox"] = {"host": HOST, "port": port, "security": "none", **signed}

    async def _start_apps(self) -> None:
        enter = self.stack.enter_async_context
        events = salesforce.Settings(pubsub_port=0)
        soon = hubspot.Settings(waits=(AGAIN,) * 300)
        self.acme = Acme(await enter(serving(acme.create_app())), self.http)
        self.hubspot = SandboxApp(await enter(serving(hubspot.create_app(soon))), self.http)
        self.slack = SandboxApp(await enter(serving(slack.create_app(PATIENT))), self.http)
        self.salesforce = SandboxApp(await enter(serving(salesforce.create_app(events))), self.http)
        feeds = web.Application()
        for name, api in self.feeds.items():
            feeds.add_subapp(f"/{name}", api.app())
        self.connections["api"] = {"base_url": await enter(on_loopback(feeds))}
        space = await self.acme.call("POST", "/sandbox/workspaces", json={"name": "Shop"})
        self.acme_key = space["api_key"]
        self.connections["acme"] = {"base_url": f"{self.acme.url}/v1", "api_key": self.acme_key}
        self.org = await self.salesforce.call("POST", "/sandbox/orgs", json={"name": "shop"})
        await self.publish_in_salesforce("before it is read")  # so that the topic is there
        auth = {name: self.org[name] for name in ("client_id", "client_secret")}
        self.connections["salesforce"] = {
            "login_url": self.salesforce.url,
            "pubsub_url": (await self.salesforce.call("GET", "/sandbox/pubsub"))["url"],
            "auth": {"kind": "client_credentials", **auth},
        }
        self.team = await self.slack.call("POST", "/sandbox/teams", json={"name": "shop"})
        self.connections["slack"] = {
            "base_url": f"{self.slack.url}/api",
            "auth": {"kind": "api_key", "key": self.team["bot_token"]},
            "app_token": APP_TOKEN,
        }
        self.portal = await self.hubspot.call("POST", "/sandbox/portals", json={"name": "shop"})
        urls = {
            "authorize_url": f"{self.hubspot.url}/oauth/authorize",
            "token_url": f"{self.hubspot.url}/oauth/v1/token",
            "api_url": self.hubspot.url,
        }
        signed = {"kind": "oauth2_code", **urls}
        self.connections["hubspot"] = {"base_url": self.hubspot.url, "auth": signed}

    async def install_app(self, api: Client, connection: str) -> None:
        """Install the team's app in the portal, as its admin does in a browser."""
        begun = await api.request("POST", f"/api/connections/{connection}/authorize", {})
        page = f"{begun['url']}&portal={self.portal['id']}"
        async with self.http.get(page, allow_redirects=False) as answer:
            back = parse_qs(urlsplit(answer.headers["location"]).query)
        ended = {name: back[name][0] for name in ("state", "code")}
        await api.request("POST", "/api/connections/authorized", ended)

    async def confirmed(self) -> None:
        """Wait until the topic's subscription is confirmed: SNS asked the flow, and has its answer."""

        async def is_confirmed() -> bool:
            found = await asyncio.to_thread(
                self.sns.list_subscriptions_by_topic, TopicArn=self.config["topic"]
            )
            arns = [each["SubscriptionArn"] for each in found["Subscriptions"]]
            told = [
                await asyncio.to_thread(self.sns.get_subscription_attributes, SubscriptionArn=each)
                for each in arns
            ]
            pending = [each["Attributes"]["PendingConfirmation"] for each in told]
            return pending == ["false"]

        if not await eventually(is_confirmed):
            raise HalflapError("the subscription to the topic was not confirmed")

    async def publish_in_salesforce(self, text: str) -> None:
        """Publish a platform event."""
        body = {"topic": TOPIC, "values": {"Text__c": text}}
        await self.salesforce.call("POST", f"/sandbox/orgs/{self.org['id']}/events", json=body)

    # Senders ----------------------------------------------------------------------------------

    def sources(self, server: str, key: str, urls: Any, secrets: Any) -> list[Source]:
        """Return all sources, for the instance with these URLs and secrets at a server."""
        publisher = Publisher(server, key, product)
        address = f"{urls['mail'].rpartition('/')[2]}@{MAIL_DOMAIN}"
        post = self._post_until_taken

        async def hook(text: str) -> None:
            await post(urls["hook"], *by_github(text, secrets["hook"]))

        async def standard(text: str) -> None:
            await post(urls["standard"], *by_standard(text, secrets["standard"]))

        async def cloud(text: str) -> None:
            await post(urls["cloud"], *as_cloud_event(text))

        sent = self.publish_in_salesforce
        made = [
            Source("hook", "Webhook", "signed as GitHub signs", hook),
            Source("standard", "Standard Webhooks", "standardwebhooks", standard),
            Source("cloud", "CloudEvents", "cloudevents", cloud),
            Source("endpoint", "An app's one URL", "HubSpot's sandbox", self._edit_contact),
            Source(
                "topic", "Amazon SNS", "boto3 → LocalStack", self._publish_to_topic, repeats=False
            ),
            Source("mail", "Mail by SMTP", "smtplib", partial(self._mail, address)),
            Source(
                "product", "The team's product", "halflap.export", partial(self._publish, publisher)
            ),
            Source("record", "Apache Kafka", "confluent-kafka → Tansu", self._produce),
            Source("queue", "Amazon SQS", "boto3 → moto", self._enqueue),
            Source("mailbox", "Mailbox (IMAP)", "imaplib → dovecot", self._append),
            Source("socket", "WebSocket", "Slack's sandbox", self._write_in_slack),
            Source("platform", "Pub/Sub API (gRPC)", "Salesforce's sandbox", sent),
            Source("stream", "Server-Sent Events", "aiohttp", partial(self._put, "streamed")),
            Source("waiting", "Long poll", "aiohttp", partial(self._put, "waited")),
            Source("poll", "Poll", "aiohttp", partial(self._put, "polled")),
        ]
        return [replace(each, left_out=self.missing.get(each.flow, "")) for each in made]

    async def _post_until_taken(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        while True:
            try:
                async with self.http.post(url, data=body, headers=headers) as answer:
                    if answer.status < 300:
                        return
                    if answer.status < 500:
                        raise HalflapError(f"{url} answered {answer.status}: {await answer.text()}")
            except aiohttp.ClientError:
                pass
            self.refused += 1
            await asyncio.sleep(AGAIN)

    async def _edit_contact(self, text: str) -> None:
        body = {"properties": {"lastname": text}}
        await self.hubspot.call("POST", f"/sandbox/portals/{self.portal['id']}/contacts", json=body)

    async def _write_in_slack(self, text: str) -> None:
        path = f"/sandbox/teams/{self.team['id']}/messages"
        await self.slack.call("POST", path, json={"text": text})

    async def _publish_to_topic(self, text: str) -> None:
        await asyncio.to_thread(self.sns.publish, TopicArn=self.config["topic"], Message=text)

    async def _enqueue(self, text: str) -> None:
        queue = self.config["queue"]
        await asyncio.to_thread(self.sqs.send_message, QueueUrl=queue, MessageBody=text)

    async def _produce(self, text: str) -> None:
        await asyncio.to_thread(self.kafka.put, "orders", [json.dumps(text).encode()])

    async def _append(self, text: str) -> None:
        await asyncio.to_thread(self.dovecot.append, "ada", [written(text).as_bytes()])

    async def _put(self, feed: str, text: str) -> None:
        await self.feeds[feed].put([json.dumps({"text": text}).encode()])

    async def _mail(self, address: str, text: str) -> None:
        mail = written(text)

        def submit() -> None:
            with smtplib.SMTP(HOST, self.mail_port, timeout=10) as server:
                server.send_message(mail, "ada@shop.example", [address])

        while True:
            try:
                return await asyncio.to_thread(submit)
            except (OSError, smtplib.SMTPException):
                self.refused += 1
                await asyncio.sleep(AGAIN)

    async def _publish(self, publisher: Publisher, text: str) -> None:
        while True:
            try:
                await asyncio.to_thread(publisher.publish, CUSTOMER, OrderMade(text=text), key=text)
                return
            except UpstreamError as error:
                if not error.retryable:
                    raise
                self.refused += 1


def written(text: str) -> EmailMessage:
    """Write a mail with a subject."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ada@shop.example", "any@in.example", text
    mail["Message-ID"] = f"<{text}@shop.example>"
    mail.set_content("Hello")
    return mail


Signed = tuple[bytes, dict[str, str]]


def by_github(text: str, secret: str) -> Signed:
    """Sign a text as GitHub does."""
    body = json.dumps({"text": text}).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "X-GitHub-Delivery": text,
        "X-Hub-Signature-256": f"sha256={digest}",
    }


def by_standard(text: str, secret: str) -> Signed:
    """Sign a text by the library of Standard Webhooks."""
    body, now = json.dumps({"text": text}), datetime.now(UTC)
    return body.encode(), {
        "Content-Type": "application/json",
        "webhook-id": text,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(text, now, body),
    }


def as_cloud_event(text: str) -> Signed:
    """Write a text as a CloudEvent, by their library."""
    about = {"type": "order.created", "source": "/shop", "id": text, "specversion": "1.0"}
    about["datacontenttype"] = "application/json"
    message = cloudevents.to_binary_event(TheirEvent(about, {"text": text}))
    return message.body, dict(message.headers)
