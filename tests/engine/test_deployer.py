"""The life of an instance, with its process killed at every write."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from halflap.engine.deployer import Deployer
from halflap.errors import StoreFull
from halflap.model import Instance
from halflap.server.host import Host
from tests.polling import DEADLINE
from tests.world import EXAMPLES, AcmeApp, Mortal, acme_app, configured, host_on, publish

FIRST = """
import acme
from halflap import Config, Context, Deployment, Integration, http, instance


class Settings(Config):
    acme: acme.Acme


integration = Integration("mirror", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    await acme.ensure_webhook(
        ctx.config.acme, "account.created", ctx.url(by_hand), ctx.secret(by_hand)
    )


@integration.flow(trigger=acme.opportunity_updated)
async def opportunity(ctx: Context[Settings], changed: acme.Opportunity) -> None:
    await acme.log_activity(ctx.config.acme, "seen", changed.name)


@integration.flow(trigger=acme.opportunity_updated)
async def by_hand(ctx: Context[Settings], changed: acme.Opportunity) -> None:
    pass


@integration.flow(trigger=instance.teardown)
async def teardown(ctx: Context[Settings], _: Deployment) -> None:
    for webhook in await acme.list_webhooks(ctx.config.acme):
        if webhook.url in ctx.urls and webhook.event == "account.created":
            await acme.delete_webhook(ctx.config.acme, webhook.id)
"""
SECOND = FIRST.replace(
    """@integration.flow(trigger=acme.opportunity_updated)
async def opportunity(ctx: Context[Settings], changed: acme.Opportunity) -> None:
    await acme.log_activity(ctx.config.acme, "seen", changed.name)
""",
    """@integration.flow(trigger=acme.stock_changed)
async def stock(ctx: Context[Settings], changed: acme.Stock) -> None:
    await acme.log_activity(ctx.config.acme, "stock", changed.item)
""",
)


IMPORTING = """
import acme
from halflap import Config, Context, Deployment, Integration, instance


class Settings(Config):
    acme: acme.Acme


integration = Integration("mirror", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    there = await acme.list_stock(ctx.config.acme)
    # Meanwhile somebody changes an item at the app.
    await acme.add_stock(ctx.config.acme, "nuts", 2)
    for each in there:
        await ctx.start(stock, each)


@integration.flow(trigger=acme.stock_changed)
async def stock(ctx: Context[Settings], changed: acme.Stock) -> None:
    await acme.log_activity(ctx.config.acme, changed.item, str(changed.quantity))
"""


LISTENING = """
import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from halflap import (
    Batch, Component, Config, Context, Deployment, Integration, Listening, Request, instance
)

component = Component("source")


@component.trigger(methods=())
async def record(request: Request, path: str) -> Any:
    '''A record.'''
    return request.json()


@record.listen()
async def _(listening: Listening, path: str) -> AsyncGenerator[Batch]:
    with Path(path).open("a") as file:
        file.write("opened ")
    while True:
        await listening.rest(0.01)
    yield Batch()


class Settings(Config):
    path: str


integration = Integration("reader", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    while not Path(ctx.config.path).exists():  # its listener is opened as it is activating
        await asyncio.sleep(0.01)


@integration.flow(trigger=record(path=Settings.path))
async def heard(ctx: Context[Settings], event: Any) -> None:
    pass
"""


@pytest.fixture
async def app() -> AsyncIterator[AcmeApp]:
    async with acme_app() as running:
        yield running


def project(folder: Path, source: str) -> Path:
    folder.mkdir()
    shutil.copy(EXAMPLES / "acme.py", folder / "acme.py")
    (folder / "mirror.py").write_text(source)
    return folder


async def expected(host: Host, instance: Instance) -> list[tuple[str, str]]:
    """The webhooks that an active instance has at the app."""
    urls = await host.resolver.urls(instance.id)
    found = await host.store.catalogue.instances.get(instance.id)
    integration = await host.library.integration(found.version)
    wanted = {"opportunity": "opportunity.updated", "by_hand": "opportunity.updated"}
    wanted["stock"] = "stock.changed"
    hooks = [(wanted[flow], url) for flow, url in urls.items() if flow in integration.flows]
    return sorted([*hooks, ("account.created", urls["by_hand"])])


async def prepared(directory: Path, app: AcmeApp, tmp_path: Path) -> tuple[str, str, str, int]:
    """Two instances of one workspace, the first active: its key, and the instances' ids."""
    key = await app.workspace("Initech")
    async with host_on(directory) as (host, _):
        first = await publish(host, tmp_path / "first", "mirror:integration")
        customers = host.store.catalogue.customers
        ours = await configured(host, await customers.add("Ours"), first, app, key)
        other = await configured(host, await customers.add("Other"), first, app, key)
        await host.deployer.activate(other.id)
        assert (await host.deployer.settled(other.id)).state == "active"
        await publish(host, tmp_path / "second", "mirror:integration")
        return key, ours.id, other.id, host.port


async def ready(host: Host, app: AcmeApp, tmp_path: Path) -> tuple[str, Instance]:
    """An instance of the first version that waits to be activated, and its workspace's key."""
    version = await publish(host, tmp_path / "first", "mirror:integration")
    customer = await host.store.catalogue.customers.add("Ours")
    key = await app.workspace("Initech")
    return key, await configured(host, customer, version, app, key)


async def death(mortal: Mortal | None, host: Host, instance: str) -> bool:
    """Wait until the process has died, or the instance's move is over."""
    assert mortal is not None
    dying = asyncio.create_task(mortal.dead.wait())
    move = host.deployer._moves.get(instance)
    if move is not None:
        await asyncio.wait([dying, move], return_when=asyncio.FIRST_COMPLETED)
    dying.cancel()
    return mortal.dead.is_set()


async def test_what_listens_as_an_instance_is_first_activated_listens_on(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "reader.py").write_text(LISTENING)
    opened = tmp_path / "opened"
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, tmp_path / "project", "reader:integration")
        customer = await host.store.catalogue.customers.add("Ours")
        made = await host.store.catalogue.instances.add(customer.id, "reader", "ours", version.hash)
        await host.store.catalogue.instances.set_revision(made.id, {"path": str(opened)}, {})

        async def fence() -> int:
            (shard,) = await host.store.journal.shards.list(made.id)
            return shard.fence

        async def activate() -> None:
            opened.unlink(missing_ok=True)
            await host.deployer.activate(made.id)
            assert (await host.deployer.settled(made.id)).state == "active"

        await activate()
        assert await fence() == 1
        assert opened.read_text() == "opened "
        await activate()
        assert (
            await fence() >= 3
        )  # taken for this deployment, and cut off: one before it had listened
        await host.deployer.disable(made.id)
        assert (await host.deployer.settled(made.id)).state == "disabled"
        before = await fence()
        await activate()
        assert await fence() >= before + 2  # what listened before that may not know of it


@pytest.mark.parametrize(
    ("begun_at", "every", "after"),
    [
        pytest.param(2, 9, False, id="before-each-ninth-write"),
        pytest.param(6, 9, True, id="after-each-ninth-write"),
        *(pytest.param(1, 1, after, marks=pytest.mark.soak) for after in (False, True)),
    ],
)
@pytest.mark.parametrize("move", ["activate", "upgrade", "disable"])
async def test_a_move_that_is_killed_at_any_write_ends_as_if_it_had_not_been(
    tmp_path: Path, app: AcmeApp, move: str, begun_at: int, every: int, after: bool
) -> None:
    project(tmp_path / "first", FIRST)
    project(tmp_path / "second", SECOND)
    directory = tmp_path / "store"
    key, ours, other, port = await prepared(directory, app, tmp_path)
    if move != "activate":
        async with host_on(directory, port=port) as (host, _):
            await host.deployer.activate(ours)
            await host.deployer.settled(ours)
    crashes = 0
    for dies_at in range(begun_at, 200, every):
        died = await moved_and_killed(directory, port, move, ours, dies_at, after)
        crashes += died
        async with host_on(directory, port=port) as (host, _):
            await again(host, move, ours)
            instance = await host.deployer.settled(ours)
            assert instance.error is None
            assert await taken(host, ours) == (move != "disable")
            hooks = await app.hooks(key)
            kept = await expected(host, await host.store.catalogue.instances.get(other))
            if move == "disable":
                assert instance.state == "disabled"
                assert hooks == kept
            else:
                assert instance.state == "active"
                assert hooks == sorted(kept + await expected(host, instance))
            await put_back(host, move, ours)
        if not died:
            break
    assert crashes > 1


async def moved_and_killed(
    directory: Path, port: int, move: str, instance: str, dies_at: int, after: bool
) -> bool:
    async with host_on(directory, port=port, dies_at=dies_at, after=after) as (host, mortal):
        begun = asyncio.create_task(begin(host, move, instance))
        assert mortal is not None
        dying = asyncio.create_task(mortal.dead.wait())
        await asyncio.wait([begun, dying], return_when=asyncio.FIRST_COMPLETED)
        died = await death(mortal, host, instance) if begun.done() else True
        for task in (begun, dying):
            task.cancel()
        await asyncio.gather(begun, dying, return_exceptions=True)
        return died


async def begin(host: Host, move: str, instance: str) -> None:
    match move:
        case "activate":
            await host.deployer.activate(instance)
        case "upgrade":
            newest = await host.store.catalogue.versions.latest("mirror")
            assert newest is not None
            await host.deployer.upgrade(instance, newest.hash)
        case _:
            await host.deployer.disable(instance)


async def again(host: Host, move: str, instance: str) -> None:
    """A person asks again where the first request came to nothing."""
    found = await host.deployer.settled(instance)
    newest = await host.store.catalogue.versions.latest("mirror")
    assert newest is not None
    match move, found.state:
        case "activate", "configured" | "disabled" | "failed":
            await host.deployer.activate(instance)
        case "upgrade", "active" if found.version != newest.hash:
            await host.deployer.upgrade(instance, newest.hash)
        case "disable", "active":
            await host.deployer.disable(instance)
        case _:
            pass


async def put_back(host: Host, move: str, instance: str) -> None:
    """Undo the move, for the next round."""
    if move == "disable":
        await host.deployer.activate(instance)
    elif move == "activate":
        await host.deployer.disable(instance)
    else:
        versions = await host.store.catalogue.versions.list("mirror")
        oldest = min(versions, key=lambda each: each.number)
        await host.deployer.upgrade(instance, oldest.hash)
    assert (await host.deployer.settled(instance)).error is None


async def test_events_wait_while_an_instance_is_activated_and_then_run(
    tmp_path: Path, app: AcmeApp
) -> None:
    project(tmp_path / "first", FIRST)
    key = await app.workspace("Initech")
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, tmp_path / "first", "mirror:integration")
        customer = await host.store.catalogue.customers.add("Ours")
        ours = await configured(host, customer, version, app, key)
        await host.engine.journal.hold(ours.id)
        await app.post("/sandbox/faults", {"error_rate": 1})
        await host.deployer.activate(ours.id)
        urls = await eventually_open(host, ours.id)
        body = {"id": "1", "name": "x", "stage": "new", "seats": 1, "price": "1"}
        signed = sign(await secret_of(host, ours.id, "opportunity"), body)
        async with app.http.post(urls["opportunity"], data=signed[0], headers=signed[1]) as answer:
            assert answer.status == 200
            execution = answer.headers["halflap-execution"]
        found = await host.store.journal.execution(execution)
        assert found is not None
        assert found.state == "queued"
        await app.post("/sandbox/faults", {})
        assert (await host.deployer.settled(ours.id)).state == "active"
        outcome = await host.engine.outcome(execution, DEADLINE)
        assert outcome is not None
        assert outcome.state == "succeeded"


async def test_a_change_while_the_deploy_flow_imports_is_not_lost(
    tmp_path: Path, app: AcmeApp
) -> None:
    project(tmp_path / "first", IMPORTING)
    async with host_on(tmp_path / "store") as (host, _):
        key, ours = await ready(host, app, tmp_path)
        await app.post("/v1/stock/bolts/add", {"quantity": 5}, key)
        await host.deployer.activate(ours.id)
        assert (await host.deployer.settled(ours.id)).state == "active"

        async def logged() -> list[tuple[str, str]]:
            found = await app.get("/v1/activities", key)
            return sorted((each["kind"], each["title"]) for each in found)

        async with asyncio.timeout(DEADLINE):
            while len(await logged()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await logged() == [("bolts", "5"), ("nuts", "2")]


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
async def test_a_move_goes_on_when_the_store_can_write_again(
    tmp_path: Path, app: AcmeApp, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path / "first", FIRST)
    async with host_on(tmp_path / "store") as (host, _):
        key, ours = await ready(host, app, tmp_path)
        failed = full_at(host, at, monkeypatch)
        await host.deployer.activate(ours.id)
        assert (await host.deployer.settled(ours.id)).state == "active"
        assert failed.is_set()
        assert await taken(host, ours.id)
        assert await app.hooks(key) == await expected(host, ours)


def full_at(host: Host, at: int, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let the store have no room for one write, the `at`-th from when the next move has begun.

    One before that would be the caller's own, to whom it is refused.
    """
    instances, failed = host.store.catalogue.instances, asyncio.Event()
    post, move = host.store.database.post, instances.move
    left: int | None = None

    async def moved(*args: Any, **more: Any) -> Instance | None:
        nonlocal left
        found = await move(*args, **more)
        left = at if left is None else left
        return found

    def full(job: Any) -> asyncio.Future[Any]:
        nonlocal left
        left = None if left is None else left - 1
        if left != 0:
            return post(job)
        failed.set()
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        never.set_exception(StoreFull())
        return never

    monkeypatch.setattr(host.store.database, "post", full)
    monkeypatch.setattr(instances, "move", moved)
    return failed


@pytest.mark.parametrize("process", ["this", "another"])
async def test_a_move_is_not_ended_by_one_who_read_of_the_former(
    tmp_path: Path, app: AcmeApp, process: str
) -> None:
    project(tmp_path / "first", FIRST)
    async with host_on(tmp_path / "store") as (host, _):
        _, ours = await ready(host, app, tmp_path)
        former = await host.deployer.activate(ours.id)
        assert (await host.deployer.settled(ours.id)).state == "active"
        await app.post("/sandbox/faults", {"fail_next": 99, "status": 400})
        instances, read = host.store.catalogue.instances, asyncio.Event()
        here = asyncio.current_task()

        async def due() -> list[Instance]:
            # The host looks by itself, too: that one finds nothing meanwhile.
            if process == "another" or read.is_set() or asyncio.current_task() is not here:
                return []
            read.set()
            await host.deployer.activate(ours.id)
            return [former]

        really, instances.due = instances.due, due  # type: ignore[method-assign]
        if process == "this":
            await host.deployer.resume()
            if (moving := host.deployer._moves.get(ours.id)) is not None:
                await asyncio.wait([moving])
        else:
            beginning, making = deployer(host, moves=False), deployer(host)
            begun = await beginning.activate(ours.id)
            await making._resume(former)
            await asyncio.wait([making._moves[ours.id]])
            assert await instances.get(ours.id) == begun
        instances.due = really  # type: ignore[method-assign]
        await host.deployer.resume()
        ended = await host.deployer.settled(ours.id)
        assert (ended.state, ended.deployment != former.deployment) == ("active", True)
        assert "400" in (ended.error or "")


def deployer(host: Host, *, moves: bool = True) -> Deployer:
    """Another process's, so to speak."""
    store = host.store
    return Deployer(
        store.catalogue, store.journal, host.engine, host.library, host.clock, moves=moves
    )


async def taken(host: Host, instance: str) -> bool:
    """Return whether all endpoints are open and events run; false where neither is so."""
    endpoints = (await host.store.catalogue.endpoints.of_instance(instance)).values()
    gates = await host.store.journal._rows("SELECT 1 FROM gates WHERE name = ?", (instance,))
    assert not gates
    opened = {each.open for each in endpoints}
    assert len(opened) == 1
    return opened.pop()


async def eventually_open(host: Host, instance: str) -> dict[str, str]:
    async with asyncio.timeout(DEADLINE):
        while True:
            endpoints = await host.store.catalogue.endpoints.of_instance(instance)
            if endpoints and all(each.open for each in endpoints.values()):
                return await host.resolver.urls(instance)
            await asyncio.sleep(0.01)


async def secret_of(host: Host, instance: str, flow: str) -> str:
    endpoints = await host.store.catalogue.endpoints.of_instance(instance)
    return await host.store.catalogue.endpoints.secret(endpoints[flow].id)


def sign(secret: str, data: object) -> tuple[bytes, dict[str, str]]:
    from datetime import UTC, datetime

    from halflap import StandardWebhooks
    from halflap.sdk import codec

    body = codec.encode({"type": "opportunity.updated", "data": data})
    headers = StandardWebhooks().sign(body, secret, datetime.now(UTC), id="msg_1")
    return body, headers
