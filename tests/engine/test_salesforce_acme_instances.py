"""Salesforce ⇄ Acme on a host: events both ways, other versions, and neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from halflap.model import Execution, Instance, Version
from halflap.server.host import Host, token_of
from halflap.store.protocol import Filter
from tests.polling import DEADLINE
from tests.twoapps import (
    Apps,
    Place,
    both_apps,
    configured,
    project,
    settled,
    versions,
    wanted,
)
from tests.world import host_on

T = TypeVar("T")


@dataclass
class World:
    """A host with both versions published, and both apps."""

    host: Host
    apps: Apps
    first: Version
    second: Version

    async def instance(self, name: str, place: Place, **config: Any) -> Instance:
        """An active instance of version 1."""
        customer = await self.host.store.catalogue.customers.add(name)
        made = await configured(self.host, self.apps, place, customer, self.first, **config)
        await self.host.deployer.activate(made.id)
        await settled(self.host, [made.id], "active")
        return made

    async def api(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the management API as the CLI does."""
        headers = {"Authorization": f"Bearer {token_of(self.host.settings)}"}
        url = f"{self.host.base_url}/api{path}"
        async with self.apps.acme.http.post(url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def disable(self, instance: Instance) -> None:
        await self.host.deployer.disable(instance.id)
        await settled(self.host, [instance.id], "disabled")

    async def executions(self, instance: Instance, flow: str) -> list[Execution]:
        """A flow's executions, the oldest first."""
        which = Filter(instance=instance.id, flow=flow, limit=500)
        return list(reversed(await self.host.store.journal.executions(which)))

    async def at_acme(self, place: Place, kind: str) -> list[dict[str, Any]]:
        """The records of a kind, without what is of no concern here."""
        found = await self.apps.acme.get(f"/v1/{kind}", place.key)
        told = ("external_id", "name", "stage", "email")
        return [{name: each[name] for name in told if name in each} for each in found]

    async def at_salesforce(self, place: Place, object: str, id: str, field: str) -> Any:
        found = await place.sf.current(object, id, (field,))
        assert found is not None
        return found[field]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with both_apps() as apps, host_on(tmp_path / "store") as (host, _):
        first, second = await versions(host, project(tmp_path / "project"))
        yield World(host, apps, first, second)


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Look until it is good, and give what was seen."""
    deadline = asyncio.get_running_loop().time() + DEADLINE
    while not good(seen := await look()):
        assert asyncio.get_running_loop().time() < deadline, f"this was seen: {seen}"
        await asyncio.sleep(0.02)
    return seen


async def at_rest(world: World, instance: Instance, flow: str, number: int) -> list[Execution]:
    """A flow's executions once there are so many, and all have ended."""
    return await until(
        lambda: world.executions(instance, flow),
        lambda found: len(found) >= number and all(each.ended_at for each in found),
    )


async def test_version_2_keeps_contacts_equal_and_version_1_no_longer_hears_of_them(
    world: World,
) -> None:
    place = await world.apps.place("initech")
    instance = await world.instance("Initech", place)
    ada = {"FirstName": "Ada", "LastName": "King", "Email": "ada@initech.example"}
    edit = world.apps.salesforce.edit
    await edit(place.org, "create", "Contact", values={"LastName": "Unheard"})
    await world.api(f"/instances/{instance.id}/upgrade?wait=30", {"version": "2"})

    made = await edit(place.org, "create", "Contact", values=ada)
    told = {"external_id": made["Id"], "name": "Ada King", "email": "ada@initech.example"}
    await until(lambda: world.at_acme(place, "contacts"), lambda found: found == [told])
    (echo,) = await at_rest(world, instance, "acme_contact", 1)
    assert echo.reason.startswith("echo: ")

    (there,) = await world.apps.acme.get("/v1/contacts", place.key)
    new = {"name": "Ada Byron"}
    await world.apps.acme.patch(f"/v1/contacts/{there['id']}", new, place.key)
    await until(
        lambda: world.at_salesforce(place, "Contact", made["Id"], "LastName"),
        lambda found: found == "Byron",
    )
    contacts = await at_rest(world, instance, "contact", 2)
    assert [each.state for each in contacts] == ["succeeded", "ignored"]

    await world.api(f"/instances/{instance.id}/upgrade?wait=30", {"version": "1"})
    assert await world.apps.held(place) == await wanted(world.host, instance.id)
    await edit(place.org, "update", "Contact", id=made["Id"], values={"LastName": "Unheard"})
    account = await edit(place.org, "create", "Account", values={"Name": "Heard"})
    heard = {"external_id": account["Id"], "name": "Heard"}
    await until(lambda: world.at_acme(place, "accounts"), lambda found: found == [heard])
    assert len(await world.executions(instance, "contact")) == 2
    (there,) = await world.apps.acme.get("/v1/contacts", place.key)
    assert there["name"] == "Ada Byron"


async def test_neighbours_in_one_org_and_one_workspace_do_not_touch_each_other(
    world: World,
) -> None:
    shared, apart = await world.apps.place("shared"), await world.apps.place("apart")
    ours = await world.instance("Ours", shared)
    theirs = await world.instance("Theirs", shared)
    elsewhere = await world.instance("Elsewhere", apart)

    async def exactly(*active: Instance) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Both places hold what these instances need; and the ids of it."""
        here = [each.id for each in active if each is not elsewhere]
        there = [elsewhere.id] if elsewhere in active else []
        assert await world.apps.held(shared) == await wanted(world.host, *here)
        assert await world.apps.held(apart) == await wanted(world.host, *there)
        return await world.apps.named(shared), await world.apps.named(apart)

    all_, alone = await exactly(ours, theirs, elsewhere)
    await world.disable(ours)
    left, same = await exactly(theirs, elsewhere)
    assert same == alone
    assert all(left[kind] < all_[kind] for kind in all_)

    await world.api(f"/instances/{theirs.id}/upgrade?wait=30", {"version": "2"})
    grown, same = await exactly(theirs, elsewhere)
    assert same == alone
    assert all(left[kind] < grown[kind] for kind in grown)

    await world.host.deployer.activate(ours.id)
    await settled(world.host, [ours.id], "active")
    both, same = await exactly(ours, theirs, elsewhere)
    assert same == alone
    assert all(grown[kind] < both[kind] for kind in both)

    await world.disable(elsewhere)
    assert (await exactly(ours, theirs))[0] == both
    await world.disable(theirs)
    await exactly(ours)
    account = await world.apps.salesforce.edit(
        shared.org, "create", "Account", values={"Name": "Initech"}
    )
    told = {"external_id": account["Id"], "name": "Initech"}
    await until(lambda: world.at_acme(shared, "accounts"), lambda found: found == [told])
    assert len(await at_rest(world, ours, "account", 1)) == 1
    assert await world.executions(theirs, "account") == []
    await world.disable(ours)
    await exactly()
