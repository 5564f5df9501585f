"""A browser in which somebody has signed in, and what is looked at on each page: errors, and barriers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    StorageState,
    ViewportSize,
    expect,
)

from tests.console.place import Place
from tests.polling import DEADLINE, until

PAGE_DEADLINE = DEADLINE * 1_000
"""Milliseconds that a click waits, and what is expected of a page."""
VIEWPORT: ViewportSize = {"width": 1280, "height": 720}
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
RUN_AXE = """
(only) => {
  // A rule's impact is that of all that it finds: these can find nothing that is looked at.
  const slight = axe._audit.rules.filter((rule) => ["minor", "moderate"].includes(rule.impact))
  const rules = Object.fromEntries(slight.map((rule) => [rule.id, { enabled: false }]))
  return axe.run({ resultTypes: ["violations"], rules, ...only })
}
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
    kept: list[Page] | None = None
    """Tabs at rest, for whoever opens a page next; None where each gets a browser of its own."""

    @property
    def out(self) -> Desk:
        """The same where nobody has signed in."""
        return replace(self, session={"cookies": [], "origins": []})


@asynccontextmanager
async def opened(
    desk: Desk, path: str, *, beside: Page | None = None, viewport: ViewportSize = VIEWPORT
) -> AsyncIterator[Page]:
    """Open a page of the console; at the end nothing may have gone wrong in it.

    It is loaded in a tab that was put away, where there is one: that has compiled the console's scripts,
    and a new one takes twice as long.

    beside: another tab of the same browser.
    """
    if desk.kept and beside is None:
        page = desk.kept.pop()
        await page.set_viewport_size(viewport)
        await page.context.add_cookies([{**each} for each in desk.session["cookies"]])
    else:
        tabs = beside.context if beside else await new_tabs(desk, viewport)
        page = await tabs.new_page()
        await page.add_init_script(WATCH)
        page.set_default_timeout(PAGE_DEADLINE)
    wrong = list[str]()

    def fail(error: Error) -> None:
        wrong.append(str(error))

    def listen(said: ConsoleMessage) -> None:
        if said.type == "error":
            wrong.append(said.text)

    page.on("pageerror", fail)
    page.on("console", listen)
    await page.goto(f"/console{path}")
    yield page
    wrong += await page.evaluate("window.wrong")
    page.remove_listener("pageerror", fail)
    page.remove_listener("console", listen)
    wrong = [each for each in wrong if "Failed to load resource" not in each]
    if wrong:
        raise AssertionError("\n".join(wrong))
    if beside is not None:
        await page.close()
    elif desk.kept is None or page.context.pages != [page]:
        await page.context.close()
    else:
        await put_away(page)
        desk.kept.append(page)


async def new_tabs(desk: Desk, viewport: ViewportSize) -> BrowserContext:
    """A browser of its own, without a tab yet."""
    return await desk.browser.new_context(
        base_url=desk.place.url, storage_state=desk.session, viewport=viewport
    )


async def put_away(page: Page) -> None:
    """Leave a tab as new as another one: on a page where no script runs, with nothing of the last one.

    Its process stays, as it is the same site's.
    """
    await page.unroute_all(behavior="ignoreErrors")
    await page.context.set_offline(False)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Emulation.setScriptExecutionDisabled", {"value": True})
    await page.goto("/console/")
    await devtools.detach()
    await page.evaluate("localStorage.clear(); sessionStorage.clear()")
    await page.context.clear_cookies()
    await page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    await page.mouse.move(-1, -1)


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
    found = await page.evaluate(RUN_AXE, only)
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
