"""The fields of the designer in the browser: data, pills, conditions, tables, formulas, YAML, config."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import expect

from halflap.lowcode import Draft
from halflap.lowcode.rewrite.write import inline
from tests.console.desk import Desk, at_rest, fill_event, opened, press
from tests.console.hostile import EACH_HOSTILE, TEXTS
from tests.console.place import Place
from tests.polling import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

BEFORE = """\
name: filled
config:
  Connect:
    shop: {connection: http}
flows:
  order:
    trigger: webhook.request
    steps:
      # who ordered?
      - id: found
        action: http.get
        with: {path: /customers} # all of them
      - if: =event.kind = "free"
        then:
          - stop: {ignore: it is free}
      - action: http.post
        with: {path: /orders}
      - log: done
tests:
  - {name: one, flow: order, event: {number: "4711", kind: paid, total: 22.50, lines: [{sku: a}]}}
"""


async def text_of(place: Place, draft: str) -> str:
    return (await place.api("GET", f"/drafts/{draft}"))["text"]


async def until_text(place: Place, draft: str, *parts: str) -> str:
    """Wait until the draft's text has parts; return it."""
    text = ""

    async def look() -> str:
        nonlocal text
        text = await text_of(place, draft)
        return text if all(each in text for each in parts) else ""

    return await until(look, what=lambda: f"{parts} is not in\n{text}")


