"""The one-way examples, in Python and in YAML, between the sandbox apps: each record arrives once."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from halflap.server.host import Host
from halflap_sandbox.slack.model import APP_TOKEN
from tests.brokers import broker
from tests.components.test_zendesk import accounts
from tests.polling import until
from tests.slack_app import slack_app
from tests.world import acme_app, host_on, publish

EXAMPLES = Path(__file__).parents[2] / "examples"
SOON = (0.2,) * 100
"""The seconds after which Slack sends again what no WebSocket, or one that was closed, has taken."""


async def activate(
    host: Host, folder: Path, example: str, config: dict[str, Any], **connections: dict[str, Any]
) -> None:
    """Publish an example, and activate it for a customer with these connections."""
    folder.mkdir()
    for each in ("acme.py", example):
        shutil.copy(EXAMPLES / each, folder)
    entry = example if example.endswith(".yaml") else f"{example.removesuffix('.py')}:integration"
    version = await publish(host, folder, entry)
    catalogue = host.store.catalogue
    customer = (await catalogue.customers.add("Initech")).id
    integration = await host.library.integration(version.hash)
    ids: dict[str, str] = {}
    for name, values in connections.items():
        kind = integration.config.model_fields[name].annotation
        made = await host.operations.connections.make(
            name, name, kind, values, customer=customer, test=True
        )
        ids[name] = made.id
    instance = await catalogue.instances.add(customer, integration.name, "Initech", version.hash)
    await catalogue.instances.set_revision(instance.id, config, ids)
    await host.deployer.activate(instance.id)
    settled = await host.deployer.settled(instance.id)
    assert settled.state == "active", settled.error


@pytest.mark.parametrize("example", ["zendesk_acme.py", "zendesk_acme.yaml"])
async def test_tickets_that_are_there_are_imported_as_activities(
    example: str, tmp_path: Path
) -> None:
    async with acme_app() as acme, accounts() as app, host_on(tmp_path / "store") as (host, _):
        key, initech = await acme.workspace("Initech"), await app.account("initech")
        ticket = {"comment": {"body": "Smoke"}}
        await app.post("/accounts/initech/tickets", {"subject": "Before", **ticket})
        signed = {"email": initech.email, "api_token": "token-initech"}
        reached = {"subdomain": "initech", "host": app.url, **signed}
        connections = {"acme": {"base_url": f"{acme.url}/v1", "api_key": key}, "zendesk": reached}
        await activate(host, tmp_path / "project", example, {}, **connections)

        async def activities(count: int) -> list[str] | None:
            found = [each["title"] for each in await acme.get("/v1/activities", key)]
            return found if len(found) >= count else None

        [before] = await until(lambda: activities(1))
        assert before.endswith(" Before")


@pytest.mark.parametrize("example", ["slack_acme.py", "slack_acme.yaml"])
async def test_what_people_write_in_slack_is_an_activity(example: str, tmp_path: Path) -> None:
    async with (
        acme_app() as acme,
        slack_app(waits=SOON) as app,
        host_on(tmp_path / "store") as (host, _),
    ):
        key, team = await acme.workspace("Initech"), await app.team("initech")
        auth = {"kind": "api_key", "key": await app.token(team)}
        connections = {
            "acme": {"base_url": f"{acme.url}/v1", "api_key": key},
            "slack": {"base_url": app.api, "auth": auth, "app_token": APP_TOKEN},
        }
        await activate(host, tmp_path / "project", example, {}, **connections)

        sent = await app.post(f"/teams/{team['id']}/messages", {"text": "Who is on it?"})

        async def activities() -> Any:
            return await acme.get("/v1/activities", key)

        [made] = await until(activities)
        assert (made["title"], made["external_id"]) == ("Who is on it?", sent["event_id"])


@pytest.mark.parametrize("example", ["acme_slack.py", "acme_slack.yaml"])
async def test_what_is_won_is_told_in_the_channel_once(example: str, tmp_path: Path) -> None:
    async with acme_app() as acme, slack_app() as app, host_on(tmp_path / "store") as (host, _):
        key, team = await acme.workspace("Initech"), await app.team("initech")
        auth = {"kind": "api_key", "key": await app.token(team)}
        connections = {
            "acme": {"base_url": f"{acme.url}/v1", "api_key": key},
            "slack": {"base_url": app.api, "auth": auth},
        }
        await activate(host, tmp_path / "project", example, {}, **connections)
        made = await acme.post("/v1/opportunities", {"name": "Big", "stage": "new"}, key)
        for change in ({"seats": 10, "price": 22.10}, {"stage": "Closed Won"}):
            await acme.patch(f"/v1/opportunities/{made['id']}", change, key)

        async def told() -> list[str] | None:
            return [each["text"] for each in (await app.seen(team))["messages"]] or None

        [text] = await until(told)
        assert text.startswith("Big is won: 221")


@pytest.mark.parametrize("example", ["kafka_acme.py", "kafka_acme.yaml"])
async def test_customers_of_a_topic_are_accounts_and_another_topic_is_told(
    example: str, tmp_path: Path
) -> None:
    with broker("noida", tmp_path / "broker") as at:
        for topic in ("customers", "accounts"):
            await asyncio.to_thread(at.make_topic, topic)
        async with acme_app() as acme, host_on(tmp_path / "store") as (host, _):
            key = await acme.workspace("Initech")
            cluster = {"servers": at.servers, "encryption": "none", "auth": {"kind": "none"}}
            connections = {"acme": {"base_url": f"{acme.url}/v1", "api_key": key}, "kafka": cluster}
            await activate(host, tmp_path / "project", example, {}, **connections)
            values = [b'{"name": "Initech"}', b'{"name": "Initech Inc"}', None]
            await asyncio.to_thread(at.put, "customers", values, key=b"c1")

            def told() -> list[bytes] | None:
                found = at.take("accounts")
                return found if len(found) > 1 else None

            created, changed = await until(lambda: asyncio.to_thread(told))
            assert created == changed
            assert json.loads(created)["customer"] == "c1"
            [account] = await acme.get("/v1/accounts", key)
            assert (account["external_id"], account["name"]) == ("c1", "Initech Inc")
