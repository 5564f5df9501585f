"""The built console, a server with it, and a browser that notes whatever is wrong."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, StorageState, async_playwright, expect

from tests.built import build_console
from tests.conftest import start_zygote
from tests.console.desk import PAGE_DEADLINE, Desk
from tests.console.place import STORY, Place, running
from tests.twoapps import Apps, both_apps
from tests.zygote import PYTHON

CHROMIUM = shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
"""Where there is one, the browser without windows, which takes a quarter less of a processor."""
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
    "--js-flags=--no-opt --no-maglev",  # a page here is gone before what is optimized pays
)
expect.set_options(timeout=PAGE_DEADLINE)


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the built console."""
    return build_console()


@pytest.fixture(scope="module", autouse=True)
def forks() -> Iterator[None]:
    """Fork the processes that lint and run drafts: each takes a second to import what it needs."""
    start_zygote()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", PYTHON)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(built: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """A server with the console, whose customers have had no orders yet."""
    async with running(tmp_path_factory.mktemp("place")) as made:
        for name in STORY:
            await made.customer(name)
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def session(place: Place, browser: Browser) -> StorageState:
    """The cookies of an owner who has signed in."""
    context = await browser.new_context(base_url=place.url)
    link = (await place.link()).partition("#link=")[2]
    answer = await context.request.post(
        "/api/session", data={"link": link}, headers={"origin": place.url}
    )
    assert answer.ok, await answer.text()
    found = await context.storage_state()
    await context.close()
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def kept(place: Place) -> AsyncIterator[list[Page]]:
    """The tabs that a module's tests have put away."""
    tabs = list[Page]()
    yield tabs
    for each in tabs:
        await each.context.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Headless Chromium."""
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), chromium_sandbox=False
        )
        yield made
        await made.close()


@pytest.fixture
def desk(browser: Browser, place: Place, session: StorageState, kept: list[Page]) -> Desk:
    """The desk of an owner."""
    return Desk(browser, place, session, kept)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def apps() -> AsyncIterator[Apps]:
    """Both sandbox apps, in which nobody has an account yet."""
    async with both_apps() as running_apps:
        yield running_apps