async def test_a_step_is_filled_in_by_data_rows_tables_and_formulas(desk: Desk) -> None:
    place = desk.place
    draft = (await place.api("POST", "/drafts", {"integration": "filled", "text": BEFORE}))["id"]
    async with opened(desk, f"/drafts/{draft}", viewport={"width": 1440, "height": 1000}) as page:
        steps = page.get_by_role("tree")
        panel = page.get_by_role("complementary", name="What is selected")

        # What is typed next, as a flow gets another name, is the title; no letter is a shortcut.
        await steps.get_by_role("treeitem", name="Order").click()
        await panel.get_by_label("Name", exact=True).fill("bought")
        await press(page, "Tab")
        await page.keyboard.type("All", delay=80)
        await until_text(place, draft, "  bought:\n", "flow: bought")
        await page.keyboard.type(" that came")
        await until_text(place, draft, "title: All that came\n")
        await expect(panel.get_by_label("Title", exact=True)).to_be_focused()

        # A text with a value in it: `/` offers the data, Enter takes what is found.
        await steps.get_by_role("treeitem", name=re.compile("^Get")).click()
        path = panel.get_by_role("textbox", name="Path", exact=True)
        await path.click()
        await press(page, "Control+End")
        await page.keyboard.type("/of /num")
        await expect(page.get_by_role("option", name=re.compile("^event.number"))).to_be_visible()
        await page.wait_for_timeout(150)  # what appeared this moment is not taken by mistake
        await press(page, "Enter")
        await expect(path.locator(".pill")).to_contain_text("number4711")
        await expect(panel.get_by_text("/customers/of 4711")).to_be_visible()
        await page.keyboard.type("!")
        wanted = '"/customers/of " & event.number & "!"'
        text = await until_text(place, draft, wanted)
        assert "      # who ordered?\n" in text
        assert "# all of them" in text

        # A path is a text like others, and a title that is too long is not cut.
        await steps.get_by_role("treeitem", name=re.compile("^Post")).click()
        await path.click()
        await press(page, "Control+a")
        await page.keyboard.type("/nu")
        await expect(page.get_by_role("option", name=re.compile("^event.number"))).to_be_visible()
        await press(page, "Escape")
        await expect(path).to_be_focused()
        await page.keyboard.type("ll")
        await until_text(place, draft, "path: /null}")
        await press(page, "Control+a")
        await page.keyboard.type("/accounts")
        await press(page, "Tab")
        await until_text(place, draft, "path: /accounts}")
        await panel.get_by_label("Title", exact=True).fill("t" * 201)
        await expect(panel.get_by_text("this has 201")).to_be_visible()
        await expect(panel.get_by_label("Title", exact=True)).to_have_value("t" * 201)
        await panel.get_by_label("Title", exact=True).fill("")
        await steps.get_by_role("treeitem", name=re.compile("^Get")).click()

        # A name that others read is renamed with them.
        await panel.get_by_label("Name of the result").fill("buyer")
        await press(page, "Enter")
        await until_text(place, draft, "- id: buyer")

        # A condition by rows.
        await steps.get_by_role("treeitem", name="Branch").click()
        await panel.get_by_label("Value 1", exact=True).fill("paid")
        await panel.get_by_role("button", name="Add a condition").click()
        await panel.get_by_role("button", name="Field 2: choose").click()
        await page.get_by_role("combobox", name="Find data").fill("total")
        await press(page, "Enter")
        await panel.get_by_label("Operator 2").select_option("is more than")
        await panel.get_by_label("Value 2", exact=True).fill("10.50")
        await until_text(place, draft, 'if: =event.kind = "paid" and event.total > 10.50\n')
        await expect(panel.locator("[data-live=value]")).to_have_text("→ true")

        # A row becomes a group of two; what joins the others stays as it is.
        await panel.get_by_role("button", name="Or, beside 2").click()
        await panel.get_by_role("button", name="Field 3: choose").click()
        await page.get_by_role("combobox", name="Find data").fill("number")
        await press(page, "Enter")
        await panel.get_by_label("Operator 3").select_option("is there")
        paid = 'event.kind = "paid"'
        group = panel.get_by_role("group", name="Rows 2 to 3")
        await expect(group).to_be_visible()
        either = "(event.total > 10.50 or event.number != null)"
        await until_text(place, draft, f"if: ={paid} and {either}\n")
        await panel.get_by_role("combobox", name="Rows 1 to 3").select_option("Any of these holds")
        await until_text(place, draft, f"if: ={paid} or {either}\n")
        await group.get_by_role("combobox", name="Rows 2 to 3").select_option("All of these hold")
        both = "(event.total > 10.50 and event.number != null)"
        await until_text(place, draft, f"if: ={paid} or {both}\n")
        await group.get_by_role("button", name="Remove 3", exact=True).click()
        await until_text(place, draft, f"if: ={paid} or event.total > 10.50\n")
        await expect(group).to_have_count(0)

        # A mapping by a table, with numbers and texts as what they are.
        await steps.get_by_role("treeitem", name=re.compile("^Post")).click()
        body = panel.locator("[data-field$='\"json\"]']")
        await body.get_by_role("button", name=re.compile("as a formula")).click()
        await expect(body.get_by_role("textbox")).to_be_focused()
        await page.keyboard.type("event.num")
        await expect(page.get_by_role("option", name=re.compile("^number"))).to_be_visible()
        await page.wait_for_timeout(150)  # what appeared this moment is not taken by mistake
        await press(page, "Enter")
        await page.keyboard.type(' & "-" & $uppercase(event.kind)')
        await until_text(place, draft, 'json: =event.number & "-" & $uppercase(event.kind)')
        await expect(body.locator("[data-live=value]")).to_have_text("→ 4711-PAID")
        params = panel.locator("[data-field$='\"headers\"]']")
        await params.get_by_label("Headers: a new name", exact=True).fill("x-total")
        await press(page, "Enter")
        await params.get_by_role("textbox", name="x-total", exact=True).click()
        await page.keyboard.type("5")
        await until_text(place, draft, "headers: {x-total: ")

        # What is wrong stands at its field, and its fix mends it.
        await steps.get_by_role("treeitem", name="Log").click()
        log = panel.get_by_role("textbox", name="Log", exact=True)
        await log.click()
        await press(page, "Control+a")
        await page.keyboard.type("event.number")
        field = panel.locator("[data-field$='\"log\"]']")
        fix = field.get_by_role("button", name=re.compile("=event.number"))
        await expect(fix).to_be_enabled()
        await at_rest(page)
        await fix.click()
        await until_text(place, draft, "- log: =event.number\n")
        await expect(log.locator(".pill")).to_be_visible()

        # The YAML follows, and is followed.
        await page.get_by_role("button", name="YAML", exact=True).click()
        yaml = page.get_by_role("textbox", name="YAML of the draft")
        await expect(yaml).to_contain_text("- log: =event.number")
        await yaml.get_by_text("- log:").click()
        await press(page, "End")
        await page.keyboard.type(" # told")
        await until_text(place, draft, "- log: =event.number # told\n")
        await press(page, "Home")
        await page.keyboard.type("- log: first")
        await press(page, "Enter")
        await until_text(place, draft, "      - log: first\n      - log: =event.number # told\n")
        await expect(steps.get_by_role("treeitem", name="Log")).to_have_count(2)
        await press(page, "Escape", "Tab")
        await expect(yaml).not_to_be_focused()
        await at_rest(page)


