"""A browser in which somebody has signed in, and what is looked at on each page: errors, and barriers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, Request, StorageState, expect

from tests.console.place import Place
from tests.polling import DEADLINE, until

PAGE_DEADLINE = DEADLINE * 1_000
"""Milliseconds that a click waits, and what is expected of a page."""
QUIET_MS = 100
"""Milliseconds without a request, after which a page asks for nothing more."""
AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
WATCH = """
window.wrong = []
window.owned = (what) => window.wrong.push(`script ran: ${what}`)
window.alert = window.owned
addEventListener("securitypolicyviolation", (event) =>
  window.wrong.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))
"""
SETTLE = """
for (const each of document.getAnimations()) if (each instanceof CSSTransition) each.finish()
"""
VISIT = """
(path) => new Promise((arrive) => {
  const leave = window.__TSR_ROUTER__.subscribe("onRendered", () => { leave(); arrive() })
  history.pushState(null, "", `/console${path}`)
})
"""


@dataclass(frozen=True)
class Desk:
    """A browser in which somebody has signed in."""

    browser: Browser
    place: Place
    session: StorageState


@asynccontextmanager
async def opened(
    desk: Desk, path: str, *, beside: Page | None = None, **context: Any
) -> AsyncIterator[Page]:
    """Open a page of the console; at the end nothing may have gone wrong in it.

    beside: another tab of the same browser.
    """
    context = {"base_url": desk.place.url, "storage_state": desk.session, **context}
    tabs = await desk.browser.new_context(**context) if beside is None else beside.context
    page = await tabs.new_page()
    wrong = list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    await page.add_init_script(WATCH)
    page.set_default_timeout(PAGE_DEADLINE)
    await page.goto(f"/console{path}")
    yield page
    wrong += await page.evaluate("window.wrong")
    wrong = [each for each in wrong if "Failed to load resource" not in each]
    if wrong:
        raise AssertionError("\n".join(wrong))
    await (tabs if beside is None else page).close()


async def visit(page: Page, path: str) -> None:
    """Go to another page of the open console, which does not load anew: that takes ten times as long.

    It is there then, in the place of the page before; what it shows may not be.
    """
    await page.evaluate(VISIT, path)


async def show(page: Page, path: str) -> None:
    """Go to another page of the open console, and wait until all of it is there.

    (`networkidle` waits for nothing: Playwright says it once of a load.)
    """
    asked, answered = set[Request](), set[Request]()

    def ask(request: Request) -> None:
        if request.resource_type != "eventsource":
            asked.add(request)

    def answer(request: Request) -> None:
        answered.add(request)

    async def is_there() -> bool:
        before = len(asked)
        if asked - answered or await page.get_by_role("status", name="Loading").count():
            return False
        await page.wait_for_timeout(QUIET_MS)  # an answer may lead to another request
        return len(asked) == before

    heard = {"request": ask, "requestfinished": answer, "requestfailed": answer}
    for event, hear in heard.items():
        page.on(event, hear)
    await visit(page, path)
    await until(is_there, what=lambda: f"{path} waits for {[e.url for e in asked - answered]}")
    for event, hear in heard.items():
        page.remove_listener(event, hear)


async def at_rest(page: Page) -> None:
    """Check that axe finds nothing serious; and in the dark theme no colour, all that differs there."""
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    await page.locator("html:not(.dark)").wait_for(state="attached")
    found = await barriers(page)
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await page.locator("html.dark").wait_for(state="attached")
    found += await barriers(page, "color-contrast", "link-in-text-block")
    assert not found, "\n".join(found)


async def press(page: Page, *keys: str) -> None:
    for each in keys:
        await page.keyboard.press(each)


async def go_on(page: Page) -> None:
    """Press Next, once, and wait until the next page of the wizard is there: to press is for that one."""
    title = page.locator("form h2").first
    before = await title.text_content() or ""
    await page.get_by_role("button", name="Next").click()
    await expect(title).not_to_have_text(before)


async def find(page: Page, text: str) -> None:
    """Type what is looked for, once the field that Ctrl+K opens has the focus: it gets no key before."""
    await press(page, "Control+k")
    await expect(page.locator("input:focus")).to_be_visible()
    await page.keyboard.type(text)


async def fill_event(page: Page, text: str) -> None:
    """Write the event of a test of a draft, once the sample is there: it would come between the text."""
    field = page.get_by_label("Event, as JSON")
    await expect(field).not_to_have_value("")
    await field.fill(text)


async def barriers(page: Page, *rules: str) -> list[str]:
    """Return what axe finds that is serious or critical, by these of its rules or by all."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())
    await page.evaluate(SETTLE)
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    run = "only => axe.run({resultTypes: ['violations'], ...only})"
    found = await page.evaluate(run, only)
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
