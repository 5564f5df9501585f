"""Subscriptions that end by themselves are renewed before they do, whatever dies or fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from halflap.engine.clock import ManualClock
from halflap.engine.deployer import Deployer
from halflap.engine.deployment import RENEW
from halflap.model import ENDED, Execution, Instance, to_datetime, wall_clock
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.catalogue.subscriptions import StoredSubscription, renewal_at
from halflap.store.protocol import Filter
from halflap.store.store import Store
from halflap.store.vault import Vault
from tests.cluster import emptied_url
from tests.faults.server import KEYS
from tests.loopback import on_loopback
from tests.polling import DEADLINE, stays, until
from tests.world import Mortal, publish, sweep_away

DAY = 86_400.0
PROJECT = '''
from dataclasses import replace
from datetime import datetime
from typing import Any

from halflap import (
    Component, Config, Context, Endpoint, Integration, Request, Subscription, http, pointer,
)

component = Component("feed", title="Feed", connection=http.Http)


@component.trigger(dedupe=pointer("/id"))  # halflap: ignore[HF009]
async def changed(request: Request) -> Any:
    """A record changed."""
    return request.json()


@changed.subscribe
async def _(app: http.Http, endpoint: Endpoint) -> Subscription:
    hook = await app.put("/hooks", json={"url": endpoint.url})
    return Subscription(hook["id"], data={"n": 1}, expires_at=datetime.fromisoformat(hook["ends"]))


@changed.unsubscribe
async def _(app: http.Http, subscription: Subscription) -> None:
    await app.delete("/hooks/{id}", values={"id": subscription.id})

RENEW
class Settings(Config):
    app: http.Http


integration = Integration("feed", config=Settings)


@integration.flow(trigger=changed)
async def seen(ctx: Context[Settings], event: Any) -> None:
    pass
'''
RENEWS = """
@changed.renew
async def _(app: http.Http, subscription: Subscription) -> Subscription:
    assert subscription.expires_at is not None
    hook = await app.put("/hooks/{id}", values={"id": subscription.id})
    return replace(subscription, expires_at=datetime.fromisoformat(hook["ends"]))

