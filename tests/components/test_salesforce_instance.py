"""Salesforce: an instance's life and events, with a whole Salesforce on the other side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from halflap.components import salesforce
from halflap.model import Execution, Instance
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.executions import ended, returned
from tests.polling import DEADLINE
from tests.salesforce_app import Automation, SalesforceApp, automation, salesforce_app
from tests.world import host_on, publish

PROJECT = """
from halflap import Config, Context, Deployment, Integration, instance
from halflap.components import salesforce


class Settings(Config):
    salesforce: salesforce.Salesforce


integration = Integration("deals", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    sf = ctx.config.salesforce
    user = await salesforce.get_current_user(sf)
    outbound_message = salesforce.ensure_outbound_message
    await outbound_message(sf, "Account", ctx.url(account), username=user.username)


@integration.flow(trigger=salesforce.outbound_message)
async def account(ctx: Context[Settings], changed: salesforce.Account) -> str:
    return changed.name


@integration.flow(trigger=salesforce.outbound_message(object="Opportunity", fields=["Name", "Amount"]))
async def opportunity(ctx: Context[Settings], changed: salesforce.Record) -> str:
    return changed["Name"]


@integration.flow(trigger=salesforce.outbound_message(object="Contact"))
async def contact(ctx: Context[Settings], changed: salesforce.Contact) -> None:
    fields = {"Title": f" {changed.first_name or 'Nobody'} is known "}  # Salesforce trims it
    await salesforce.update_record(ctx.config.salesforce, "Contact", changed.id, fields)


@integration.flow(trigger=instance.teardown)
async def teardown(ctx: Context[Settings], _: Deployment) -> None:
    for message in await salesforce.list_outbound_messages(ctx.config.salesforce):
        if message.url in ctx.urls:
            await salesforce.delete_outbound_message(ctx.config.salesforce, message.id)
"""


async def instance_of(
    host: Host, folder: Path, app: SalesforceApp, org: dict[str, Any]
) -> Instance:
    """An instance of the project, with a connection to an org, that is not active yet."""
    version = await publish(host, folder, "deals:integration")
    return await app.instance(host, version.hash, org)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "deals.py").write_text(PROJECT)
    return folder


async def test_an_instance_subscribes_runs_and_leaves_nothing_behind(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        sf = await app.client(org)
        alone = await salesforce.create_outbound_message(
            sf, "Account", "By_Hand", "https://else.example/", ["Name"]
        )
        instance = await instance_of(host, project, app, org)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        urls = await host.resolver.urls(instance.id)
        made = await automation(sf)
        assert {each.url for each in made.messages} == {
            alone.url,
            urls["account"],
            urls["opportunity"],
            urls["contact"],
        }
        assert len(made.flows) == 3

        for name in ("Initech", "Globex"):
            await app.edit(org, "create", "Account", values={"Name": name})
        deal = {"Name": "Seats", "StageName": "Prospecting", "CloseDate": "2026-01-31"}
        opportunity = await app.edit(org, "create", "Opportunity", values=deal)
        accounts = await ended(host, 2, instance=instance.id, flow="account")
        assert returned(accounts) == ["Globex", "Initech"]
        (seen,) = await ended(host, 1, instance=instance.id, flow="opportunity")
        assert (seen.state, seen.key) == ("succeeded", opportunity["Id"])

        steps = [each.flow.flow for each in await deployments(host, instance)]
        assert steps == ["$deploy"]
        titles = [each.title for each in await steps_of(host, instance)]
        assert "Subscribe opportunity at salesforce" in titles
        assert "Subscribe account at salesforce" not in titles

        await host.deployer.disable(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "disabled"
        assert await automation(sf) == Automation([alone], [])


async def deployments(host: Host, instance: Instance) -> list[Execution]:
    which = Filter(instance=instance.id, flow="$deploy")
    return await host.store.journal.executions(which)


async def steps_of(host: Host, instance: Instance) -> list[Any]:
    (deployed,) = await deployments(host, instance)
    return list(await host.store.journal.steps(deployed.id))


async def test_a_message_of_another_org_does_not_reach_an_instance(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        ours, theirs = await app.org("initech"), await app.org("globex")
        instance = await instance_of(host, project, app, ours)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        urls = await host.resolver.urls(instance.id)
        stranger = await app.client(theirs)
        await salesforce.ensure_outbound_message(stranger, "Account", urls["account"], ["Name"])
        await app.edit(theirs, "create", "Account", values={"Name": "Trojan"})
        assert (await first_delivery(app, theirs))["status"] == 401
        await app.edit(ours, "create", "Account", values={"Name": "Initech"})
        assert returned(await ended(host, 1, instance=instance.id, flow="account")) == ["Initech"]


async def first_delivery(app: SalesforceApp, org: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        while True:
            if tried := await app.look("/deliveries", org=org["id"]):
                return tried[0]
            await asyncio.sleep(0.02)


async def test_many_changes_at_once_arrive_once_each(tmp_path: Path, project: Path) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        sf = await app.client(org)
        instance = await instance_of(host, project, app, org)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        await app.post("/faults", {"org": org["id"], "duplicate_rate": 1.0})
        rows = [{"Name": f"A{number:03}"} for number in range(250)]
        made = await sf.post(
            sf.data("composite", "sobjects"),
            json={"records": [{"attributes": {"type": "Account"}, **each} for each in rows[:200]]},
        )
        assert all(each["success"] for each in made)
        for each in rows[200:]:
            await salesforce.create_record(sf, "Account", each)
        found = await ended(host, 250, instance=instance.id, flow="account")
        assert returned(found) == [each["Name"] for each in rows]
        largest = max(
            len(each["notifications"]) for each in await app.look("/deliveries", org=org["id"])
        )
        assert 1 < largest <= 100


async def test_what_a_flow_writes_comes_to_rest_though_salesforce_trims_it(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        instance = await instance_of(host, project, app, org)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).error is None
        made = await app.edit(org, "create", "Contact", values={"LastName": "Lumbergh"})
        first = await settled(host, instance, "contact", 1)
        person = {"FirstName": "Bill"}
        await app.edit(org, "update", "Contact", id=made["Id"], values=person)
        both = await settled(host, instance, "contact", len(first) + 1)
        # The echo of a first write tells fields too of which nothing is known yet: that one runs.
        assert len(both) <= 6
        sf = await app.client(org)
        now = await sf.current("Contact", made["Id"], ("Title", "FirstName"))
        assert now == {"Id": made["Id"], "Title": "Bill is known", "FirstName": "Bill"}


async def settled(host: Host, instance: Instance, flow: str, number: int) -> list[Execution]:
    """A flow's executions, once there are so many and the newest is an echo."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await ended(host, number, instance=instance.id, flow=flow)
            if found[0].state == "ignored":
                assert found[0].reason.startswith("echo")
                return found
            await asyncio.sleep(0.02)


async def test_what_changed_while_an_instance_was_disabled_is_caught_up_once(
    tmp_path: Path, project: Path
) -> None:
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        org = await app.org("initech")
        instance = await instance_of(host, project, app, org)
        await host.deployer.activate(instance.id)
        await host.deployer.settled(instance.id)
        deal = {"StageName": "New", "CloseDate": "2026-12-31", "Amount": "10.5"}
        await app.edit(org, "create", "Opportunity", values={"Name": "before", **deal})
        await ended(host, 1, instance=instance.id, flow="opportunity")
        await host.deployer.disable(instance.id)
        await host.deployer.settled(instance.id)
        made = [
            await app.edit(org, "create", "Opportunity", values={"Name": name, **deal})
            for name in ("one", "two", "gone")
        ]
        await app.edit(org, "update", "Opportunity", id=made[1]["Id"], values={"Name": "changed"})
        await app.edit(org, "delete", "Opportunity", id=made[2]["Id"])
        since = await host.deployer.disabled_at(instance.id)
        assert since is not None

        await host.deployer.activate(instance.id, catch_up=since)
        assert (await host.deployer.settled(instance.id)).error is None
        asked = await ended(host, 3, instance=instance.id, flow="$catch_up")
        assert {each.state for each in asked} == {"succeeded"}, [each.reason for each in asked]
        assert returned(await ended(host, 3, instance=instance.id, flow="opportunity")) == [
            "before",
            "changed",
            "one",
        ]
        [one] = [
            each
            for each in await ended(host, 3, instance=instance.id, flow="opportunity")
            if codec.decode(each.result or b"") == "one"
        ]
        event = await host.store.journal.event(one.id)
        assert event is not None
        record = codec.decode(event.body)["sObject"]
        assert record == {
            "type": "Opportunity", "Id": made[0]["Id"], "Name": "one", "Amount": "10.5",
        }  # fmt: skip

        # Once more, after a live event of one of them: nothing runs twice.
        await app.edit(org, "update", "Opportunity", id=made[0]["Id"], values={"Name": "live"})
        await ended(host, 4, instance=instance.id, flow="opportunity")
        await host.deployer.activate(instance.id, catch_up=since)
        await host.deployer.settled(instance.id)
        await ended(host, 6, instance=instance.id, flow="$catch_up")
        names = returned(await ended(host, 4, instance=instance.id, flow="opportunity"))
        assert [name for name in names if name in ("changed", "one")] == ["changed", "one"]
