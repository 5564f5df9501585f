"""HubSpot against the sandbox, which HubSpot's own client finds as it expects HubSpot to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hubspot import HubSpot as Stranger
from hubspot.crm.contacts import ApiException, PublicObjectSearchRequest
from hubspot.crm.contacts import SimplePublicObjectInputForCreate as NewContact

from halflap import ConfigError, RateLimited, Unauthorized, UpstreamError
from halflap.components import hubspot
from halflap.model import StoredConnection
from halflap.sdk import codec
from halflap.sdk.connection import Link
from halflap.server.host import Host
from halflap.testing.listeners import check_listener
from halflap_sandbox import hubspot as sandbox
from halflap_sandbox.hubspot import CLIENT_ID, CLIENT_SECRET
from tests.executions import activated, ended
from tests.loopback import LoopbackSandbox, sandbox_on_loopback
from tests.polling import DEADLINE, until
from tests.world import host_on, publish


class Portals(LoopbackSandbox):
    """The sandbox on loopback."""

    async def sent(self) -> list[dict[str, Any]]:
        return await self.look("/sent")

    async def portal(self, name: str) -> tuple[int, hubspot.HubSpot]:
        """Add a portal; its id, and a connection by a private app's token."""
        made = await self.post("/portals", {"name": name})
        return made["id"], self.connection(made["token"])

    def connection(self, token: str) -> hubspot.HubSpot:
        auth = {"kind": "api_key", "key": token}
        found = hubspot.HubSpot.model_validate({"base_url": self.url, "auth": auth})
        found._link = Link("hubspot", None, self.egress)
        return found


@asynccontextmanager
async def portals(**settings: Any) -> AsyncIterator[Portals]:
    settings = {"delivery_timeout": DEADLINE, **settings}
    async with sandbox_on_loopback(sandbox.create_app(sandbox.Settings(**settings))) as parts:
        yield Portals(*parts)


@pytest.fixture
async def app() -> AsyncIterator[Portals]:
    async with portals(waits=(0.05,) * 20) as found:
        yield found


# Of the client, which formats its errors with what Python will drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_hubspots_own_client_makes_finds_and_lists(app: Portals) -> None:
    await app.portal("initech")

    def use() -> None:
        client = Stranger.create(access_token="pat-initech", host=app.url)
        contacts = client.crm.contacts
        for number in range(103):
            properties = {"email": f"{number}@x.example", "firstname": "Ada"}
            made = contacts.basic_api.create(NewContact(properties=properties))
        assert made.properties["email"] == "102@x.example"
        assert contacts.basic_api.get_by_id(made.id).properties["firstname"] == "Ada"
        assert len(contacts.get_all()) == 103  # by two pages
        group = {"filters": [{"propertyName": "email", "operator": "EQ", "value": "3@x.example"}]}
        found = contacts.search_api.do_search(PublicObjectSearchRequest(filter_groups=[group]))
        assert (found.total, found.results[0].properties["email"]) == (1, "3@x.example")
        with pytest.raises(ApiException) as known:
            contacts.basic_api.create(NewContact(properties={"email": "3@x.example"}))
        assert known.value.status == 409
        with pytest.raises(ApiException) as stranger:
            Stranger.create(access_token="no", host=app.url).crm.contacts.basic_api.get_page()
        assert stranger.value.status == 401

    await asyncio.to_thread(use)


async def test_records_go_their_way(app: Portals) -> None:
    _, portal = await app.portal("initech")
    await portal.test()
    ada = await hubspot.create_record(portal, "contacts", {"email": "ada@x.example"})
    again = await hubspot.upsert_record(
        portal, "contacts", "email", "ada@x.example", {"firstname": "Ada"}
    )
    assert again.id == ada.id
    found = await hubspot.get_record(portal, "contacts", "ada@x.example", ["firstname"], by="email")
    assert found is not None
    assert (found.id, found.properties["firstname"]) == (ada.id, "Ada")
    assert await hubspot.get_record(portal, "contacts", "0") is None
    cleared = await hubspot.update_record(portal, "contacts", ada.id, {"firstname": None})
    assert cleared.properties["firstname"] is None
    assert await portal.current("contacts", ada.id, ["email"]) is not None
    assert await portal.current("contacts", "0", ["email"]) is None

    many = {f"{number}@x.example": {"lastname": "Many"} for number in range(150)}
    assert len(await hubspot.upsert_records(portal, "contacts", "email", many)) == 150
    conditions = [hubspot.Condition(property="lastname", value="Many")]
    sought = await hubspot.search_records(
        portal, "contacts", conditions, ["email"], sort="email", descending=True, most=120
    )
    assert len(sought) == 120
    emails = [each.properties["email"] for each in sought]
    assert emails == sorted(many, reverse=True)[:120]
    assert len(await hubspot.list_records(portal, "contacts", most=130)) == 130
    some = await hubspot.get_records(portal, "contacts", [ada.id, "0", sought[0].id], ["email"])
    assert (list(some.found), some.missing) == ([ada.id, sought[0].id], ["0"])

    deal = await hubspot.create_record(portal, "deals", {"dealname": "Big", "amount": "12.50"})
    for _ in range(2):  # twice is as once
        await hubspot.associate(portal, "deals", deal.id, "contacts", ada.id)
    [who] = await hubspot.list_associations(portal, "deals", deal.id, "contacts")
    assert who.id == ada.id
    await hubspot.dissociate(portal, "deals", deal.id, "contacts", ada.id)
    assert await hubspot.list_associations(portal, "deals", deal.id, "contacts") == []
    for _ in range(2):  # one that is gone already is fine
        await hubspot.archive_record(portal, "deals", deal.id)
    assert ("tickets", "Tickets") in await hubspot.list_types(portal)
    fields = await hubspot.describe_properties(portal, "contacts")
    assert {each.name for each in fields} >= {"email"} - {"createdate"}