"""


@dataclass
class App:
    """An app whose webhooks end after 30 days."""

    clock: ManualClock
    hooks: dict[str, str] = field(default_factory=dict[str, str])
    renewed: list[str] = field(default_factory=list[str])
    ensured: int = 0
    fails: int = 0

    def ends(self) -> str:
        return to_datetime(self.clock() + round(30 * DAY * 1e6)).isoformat()

    async def ensure(self, request: web.Request) -> web.Response:
        url = (await request.json())["url"]
        self.ensured += 1
        id = next((id for id, each in self.hooks.items() if each == url), f"h{len(self.hooks) + 1}")
        self.hooks[id] = url
        return web.json_response({"id": id, "ends": self.ends()})

    async def renew(self, request: web.Request) -> web.Response:
        if self.fails:
            return web.Response(status=self.fails)
        if request.match_info["id"] not in self.hooks:
            return web.Response(status=404)
        self.renewed.append(request.match_info["id"])
        return web.json_response({"ends": self.ends()})

    async def remove(self, request: web.Request) -> web.Response:
        self.hooks.pop(request.match_info["id"], None)
        return web.Response(status=204)


@dataclass
class World:
    """A host with one active instance, at an app."""

    host: Host
    app: App
    instance: str
    mortal: Mortal | None = None

    async def made(self) -> StoredSubscription:
        found = await self.host.store.catalogue.subscriptions.get(self.instance, "seen")
        assert found is not None
        return found

    async def renewals(self) -> list[Execution]:
        which = Filter(instance=self.instance, flow=RENEW)
        return await self.host.store.journal.executions(which)

    async def has_renewed_nothing(self) -> bool:
        return await self.renewals() == []

    async def ended(self, count: int) -> list[Execution]:
        async def found() -> list[Execution]:
            renewals = await self.renewals()
            done = len(renewals) >= count and all(each.state in ENDED for each in renewals)
            return renewals if done else []

        return await until(found)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_clock())


@pytest.fixture
async def app(clock: ManualClock) -> AsyncIterator[tuple[App, str]]:
    made, server = App(clock), web.Application()
    server.router.add_put("/hooks", made.ensure)
    server.router.add_put("/hooks/{id}", made.renew)
    server.router.add_delete("/hooks/{id}", made.remove)
    async with on_loopback(server) as url:
        yield made, url


@asynccontextmanager
async def world(
    directory: Path,
    app: tuple[App, str],
    *,
    url: str = "",
    renews: bool = True,
    dies_at: int = 0,
) -> AsyncIterator[World]:
    """A host on a store; the instance is made and activated where there is none."""
    settings = Settings(dir=directory, port=0, egress_allow=("127.0.0.1",), drain_seconds=2.0)
    clock = app[0].clock
    directory.mkdir(exist_ok=True)
    store = await (
        Store.open(url, clock=clock, vault=Vault.from_text(KEYS))
        if url
        else Store.open(directory, clock=clock)
    )
    host = Host(settings, store, probation=False)
    mortal = Mortal(store, dies_at, after=False) if dies_at else None
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(host.serve(ready=ready.set_result))
    dying = asyncio.create_task(mortal.dead.wait() if mortal else asyncio.Event().wait())
    await asyncio.wait([ready, serving, dying], return_when=asyncio.FIRST_COMPLETED)
    try:
        known = await store.catalogue.instances.list()
        instance = known[0] if known else await activated(host, directory, app[1], renews)
        yield World(host, app[0], instance.id, mortal)
    finally:
        dying.cancel()
        if mortal is not None:
            mortal.bury()
            await sweep_away(host, serving)
        else:
            await host.stop(1.0)
            await asyncio.wait_for(serving, DEADLINE)


async def activated(host: Host, directory: Path, url: str, renews: bool) -> Instance:
    folder = directory.parent / "project"
    folder.mkdir(exist_ok=True)
    (folder / "feed.py").write_text(PROJECT.replace("RENEW\n", RENEWS if renews else "\n"))
    version = await publish(host, folder, "feed:integration")
    catalogue = host.store.catalogue
    customer = await catalogue.customers.add("Initech")
    saved = await catalogue.connections.save(customer.id, "http", "app", {"base_url": url}, {})
    instance = await catalogue.instances.add(customer.id, "feed", "feed", version.hash)
    await catalogue.instances.set_revision(instance.id, {}, {"app": saved.id})
    await host.deployer.activate(instance.id)
    found = await host.deployer.settled(instance.id)
    assert found.state == "active", found.error
    return found


@pytest.mark.parametrize("shared", [False, True], ids=["sqlite", "postgresql"])
async def test_a_subscription_is_renewed_before_it_ends_again_and_again(
    shared: bool, tmp_path: Path, app: tuple[App, str], clock: ManualClock
) -> None:
    url = emptied_url() if shared else ""
    async with world(tmp_path / "store", app, url=url) as here:
        first = await here.made()
        assert first.renew_at is not None
        assert 18 * DAY <= (first.renew_at - clock()) / 1e6 < 23 * DAY
        clock.advance(17 * DAY)
        await stays(here.has_renewed_nothing, 0.3)
        for count in (1, 2, 3):
            clock.advance(((await here.made()).renew_at - clock()) / 1e6)  # type: ignore[operator]
            found = await here.ended(count)
            assert [each.state for each in found] == ["succeeded"] * count
            made = await here.made()
            assert made.expires_at is not None
            assert made.expires_at - clock() == pytest.approx(30 * DAY * 1e6)
            assert (made.remote_id, made.renewal, made.data["n"]) == ("h1", found[0].id, 1)
        assert here.app.renewed == ["h1"] * 3
        steps = await here.host.store.journal.steps(found[0].id)
        assert steps[-1].name == "renew(seen)"
        clock.advance(31 * DAY)  # nothing ran meanwhile: it has ended by now
        here.app.hooks.clear()
        [newest, *_] = await here.ended(4)
        assert newest.state == "succeeded"
        assert (here.app.ensured, len(here.app.hooks)) == (2, 1)


async def test_without_renew_it_subscribes_anew(
    tmp_path: Path, app: tuple[App, str], clock: ManualClock
) -> None:
    async with world(tmp_path / "store", app, renews=False) as here:
        clock.advance(23 * DAY)
        [renewal] = await here.ended(1)
        assert renewal.state == "succeeded"
        assert (here.app.ensured, here.app.renewed, len(here.app.hooks)) == (2, [], 1)
        assert ((await here.made()).renew_at or 0) > clock()


async def test_a_renewal_that_fails_is_tried_again_and_shown(
    tmp_path: Path, app: tuple[App, str], clock: ManualClock
) -> None:
    async with world(tmp_path / "store", app) as here:
        here.app.fails = 403
        clock.advance(23 * DAY)
        [failed] = await here.ended(1)
        assert (failed.state, "403" in (failed.reason or "")) == ("failed", True)
        made = await here.made()
        assert (made.renewal, made.remote_id) == (failed.id, "h1")
        assert 0 < (made.renew_at or 0) - clock() <= 6 * 3_600 * 1e6
        here.app.fails = 0
        clock.advance(6 * 3_600)
        [again, _] = await here.ended(2)
        assert again.state == "succeeded"
        assert ((await here.made()).expires_at or 0) > clock() + 29 * DAY * 1e6


async def test_an_instance_that_is_disabled_renews_nothing(
    tmp_path: Path, app: tuple[App, str], clock: ManualClock
) -> None:
    async with world(tmp_path / "store", app) as here:
        await here.host.deployer.disable(here.instance)
        await here.host.deployer.settled(here.instance)
        clock.advance(40 * DAY)
        await stays(here.has_renewed_nothing, 0.3)
        assert here.app.hooks == {}


@pytest.mark.parametrize("dies_at", [8, 10, 12, 13, 14, 15, 16])
async def test_a_renewal_survives_the_process(
    dies_at: int, tmp_path: Path, app: tuple[App, str], clock: ManualClock
) -> None:
    async with world(tmp_path / "store", app) as here:
        due = (await here.made()).renew_at
    clock.advance(23 * DAY)
    async with world(tmp_path / "store", app, dies_at=dies_at) as here:
        assert here.mortal is not None
        async with asyncio.timeout(DEADLINE):
            await here.mortal.dead.wait()
    async with world(tmp_path / "store", app) as here:
        [renewal] = await here.ended(1)
        assert renewal.state == "succeeded"
        assert ((await here.made()).renew_at or 0) > (due or 0) + 20 * DAY * 1e6
        assert set(app[0].renewed) == {"h1"}


async def test_the_control_that_notes_before_it_starts_loses_a_renewal(
    tmp_path: Path, app: tuple[App, str], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path / "store", app) as here:
        clock.advance(23 * DAY)

        async def noting(self: Deployer) -> None:
            for due in await self._catalogue.subscriptions.due():
                await self._catalogue.subscriptions.renewing(due, "exe_lost")
                await asyncio.Event().wait()  # and then its process is no more

        monkeypatch.setattr(Deployer, "_renew", noting)
        await until(lambda: noted(here))
    monkeypatch.undo()
    async with world(tmp_path / "store", app) as here:
        await stays(here.has_renewed_nothing, 0.5)
        assert app[0].renewed == []


async def noted(here: World) -> bool:
    return (await here.made()).renewal == "exe_lost"


def test_renewals_are_spread_and_never_at_once() -> None:
    month = round(30 * DAY * 1e6)
    found = [renewal_at(0, month, f"ins_{n}/seen") / month for n in range(1_000)]
    assert 0.6 <= min(found) < max(found) <= 0.75
    assert len({round(each, 3) for each in found}) > 100
    assert renewal_at(10, 5, "x") == 60_000_010
