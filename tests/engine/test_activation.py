"""Activations that fail: an upgrade goes back, a first activation is repeated for a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from halflap import StandardWebhooks
from halflap.engine import deployer
from halflap.engine.clock import ManualClock
from halflap.model import Execution, Instance, Version, to_datetime, wall_clock
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.protocol import Filter
from halflap.store.store import Store
from tests.engine.test_deployer import FIRST, app, expected, moved_and_killed, project
from tests.polling import DEADLINE, until
from tests.world import AcmeApp, configured, host_on, publish

__all__ = ["app"]

HOUR = 3_600.0
ORDERED = FIRST.replace(
    "trigger=acme.opportunity_updated)\nasync def opportunity",
    "trigger=acme.opportunity_updated, order=fifo())\nasync def opportunity",
).replace("Integration, http", "Integration, fifo, http")
MADE = "ctx.url(by_hand), ctx.secret(by_hand)\n    )\n"
FIELD = """ORDER = '{"id":"0","name":"sibling","stage":"new","seats":1,"price":"1"}'


class Settings"""
FAILS = """    await ctx.start(by_hand, acme.Opportunity.model_validate_json(ORDER))
    raise ValueError("the field Seats is not there")
"""
STOCK = """

@integration.flow(trigger=acme.stock_changed)
async def stock(ctx: Context[Settings], changed: acme.Stock) -> None:
    await acme.log_activity(ctx.config.acme, "stock", changed.item)
"""
BROKEN = ORDERED.replace(MADE, MADE + FAILS).replace("class Settings", FIELD) + STOCK
BAD = FIRST.replace(MADE, MADE + '    raise ValueError("no Seats")\n')

IMPORTING = """
from datetime import timedelta

import acme
from halflap import Config, Context, Deployment, Integration, instance, webhook


class Settings(Config):
    acme: acme.Acme


