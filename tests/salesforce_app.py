"""A Salesforce of the sandbox on loopback, a look behind its counter, and connections to its orgs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from halflap import Connection
from halflap.components import salesforce
from halflap.components.salesforce import outbound
from halflap.model import Instance
from halflap.sdk.connection import Link
from halflap.sdk.egress import Egress
from halflap.server.host import Host
from halflap_sandbox import salesforce as sandbox
from tests.loopback import LoopbackSandbox, sandbox_on_loopback


class SalesforceApp(LoopbackSandbox):
    """The sandbox on loopback."""

    def __init__(self, url: str, http: aiohttp.ClientSession, egress: Egress) -> None:
        super().__init__(url, http, egress)
        self.refreshed = 0
        self.more: dict[str, Any] = {}
        """More fields of its connections."""

    async def instance(self, host: Host, version: str, org: dict[str, Any]) -> Instance:
        """Add an instance of a version of `deals`, for a customer whose org this is; not active yet."""
        catalogue = host.store.catalogue
        customer = await catalogue.customers.add(org["name"])
        auth = {"kind": "client_credentials", "client_id": org["client_id"]}
        connection = await catalogue.connections.save(
            customer.id,
            "salesforce",
            "salesforce",
            {"login_url": self.url, "auth": auth, **self.more},
            {"auth.client_secret": org["client_secret"]},
        )
        made = await catalogue.instances.add(customer.id, "deals", org["name"], version)
        await catalogue.instances.set_revision(made.id, {}, {"salesforce": connection.id})
        return await catalogue.instances.get(made.id)

    async def edit(self, org: dict[str, Any], action: str, object: str, **more: Any) -> Any:
        """Edit a record as a person does."""
        body = {"action": action, "object": object, **more}
        return await self.post(f"/orgs/{org['id']}/records", body)

    async def publish(self, org: dict[str, Any], topic: str, **values: Any) -> None:
        """Publish a platform event."""
        await self.post(f"/orgs/{org['id']}/events", {"topic": topic, "values": values})

    async def bus(self, org: dict[str, Any], action: str, **more: Any) -> None:
        """Edit an org's event bus."""
        await self.post(f"/orgs/{org['id']}/events", {"action": action, **more})

    async def org(self, name: str, **more: Any) -> dict[str, Any]:
        return await self.post("/orgs", {"name": name, **more})

    def connection(self, auth: dict[str, Any]) -> salesforce.Salesforce:
        sf = salesforce.Salesforce.model_validate(
            {"login_url": self.url, "auth": auth, **self.more}
        )
        return self.link(sf)

    def link(self, sf: salesforce.Salesforce) -> salesforce.Salesforce:
        can_refresh = not isinstance(sf.auth, salesforce.SessionId)
        sf._link = Link("salesforce", None, self.egress, self._refresh if can_refresh else None)
        return sf

    async def _refresh(self, current: Connection) -> Connection:
        auth: Any = getattr(current, "auth")  # noqa: B009
        self.refreshed += 1
        return current.model_copy(update={"auth": await auth.refresh(self.egress)})

    async def client(self, org: dict[str, Any]) -> salesforce.Salesforce:
        """A connection that is signed in already."""
        auth = {"kind": "client_credentials"}
        sf = self.connection(auth | {name: org[name] for name in ("client_id", "client_secret")})
        return await sf.refreshed()

    async def end_session(self, sf: salesforce.Salesforce) -> None:
        """Let a connection's session end, as time does."""
        url = f"{self.url}/services/oauth2/revoke"
        async with self.http.post(url, data={"token": sf.token}) as answer:
            assert answer.status == 200


@asynccontextmanager
async def salesforce_app(**settings: Any) -> AsyncIterator[SalesforceApp]:
    """Run the sandbox."""
    async with sandbox_on_loopback(sandbox.create_app(sandbox.Settings(**settings))) as parts:
        app = SalesforceApp(*parts)
        if (events := (await app.look("/pubsub"))["url"]) is not None:
            app.more["pubsub_url"] = events
        yield app


@dataclass(frozen=True)
class Automation:
    """The outbound messages and the flows of an org."""

    messages: list[salesforce.OutboundMessage]
    flows: list[dict[str, Any]]

    @property
    def versions(self) -> set[str]:
        return {each["ActiveVersionId"] for each in self.flows}


async def automation(sf: salesforce.Salesforce) -> Automation:
    """Return the outbound messages and the flows of an org."""
    flows = await outbound.tooling(
        sf, "SELECT Id, DeveloperName, ActiveVersionId FROM FlowDefinition"
    )
    return Automation(await salesforce.list_outbound_messages(sf), flows)
