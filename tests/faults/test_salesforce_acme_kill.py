"""Salesforce ⇄ Acme: killed at any write of a move, both apps end as if it had not been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from halflap.model import Version
from halflap.server.host import Host
from tests.conftest import Note
from tests.twoapps import (
    INTEGRATION,
    NOTHING,
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

MOVES = ("activate", "upgrade", "disable", "activate", "downgrade", "disable")
"""A life that ends as it began: inactive, and of version 1."""

MOST_WRITES = 200


@pytest.fixture
async def apps() -> AsyncIterator[Apps]:
    async with both_apps() as running:
        yield running


@dataclass
class Life:
    """One instance beside another one's in the same place, whose host dies again and again."""

    directory: Path
    apps: Apps
    place: Place
    ours: str
    other: str
    port: int
    after: bool

    async def moved(self, move: str, dies_at: int) -> bool:
        """Make a move on a host that dies at that write, and go on; whether it died."""
        died = await self._killed(move, dies_at)
        async with host_on(self.directory, port=self.port) as (host, _):
            await again(host, move, self.ours)
            await settled(host, [self.ours], "disabled" if move == "disable" else "active")
            held = await self.apps.held(self.place)
            ours = NOTHING if move == "disable" else await wanted(host, self.ours)
            assert held == ours + await wanted(host, self.other), f"{move} killed at {dies_at}"
        return died

    async def _killed(self, move: str, dies_at: int) -> bool:
        mortal_host = host_on(self.directory, port=self.port, dies_at=dies_at, after=self.after)
        async with mortal_host as (host, mortal):
            assert mortal is not None
            begun = asyncio.create_task(begin(host, move, self.ours))
            dying = asyncio.create_task(mortal.dead.wait())
            await asyncio.wait([begun, dying], return_when=asyncio.FIRST_COMPLETED)
            task = host.deployer._moves.get(self.ours)
            if begun.done() and task is not None:
                await asyncio.wait([dying, task], return_when=asyncio.FIRST_COMPLETED)
            for each in (begun, dying):
                each.cancel()
            await asyncio.gather(begun, dying, return_exceptions=True)
            return mortal.dead.is_set()


async def life_in(
    directory: Path, apps: Apps, folder: Path, after: bool, name: str = "Initech"
) -> Life:
    """Two customers' instances in one place; the other one's is active."""
    place = await apps.place(name)
    async with host_on(directory) as (host, _):
        first, _ = await versions(host, folder)
        add = host.store.catalogue.customers.add
        ours = await configured(host, apps, place, await add("Ours"), first)
        other = await configured(host, apps, place, await add("Other"), first)
        await host.deployer.activate(other.id)
        await settled(host, [other.id], "active")
        return Life(directory, apps, place, ours.id, other.id, host.port, after)


async def version(host: Host, move: str) -> Version:
    """The version that a move leads to."""
    found = await host.store.catalogue.versions.list(INTEGRATION)
    pick = max if move == "upgrade" else min
    return pick(found, key=lambda each: each.number)


async def begin(host: Host, move: str, instance: str) -> None:
    match move:
        case "activate":
            await host.deployer.activate(instance)
        case "disable":
            await host.deployer.disable(instance)
        case _:
            await host.deployer.upgrade(instance, (await version(host, move)).hash)


async def again(host: Host, move: str, instance: str) -> None:
    """A person asks again where the first request came to nothing."""
    found = await host.deployer.settled(instance)
    assert found.state != "failed", found.error
    done = {"activate": found.state == "active", "disable": found.state == "disabled"}
    if not done.get(move, found.version == (await version(host, move)).hash):
        await begin(host, move, instance)


async def lived(life: Life, moments: range, moves: Sequence[str] = MOVES) -> dict[str, int]:
    """Whole lives, with the host killed at these writes of each move; how often it died in each."""
    died = dict.fromkeys(moves, 0)
    bystander: dict[str, set[str]] | None = None
    for dies_at in moments:
        before = dict(died)
        for move in moves:
            died[move] += await life.moved(move, dies_at)
        now = await life.apps.named(life.place)
        assert bystander in (None, now)
        bystander = now
        if died == before:
            break
    return died


SAMPLED = [(1, False), (4, True)]
"""Of every six writes, the one to die before and the one to die after; `make soak` does all."""


@pytest.mark.parametrize(
    ("begun_at", "after"),
    [
        pytest.param(
            begun_at,
            after,
            marks=[] if (begun_at, after) in SAMPLED else pytest.mark.soak,
            id=f"{'after' if after else 'before'}-each-sixth-write-from-{begun_at}",
        )
        for after in (False, True)
        for begun_at in range(1, 7)
    ],
)
async def test_a_move_killed_at_a_write_ends_as_if_it_had_not_been(
    tmp_path: Path, apps: Apps, note: Note, begun_at: int, after: bool
) -> None:
    life = await life_in(tmp_path / "store", apps, project(tmp_path / "project"), after)
    died = await lived(life, range(begun_at, MOST_WRITES, 6))
    run = f"killed {'after' if after else 'before'} each sixth write of a move, from {begun_at}"
    note(run, faults=sum(died.values()))
    assert min(died.values()) >= 2


async def test_a_deploy_flow_that_does_not_ensure_its_webhook_is_found_out(
    tmp_path: Path, apps: Apps
) -> None:
    folder = project(tmp_path / "project")
    source = (folder / "salesforce_acme.py").read_text()
    careless = source.replace("acme.ensure_webhook", "acme.create_webhook")
    assert careless != source
    (folder / "salesforce_acme.py").write_text(careless)
    with pytest.raises(AssertionError, match="activate killed at"):
        await lives(tmp_path, apps, folder)


async def lives(directory: Path, apps: Apps, folder: Path) -> None:
    """Several lives, one after another: which write carries what along differs between them."""
    for number in range(6):
        store, name = directory / f"store{number}", f"Initech {number}"
        life = await life_in(store, apps, folder, after=False, name=name)
        await lived(life, range(1, MOST_WRITES), moves=("activate", "disable"))
