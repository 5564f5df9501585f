"""First steps in the browser: from an empty store to the event that flowed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.commands import run
from tests.console.desk import Desk, barriers, find, go_on, opened
from tests.console.place import TOKEN, Place, running
from tests.twoapps import Apps

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(
    built: Path, apps: Apps, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    """A server with an empty store."""
    addresses = (apps.acme.url, apps.salesforce.url)
    folder = tmp_path_factory.mktemp("empty")
    async with running(folder, is_empty=True, sandboxes=addresses) as made:
        made.host.address.write(made.host.settings.dir)  # as `halflap serve` does, for commands
        yield made


async def in_terminal(folder: Path, line: str) -> None:
    """Run a line of the guide, beside the server."""
    name, *arguments = line.split()
    assert name == "halflap"
    place = {"HALFLAP_DIR": str(folder / "store"), "HALFLAP_TOKEN": TOKEN}
    code, said, errors = await run(folder, *arguments, **place)
    assert code == 0, said + errors


async def copied(page: Page, app: str, name: str) -> str:
    """Return what the guide says to fill in."""
    button = page.get_by_role("button", name=f"Copy: {app}, {name}", exact=True)
    return await button.locator("xpath=..").locator("code").inner_text()


async def test_a_guide_leads_from_nothing_to_an_event_that_flowed(
    browser: Browser, place: Place, apps: Apps
) -> None:
    desk = Desk(browser, place, {"cookies": [], "origins": []})
    folder = place.host.settings.dir.parent
    link = (await place.link()).removeprefix(f"{place.url}/console")
    async with opened(desk, link) as page:
        guide = page.get_by_role("region", name="First steps")
        await expect(guide).to_be_visible()
        assert page.url.endswith("/overview")
        done = guide.get_by_label("done", exact=True)
        await expect(guide.get_by_text("not found yet")).to_have_count(2)
        await expect(done).to_have_count(0)

        # The sandbox apps: of one alone the step is not done.
        await apps.acme.workspace("demo")
        await guide.get_by_role("button", name="Look again").click()
        await expect(guide.get_by_text("not found yet")).to_have_count(1)
        await expect(done).to_have_count(0)
        await apps.salesforce.org("demo")
        await guide.get_by_role("button", name="Look again").click()
        await expect(done).to_have_count(1)
        assert await barriers(page) == []

        # The commands are those that the page says; the reader comes back from the terminal.
        step = guide.locator("[aria-current=step]")
        await expect(step).to_contain_text("Publish an integration")
        for line in await step.locator("code").all_inner_texts():
            if line.startswith("halflap") and "--to" not in line:
                await in_terminal(folder, line)
        await page.evaluate("window.dispatchEvent(new Event('focus'))")
        await expect(done).to_have_count(2)

        # A customer, and what its connections are made of.
        await expect(step).to_contain_text("Add a customer")
        await guide.get_by_role("button", name="New customer").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name", exact=True).fill("Initech")
        await dialog.get_by_role("button", name="Add the customer").click()
        await expect(done).to_have_count(3)
        names = ("Login URL", "Client ID", "Client secret")
        salesforce = {name: await copied(page, "Salesforce", name) for name in names}
        way = await copied(page, "Salesforce", "Auth")
        acme = {name: await copied(page, "Acme", name) for name in ("Base URL", "API key")}
        await guide.get_by_role("link", name="Activate for Initech").click()
        await page.get_by_role("button", name=re.compile("Salesforce")).click()
        await page.get_by_role("button", name="Connect Salesforce…").click()
        await dialog.get_by_role("radio", name=way).click()
        for name, value in salesforce.items():
            await dialog.get_by_label(re.compile(f"^{name}")).fill(value)
        await dialog.get_by_role("button", name="Save the connection").click()
        await expect(dialog).to_be_hidden()
        await page.get_by_role("button", name="Connect Acme…").click()
        await expect(dialog).to_contain_text(f"A sandbox of Acme runs at {apps.acme.url}.")
        assert await barriers(page) == []
        await dialog.get_by_role("button", name="Use its account demo").click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_text("working", exact=True)).to_have_count(2)
        await go_on(page)
        await go_on(page)
        await page.get_by_role("button", name="Activate", exact=True).click()
        await page.get_by_role("link", name="Show its URLs").wait_for()

        # Over a reload the overview is the guide as before; then an event comes, made by a person.
        await page.get_by_role("link", name="Overview").click()
        await page.reload()
        await expect(done).to_have_count(4)
        await expect(step).to_contain_text("Let an event come")
        async with page.expect_popup() as opening:
            await step.get_by_role("link", name="Open Salesforce").click()
        window = await opening.value
        await window.get_by_role("button", name="Add to Accounts").click()
        await window.get_by_label("Name", exact=True).fill("Pied Piper")
        await window.get_by_role("button", name="Save").click()
        await window.get_by_label("Name of Pied Piper").wait_for()
        await window.close()
        await expect(done).to_have_count(6)
        await expect(guide.get_by_role("heading", name="It runs")).to_be_visible()
        accounts = await apps.acme.get("/v1/accounts", acme["API key"])
        assert [each["name"] for each in accounts] == ["Pied Piper"]
        await guide.get_by_role("link", name="account").click()
        await page.get_by_role("option", name=re.compile("Create an Account")).wait_for()

        # Put away, and found again.
        await page.get_by_role("link", name="Overview").click()
        await guide.get_by_role("button", name="To the overview").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        await find(page, "first st")
        await page.get_by_role("option", name="First steps").click()
        await expect(guide).to_be_visible()
        assert page.url.endswith("/first-steps")