async def test_a_config_is_edited_beside_its_preview(desk: Desk) -> None:
    place = desk.place
    text = BEFORE.replace("log: done", "log: =config.region")
    draft = (await place.api("POST", "/drafts", {"integration": "filled", "text": text}))["id"]
    async with opened(
        desk, f"/drafts/{draft}?drawer=config", viewport={"width": 1440, "height": 1000}
    ) as page:
        await page.get_by_label("A page", exact=True).fill("Options")
        await press(page, "Enter")
        await page.get_by_label("A field on Options", exact=True).fill("class")
        await expect(page.get_by_text("Python uses this name")).to_be_visible()
        await page.get_by_label("A field on Options", exact=True).fill("area")
        await press(page, "Enter")
        await page.get_by_label("Type", exact=True).select_option("integer")
        default = page.get_by_label("Default", exact=True)
        await expect(default).to_have_attribute("inputmode", "decimal")
        await page.get_by_label("Title", exact=True).nth(1).fill(TEXTS[0])
        await default.fill("12345678901234567890")
        await until_text(place, draft, "default: 12345678901234567890", "type: integer")
        preview = page.get_by_role("region", name="Preview")
        await expect(preview.get_by_text(TEXTS[0])).to_be_visible()
        await page.get_by_label("Name of the field").fill("region")
        await press(page, "Enter")
        await until_text(place, draft, "region: {")

        # A field that another one shows: the preview has it where the other one has the value.
        await page.get_by_label("A field on Connect", exact=True).fill("note")
        await press(page, "Enter")
        await page.get_by_label("Shown only when").select_option("region")
        await page.get_by_label("Where region is").fill("7")
        await until_text(place, draft, "note: {when: {region: 7}}")
        await preview.get_by_role("button", name="1. Connect").click()
        await expect(preview.get_by_label("Note")).to_have_count(0)
        await preview.get_by_role("button", name="2. Options").click()
        await preview.get_by_label(TEXTS[0]).fill("7")
        await preview.get_by_role("button", name="1. Connect").click()
        await expect(preview.get_by_label("Note")).to_be_visible()
        await page.get_by_role("button", name="Do not ask for region").click()
        await until_text(place, draft, "note: {}")

        # A page is renamed in its place.
        await page.get_by_role("button", name="Rename the page Options").click()
        await press(page, "Control+a")
        await page.keyboard.type("Choices: all")
        await press(page, "Enter")
        await until_text(place, draft, '"Choices: all":')
        await expect(preview.get_by_role("button", name="2. Choices: all")).to_be_visible()
        await page.get_by_role("button", name="Rename the page Choices: all").click()
        await press(page, "Control+a")
        await page.keyboard.type("Options")
        await press(page, "Enter")
        await until_text(place, draft, "  Options:")
        await page.get_by_role("button", name="Move Options up").click()

        async def moved() -> bool:
            text = await text_of(place, draft)
            return text.index("Options:") < text.index("Connect:")

        await until(moved)
        await at_rest(page)


async def sign_in_draft(place: Place, draft: str, node: str, names: list[str]) -> None:
    """Have programs with hostile names look at a draft."""
    for at, each in enumerate(names):
        made = await place.api("POST", "/keys", {"name": each, "rights": ["read", "publish"]})
        headers = {"authorization": f"Bearer {made['key']}"}
        url = f"{place.url}/api/drafts/{draft}/editors/{at:08}-0000-4000-8000-000000000000"
        async with place.http.put(url, json={"selected": node}, headers=headers) as got:
            assert got.status == 200, await got.text()


