"""Salesforce and Acme on loopback, customers who have an account at both, and what they hold there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halflap.components import salesforce
from halflap.components.salesforce import outbound
from halflap.model import Customer, Instance, Version
from halflap.server.host import Host
from tests.salesforce_app import SalesforceApp, salesforce_app
from tests.world import EXAMPLES, AcmeApp, acme_app, publish

INTEGRATION = "salesforce-acme"
MESSAGES = {"account": "Account", "opportunity": "Opportunity"}
WEBHOOKS = {"opportunity_amount": "opportunity.updated"}
CONTACTS = {"contact": "Contact"}
ACME_CONTACTS = {"acme_contact": "contact.changed"}


@dataclass(frozen=True)
class Held:
    """The objects that are held at both apps; two of these are equal where nothing is missing or double.

    `flows` are those that fire messages, each with whether it is active; `loose` are versions of
    flows that no flow has.
    """

    messages: list[tuple[str, str]]
    flows: list[tuple[str, bool]]
    webhooks: list[tuple[str, str]]
    loose: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(
            sorted(self.messages + other.messages),
            sorted(self.flows + other.flows),
            sorted(self.webhooks + other.webhooks),
            self.loose + other.loose,
        )


NOTHING = Held([], [], [])


@dataclass(frozen=True)
class Place:
    """An org and a workspace."""

    org: dict[str, Any]
    workspace: dict[str, Any]
    sf: salesforce.Salesforce

    @property
    def key(self) -> str:
        """The API key of the workspace."""
        return self.workspace["api_key"]


class Apps:
    """Both sandboxes, and a look behind their counters."""

    def __init__(self, sf: SalesforceApp, acme: AcmeApp) -> None:
        self.salesforce, self.acme = sf, acme

    async def place(self, name: str) -> Place:
        """An org and a workspace of its own; Acme does not know idempotency keys there."""
        org = await self.salesforce.org(name)
        new = {"name": name, "idempotency": False}
        workspace = await self.acme.post("/sandbox/workspaces", new)
        return Place(org, workspace, await self.salesforce.client(org))

    async def held(self, place: Place) -> Held:
        """All that there is in a place."""
        messages = await salesforce.list_outbound_messages(place.sf)
        asked = "SELECT Id, DeveloperName, ActiveVersionId FROM FlowDefinition"
        flows = await outbound.tooling(place.sf, asked)
        versions = await outbound.tooling(place.sf, "SELECT Id, DefinitionId FROM Flow")
        known = {each["Id"] for each in flows}
        return Held(
            sorted((each.object, each.url) for each in messages),
            sorted((each["DeveloperName"], each["ActiveVersionId"] is not None) for each in flows),
            await self.acme.hooks(place.key),
            sum(each["DefinitionId"] not in known for each in versions),
        )

    async def named(self, place: Place) -> dict[str, set[str]]:
        """All that there is in a place, by id: what is made anew has another one."""
        messages = await salesforce.list_outbound_messages(place.sf)
        asked = "SELECT Id, ActiveVersionId FROM FlowDefinition"
        flows = await outbound.tooling(place.sf, asked)
        webhooks = await self.acme.get("/v1/webhooks", place.key)
        return {
            "messages": {each.id for each in messages},
            "flows": {each["Id"] for each in flows},
            "versions": {each["ActiveVersionId"] for each in flows},
            "webhooks": {each["id"] for each in webhooks},
        }

    async def faults(self, app: str, place: Place, **faults: Any) -> None:
        """Turn faults of one app on in a place, in the place of the former ones."""
        if app == "salesforce":
            await self.salesforce.post("/faults", {"org": place.org["id"], **faults})
        else:
            await self.acme.post("/sandbox/faults", {"workspace": place.workspace["id"], **faults})

    async def left(self, app: str, place: Place, fault: str) -> list[int]:
        """The places of requests that a fault of a place waits for yet."""
        if app == "salesforce":
            listed = (await self.salesforce.look("/faults"))["orgs"].get(place.org["id"], {})
        else:
            found = await self.acme.get("/sandbox/faults", "")
            listed = found["workspaces"].get(place.workspace["id"], {})
        return listed.get(fault, [])


@asynccontextmanager
async def both_apps() -> AsyncGenerator[Apps]:
    """Run both sandboxes."""
    async with salesforce_app(deploy_takes=0.0) as sf, acme_app() as acme:
        yield Apps(sf, acme)


def project(folder: Path) -> Path:
    """The examples that the integration is made of; to be changed by a test, where it wants to."""
    folder.mkdir()
    for name in ("acme.py", "salesforce_acme.py", "salesforce_acme_contacts.py"):
        shutil.copy(EXAMPLES / name, folder / name)
    return folder


async def versions(host: Host, folder: Path) -> tuple[Version, Version]:
    """Publish version 1, and version 2 with its contacts."""
    first = await publish(host, folder, "salesforce_acme:integration")
    return first, await publish(host, folder, "salesforce_acme_contacts:integration")


async def configured(
    host: Host, apps: Apps, place: Place, customer: Customer, version: Version, **config: Any
) -> Instance:
    """An instance with its connections to a place, that is not active yet."""
    catalogue = host.store.catalogue
    sf = await connected(host, apps, place, customer.id)
    fields = {"base_url": f"{apps.acme.url}/v1"}
    acme = await catalogue.connections.save(
        customer.id, "acme:Acme", "acme", fields, {"api_key": place.key}
    )
    made = await catalogue.instances.add(customer.id, INTEGRATION, customer.name, version.hash)
    await catalogue.instances.set_revision(made.id, config, {"salesforce": sf, "acme": acme.id})
    return await catalogue.instances.get(made.id)


async def connected(
    host: Host, apps: Apps, place: Place, customer: str, again: str | None = None
) -> str:
    """A connection to a place's org, by its id; the same one `again`, as when a person signs in."""
    auth = {"kind": "client_credentials", "client_id": place.org["client_id"]}
    fields = {"login_url": apps.salesforce.url, "auth": auth}
    secrets = {"auth.client_secret": place.org["client_secret"]}
    saved = await host.store.catalogue.connections.save(
        customer, "salesforce", "salesforce", fields, secrets, id=again
    )
    return saved.id


async def wanted(host: Host, *instances: str) -> Held:
    """Return what active instances hold at both apps, as the examples say: version 2 has contacts."""
    found = NOTHING
    for id in instances:
        instance = await host.store.catalogue.instances.get(id)
        integration = await host.library.integration(instance.version)
        urls = await host.resolver.urls(id)
        has_contacts = "contact" in integration.flows
        messages = MESSAGES | (CONTACTS if has_contacts else {})
        webhooks = WEBHOOKS | (ACME_CONTACTS if has_contacts else {})
        found += Held(
            [(object, urls[flow]) for flow, object in messages.items()],
            [(outbound.name_of(object, urls[flow]), True) for flow, object in messages.items()],
            [(event, urls[flow]) for flow, event in webhooks.items()],
        )
    return found


async def settled(host: Host, instances: Sequence[str], state: str) -> None:
    """Wait until instances are in a state, none with an error."""
    for each in instances:
        instance = await host.deployer.settled(each)
        assert (instance.state, instance.error) == (state, None), (instance.state, instance.error)
