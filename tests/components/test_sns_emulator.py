"""Amazon SNS from end to end: subscribed at LocalStack, sent what is published, and left."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from halflap import sns
from halflap.model import Execution, Instance
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.components.test_salesforce_instance import ended
from tests.localstack import account, emulator, topic_named
from tests.polling import DEADLINE
from tests.world import host_on, publish

pytestmark = pytest.mark.soak

PROJECT = """
from halflap import Config, Context, Integration
from halflap import sns


class Settings(Config):
    aws: sns.Sns
    topic: str
    raw: bool = False


integration = Integration("orders", config=Settings)


@integration.flow(trigger=sns.notification(topic=Settings.topic, raw=Settings.raw))
async def order(ctx: Context[Settings], event: sns.Notification) -> list[str | None]:
    return [event.message, event.subject, *(f"{n}={a.value}" for n, a in event.attributes.items())]
"""


async def instance_of(
    host: Host, folder: Path, url: str, topic: str, *, raw: bool = False
) -> Instance:
    """An active instance of the project, whose flow has the topic."""
    folder.mkdir()
    (folder / "orders.py").write_text(PROJECT)
    version = await publish(host, folder, "orders:integration")
    catalogue = host.store.catalogue
    customer = await catalogue.customers.add("Initech")
    fields = {"region": "us-east-1", "access_key_id": "test", "endpoint_url": url}
    secrets = {"secret_access_key": "test"}
    made = await catalogue.connections.save(customer.id, "sns", "aws", fields, secrets)
    instance = await catalogue.instances.add(customer.id, "orders", "orders", version.hash)
    config = {"topic": topic, "raw": raw}
    await catalogue.instances.set_revision(instance.id, config, {"aws": made.id})
    await host.deployer.activate(instance.id)
    assert (await host.deployer.settled(instance.id)).error is None
    return await catalogue.instances.get(instance.id)


async def is_pending(aws: sns.Sns, arn: str) -> bool:
    """Return whether a subscription waits for its endpoint."""
    found = await aws.call("GetSubscriptionAttributes", {"SubscriptionArn": arn})
    entries = found.iterfind(".//{*}entry")
    attributes = {sns.text(each, "key"): sns.text(each, "value") for each in entries}
    return attributes["PendingConfirmation"] == "true"


async def confirmed(aws: sns.Sns, topic: str) -> sns.TopicSubscription:
    """The one subscription of a topic, once it is confirmed."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await sns.list_subscriptions(aws, topic)
            if len(found) == 1 and not await is_pending(aws, found[0].arn):
                return found[0]
            await asyncio.sleep(0.1)


def told(executions: list[Execution]) -> list[Any]:
    return [codec.decode(each.result) for each in executions if each.result is not None]


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_message_of_the_topic_starts_the_flow_and_nothing_is_left_behind(
    tmp_path: Path, version: str
) -> None:
    async with emulator() as url, host_on(tmp_path / "store") as (host, _):
        aws = account(url)
        topic = await topic_named(aws, "orders", version)
        instance = await instance_of(host, tmp_path / "project", url, topic)
        await confirmed(aws, topic)
        (asked,) = await ended(host, instance, "order", 1)
        assert (asked.state, "confirmation" in (asked.reason or "")) == ("ignored", True)
        steps = [each.name for each in await host.store.journal.steps(asked.id)]
        assert steps == ["admit"]

        await sns.publish(aws, topic, "Grüße,\n🚚", "An order", {"kind": "new", "size": 3})
        await sns.publish(aws, topic, '{"id": 7}')
        found = await ended(host, instance, "order", 3)
        assert sorted(told(found), key=str) == sorted(
            [["Grüße,\n🚚", "An order", "kind=new", "size=3"], ['{"id": 7}', None]], key=str
        )

        await host.deployer.activate(instance.id)  # once more: still one subscription
        assert (await host.deployer.settled(instance.id)).error is None
        await confirmed(aws, topic)
        await host.deployer.disable(instance.id)
        await host.deployer.settled(instance.id)
        assert await sns.list_subscriptions(aws, topic) == []


async def test_raw_messages_and_a_subscription_that_somebody_ends(tmp_path: Path) -> None:
    async with emulator() as url, host_on(tmp_path / "store") as (host, _):
        aws = account(url)
        topic = await topic_named(aws, "orders", "2")
        instance = await instance_of(host, tmp_path / "project", url, topic, raw=True)
        made = await confirmed(aws, topic)
        await ended(host, instance, "order", 1)
        await sns.publish(aws, topic, "raw", "not sent")
        assert ["raw", None] in told(await ended(host, instance, "order", 2))
        await sns.unsubscribe(aws, made.arn)
        found = await ended(host, instance, "order", 3)
        (failed,) = [each for each in found if each.state == "failed"]
        assert "activate the instance again" in (failed.reason or "")


async def test_another_topic_is_never_confirmed_at_our_url(tmp_path: Path) -> None:
    async with emulator() as url, host_on(tmp_path / "store") as (host, _):
        aws = account(url)
        topic, other = [await topic_named(aws, name, "2") for name in ("orders", "other")]
        instance = await instance_of(host, tmp_path / "project", url, topic)
        await confirmed(aws, topic)
        urls = await host.resolver.urls(instance.id)
        await sns.subscribe(aws, other, "http", urls["order"])
        await sns.publish(aws, other, "forged")
        await sns.publish(aws, topic, "genuine")
        found = await ended(host, instance, "order", 2)
        assert told(found) == [["genuine", None]]
        (left,) = await sns.list_subscriptions(aws, other)
        assert await is_pending(aws, left.arn)

        # A genuine message that comes again, and the same with one letter changed.
        request = await host.store.journal.executions(Filter(instance=instance.id, flow="order"))
        event = await host.store.journal.event(request[0].id)
        assert event is not None
        changed = {**json.loads(event.body), "Message": "Genuine"}
        async with aiohttp.ClientSession() as http:
            for body in (event.body, json.dumps(changed).encode()):
                async with http.post(urls["order"], data=body) as answer:
                    assert answer.status == 200
        found = await ended(host, instance, "order", 3)
        assert told(found) == [["genuine", None]]
        (failed,) = [each for each in found if each.state == "failed"]
        assert "not that of Amazon SNS" in (failed.reason or "")