async def test_errors_say_what_to_do(app: Portals) -> None:
    _, portal = await app.portal("initech")
    with pytest.raises(Unauthorized):
        await app.connection("pat-of-nobody").test()
    await hubspot.create_record(portal, "contacts", {"email": "ada@x.example"})
    with pytest.raises(UpstreamError) as known:
        await hubspot.create_record(portal, "contacts", {"email": "ada@x.example"})
    assert known.value.status == 409
    await app.post("/faults", {"rate_limit_per_s": 0.001})
    await portal.test()
    with pytest.raises(RateLimited) as limited:
        await portal.test()
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > timedelta(seconds=10)


class Writer:
    """A portal as the source of changed contacts."""

    def __init__(self, app: Portals, portal: int) -> None:
        self.app, self.portal = app, portal

    async def put(self, bodies: Any) -> None:
        for each in bodies:
            await self.app.post(
                f"/portals/{self.portal}/contacts", {"properties": {"firstname": each.decode()}}
            )


def first_name(body: bytes) -> bytes:
    return codec.decode(body)["properties"]["firstname"].encode()


async def test_changed_records_are_found_once_each(app: Portals) -> None:
    id, portal = await app.portal("initech")
    trigger = hubspot.changed_record("contacts", properties=["firstname"])
    how: dict[str, Any] = {"ordered": False, "unwrap": first_name, "within": DEADLINE}
    log = await check_listener(trigger, portal, Writer(app, id), **how)
    assert len(log.bodies) > 20


# The team's app -------------------------------------------------------------------------------

PROJECT = """
from halflap import Config, Context, Integration, hubspot


class Settings(Config):
    hubspot: hubspot.HubSpot


integration = Integration("mirror", config=Settings)


@integration.flow(trigger=hubspot.change(events=["contact.creation", "deal.creation"]))
async def created(ctx: Context[Settings], change: hubspot.Change) -> list[str]:
    kind = "contacts" if change.type.startswith("contact") else "deals"
    found = await hubspot.get_record(ctx.config.hubspot, kind, str(change.object_id))
    return [ctx.customer.name, change.type, found.id]
"""


async def connected(
    host: Host, app: Portals, name: str, portal: int, api: str = ""
) -> StoredConnection:
    """A customer's connection: made, and the app installed in a portal in the browser."""
    connections = host.operations.connections
    owner = await host.store.catalogue.customers.add(name)
    urls = {
        "authorize_url": f"{app.url}/oauth/authorize",
        "token_url": f"{app.url}/oauth/v1/token",
        "api_url": api or app.url,
    }
    values = {"base_url": app.url, "auth": {"kind": "oauth2_code", **urls}}
    stored = await connections.make(
        "hubspot", "hubspot", hubspot.HubSpot, values, customer=owner.id, test=True
    )
    begun = await connections.authorize(stored, None)
    async with app.http.get(f"{begun.url}&portal={portal}", allow_redirects=False) as response:
        back = parse_qs(urlsplit(response.headers["location"]).query)
    return await connections.authorized(back["state"][0], back["code"][0])


async def test_one_app_serves_all_portals(app: Portals, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "mirror.py").write_text(PROJECT)
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, tmp_path / "project", "mirror:integration")
        apps = host.operations.oauth_apps
        back = "https://product.example/hubspot"
        stored = await apps.put("hubspot", CLIENT_ID, CLIENT_SECRET, back, [app.url], CLIENT_SECRET)
        await app.post("/app", {"url": await apps.url(stored)})
        ids: dict[str, int] = {}
        for name in ("Initech", "Globex"):
            ids[name], _ = await app.portal(name.lower())
            found = await connected(host, app, name, ids[name])
            await activated(host, "mirror", version.hash, name, found)
        await app.post("/faults", {"duplicate_rate": 1})
        for kind in ("contacts", "deals"):
            for each in ids.values():
                body = {"properties": {"firstname": "Ada", "dealname": "Big"}}
                await app.post(f"/portals/{each}/{kind}", body)
        rows = await ended(host, 4, flow="created")
        results = sorted(codec.decode(each.result or b"")[:2] for each in rows)
        assert results == sorted(
            [name, f"{kind}.creation"] for name in ids for kind in ("contact", "deal")
        )
        liar = app.url.replace("127.0.0.1", "localhost")
        with pytest.raises(ConfigError, match="none of the origins"):
            await connected(host, app, "Eve", ids["Globex"], liar)

        async def all_answered() -> bool:
            return all(each["status"] or "error" in each for each in await app.sent())

        await until(all_answered)
    assert {each["status"] for each in await app.sent()} == {200}
    auth = {"kind": "oauth2_code", "portal_id": "1", "access_token": "pat-initech"}
    other = hubspot.HubSpot.model_validate({"base_url": app.url, "auth": auth})
    other._link = Link("hubspot", None, app.egress)
    with pytest.raises(ConfigError, match="is of portal"):
        await other.test()
