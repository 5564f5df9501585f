"""An initial import, on a host with both apps, while records change at the same time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from halflap.engine.recorder import StepRecorder
from halflap.model import Execution, Instance
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.engine.test_salesforce_acme_instances import until
from tests.twoapps import Apps, Place, both_apps, connected
from tests.world import EXAMPLES, host_on, publish

RECORDS, PAGE = 25, 10
FILES = {
    "python": ("initial_import.py", "initial_import:integration"),
    "yaml": ("initial_import.yaml",) * 2,
}
SMALLER = {"python": ("PAGE_SIZE = 100", f"PAGE_SIZE = {PAGE}"), "yaml": ("100", str(PAGE))}
WAITING = {
    "python": (
        "    await ctx.gather(found",
        '    await ctx.wait_for("go")\n    await ctx.gather(found',
    ),
    "yaml": ("      - for: record\n", "      - wait: go\n      - for: record\n"),
}


@dataclass
class World:
    """A host with the example active, whose pages are small, and the apps."""

    host: Host
    apps: Apps
    place: Place
    instance: Instance
    ids: list[str]

    async def edit(self, id: str, name: str) -> None:
        """Rename an account at Salesforce, as a person does."""
        await self.apps.salesforce.edit(
            self.place.org, "update", "Account", id=id, values={"Name": name}
        )

    async def at_acme(self) -> list[tuple[str, str]]:
        """Return Acme's accounts: the id at Salesforce and the name of each."""
        found = await self.apps.acme.get("/v1/accounts?limit=1000", self.place.key)
        return sorted((each["external_id"], each["name"]) for each in found)

    async def executions(self, flow: str) -> list[Execution]:
        which = Filter(instance=self.instance.id, flow=flow, limit=500)
        return list(reversed(await self.host.store.journal.executions(which)))

    async def at_rest(self, flow: str, number: int) -> list[Execution]:
        return await until(
            lambda: self.executions(flow),
            lambda found: len(found) >= number and all(each.ended_at for each in found),
        )


@asynccontextmanager
async def importing(kind: str, folder: Path, *, waiting: bool) -> AsyncIterator[World]:
    """The example on a host, activated for somebody who has records at Salesforce already."""
    file, entry = FILES[kind]
    project = folder / "project"
    project.mkdir()
    shutil.copy(EXAMPLES / "acme.py", project)
    text = (EXAMPLES / file).read_text("utf-8")
    for old, new in [SMALLER[kind], *([WAITING[kind]] if waiting else [])]:
        assert old in text
        text = text.replace(old, new)
    (project / file).write_text(text, "utf-8")
    async with both_apps() as apps, host_on(folder / "store") as (host, _):
        place = await apps.place("initech")
        ids: list[str] = []
        for number in range(RECORDS):
            values = {"Name": f"old {number}"}
            made = await apps.salesforce.edit(place.org, "create", "Account", values=values)
            ids.append(made["Id"])
        version = await publish(host, project, entry)
        customer = await host.store.catalogue.customers.add("Initech")
        sf = await connected(host, apps, place, customer.id)
        acme = await host.store.catalogue.connections.save(
            customer.id,
            "acme:Acme",
            "acme",
            {"base_url": f"{apps.acme.url}/v1"},
            {"api_key": place.key},
        )
        instances = host.store.catalogue.instances
        made = await instances.add(customer.id, version.integration, "Initech", version.hash)
        await instances.set_revision(made.id, {}, {"salesforce": sf, "acme": acme.id})
        await host.deployer.activate(made.id)
        active = await host.deployer.settled(made.id)
        assert (active.state, active.error) == ("active", None)
        yield World(host, apps, place, active, ids)


@pytest.mark.parametrize("kind", FILES)
async def test_every_record_is_imported_a_page_after_another(kind: str, tmp_path: Path) -> None:
    async with importing(kind, tmp_path, waiting=False) as world:
        wanted = sorted((id, f"old {number}") for number, id in enumerate(world.ids))
        assert await until(world.at_acme, lambda found: len(found) >= RECORDS) == wanted
        pages = await world.at_rest("import_accounts", 3)
        assert [each.reason for each in pages] == ["continued", "continued", ""]
        records = await world.at_rest("account", RECORDS)
        assert {each.key for each in records} == set(world.ids), "by the record, as live events are"
        assert {each.state for each in records} == {"succeeded"}
        await world.edit(world.ids[3], "new")
        await until(world.at_acme, lambda found: (world.ids[3], "new") in found)


async def changed_behind_the_pages(world: World) -> list[tuple[str, str]]:
    """Change every record between the query of its page and the start of its import."""
    for page in range(0, RECORDS, PAGE):
        number = page // PAGE
        pages = await until(
            lambda: world.executions("import_accounts"),
            lambda found, number=number: len(found) > number and found[number].state == "waiting",
        )
        known = page // PAGE * PAGE
        for at in range(page, min(page + PAGE, RECORDS)):
            await world.edit(world.ids[at], f"new {at}")
        # Each live event is dealt with before the record is imported: the import is the older one.
        live = known + len(range(page, min(page + PAGE, RECORDS)))
        await world.at_rest("account", live + known)
        assert await world.host.engine.signal(pages[-1].id, "go", b"null") == "sent"
        await world.at_rest("account", live * 2)
    return await world.at_acme()


@pytest.mark.parametrize("kind", FILES)
async def test_changes_during_the_import_are_not_overwritten_by_older_pages(
    kind: str, tmp_path: Path
) -> None:
    async with importing(kind, tmp_path, waiting=True) as world:
        wanted = sorted((id, f"new {number}") for number, id in enumerate(world.ids))
        assert await changed_behind_the_pages(world) == wanted


async def test_control_without_the_comparison_older_pages_overwrite_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepRecorder, "compares_calls", False)
    async with importing("python", tmp_path, waiting=True) as world:
        wanted = sorted((id, f"old {number}") for number, id in enumerate(world.ids))
        assert await changed_behind_the_pages(world) == wanted


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.soak)])
async def test_records_that_change_at_any_time_meanwhile_end_as_they_are(
    seed: int, tmp_path: Path
) -> None:
    chance = Random(seed)
    async with importing("python", tmp_path, waiting=False) as world:
        names = {id: f"old {number}" for number, id in enumerate(world.ids)}
        for change in range(40):
            id = chance.choice(world.ids)
            names[id] = f"change {change}"
            await world.edit(id, names[id])
            await asyncio.sleep(0)
        wanted = sorted(names.items())
        assert await until(world.at_acme, lambda found: found == wanted) == wanted
        await world.at_rest("import_accounts", 3)
        await world.at_rest("account", RECORDS)
        assert await world.at_acme() == wanted
