"""The main pages look as they did, in both themes; what is moved or coloured otherwise is found."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.console.desk import Desk, opened, show
from tests.console.looks import FOLDER, differences, look_of, style
from tests.console.place import STORY, Place
from tests.polling import DEADLINE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

VIEW: Any = {"width": 1280, "height": 800}
ENDS = {"wait": "waiting", "fine": "succeeded", "free": "ignored"}

Ready = Callable[[Page], Any]
PAGES: dict[str, tuple[str, Ready]] = {
    "overview": ("/overview?period=1h", lambda page: page.get_by_role("table").nth(1)),
    "executions": (
        "/executions",
        lambda page: page.get_by_role("heading", name=re.compile(r"Executions \d")),
    ),
    "execution": ("/executions/{failed}", lambda page: page.get_by_role("option", selected=True)),
    "failures": ("/failures", lambda page: page.get_by_role("gridcell").first),
    "customers": (
        "/customers?open={customer}",
        lambda page: page.get_by_role("heading", name="Failures"),
    ),
    "connections": ("/connections", lambda page: page.get_by_role("gridcell").first),
    "instances": ("/instances", lambda page: page.get_by_role("gridcell").first),
    "integrations": ("/integrations", lambda page: page.get_by_role("gridcell").first),
    "integration": ("/integrations/orders", lambda page: page.get_by_role("figure")),
    "search": ("/search", lambda page: page.get_by_role("searchbox").first),
    "logs": ("/activity/logs", lambda page: page.get_by_role("gridcell").first),
    "designer": (
        "/drafts/{draft}?step=n7",
        lambda page: page.get_by_role("button", name=re.compile(r"^Findings: \d")),
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ids(place: Place) -> dict[str, str]:
    """Executions of every kind, each known by what it ends as."""
    failed = ""
    for name, wishes in STORY.items():
        for at, wish in enumerate(wishes):
            sent = await place.send(name, f"{4711 + at}", wish)
            await place.until(sent, ENDS.get(wish, "failed"))
            failed = sent if wish.startswith("refuse 422") else failed
    customer = (await place.api("GET", "/customers", q="Globex"))["items"][0]["id"]
    draft = await place.api("POST", "/drafts", {"integration": "orders", "version": "1"})
    return {"failed": failed, "customer": customer, "draft": draft["id"]}


async def even(route: Route) -> None:
    """Answer figures with run times that do not depend on the machine."""
    answer = await route.fetch()
    text = re.sub(r'("p\d\d_ms":)[\d.]+', r"\g<1>40", await answer.text())
    await route.fulfill(response=answer, body=text)


async def shown(page: Page, name: str, ids: dict[str, str]) -> list[str]:
    """Go to a page, and return its look once it is there."""
    path, ready = PAGES[name]
    await show(page, path.format(**ids))
    await expect(ready(page)).to_be_visible()
    await expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    await page.mouse.move(2, 2)
    within = within_of(name)
    look = await look_of(page, within)
    async with asyncio.timeout(DEADLINE):
        while True:
            await page.wait_for_timeout(200)
            if look == (look := await look_of(page, within)):  # all that comes late is there
                return look


def within_of(name: str) -> str:
    """Return the part of a page that is looked at; the frame is the same around every page."""
    return "body" if name == "overview" else "main"


async def test_the_main_pages_look_as_they_did(desk: Desk, ids: dict[str, str]) -> None:
    wrong: list[str] = []
    async with opened(desk, "/account", viewport=VIEW) as page:
        await page.route("**/api/stats*", even)
        for name in PAGES:
            file = FOLDER / f"{name}.txt"
            seen = await shown(page, name, ids)
            if os.environ.get("LOOKS") == "write":
                FOLDER.mkdir(exist_ok=True)
                file.write_text("\n".join(seen) + "\n")
            expected, end = file.read_text().splitlines(), time.monotonic() + DEADLINE
            while not wrong and differences(expected, seen) and time.monotonic() < end:
                await page.wait_for_timeout(200)  # on a busy machine, something may come yet
                seen = await look_of(page, within_of(name))
            found = differences(expected, seen)
            wrong += [f"{name}:", *found] if found else []
    assert not wrong, "\n".join(
        [*wrong, "if it is meant: LOOKS=write pytest tests/console/test_looks.py"]
    )


async def test_control_another_colour_column_or_part_is_found(
    desk: Desk, ids: dict[str, str]
) -> None:
    async with opened(desk, "/account", viewport=VIEW) as page:
        before = await shown(page, "customers", ids)
        for rules in (
            ".dark { --primary: #2563eb }",
            "[role=columnheader]:nth-child(2) { margin-left: 14px }",
            "h1 { display: none }",
        ):
            assert differences(before, await look_of(page)) == []
            await style(page, rules)
            assert differences(before, await look_of(page)), rules
            await page.evaluate(
                "document.adoptedStyleSheets.splice(-2)"
            )  # these, and the look's own
