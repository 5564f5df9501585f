"""Salesforce ⇄ Acme: whichever request fails or loses its answer, both apps end as they should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import pytest

from halflap.model import Instance, Version
from halflap.server.host import Host
from tests.conftest import Note
from tests.twoapps import (
    NOTHING,
    Apps,
    Held,
    Place,
    both_apps,
    configured,
    connected,
    project,
    settled,
    versions,
    wanted,
)
from tests.world import host_on, publish

FAR = 900
"""A place that no move's requests come to."""

FAULTS: dict[str, dict[str, Any]] = {
    "its answer is lost": {"at": "lose_answer_at"},
    "it fails for now": {"at": "fail_at", "status": 503},
    "it fails for good": {"at": "fail_at", "status": 400},
}
"""The faults of a request. Only after the last of them has a person to run the move again."""


APPS = ("salesforce", "acme")
FEW, ALL = 18, 1
"""Of a move's requests every eighteenth goes wrong, other ones in each test; all in the soak."""
SAMPLED = pytest.mark.parametrize("every", [FEW, pytest.param(ALL, marks=pytest.mark.soak)])


def each_app(name: str, values: Sequence[str]) -> pytest.MarkDecorator:
    """Give a test an app, one of these values and `every`: one app for each value, both in the soak."""
    few = [(app, each, FEW) for each, app in zip(values, cycle(APPS), strict=False)]
    soaked = [
        pytest.param(app, each, ALL, marks=pytest.mark.soak) for app in APPS for each in values
    ]
    return pytest.mark.parametrize(("app", name, "every"), [*few, *soaked])


def from_now(at: int) -> list[int]:
    """Return the request at a place and all after it: one that is refused once is made again."""
    return list(range(at, FAR))


@pytest.fixture
async def apps() -> AsyncIterator[Apps]:
    async with both_apps() as running:
        yield running


@dataclass(frozen=True)
class Life:
    """An instance in a place of its own, whose n-th request of each move goes wrong."""

    place: Place
    instance: str
    at: int


Move = Callable[["Life"], Awaitable[None]]


@dataclass
class Ward:
    """Lives on one host, and moves that all of them make at once."""

    host: Host
    apps: Apps
    first: Version
    second: Version
    app: str
    at: str
    status: int = 503
    again: int = 0
    counts: ClassVar[dict[tuple[str, str], list[int]]] = {}
    """The requests of each move to an app: those that may fail, and those whose answer may be lost."""

    @property
    def moves(self) -> list[Move]:
        """A whole life: disabled as version 2, and as version 1."""
        once = [self.activate, self.upgrade, self.disable]
        return [*once, self.activate, self.downgrade, self.disable]

    async def born(self, at: int) -> Life:
        place = await self.apps.place(f"place {at}")
        customer = await self.host.store.catalogue.customers.add(f"Customer {at}")
        instance = await configured(self.host, self.apps, place, customer, self.first)
        return Life(place, instance.id, at)

    async def activate(self, life: Life) -> None:
        await self.host.deployer.activate(life.instance)

    async def upgrade(self, life: Life) -> None:
        await self.host.deployer.upgrade(life.instance, self.second.hash)

    async def downgrade(self, life: Life) -> None:
        await self.host.deployer.upgrade(life.instance, self.first.hash)

    async def disable(self, life: Life) -> None:
        await self.host.deployer.disable(life.instance)

    async def moved(self, life: Life, move: Move) -> int:
        """Let a life make a move under its fault; how many requests before the fault's are left."""
        await self.apps.faults(self.app, life.place, **{self.at: [life.at]}, status=self.status)
        await move(life)
        instance = await self.host.deployer.settled(life.instance)
        if instance.error and self.status == 400:
            await self.mended(life, instance)
            await (self.activate if move == self.activate else move)(life)
        state = "disabled" if move == self.disable else "active"
        await settled(self.host, [life.instance], state)
        left = await self.apps.left(self.app, life.place, self.at)
        await self.apps.faults(self.app, life.place)
        return left[0] if left else 0

    async def mended(self, life: Life, failed: Instance) -> None:
        """Do what the error says: nothing, or connect again."""
        self.again += 1
        assert "400" in (failed.error or "")
        if "connect again" in (failed.error or ""):
            ids = (await self.host.store.catalogue.instances.revision(failed.id, failed.revision))[
                1
            ]
            await connected(
                self.host, self.apps, life.place, failed.customer, again=ids["salesforce"]
            )

    async def wanted(self, life: Life, move: Move) -> Held:
        """Return what both apps are to hold after a move."""
        return NOTHING if move == self.disable else await wanted(self.host, life.instance)

    async def counted(self) -> list[int]:
        """Count the requests that each move makes where nothing goes wrong."""
        if counts := self.counts.get((self.app, self.at)):
            return counts
        life, counts = await self.born(FAR), list[int]()
        for move in self.moves:
            counts.append(FAR - await self.moved(life, move))
            assert await self.apps.held(life.place) == await self.wanted(life, move)
        return self.counts.setdefault((self.app, self.at), counts)

    async def all_of(self, lives: Sequence[Life], move: Move) -> int:
        """Let all lives make a move; how many of them met their fault."""
        left = await asyncio.gather(*(self.moved(each, move) for each in lives))
        return sum(not each for each in left)


