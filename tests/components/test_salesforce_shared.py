"""Salesforce: one URL for the orgs of all customers, with a whole Salesforce on the other side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halflap.components import salesforce
from halflap.model import Instance, owner_of
from halflap.server.host import Host
from tests.executions import ended, returned
from tests.salesforce_app import SalesforceApp, automation, salesforce_app
from tests.world import host_on, publish

PROJECT = """
from typing import Any

from halflap import (
    Config, Context, DeadLetter, Deployment, Integration, Route, instance, pointer, salesforce,
)


class Settings(Config):
    salesforce: salesforce.Salesforce


integration = Integration("deals", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    sf = ctx.config.salesforce
    for kind in ("Account", "Opportunity", "Contact"):
        await salesforce.ensure_outbound_message(sf, kind, ctx.url(receive), ["Name"])


@integration.flow(trigger=salesforce.outbound_message)
async def account(ctx: Context[Settings], changed: salesforce.Record) -> list[str]:
    return [ctx.customer.name, changed["Name"]]


@integration.flow(trigger=salesforce.outbound_message)
async def opportunity(ctx: Context[Settings], changed: salesforce.Record) -> list[str]:
    return [ctx.customer.name, changed["Name"]]


@integration.preprocess(
    trigger=salesforce.any_outbound_message, shared=True, sender=pointer("/OrganizationId")
)
async def receive(ctx: Context[Settings], message: dict[str, Any]) -> Route | DeadLetter:
    flows = {"Account": account, "Opportunity": opportunity}
    kind = message["sObject"]["type"]
    if kind not in flows:
        return DeadLetter(f"no flow takes a {kind}")
    return Route(
        flows[kind], config={"salesforce.auth.organization_id": message["OrganizationId"]}
    )


@integration.flow(trigger=instance.teardown)
async def teardown(ctx: Context[Settings], _: Deployment) -> None:
    for message in await salesforce.list_outbound_messages(ctx.config.salesforce):
        if message.url == ctx.url(receive):
            await salesforce.delete_outbound_message(ctx.config.salesforce, message.id)
"""


async def active(host: Host, version: str, app: SalesforceApp, org: dict[str, Any]) -> Instance:
    """An active instance of a customer whose org this is."""
    made = await app.instance(host, version, org)
    await host.deployer.activate(made.id)
    settled = await host.deployer.settled(made.id)
    assert settled.error is None
    return settled


async def test_one_url_takes_the_messages_of_all_orgs(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "deals.py").write_text(PROJECT)
    async with salesforce_app() as app, host_on(tmp_path / "store") as (host, _):
        version = await publish(host, folder, "deals:integration")
        orgs = [await app.org(name) for name in ("initech", "globex")]
        instances = [await active(host, version.hash, app, org) for org in orgs]
        url = (await host.resolver.shared_urls("deals"))["receive"]
        for org in orgs:
            made = await automation(await app.client(org))
            assert {each.url for each in made.messages} == {url}
            await app.edit(org, "create", "Account", values={"Name": f"A of {org['name']}"})
        deal = {"Name": "Seats", "StageName": "Prospecting", "CloseDate": "2026-01-31"}
        await app.edit(orgs[1], "create", "Opportunity", values=deal)
        initech, globex = instances
        assert returned(await ended(host, 1, instance=initech.id, flow="account")) == [
            ["initech", "A of initech"]
        ]
        assert returned(await ended(host, 1, instance=globex.id, flow="account")) == [
            ["globex", "A of globex"]
        ]
        assert returned(await ended(host, 1, instance=globex.id, flow="opportunity")) == [
            ["globex", "Seats"]
        ]
        owner = owner_of("deals")
        shared = await ended(host, 3, customer=owner)
        assert {each.state for each in shared} == {"succeeded"}
        assert len({each.flow.instance for each in shared}) == 2  # one for each sender

        await app.edit(orgs[0], "create", "Contact", values={"LastName": "Lumbergh"})
        [letter] = await ended(host, 1, customer=owner, dead_letters=True)
        assert letter.reason == "no flow takes a Contact"

        stranger = await app.org("initrode")
        sf = await app.client(stranger)
        await salesforce.ensure_outbound_message(sf, "Account", url, ["Name"])
        await app.edit(stranger, "create", "Account", values={"Name": "Trojan"})
        newest, _ = await ended(host, 2, customer=owner, dead_letters=True)
        assert newest.reason.startswith(
            f"no instance of deals has config.salesforce.auth.organization_id = '{stranger['id']}"
        )

        await host.deployer.disable(initech.id)
        assert (await host.deployer.settled(initech.id)).state == "disabled"
        assert (await automation(await app.client(orgs[0]))).messages == []
