"""Events missed while an instance was disabled are asked for, each once, whatever dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from halflap import Component, DefinitionError, Request
from halflap.engine import deployer, deployment
from halflap.engine.deployment import CATCH_UP
from halflap.engine.scheduler import following
from halflap.model import ENDED, Execution, Instance, Micros, to_micros
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.engine.test_activation import app
from tests.engine.test_deployer import death
from tests.polling import DEADLINE
from tests.world import host_on, publish

__all__ = ["app"]

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FEED = '''
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

from halflap import Component, Config, Context, Integration, Missed, Request, pointer, webhook

component = Component("feed", title="Feed")


@component.trigger(dedupe=pointer("/id"), key=pointer("/id"))  # halflap: ignore[HF009]
async def changed(request: Request) -> Any:
    """A record changed."""
    return request.json()


@changed.catch_up
async def _(since: datetime) -> AsyncGenerator[Missed]:
    for number in range(30):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number // 2)
        if at >= since:
            yield Missed({"id": str(number)}, at)


class Settings(Config):
    pass


integration = Integration("feed", config=Settings)


@integration.flow(trigger=changed, filter=lambda request: request.json()["id"] != "13")
async def seen(ctx: Context[Settings], event: Any) -> str:
    return event["id"]


@integration.flow(trigger=webhook.request(signature=None))
async def other(ctx: Context[Settings], event: Any) -> None:
    pass
'''


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "AT_ONCE", 7)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "feed.py").write_text(FEED)
    return folder


async def made(host: Host, folder: Path) -> Instance:
    version = await publish(host, folder, "feed:integration")
    customer = await host.store.catalogue.customers.add("Initech")
    return await host.store.catalogue.instances.add(customer.id, "feed", "feed", version.hash)


async def settled(host: Host, instance: str, flow: str, count: int) -> list[Execution]:
    """Return a flow's executions once there are so many and all have ended."""
    async with asyncio.timeout(DEADLINE):
        while True:
            which = Filter(instance=instance, flow=flow, limit=200)
            found = await host.store.journal.executions(which)
            if len(found) >= count and all(each.state in ENDED for each in found):
                return found
            await asyncio.sleep(0.02)


def ids(executions: list[Execution]) -> Counter[str]:
    return Counter(codec.decode(each.result or b"null") for each in executions)


WANTED = {str(number) for number in range(30)} - {"13"}
"""All but what the flow's filter wants nothing of."""


async def test_what_was_missed_is_accepted_in_pages_and_once(tmp_path: Path, project: Path) -> None:
    async with host_on(tmp_path / "store") as (host, _):
        ours = await made(host, project)
        await host.deployer.activate(ours.id, catch_up=to_micros(BEGAN))
        assert (await host.deployer.settled(ours.id)).catch_up_since is None
        [asked] = await settled(host, ours.id, CATCH_UP, 1)
        assert (asked.state, codec.decode(asked.result or b"")) == ("succeeded", {"events": 30})
        steps = await host.store.journal.steps(asked.id)
        pages = [codec.decode(e.result or b"")["events"] for e in steps if "catch_up" in e.name]
        assert pages == [8, 8, 8, 6]  # a page ends between two times
        assert ids(await settled(host, ours.id, "seen", 29)) == dict.fromkeys(WANTED, 1)

        later = to_micros(BEGAN + timedelta(seconds=10))
        await host.deployer.activate(ours.id, catch_up=later)
        await host.deployer.settled(ours.id)
        again, _ = await settled(host, ours.id, CATCH_UP, 2)
        assert codec.decode(again.result or b"") == {"events": 10}
        assert ids(await settled(host, ours.id, "seen", 29)) == dict.fromkeys(WANTED, 1)


def by_header(project: Path, missed: str) -> None:
    text = (project / "feed.py").read_text().replace("import Component", "import header, Component")
    text = text.replace('dedupe=pointer("/id")', 'dedupe=header("x-delivery")')
    (project / "feed.py").write_text(text.replace('Missed({"id": str(number)}, at)', missed))


async def test_what_arrived_is_known_by_a_header(tmp_path: Path, project: Path) -> None:
    by_header(project, 'Missed({"id": str(number)}, at, headers={"x-delivery": str(number)})')
    async with host_on(tmp_path / "store") as (host, _):
        ours = await made(host, project)
        for _ in range(2):
            await host.deployer.activate(ours.id, catch_up=to_micros(BEGAN))
            await host.deployer.settled(ours.id)
        await settled(host, ours.id, CATCH_UP, 2)
        assert ids(await settled(host, ours.id, "seen", 29)) == dict.fromkeys(WANTED, 1)


async def test_a_missed_event_without_a_deliverys_id_is_refused(
    tmp_path: Path, project: Path
) -> None:
    by_header(project, 'Missed({"id": str(number)}, at)')
    async with host_on(tmp_path / "store") as (host, _):
        ours = await made(host, project)
        await host.deployer.activate(ours.id, catch_up=to_micros(BEGAN))
        await host.deployer.settled(ours.id)
        [asked] = await settled(host, ours.id, CATCH_UP, 1)
        assert asked.state == "failed"
        assert "its dedupe finds no delivery's id" in asked.reason
        assert await settled(host, ours.id, "seen", 0) == []