integration = Integration("mirror", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    there = await acme.list_stock(ctx.config.acme)
    for each in there:
        await ctx.start(stock, each)
    await acme.log_activity(ctx.config.acme, "import", "begun")


@integration.flow(trigger=acme.stock_changed, max_age=timedelta(minutes=10))
async def stock(ctx: Context[Settings], changed: acme.Stock) -> None:
    await acme.log_activity(ctx.config.acme, changed.item, str(changed.quantity))


@integration.flow(trigger=webhook.request(signature=None, answer="result"))
async def ask(ctx: Context[Settings], event: dict[str, str]) -> str:
    return "answered"
"""


@dataclass
class Shop:
    """A host on a clock that a test moves, with one instance at the sandbox app."""

    host: Host
    app: AcmeApp
    clock: ManualClock
    key: str
    instance: str
    versions: list[Version] = field(default_factory=list[Version])
    sent: int = 0

    async def now(self) -> Instance:
        return await self.host.store.catalogue.instances.get(self.instance)

    async def until(self, is_so: Callable[[Instance], bool], step: float = 5.0) -> Instance:
        """Move the clock until the instance is as wanted."""
        async with asyncio.timeout(DEADLINE):
            while not is_so(found := await self.now()):
                await asyncio.sleep(0.01)
                if is_idle(self.host):
                    self.clock.advance(step)
        return found

    async def post(self, flow: str, data: Any) -> tuple[int, str]:
        """Send a signed event; return the status and the execution."""
        self.sent += 1
        endpoint = (await self.host.store.catalogue.endpoints.of_instance(self.instance))[flow]
        secret = await self.host.store.catalogue.endpoints.secret(endpoint.id)
        body = codec.encode({"data": data})
        now = to_datetime(self.clock())
        headers = StandardWebhooks().sign(body, secret, now, id=f"msg_{self.sent}")
        url = (await self.host.resolver.urls(self.instance))[flow]
        async with self.app.http.post(url, data=body, headers=headers) as answer:
            return answer.status, answer.headers.get("halflap-execution", "")

    async def opportunity(self, name: str, flow: str = "opportunity") -> str:
        data = {"id": name, "name": name, "stage": "new", "seats": 1, "price": "1"}
        status, execution = await self.post(flow, data)
        assert status == 200
        return execution

    async def found(self, execution: str) -> Execution:
        found = await self.host.store.journal.execution(execution)
        assert found is not None
        return found

    async def ended(self, execution: str) -> Execution:
        async with asyncio.timeout(DEADLINE):
            while (found := await self.found(execution)).ended_at is None:
                await asyncio.sleep(0.01)
                if is_idle(self.host):
                    self.clock.advance(1.0)
        return found

    async def logged(self) -> list[str]:
        found = await self.app.get("/v1/activities", self.key)
        return [f"{each['kind']} {each['title']}" for each in found]

    async def refuse(self, status: int, times: int = 10_000) -> None:
        """Have the app answer everything with a status, until it is told otherwise."""
        await self.app.post("/sandbox/faults", {"fail_next": times, "status": status})


def is_idle(host: Host) -> bool:
    return not host.engine.running


@asynccontextmanager
async def shop_on(directory: Path, app: AcmeApp, folder: Path) -> AsyncIterator[Shop]:
    """A shop whose instance of the integration in a folder waits to be activated."""
    clock = ManualClock(wall_clock())
    settings = Settings(dir=directory, port=0, egress_allow=("127.0.0.1",), drain_seconds=2.0)
    store = await Store.open(directory, clock=clock)
    host = Host(settings, store, probation=False)
    async with host.served(grace=1.0):
        try:
            key = await app.workspace("Initech")
            version = await publish(host, folder, "mirror:integration")
            customer = await store.catalogue.customers.add("Initech")
            instance = await configured(host, customer, version, app, key)
            yield Shop(host, app, clock, key, instance.id, [version])
        finally:
            await app.post("/sandbox/faults", {"fail_next": 0})


@pytest.fixture
async def shop(tmp_path: Path, app: AcmeApp) -> AsyncIterator[Shop]:
    """A shop with an active instance, and a second version whose deploy flow fails."""
    project(tmp_path / "first", ORDERED)
    project(tmp_path / "second", BROKEN)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as made:
        await made.host.deployer.activate(made.instance)
        assert (await made.host.deployer.settled(made.instance)).state == "active"
        made.versions.append(await publish(made.host, tmp_path / "second", "mirror:integration"))
        yield made


def is_restored(found: Instance) -> bool:
    return found.state == "active" and found.repetition is None


async def test_a_failed_upgrade_goes_back_to_the_former_version(shop: Shop) -> None:
    first, second = shop.versions
    before = await shop.now()
    await shop.refuse(503, 3)
    upgrading = await shop.host.deployer.upgrade(shop.instance, second.hash)
    during = [await shop.opportunity(name) for name in ("a", "b", "c")]
    held = [await shop.found(each) for each in during]
    assert {(each.state, each.flow.version) for each in held} == {("queued", second.hash)}

    found = await shop.until(lambda each: each.deployment != upgrading.deployment)
    found = await shop.until(is_restored)

    assert (found.version, found.revision) == (first.hash, before.revision)
    assert found.error is not None
    assert "the upgrade to version 2 failed" in found.error
    assert "the field Seats is not there" in found.error
    assert upgrading.deployment is not None
    assert upgrading.deployment in found.error
    assert (found.former, found.in_service) == (None, True)
    ended = [await shop.ended(each) for each in during]
    assert {(each.state, each.flow.version) for each in ended} == {("succeeded", first.hash)}
    assert [each for each in await shop.logged() if "seen" in each] == [
        "seen a",
        "seen b",
        "seen c",
    ]
    assert await shop.app.hooks(shop.key) == await expected(shop.host, found)
    [sibling] = await shop.host.store.journal.executions(Filter(parent=upgrading.deployment))
    assert sibling.state == "cancelled"
    assert "the upgrade to version 2 failed" in sibling.reason


async def test_the_former_version_runs_while_its_app_is_away(shop: Shop) -> None:
    first, second = shop.versions
    await shop.refuse(500)
    await shop.host.deployer.upgrade(shop.instance, second.hash)
    found = await shop.until(lambda each: each.state == "active")
    assert found.version == first.hash
    by_hand = await shop.opportunity("x", "by_hand")
    assert (await shop.ended(by_hand)).state == "succeeded"
    found = await shop.until(lambda each: deployer.RESTORING in (each.error or ""), 20.0)
    assert found.state == "active"
    assert found.repetition is not None

    await shop.refuse(500, 0)
    found = await shop.until(is_restored, 20.0)

    assert deployer.RESTORING not in (found.error or "")
    assert await shop.app.hooks(shop.key) == await expected(shop.host, found)


async def test_what_a_failed_upgrade_held_runs_before_anything_is_put_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> None:
        """Look for nothing, so that nothing but the move itself can release what it held."""

    monkeypatch.setattr(shop.host.deployer, "_look", look)
    upgrading = await shop.host.deployer.upgrade(shop.instance, shop.versions[1].hash)
    held = await shop.opportunity("a")

    assert (await shop.ended(held)).flow.version == shop.versions[0].hash

    found = await shop.now()
    assert (found.state, found.deployment != upgrading.deployment) == ("active", True)


async def test_what_is_to_be_put_back_is_found_though_it_was_read_as_the_move_ended(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = shop.host.store.catalogue.instances.due
    moves = shop.host.deployer._moves

    async def slow() -> Any:
        found = await due()
        if any(each.state == "active" for each in found):
            while moves:  # noqa: ASYNC110 - the end of a move is no event
                await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(shop.host.store.catalogue.instances, "due", slow)
    monkeypatch.setattr(deployer, "LOOK_SECONDS", 60.0)
    await shop.host.deployer.upgrade(shop.instance, shop.versions[1].hash)
    async with asyncio.timeout(DEADLINE):
        while not is_restored(await shop.now()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


LABELLED = ORDERED.replace(
    "    acme: acme.Acme", '    acme: acme.Acme\n    label: str = ""'
).replace(
    MADE, MADE + '    if ctx.config.label == "bad":\n        raise ValueError("no such label")\n'
)


async def test_a_config_that_is_deployed_takes_effect_with_its_deployment(
    tmp_path: Path, app: AcmeApp
) -> None:
    project(tmp_path / "first", LABELLED)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as shop:
        configure = shop.host.operations.instances.configure
        instances = shop.host.store.catalogue.instances
        new, values = await shop.now(), {"base_url": f"{app.url}/v1"}
        connection = await shop.host.store.catalogue.connections.save(
            new.customer, "acme:Acme", "acme", values, {"api_key": shop.key}
        )
        links = {"acme": connection.id}
        await configure(new, {}, links)
        await shop.host.deployer.activate(shop.instance)
        before = await shop.host.deployer.settled(shop.instance)
        assert (before.state, before.revision) == ("active", 2)

        # The same config is no change.
        same = await configure(before, {}, links)
        assert (same.state, same.revision, same.deployment) == ("active", 2, before.deployment)

        await shop.refuse(503)
        moving = await configure(before, {"label": "good"}, links)
        assert (moving.state, moving.revision) == ("upgrading", 3)
        during = await shop.opportunity("a")
        assert (await shop.found(during)).state == "queued"
        await shop.refuse(503, 0)
        ended = await shop.ended(during)
        assert (ended.state, ended.flow.revision) == ("succeeded", 3)
        good = await shop.until(is_restored)
        assert (good.error, good.version) == (None, before.version)

        await shop.refuse(503, 3)
        await configure(good, {"label": "bad"}, links)
        during = await shop.opportunity("b")
        ended = await shop.ended(during)
        assert (ended.state, ended.flow.revision) == ("succeeded", 3)
        back = await shop.until(is_restored)
        assert back.revision == 3
        assert "the change of its config failed" in (back.error or "")
        assert "no such label" in (back.error or "")
        assert await instances.revision(shop.instance, 3) == ({"label": "good"}, links)


@pytest.mark.parametrize("planted", [False, True], ids=["held", "control"])
async def test_no_event_begins_on_a_config_before_it_is_held(
    tmp_path: Path, app: AcmeApp, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    project(tmp_path / "first", LABELLED)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as shop:
        await shop.host.deployer.activate(shop.instance)
        active = await shop.host.deployer.settled(shop.instance)
        jobs, hold, states = shop.host.store.database, shop.host.engine.journal.hold, list[str]()

        async def late(instance: str) -> None:
            if planted:
                await jobs.write(lambda c: c.execute("DELETE FROM gates"))
            if not states:
                states.append((await shop.found(await shop.opportunity("early"))).state)
            await hold(instance)

        monkeypatch.setattr(shop.host.engine.journal, "hold", late)
        _, links = await shop.host.store.catalogue.instances.revision(active.id, active.revision)
        await shop.host.deployer.upgrade(active.id, active.version, ({"label": "good"}, links))
        await shop.until(is_restored)
        assert (set(states) == {"queued"}) is not planted, states


async def test_an_upgrade_during_a_restoration_is_the_last_word(shop: Shop, tmp_path: Path) -> None:
    second = shop.versions[1]
    await shop.refuse(500)
    await shop.host.deployer.upgrade(shop.instance, second.hash)
    back = await shop.until(lambda each: each.state == "active")
    restoration = back.deployment or ""
    await until(lambda: shop.host.store.journal.execution(restoration))  # it has begun
    project(tmp_path / "third", ORDERED + "\n# mended\n")
    third = await publish(shop.host, tmp_path / "third", "mirror:integration")
    await shop.host.deployer.upgrade(shop.instance, third.hash)
    await shop.refuse(500, 0)

    found = await shop.until(lambda each: each.state == "active" and each.version == third.hash)

    assert (found.error, found.repetition) == (None, None)
    assert (await shop.found(restoration)).state == "cancelled"
    assert await shop.app.hooks(shop.key) == await expected(shop.host, found)


async def test_what_was_queued_before_an_upgrade_begins_on_the_new_version(
    shop: Shop, tmp_path: Path
) -> None:
    await shop.host.engine.pause(shop.instance)
    queued = await shop.opportunity("early")
    project(tmp_path / "third", ORDERED + "\n# mended\n")
    third = await publish(shop.host, tmp_path / "third", "mirror:integration")
    await shop.host.deployer.upgrade(shop.instance, third.hash)
    await shop.until(lambda each: each.state == "active")
    await shop.host.engine.resume(shop.instance)
    ended = await shop.ended(queued)
    assert (ended.state, ended.flow.version) == ("succeeded", third.hash)


async def test_a_first_activation_that_fails_is_repeated_until_its_app_is_back(
    tmp_path: Path, app: AcmeApp
) -> None:
    project(tmp_path / "first", IMPORTING)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as shop:
        await app.post("/v1/stock/bolts/add", {"quantity": 5}, shop.key)
        # The last effect of the deploy flow fails, after it has started a sibling.
        await app.post("/sandbox/faults", {"fail_at": [*range(3, 1_000)], "status": 400})
        await shop.host.deployer.activate(shop.instance)
        failed = await shop.until(lambda each: each.state == "failed")
        [sibling] = await shop.host.store.journal.executions(Filter(flow="stock"))
        assert (sibling.state, sibling.attempt) == ("queued", 0)
        status, held = await shop.post("stock", {"item": "nuts", "quantity": 2})
        assert (status, (await shop.found(held)).state) == (200, "queued")
        asked, _ = await shop.post("ask", {})
        assert asked == 503
        subscriptions = shop.host.store.catalogue.subscriptions
        [subscribed] = await subscriptions.list(shop.instance)
        assert subscribed.remote_id

        found = await shop.until(
            lambda each: each.repetition is not None and each.repetition.tries >= 4, 30.0
        )
        assert failed.repetition is not None
        assert found.repetition is not None
        assert found.repetition.since == failed.repetition.since
        [still] = await subscriptions.list(shop.instance)
        assert still.remote_id == subscribed.remote_id
        await shop.refuse(400, 0)
        assert len(await app.hooks(shop.key)) == 1
        found = await shop.until(lambda each: each.state == "active", 30.0)

        assert (found.error, found.repetition) == (None, None)
        assert found.changed_at - failed.changed_at > 600_000_000
        await shop.refuse(500, 1)  # so that it is tried again, though it was accepted long ago
        assert (await shop.ended(held)).state == "succeeded"
        assert (await shop.ended(sibling.id)).state == "succeeded"
        ours = await shop.host.store.journal.executions(
            Filter(instance=shop.instance, flow="stock")
        )
        assert sorted(each.state for each in ours) == ["succeeded", "succeeded"]
        await shop.refuse(500, 0)  # it may have ended before the refusal was there
        assert sorted(await shop.logged()) == ["bolts 5", "import begun", "nuts 2"]
        flows = await shop.host.store.journal.executions(Filter(instance=shop.instance, flow="ask"))
        assert flows == []


async def test_a_first_activation_is_given_up_after_a_day(tmp_path: Path, app: AcmeApp) -> None:
    project(tmp_path / "first", BAD)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as shop:
        await shop.host.deployer.activate(shop.instance)
        failed = await shop.until(lambda each: each.state == "failed")
        held = await shop.opportunity("early")
        assert len(await app.hooks(shop.key)) == 3
        assert failed.repetition is not None
        began = failed.repetition.since

        await shop.until(lambda _: shop.clock() >= began + 23 * HOUR * 1e6, 1_800.0)
        nearly = began + round(23.9 * HOUR * 1e6)
        found = await shop.until(lambda _: shop.clock() >= nearly, 300.0)
        assert found.state in ("failed", "activating")
        assert (await shop.found(held)).state == "queued"
        found = await shop.until(lambda each: each.state == "disabled", 300.0)

        assert shop.clock() - began >= 24 * HOUR * 1e6
        assert found.error is not None
        assert found.error.startswith(deployer.GIVEN_UP)
        assert "no Seats" in found.error
        assert (found.repetition, found.in_service) == (None, False)
        assert await app.hooks(shop.key) == []
        ended = await shop.found(held)
        assert ended.state == "cancelled"
        assert "no Seats" in ended.reason
        assert await shop.logged() == []


async def test_what_never_ran_is_cancelled_where_its_instance_is_disabled(
    tmp_path: Path, app: AcmeApp
) -> None:
    project(tmp_path / "first", FIRST)
    async with shop_on(tmp_path / "store", app, tmp_path / "first") as shop:
        await shop.refuse(400)
        await shop.host.deployer.activate(shop.instance)
        await shop.until(lambda each: each.state == "failed")
        held = await shop.opportunity("early")
        await shop.refuse(400, 0)
        await shop.host.deployer.disable(shop.instance)
        await shop.until(lambda each: each.state == "disabled")
        ended = await shop.found(held)
        assert (ended.state, ended.attempt) == ("cancelled", 0)
        assert "before it was active" in ended.reason


SAMPLED = [(8, False), (16, True), (24, False)]
"""At which of the writes of an upgrade its process dies, and whether after it."""


@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param(SAMPLED, id="sampled"),
        pytest.param(
            [(at, after) for at in range(1, 35) for after in (False, True)],
            id="all",
            marks=pytest.mark.soak,
        ),
    ],
)
async def test_a_failed_upgrade_that_is_killed_at_a_write_ends_as_before(
    tmp_path: Path, app: AcmeApp, deaths: list[tuple[int, bool]]
) -> None:
    project(tmp_path / "first", FIRST)
    project(tmp_path / "second", BROKEN)
    directory, key = tmp_path / "store", await app.workspace("Initech")
    async with host_on(directory) as (host, _):
        first = await publish(host, tmp_path / "first", "mirror:integration")
        customer = await host.store.catalogue.customers.add("Ours")
        ours = await configured(host, customer, first, app, key)
        await host.deployer.activate(ours.id)
        assert (await host.deployer.settled(ours.id)).state == "active"
        second = await publish(host, tmp_path / "second", "mirror:integration")
        port = host.port
    crashes = 0
    for dies_at, after in deaths:
        died = await moved_and_killed(directory, port, "upgrade", ours.id, dies_at, after)
        crashes += died
        async with host_on(directory, port=port) as (host, _):
            instances = host.store.catalogue.instances
            async with asyncio.timeout(DEADLINE):
                while not is_restored(found := await instances.get(ours.id)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert found.version == first.hash
            assert found.error is None or "the upgrade to version 2 failed" in found.error
            assert await app.hooks(key) == await expected(host, found)
            gates = await host.store.journal._rows("SELECT 1 FROM gates", ())
            assert not gates
            live = Filter(instance=ours.id, states=("queued", "running", "waiting"))
            assert await host.store.journal.executions(live) == []
    assert crashes > 2
    assert second.hash != first.hash
