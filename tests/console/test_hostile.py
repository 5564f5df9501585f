"""Hostile texts in all that has a name, a title, a label or a result: shown, and not obeyed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from halflap.lowcode.rewrite.write import inline
from tests.console.desk import Desk, fill_event, go_on, opened, press, show
from tests.console.hostile import EACH_HOSTILE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

MARKUP = (
    r"<img src=x onerror=owned(1)><script>owned(2)</script></0><1/> {0} {{owned(3)}} ${owned(4)} \x41"
    " \u202eRTL \u2066iso 👩‍👩‍👧‍👦 e\u0301\u0301 {name, plural, one {#} other {#}}"
)
WIDE = "W" * 200
HUGE = f"{MARKUP} {'W' * 2_000}"
BOTH = (MARKUP, WIDE)
NAMES = (re.sub(r"[/\\]", "", MARKUP)[:120], WIDE[:120])
APP = f'''
from halflap import Component

component = Component("hostile", title={MARKUP!r}, description={HUGE!r})


@component.action(title={MARKUP!r}, pure=True)
def marked(text: str) -> str:
    """{MARKUP.replace(chr(92), chr(92) * 2)}"""
    return text


@component.action(title={WIDE!r}, pure=True)
def wide(text: str) -> str:
    """{WIDE}"""
    return text
'''
TOO_WIDE = """() => {
  const known = "pre, code, textarea, input, table, nav, svg, .cm-scroller, [data-drawing], [role=grid]"
  const within = "html, body, #main, #main *, [role=dialog], [role=dialog] *"
  return [...document.querySelectorAll(within)]
    .filter((box) => box.scrollWidth > box.clientWidth + 1 && box.closest(known) === null)
    .filter((box) => /auto|scroll/.test(getComputedStyle(box).overflowX) || box.matches("html, body"))
    .map((box) => [box.tagName, box.ariaLabel, box.className, box.scrollWidth, box.clientWidth].join(" "))
}"""
WITHIN = ":is(#main, [role=dialog])"
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOREIGN = f"{WITHIN} :is(script, iframe, object, base, meta, img:not(.cm-widgetBuffer), math)"


def document(name: str) -> str:
    """Return an integration whose every text is hostile."""
    fields = {
        f"f{at}": {"title": each, "description": HUGE, "required": False}
        for at, each in enumerate(BOTH)
    }
    steps: list[Any] = [{"title": each[:200], "log": f"{each} {HUGE}"} for each in BOTH]
    steps += [
        {"id": f"r{at}", "title": each[:200], "action": f"hostile.{action}", "with": {"text": HUGE}}
        for at, (action, each) in enumerate(zip(("marked", "wide"), BOTH, strict=True))
    ]
    steps += [{"for": "each", "in": "=event.lines", "do": [{"set": {"line": "=each"}}]}]
    steps += [{"stop": {"answer": "=event.lines"}}]
    flow = {
        "title": MARKUP[:200],
        "description": HUGE,
        "trigger": "webhook.request",
        "steps": steps,
    }
    other = {**flow, "title": WIDE, "steps": [{"log": "=$number(event.lines[0])"}]}
    whole = {
        "name": name,
        "title": MARKUP[:200],
        "description": HUGE,
        "config": {MARKUP[:60]: fields, WIDE[:60]: {"last": {"title": WIDE, "required": False}}},
        "flows": {"one": flow, "other": other},
    }
    return "".join(f"{key}: {inline(value)}\n" for key, value in whole.items())


async def look(page: Page, found: dict[str, str]) -> None:
    """Check that nothing of a page is an element of a text; note what is wider than its place."""
    await expect(page.locator(FOREIGN)).to_have_count(0)
    for each in await page.evaluate(TOO_WIDE):
        found.setdefault(each[:300], page.url)


async def look_twice(page: Page, found: dict[str, str]) -> None:
    """Look in the window as it is, and in the other one, which the next page is then loaded in."""
    await look(page, found)
    [other] = {1280, 390} - {(page.viewport_size or {})["width"]}
    await page.set_viewport_size({"width": other, "height": 900})
    await page.evaluate(PAINTED)
    await look(page, found)


@asynccontextmanager
async def shown(desk: Desk, path: str, width: int) -> AsyncIterator[Page]:
    """Open a page, which may have no fault."""
    async with opened(desk, path, viewport={"width": width, "height": 900}) as page:
        await page.get_by_role("heading", level=1).first.wait_for()
        yield page


async def test_hostile_names_titles_labels_and_results_do_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    place, name, found = desk.place, "hostile-texts", dict[str, str]()
    await place.deploy_components(tmp_path / "app", "hostile", hostile=APP)
    begin = {"integration": name, "text": document(name), "components": "hostile"}
    draft = (await place.api("POST", "/drafts", begin))["id"]
    customers = [(await place.api("POST", "/customers", {"name": each}))["id"] for each in NAMES]
    etag = {"if-match": '"1"', "authorization": "Bearer the-token-of-these-tests"}
    url = f"{place.url}/api/drafts/{draft}/publish"
    async with place.http.post(
        url, json={"target": "dev", "note": HUGE[:2_000]}, headers=etag
    ) as got:
        assert got.status < 300, await got.text()
    made = []
    for customer, each in zip(customers, NAMES, strict=True):
        wanted = {"customer": customer, "integration": name, "name": each[:100]}
        instance = (await place.api("POST", "/instances", wanted))["id"]
        active = await place.api("POST", f"/instances/{instance}/activate", wait="30")
        assert active["state"] == "active", active
        made.append(active)
    # What apps send: half a surrogate pair and control characters too, as JSON may have them.
    body = json.dumps({"lines": [*BOTH, HUGE, "\x1b[31m\x00\u2028", {HUGE: HUGE}]})
    sent = list[str]()
    for active in made:
        for flow in ("one", "other"):
            async with place.http.post(active["urls"][flow], data=body) as got:
                assert got.status < 300, await got.text()
                sent.append(got.headers["halflap-execution"])
    async with place.http.post(made[0]["urls"]["one"], data='{"lines": ["\\ud800"]}') as got:
        assert got.status < 500, await got.text()
    ended = [await place.until(each, "succeeded", "failed") for each in sent]
    assert {each["state"] for each in ended} == {"succeeded", "failed"}

    paths = ["/overview", "/executions", "/failures", "/instances", "/customers", "/integrations"]
    paths += [
        f"/integrations/{name}",
        f"/integrations/{name}?view=versions",
        "/drafts",
        "/search?q=owned",
    ]
    paths += [f"/executions/{each}" for each in sent[:2]] + [
        f"/instances/{made[0]['id']}",
        "/activity/logs",
    ]
    paths += [f"/customers/{each}" for each in customers]
    async with shown(desk, paths[0], 1280) as page:
        for path in paths:
            await show(page, path)
            await look_twice(page, found)

        # The labels of a config, as a customer's wizard shows them.
        version = (await place.api("GET", f"/integrations/{name}"))["versions"][0]["hash"]
        await page.set_viewport_size({"width": 390, "height": 900})
        wizard = f"/customers/{customers[0]}/activate?integration={name}&version={version}"
        await show(page, wizard)
        for label in BOTH:
            await expect(page.get_by_text(label[:80]).first).to_be_attached()
        await page.get_by_role("textbox").first.fill(HUGE)
        await look_twice(page, found)
        for _ in range(2):
            await go_on(page)
        await expect(page.get_by_role("heading", name="Review", exact=True)).to_be_visible()
        await look_twice(page, found)

        # Of a long note of a version its first lines are shown, and all of it when it is wanted.
        await page.set_viewport_size({"width": 390, "height": 900})
        await show(page, f"/integrations/{name}?view=versions")
        table = page.get_by_role("table", name="Versions")
        more = table.get_by_role("button", name="Show the whole note")
        await expect(more).to_be_in_viewport()
        short = await table.evaluate("table => table.clientHeight")
        await more.click()
        await expect(table.get_by_role("button", name="Show less")).to_be_visible()
        whole = await table.evaluate("table => table.clientHeight")
        assert short < 250 < whole < 4_000, (short, whole)
        await look(page, found)
    assert found == {}


async def look_in_both(page: Page, found: dict[str, str]) -> None:
    """Look in the wide window, in a narrow one, and come back to the wide one."""
    await look(page, found)
    for width in (390, 1440):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.evaluate(PAINTED)
        if width == 390:
            await look(page, found)


@EACH_HOSTILE
async def test_own_components_and_results_of_runs_are_texts_in_the_designer(
    desk: Desk, tmp_path: Path, texts: tuple[str, ...]
) -> None:
    place, name, found = desk.place, "hostile-runs", dict[str, str]()
    await place.deploy_components(tmp_path / "app", "own", hostile=APP)
    each: Any = {"for": "each", "in": "=event.texts"}
    each["do"] = [{"id": "one", "action": "hostile.marked", "with": {"text": "=each"}}]
    steps = [
        {"id": "first", "action": "hostile.marked", "with": {"text": "=event.markup"}},
        {"action": "hostile.wide", "with": {"text": "=event.huge"}},
        each,
        {"if": "=event.fails", "then": [{"log": "=$number(event.markup)"}]},
        {"stop": {"answer": "=event.texts"}},
    ]
    flow = {"trigger": "webhook.request", "steps": steps}
    text = f"name: {name}\nflows: {inline({'one': flow})}\n"
    begin = {"integration": name, "text": text, "components": "own"}
    draft = (await place.api("POST", "/drafts", begin))["id"]
    event = {
        "markup": MARKUP,
        "huge": HUGE,
        "texts": list(texts[:: max(len(texts) // 40, 1)]),
        "fails": False,
    }
    plain = MARKUP[:40]
    async with shown(desk, f"/drafts/{draft}", 1440) as page:
        # What is inserted, by titles and descriptions of the draft's own components.
        await page.locator("[data-step]").first.focus()
        await press(page, "a")
        await page.get_by_role("combobox", name="Insert a step").fill("hostile")
        options = page.get_by_role("option")
        await expect(options.filter(has_text=plain).first).to_be_visible()
        await expect(options.filter(has_text=WIDE).first).to_be_visible()
        await look_in_both(page, found)
        await press(page, "Escape")
        await page.get_by_role("button", name="own 1", exact=True).click()
        await page.get_by_role("dialog", name="Components").wait_for()
        await look_in_both(page, found)
        await press(page, "Escape")

        # What steps give and fail with: in rows, on cards, as the answer, and beside.
        await page.get_by_role("button", name="Test", exact=True).click()
        await fill_event(page, json.dumps(event))
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar).to_contain_text("owned(1)")
        await look_in_both(page, found)
        for _ in event["texts"][1:]:
            await page.get_by_role("button", name="Item: the next").first.click()
            await look(page, found)
        await (
            page.locator("[data-card]").filter(has_text=plain).first.locator("[data-step]").click()
        )
        panel = page.get_by_role("complementary", name="What is selected")
        await expect(panel).to_contain_text(plain)
        await look_in_both(page, found)
        await panel.get_by_role("tab", name="Result").click()
        await expect(panel.get_by_role("tabpanel", name="Result")).to_contain_text(plain)
        await look_in_both(page, found)
        await page.get_by_role("button", name="Test with another event…").click()
        await fill_event(page, json.dumps({**event, "fails": True}))
        await page.get_by_role("button", name="Run the test").click()
        await expect(bar).to_contain_text("failed")
        await expect(bar).to_contain_text("onerror")
        await look_in_both(page, found)
    assert found == {}


async def test_what_is_obeyed_or_breaks_the_layout_is_found(desk: Desk) -> None:
    async with opened(desk, "/drafts") as page:
        await page.get_by_role("heading", level=1).first.wait_for()
        found = dict[str, str]()
        await look(page, found)
        assert found == {}
        add = """([tag, text]) => document.querySelector("#main section")
            .append(Object.assign(document.createElement(tag), {className: "bad", textContent: text}))
            ?? (document.querySelector(".bad").style.whiteSpace = "nowrap")"""
        await page.evaluate(add, ["p", WIDE * 5])
        await look(page, found)
        assert found != {}
        await page.evaluate("document.querySelector('.bad').remove()")
        await page.evaluate(add, ["base", ""])
        await expect(page.locator(FOREIGN)).to_have_count(1)