@pytest.mark.parametrize("dies_at", [6, 14, 26, 38])
async def test_a_catch_up_that_is_killed_goes_on(
    tmp_path: Path, project: Path, dies_at: int
) -> None:
    directory = tmp_path / "store"
    async with host_on(directory) as (host, _):
        ours = await made(host, project)
        port = host.port
    async with host_on(directory, port=port, dies_at=dies_at) as (host, mortal):
        assert mortal is not None
        begun = asyncio.create_task(host.deployer.activate(ours.id, catch_up=to_micros(BEGAN)))
        dying = asyncio.create_task(mortal.dead.wait())
        await asyncio.wait([begun, dying], return_when=asyncio.FIRST_COMPLETED)
        await death(mortal, host, ours.id)
        await asyncio.wait([dying], timeout=DEADLINE)
        assert mortal.dead.is_set()
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
    async with host_on(directory, port=port) as (host, _):
        if (await host.deployer.settled(ours.id)).state == "configured":  # it never began
            await host.deployer.activate(ours.id, catch_up=to_micros(BEGAN))
        assert (await host.deployer.settled(ours.id)).state == "active"
        [asked] = await settled(host, ours.id, CATCH_UP, 1)
        assert asked.state == "succeeded"
        assert ids(await settled(host, ours.id, "seen", 29)) == dict.fromkeys(WANTED, 1)


async def test_since_is_when_it_was_disabled_first(tmp_path: Path, project: Path) -> None:
    async with host_on(tmp_path / "store") as (host, _):
        ours = await made(host, project)
        assert await host.deployer.disabled_at(ours.id) is None
        await host.deployer.activate(ours.id)
        await host.deployer.settled(ours.id)
        assert await host.deployer.disabled_at(ours.id) is None
        await host.deployer.disable(ours.id)
        disabled = await host.deployer.settled(ours.id)
        at = await host.deployer.disabled_at(ours.id)
        assert at is not None
        assert at <= disabled.changed_at
        await host.deployer.activate(ours.id)
        await host.deployer.settled(ours.id)
        assert await host.deployer.disabled_at(ours.id) == at


async def test_nothing_is_missed_from_before_the_triggers_were_subscribed(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are at the end: activated, or upgraded to. An upgrade that changes none is no bound."""
    text = (project / "feed.py").read_text()

    async def version(text: str) -> str:
        (project / "feed.py").write_text(text)
        return (await publish(host, project, "feed:integration")).hash

    async def moved(how: str, *given: str) -> Micros:
        """Move the instance, and return when its deployment was accepted."""
        await getattr(host.deployer, how)(ours.id, *given)
        deployment = (await host.deployer.settled(ours.id)).deployment
        found = await host.store.journal.execution(deployment or "")
        assert found is not None
        return found.accepted_at

    async def since() -> Micros | None:
        return await host.deployer.missed_since(await host.store.catalogue.instances.get(ours.id))

    async with host_on(tmp_path / "store") as (host, _):
        ours = await made(host, project)
        for _ in range(2):
            activated = await moved("activate")
            await moved("upgrade", await version(text + "# the same triggers"))
            down = await moved("disable")
            assert await since() == activated
        with monkeypatch.context() as later:
            later.setattr(deployer, "OVERLAP", 1)
            assert await since() == down - 1

        await moved("activate")
        other = text.replace("def changed(", "def altered(").replace("@changed", "@altered")
        other = await version(other.replace("trigger=changed", "trigger=altered"))
        upgraded = await moved("upgrade", other)
        await moved("disable")
        assert await since() == upgraded
        await moved("upgrade", ours.version)  # while it is disabled: what it hears is new
        assert await since() is None


def test_what_catches_up_is_an_async_generator_of_known_parameters() -> None:
    component = Component("other", title="Other")

    @component.trigger()
    async def changed(request: Request) -> None:
        """A record changed."""

    with pytest.raises(DefinitionError, match="async generator"):

        @changed.catch_up
        async def _(since: datetime) -> None:
            pass


def test_a_check_comes_once_a_minute_at_most() -> None:
    feed = Component("feed")

    @feed.trigger()
    async def changed(request: Request) -> str:
        """A record changed."""
        return request.text

    with pytest.raises(DefinitionError, match="once a minute"):
        changed.catch_up(every=timedelta(seconds=59))


def test_checks_of_many_instances_are_spread() -> None:
    every, now = timedelta(hours=1), BEGAN + timedelta(days=3, minutes=7)
    for phase in (0.0, 0.3, 0.999):
        first = BEGAN + every * phase
        tick = following(first, every, now)
        assert now < tick <= now + every
        assert (tick - first) % every == timedelta(0)
        assert following(first, every, tick) == tick + every
