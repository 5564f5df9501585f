"""A chain of executions whose process dies at any write: every page is done, and none twice."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.world import EXAMPLES, AcmeApp, acme_app, configured, host_on, publish

PAGES = 3
PROJECT = '''
"""Accounts to Acme, a page after the other."""

import acme
from halflap import Config, Context, Integration, Model, webhook


class Settings(Config):
    acme: acme.Acme


class Page(Model):
    run: str
    number: int = 1


integration = Integration("pages", config=Settings)


@integration.flow(trigger=webhook.request(dedupe="body:/run"))
async def pages(ctx: Context[Settings], page: Page) -> None:
    """Make an account, then continue with the next page."""
    id = f"{page.run}.{page.number}"
    await acme.create_account(ctx.config.acme, external_id=id, name=id)
    if page.number < 3:
        await ctx.continue_with(Page(run=page.run, number=page.number + 1))
'''
DEADLINE = 20.0
WRITES = 24
"""More writes than a chain makes, from the start of the server on."""


@pytest.fixture
async def app() -> AsyncIterator[AcmeApp]:
    async with acme_app() as app:
        yield app


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def prepared(directory: Path, folder: Path, app: AcmeApp, port: int) -> tuple[str, str, str]:
    """A store with the instance active; its key at Acme, its id, and the URL of its flow."""
    folder.mkdir()
    shutil.copy(EXAMPLES / "acme.py", folder)
    (folder / "paged.py").write_text(PROJECT)
    key = await app.workspace("pages")
    async with host_on(directory, port=port) as (host, _):
        version = await publish(host, folder, "paged:integration")
        customer = await host.store.catalogue.customers.add("Initech")
        instance = await configured(host, customer, version, app, key)
        await host.deployer.activate(instance.id)
        assert (await host.deployer.settled(instance.id)).state == "active"
        return key, instance.id, (await host.resolver.urls(instance.id))["pages"]


async def send(app: AcmeApp, url: str, run: str) -> bool:
    """Send an event; False where it was not acknowledged."""
    try:
        async with asyncio.timeout(5):
            async with app.http.post(url, json={"run": run}) as answer:
                return answer.status < 300
    except (aiohttp.ClientError, TimeoutError):
        return False


async def killed(
    directory: Path, port: int, app: AcmeApp, url: str, run: str, at: int, **how: bool
) -> bool:
    """Send an event to a server that dies at a write; False where it lived to the end."""
    async with host_on(directory, port=port, dies_at=at, **how) as (host, mortal):
        assert mortal is not None
        dying = asyncio.create_task(mortal.dead.wait())
        sending = asyncio.create_task(send(app, url, run))
        ending = asyncio.create_task(ended(host, run))
        await asyncio.wait([dying, ending], return_when=asyncio.FIRST_COMPLETED)
        for each in (dying, sending, ending):
            each.cancel()
        await asyncio.gather(dying, sending, ending, return_exceptions=True)
        return mortal.dead.is_set()


async def ended(host: Host, run: str) -> int:
    """Return how many executions the chain of an event had, once its last one has ended."""
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await host.store.journal.executions(Filter(flow="pages", limit=500))
            bodies = {e.id: await host.store.journal.event(e.id) for e in found}
            own = [e for e in found if f'"{run}"'.encode() in getattr(bodies[e.id], "body", b"")]
            if own and all(each.ended_at for each in own) and own[0].link == PAGES - 1:
                assert {each.state for each in own} == {"succeeded"}
                return len(own)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "begun_at",
    [
        pytest.param(1, id="some"),
        pytest.param(2, marks=pytest.mark.soak),
        pytest.param(3, marks=pytest.mark.soak),
    ],
)
async def test_a_chain_that_is_killed_at_any_write_goes_on(
    tmp_path: Path, app: AcmeApp, begun_at: int, after: bool
) -> None:
    directory, port = tmp_path / "store", free_port()
    key, _, url = await prepared(directory, tmp_path / "project", app, port)
    crashes = 0
    for at in range(begun_at, WRITES, 3):
        run = f"r{at}"
        crashes += await killed(directory, port, app, url, run, at, after=after)
        async with host_on(directory, port=port) as (host, _):
            assert await send(app, url, run), "its sender tries again until it is acknowledged"
            assert await ended(host, run) == PAGES
        accounts = [each["external_id"] for each in await app.get("/v1/accounts?limit=1000", key)]
        own = sorted(each for each in accounts if each.startswith(f"{run}."))
        assert own == [f"{run}.{number}" for number in range(1, PAGES + 1)]
    assert crashes > 3