@each_app("fault", list(FAULTS))
async def test_whichever_request_goes_wrong_both_apps_end_as_they_should(
    tmp_path: Path, apps: Apps, app: str, fault: str, every: int, note: Note
) -> None:
    first_place = 2 * list(FAULTS).index(fault) % every
    async with host_on(tmp_path / "store") as (host, _):
        first, second = await versions(host, project(tmp_path / "project"))
        ward = Ward(host, apps, first, second, app, **FAULTS[fault])
        counts = await ward.counted()
        lives = [await ward.born(at) for at in range(first_place, max(counts), every)]
        met = 0
        for move, count in zip(ward.moves, counts, strict=True):
            in_this = await ward.all_of(lives, move)
            assert in_this >= len(range(first_place, count, every))
            met += in_this
            for life in lives:
                held, wanted = await apps.held(life.place), await ward.wanted(life, move)
                assert held == wanted, f"{move.__name__}: {fault} ({app}, request {life.at})"
        note(f"a request to {app} of a move: {fault}", faults=met)
        if FAULTS[fault].get("status") == 400:
            assert ward.again


async def test_a_deploy_flow_that_does_not_ensure_its_webhook_ends_with_two_of_it(
    tmp_path: Path, apps: Apps
) -> None:
    folder = project(tmp_path / "project")
    source = (folder / "salesforce_acme.py").read_text()
    careless = source.replace("acme.ensure_webhook", "acme.create_webhook")
    assert careless != source
    (folder / "salesforce_acme.py").write_text(careless)
    async with host_on(tmp_path / "store") as (host, _):
        ward = Ward(host, apps, *await versions(host, folder), "acme", "lose_answer_at")
        life = await ward.born(0)
        await ward.moved(life, ward.activate)
        held, wanted = await apps.held(life.place), await ward.wanted(life, ward.activate)
        assert held != wanted
        assert held.webhooks == sorted(2 * wanted.webhooks)


@each_app("then", ["downgrade", "disable"])
async def test_an_upgrade_that_failed_half_way_may_be_given_up(
    tmp_path: Path, apps: Apps, app: str, then: str, every: int
) -> None:
    async with host_on(tmp_path / "store") as (host, _):
        both = await versions(host, project(tmp_path / "project"))
        ward = Ward(host, apps, *both, app, **FAULTS["it fails for good"])
        counts = await ward.counted()
        first_place = 3 * (then == "disable") % every
        lives = [await ward.born(at) for at in range(first_place, counts[1], every)]
        move = ward.downgrade if then == "downgrade" else ward.disable

        async def given_up(life: Life) -> None:
            await ward.activate(life)
            await settled(host, [life.instance], "active")
            await apps.faults(app, life.place, fail_at=from_now(life.at), status=400)
            await ward.upgrade(life)
            failed = await host.deployer.settled(life.instance)
            assert (failed.state, "failed" in (failed.error or "")) == ("active", True)
            await apps.faults(app, life.place, fail_at=[])
            await move(life)
            state = "disabled" if then == "disable" else "active"
            await settled(host, [life.instance], state)

        await asyncio.gather(*map(given_up, lives))
        for life in lives:
            held, wanted = await apps.held(life.place), await ward.wanted(life, move)
            assert held == wanted, f"{then} after {app} refused request {life.at}"


@SAMPLED
async def test_a_flow_that_hears_of_something_else_no_longer_hears_of_the_former(
    tmp_path: Path, apps: Apps, every: int
) -> None:
    folder = project(tmp_path / "project")
    async with host_on(tmp_path / "store") as (host, _):
        _, second = await versions(host, folder)
        contacts = folder / "salesforce_acme_contacts.py"
        changed = contacts.read_text().replace(
            'outbound_message("Contact"', 'outbound_message("Lead"'
        )
        contacts.write_text(changed)
        third = await publish(host, folder, "salesforce_acme_contacts:integration")
        ward = Ward(host, apps, second, third, "salesforce", **FAULTS["it fails for good"])
        upgraded = await ward.born(FAR)
        await ward.moved(upgraded, ward.activate)
        needed = FAR - await ward.moved(upgraded, ward.upgrade)
        messages = (await ward.wanted(upgraded, ward.upgrade)).messages
        instead = sorted((each.replace("Contact", "Lead"), url) for each, url in messages)
        assert (await apps.held(upgraded.place)).messages == instead

        async def given_up(life: Life) -> None:
            await ward.activate(life)
            await settled(host, [life.instance], "active")
            await apps.faults("salesforce", life.place, fail_at=from_now(life.at), status=400)
            await ward.upgrade(life)
            failed = await host.deployer.settled(life.instance)
            assert (failed.state, "failed" in (failed.error or "")) == ("active", True)
            await apps.faults("salesforce", life.place, fail_at=[])
            await ward.downgrade(life)
            await settled(host, [life.instance], "active")

        lives = [await ward.born(at) for at in range(0, needed, every)]
        await asyncio.gather(*map(given_up, lives))
        for life in lives:
            held, wanted = await apps.held(life.place), await ward.wanted(life, ward.downgrade)
            assert held == wanted, f"Salesforce refused request {life.at}"
