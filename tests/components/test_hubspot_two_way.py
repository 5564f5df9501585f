"""HubSpot ⇄ Acme, in Python and in YAML, between the sandbox apps: edits arrive, echoes do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from halflap import hubspot
from halflap.model import Execution
from halflap.sdk.polling import PollSpec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.components.test_hubspot import Portals, portals
from tests.components.test_one_way import activate
from tests.polling import until
from tests.world import AcmeApp, acme_app, host_on

ADA = {"firstname": "Ada", "lastname": "Lovelace", "email": "ada@initech.example"}
ECHOES = {"ignored echo", "ignored superseded", "ignored unchanged"}
"""The ends of executions that were told of our own write, or of what was dealt with."""
SOON = timedelta(milliseconds=100)


@dataclass
class Office:
    """A portal and a workspace, whose contacts an active instance keeps equal."""

    host: Host
    app: Portals
    portal: int
    crm: hubspot.HubSpot
    acme: AcmeApp
    key: str

    async def edit_hubspot(self, id: str | None, **properties: str | None) -> str:
        """Have a person edit a contact, or make one."""
        body = {"properties": properties} | ({"id": id} if id else {})
        return (await self.app.post(f"/portals/{self.portal}/contacts", body))["id"]

    async def edit_acme(self, id: str | None, **fields: str) -> str:
        """Have a person edit a contact, or make one."""
        if id is None:
            return (await self.acme.post("/v1/contacts", fields, self.key))["id"]
        return (await self.acme.patch(f"/v1/contacts/{id}", fields, self.key))["id"]

    async def in_hubspot(self) -> list[tuple[str, str | None]]:
        """The names and emails of HubSpot's contacts."""
        found = await hubspot.list_records(self.crm, "contacts", list(ADA))
        named = [each.properties for each in found]
        return sorted(
            (f"{e['firstname'] or ''} {e['lastname'] or ''}".strip(), e["email"]) for e in named
        )

    async def in_acme(self) -> list[tuple[str, str | None]]:
        """The names and emails of Acme's contacts."""
        found = await self.acme.get("/v1/contacts", self.key)
        return sorted((each["name"], each["email"]) for each in found)

    async def both_have(self, *wanted: tuple[str, str | None]) -> None:
        """Wait until both apps have these contacts, and no others."""

        async def look() -> bool:
            return await self.in_hubspot() == sorted(wanted) == await self.in_acme()

        await until(look)

    async def executions(self) -> list[Execution]:
        return await self.host.store.journal.executions(Filter(limit=500))

    async def rest(self) -> Counter[str]:
        """Wait until all has ended and nothing more is told; how executions ended."""
        before: Counter[str] = Counter()

        async def look() -> bool:
            nonlocal before
            found = await self.executions()
            last, before = before, Counter(f"{e.state} {e.reason.partition(':')[0]}" for e in found)
            return all(each.ended_at for each in found) and last == before

        await until(look)
        return before


@pytest.fixture(params=["hubspot_acme.py", "hubspot_acme.yaml"])
async def office(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    def soon(spec: PollSpec, interval: object, overlap: object = None) -> PollSpec:
        return replace(spec, every=SOON, at_most=SOON)

    monkeypatch.setattr(PollSpec, "within", soon)
    async with opened(request.param, tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(example: str, folder: Path) -> AsyncIterator[Office]:
    async with acme_app() as acme, portals() as app, host_on(folder / "store") as (host, _):
        key, (portal, crm) = await acme.workspace("Initech"), await app.portal("initech")
        signed = {"kind": "api_key", "key": "pat-initech"}
        connections = {
            "acme": {"base_url": f"{acme.url}/v1", "api_key": key},
            "hubspot": {"base_url": app.url, "auth": signed},
        }
        await activate(host, folder / "project", example, {}, **connections)
        yield Office(host, app, portal, crm, acme, key)


async def test_contacts_follow_both_ways_and_echoes_are_ignored(office: Office) -> None:
    ada = await office.edit_hubspot(None, **ADA)
    await office.both_have(("Ada Lovelace", ADA["email"]))
    grace = await office.edit_acme(None, name="Grace Hopper", email="grace@initech.example")
    alan = await office.edit_acme(None, name="Alan")
    others = ("Grace Hopper", "grace@initech.example"), ("Alan", None)
    await office.both_have(("Ada Lovelace", ADA["email"]), *others)
    await office.edit_hubspot(ada, lastname="King", email=None)
    await office.edit_acme(grace, email="hopper@initech.example")
    await office.edit_acme(alan, name="Alan Turing")
    await office.both_have(
        ("Ada King", None), ("Grace Hopper", "hopper@initech.example"), ("Alan Turing", None)
    )

    async def own_writes_are_back() -> bool:
        return sum(n for how, n in (await office.rest()).items() if how in ECHOES) >= 4

    await until(own_writes_are_back)
    ended = await office.rest()
    assert ended.pop("succeeded ") == 6 + 1  # six edits, and the deployment
    assert {*ended} <= ECHOES, ended


async def test_edits_of_one_contact_in_both_apps_at_once(office: Office) -> None:
    ada = await office.edit_hubspot(None, **ADA)
    await office.both_have(("Ada Lovelace", ADA["email"]))
    await office.rest()
    [contact] = await office.acme.get("/v1/contacts", office.key)
    await office.edit_hubspot(ada, email="king@initech.example")
    await office.edit_acme(contact["id"], name="Ada King")
    await office.both_have(("Ada King", "king@initech.example"))
    await office.rest()
    await office.edit_hubspot(ada, lastname="Byron")  # the master's edit stands
    await office.edit_acme(contact["id"], name="Ada Gordon")
    await office.both_have(("Ada Byron", "king@initech.example"))
    assert {*await office.rest()} <= {"succeeded ", "ignored conflict", *ECHOES}


async def test_a_contact_that_is_gone_is_not_made_anew(office: Office) -> None:
    ada = await office.edit_hubspot(None, **ADA)
    await office.both_have(("Ada Lovelace", ADA["email"]))
    await office.rest()
    await hubspot.archive_record(office.crm, "contacts", ada)
    [contact] = await office.acme.get("/v1/contacts", office.key)
    await office.edit_acme(contact["id"], name="Ada King")

    async def failed() -> bool:
        return any(each.state == "failed" for each in await office.executions())

    await until(failed)
    ended = await office.rest()
    assert sum(n for how, n in ended.items() if how.startswith("failed ")) == 1, ended
    assert await office.in_hubspot() == []


async def test_a_contact_that_both_have_already_is_found_by_its_email(office: Office) -> None:
    nameless = await office.edit_hubspot(None, email=ADA["email"])
    await office.rest()
    await office.edit_acme(None, name="Ada Lovelace", email=ADA["email"])
    await office.both_have(("Ada Lovelace", ADA["email"]))
    await office.edit_hubspot(nameless, lastname="King")
    await office.both_have(("Ada King", ADA["email"]))