@EACH_HOSTILE
async def test_hostile_values_are_texts_wherever_the_designer_shows_them(
    desk: Desk, texts: tuple[str, ...]
) -> None:
    place, some = desk.place, [each[:200] for each in texts[:: max(len(texts) // 40, 1)]]
    held = {f"v{at}": each for at, each in enumerate(texts)} | {"named": dict.fromkeys(some, 1)}
    flow = [{"title": each[:200], "log": each} for each in texts]
    flow += [{"action": each} for each in some]
    tests = [{"name": each, "flow": "order", "event": {each[:200]: each}} for each in texts]
    text = BEFORE.replace("- log: done", f"- set: {inline(held)}\n      - log: =$string(event)")
    other = "".join(f"      - {inline(each)}\n" for each in flow)
    text = text.replace(
        "tests:\n", f"  bad:\n    trigger: webhook.request\n    steps:\n{other}tests:\n"
    )
    text += "".join(f"  - {inline(each)}\n" for each in tests)
    made = await place.api("POST", "/drafts", {"integration": "filled", "text": text})
    draft, steps = made["id"], made["flows"][0]["steps"]
    pinned = {"value": {each: each for each in texts}}
    await place.api("PUT", f"/drafts/{draft}/pins/{steps[0]['key']}", pinned)
    await sign_in_draft(place, draft, steps[0]["key"], some)
    view: Any = {"width": 1440, "height": 1000}
    async with opened(desk, f"/drafts/{draft}?drawer=yaml", viewport=view) as page:
        foreign = page.locator(
            "main :is(script, iframe, object, base, meta, form[action], img:not(.cm-widgetBuffer), math)"
        )
        tree = page.get_by_role("tree")
        await expect(page.get_by_role("group", name="Also here")).to_be_visible()
        await tree.get_by_role("treeitem", name="Set variables").click()
        panel = page.get_by_role("complementary", name="What is selected")
        first = panel.get_by_role("textbox", name="v0", exact=True)
        await expect(first).to_have_text(texts[0])
        await expect(panel.locator("input[aria-label*='name of']")).to_have_count(
            len(texts) + len(some) + 1
        )
        await first.click()
        await press(page, "End")
        await page.keyboard.type("!")
        await until_text(place, draft, f"v0: {texts[0]}!")
        await expect(foreign).to_have_count(0)

        # The data with its samples, in the drawer and to pick from; what the step gives of them.
        await page.get_by_role("button", name="Data", exact=True).click()
        await expect(page.get_by_role("region", name="Below the drawing")).to_contain_text("event")
        await tree.get_by_role("treeitem", name="Log").click()
        await panel.get_by_role("button", name="Put data into Log").click()
        await page.get_by_role("combobox", name="Find data").last.fill("owned")
        await expect(page.get_by_role("option").first).to_be_visible()
        await expect(foreign).to_have_count(0)
        await press(page, "Escape")

        # Why a test cannot be run, and what is pinned.
        await page.get_by_role("button", name="Test", exact=True).click()
        event = json.dumps(dict.fromkeys(texts, texts[0]) | {"kind": "paid"})
        await fill_event(page, event)
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar).to_contain_text("there is no component")
        await tree.get_by_role("treeitem", name=re.compile("^Get")).click()
        await panel.get_by_role("tab", name="Result").click()
        await expect(panel.get_by_role("tabpanel", name="Result")).to_contain_text("owned")
        await expect(foreign).to_have_count(0)

        # Titles, unknown actions, what lint says of them, and the names of tests.
        await tree.get_by_role("treeitem", name="Bad").click()
        for part in (tree, page.locator("[data-drawing]")):
            for at in range(8):
                await part.evaluate(f"part => part.scrollTop = part.scrollHeight * {at} / 8")
                await expect(foreign).to_have_count(0)
        below = page.get_by_role("region", name="Below the drawing")
        await below.get_by_role("button", name=re.compile("^Findings")).click()
        found = below.get_by_role("list", name="Findings").get_by_role("listitem")
        await expect(found.filter(has_text="onerror").first).to_be_visible()
        await expect(foreign).to_have_count(0)
        await page.get_by_role("button", name="Tests", exact=True).click()
        await expect(below.get_by_role("list", name="Tests").get_by_role("listitem")).to_have_count(
            len(texts) + 1
        )
        await expect(foreign).to_have_count(0)
    now = await text_of(place, draft)
    kept = Draft.read(now, "x").value(("flows", "order", "steps", 3, "set"))
    assert kept == held | {"v0": f"{texts[0]}!"}


async def test_the_type_of_a_product_event_is_chosen_or_written(desk: Desk) -> None:
    place = desk.place
    declared = [{"name": f"ticket.{each}", "schema": {}} for each in ("opened", "closed")]
    await place.api("PUT", "/event-types", {"types": declared})
    text = "name: typed\nflows:\n  one:\n    trigger: app.event\n    steps:\n      - log: done\n"
    draft = (await place.api("POST", "/drafts", {"integration": "typed", "text": text}))["id"]
    async with opened(desk, f"/drafts/{draft}", viewport={"width": 1440, "height": 1000}) as page:
        panel = page.get_by_role("complementary", name="What is selected")
        await page.get_by_role("tree").get_by_role("treeitem", name="One").click()
        field = panel.get_by_role("combobox", name="Type", exact=True)
        await field.fill("opened")
        await page.get_by_role("option", name="ticket.opened").click()
        await until_text(place, draft, "type: ticket.opened")
        await field.fill("later.*")
        await expect(page.get_by_role("option", name="later.*")).to_be_visible()
        await press(page, "Tab")
        await until_text(place, draft, "type: later.*")
        await expect(field).to_have_value("later.*")
        await panel.get_by_label("Trigger", exact=True).fill("of your product")
        await expect(page.get_by_role("option", name="app.events")).to_be_visible()

        # Enter takes the first that matches. An item that is added is written at once, and the
        # next, though the first is saved meanwhile.
        await panel.get_by_label("Trigger", exact=True).fill("changed_rec")
        await expect(page.get_by_role("option")).to_have_count(1)
        await press(page, "Enter")
        await until_text(place, draft, "trigger: hubspot.changed_record")
        for name in ("email", "phone"):
            await panel.get_by_role("button", name="Add an item").click()
            await page.keyboard.type(name)

        async def listed() -> Any:  # in quotes, where the empty item was saved before it was filled
            return re.search(r'properties: \["?email"?, "?phone"?\]', await text_of(place, draft))

        await until(listed, what=lambda: "the list is not as it was typed")
