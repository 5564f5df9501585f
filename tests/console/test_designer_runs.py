"""Runs of drafts in the browser: tested, pinned, run alone, and kept as tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.console.desk import Desk, at_rest, fill_event, opened, press

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

TRIED = """\
name: {name}
config:
  Connect:
    api: {{connection: http}}
    note: {{required: false}}
flows:
  order:
    title: An order
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - title: Find the customer
        id: got
        action: http.get
        with: {{path: ="/customers/" & event.id}}
        answers: {{sample: {{name: Ada, limit: 100.50}}}}
      - title: Each line
        for: line
        in: =event.lines
        do:
          - title: Many?
            if: =line.amount > 5
            then:
              - title: Reserve
                id: reserved
                action: http.post
                with: {{path: /reservations, json: {{amount: =line.amount}}}}
                answers: {{sample: {{id: 7}}}}
            else:
              - title: Few
                log: ="few of " & line.amount
      - stop: {{answer: =got.limit}}
tests:
  - name: the limit is the answer
    flow: order
    event: {{id: a1, lines: []}}
    stubs: {{http.get: {{name: Ada, limit: 200}}}}
    answer: 100
"""
EVENT = '{"id": "a1", "lines": [{"amount": 9.10}, {"amount": 2}]}'


@pytest.mark.parametrize("width", [390, 800])
async def test_a_narrow_window_has_the_step_beneath_the_drawing(desk: Desk, width: int) -> None:
    name = f"tried-m{uuid4().int % 10**8}x"
    text = TRIED.format(name=name)
    draft = (await desk.place.api("POST", "/drafts", {"integration": name, "text": text}))["id"]
    view: Any = {"width": width, "height": 844}
    async with opened(desk, f"/drafts/{draft}", viewport=view) as page:
        found = page.locator("[data-card]").filter(has_text="Find the customer")
        await found.locator("[data-step]").click()
        below = page.get_by_role("region", name="Below the drawing")
        panel = below.get_by_role("complementary", name="What is selected")
        await expect(panel.get_by_role("textbox", name="Path")).to_be_visible()
        await expect(page.get_by_role("complementary")).to_have_count(1)
        for each in (found, panel, page.get_by_role("button", name="Publish…")):
            box = await each.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        drawn, panel_box = await found.bounding_box(), await below.bounding_box()
        assert drawn is not None
        assert panel_box is not None
        assert drawn["y"] < panel_box["y"]
        await page.get_by_role("button", name="Findings").last.click()
        await expect(panel).to_have_count(0)
        await at_rest(page)


async def test_a_draft_is_run_pinned_and_tested(desk: Desk) -> None:
    name = f"tried-m{uuid4().int % 10**8}x"
    text = TRIED.format(name=name)
    draft = (await desk.place.api("POST", "/drafts", {"integration": name, "text": text}))["id"]
    view: Any = {"width": 1600, "height": 1000}
    async with opened(desk, f"/drafts/{draft}", viewport=view) as page:
        card, event = page.locator("[data-card]"), page.get_by_label("Event, as JSON")
        await page.get_by_role("button", name="Test", exact=True).click()
        await fill_event(page, "{")
        await expect(page.get_by_text("This is no JSON")).to_be_visible()
        await event.fill(EVENT)
        await at_rest(page)
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar.get_by_text("100.50")).to_be_visible()

        # The loop shows one item: what the other did fades.
        few, reserve = card.filter(has_text="Few"), card.filter(has_text="Reserve")
        await expect(reserve.get_by_text('{"id":7}')).to_be_visible()
        await expect(few).not_to_contain_text("succeeded")
        await page.get_by_role("button", name="Item: the next").first.click()
        await expect(few).to_contain_text("succeeded")
        await page.get_by_role("button", name="Item: the one before").first.click()
        await at_rest(page)

        # A result is pinned, edited, and answers from then on; the fields show what came.
        await card.filter(has_text="Find the customer").get_by_role("button").first.click()
        await page.get_by_role("tab", name="Result").click()
        panel = page.get_by_role("tabpanel")
        await expect(panel.get_by_text("a sample")).to_be_visible()
        await panel.get_by_role("button", name="Pin this output").click()
        await panel.get_by_role("button", name="Edit…").click()
        await panel.get_by_label("Answer, as JSON").fill('{"name": "Bo", "limit": 7.10}')
        await panel.get_by_role("button", name="Pin it").click()
        await expect(panel.get_by_role("button", name="Unpin")).to_be_visible()
        await panel.get_by_role("button", name="Run only this step").click()
        await expect(panel.get_by_text("pinned", exact=True)).to_be_visible()
        await at_rest(page)
        await page.locator("body").click(position={"x": 800, "y": 990})
        await press(page, "Control+Enter")
        await expect(bar.get_by_text("7.10")).to_be_visible()
        await panel.get_by_role("button", name="Unpin").click()
        await expect(panel.get_by_role("button", name="Pin another answer…")).to_be_visible()

        # Another title changes no result; another input makes what comes from there on stale.
        await page.get_by_role("tab", name="Setup").click()
        await page.get_by_label("Title").fill("Look the customer up")
        await expect(card.filter(has_text="Look the customer up")).to_be_visible()
        await expect(bar.get_by_text("edited since")).to_have_count(0)
        await reserve.get_by_role("button").first.click()
        await page.get_by_role("textbox", name="Path").click()
        await page.keyboard.type("s")
        await expect(bar.get_by_text("edited since")).to_be_visible()
        await expect(reserve).to_have_class(re.compile("border-dashed"))

        # The document's test fails, is mended, and passes; the last run becomes another.
        await page.get_by_role("button", name="Tests", exact=True).click()
        await page.get_by_role("button", name="Run all").click()
        tests = page.get_by_role("list", name="Tests")
        await expect(tests.get_by_text("200")).to_be_visible()
        await at_rest(page)
        await tests.get_by_role("button", name=re.compile("^Edit")).click()
        await page.get_by_label("The answer that is expected").fill("200")
        await page.get_by_role("button", name="Save the test").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Run again").click()
        await expect(bar.get_by_text("100.50")).to_be_visible()
        # The event of a test, and the config of the run, are taken; the event is kept as a sample.
        await page.get_by_role("button", name="Test with another event…").click()
        await page.get_by_label("Begin with the event of").select_option(
            "the test “the limit is the answer”"
        )
        await expect(event).to_have_value(re.compile('"lines": \\[\\]'))
        await event.fill(EVENT)
        await page.get_by_role("button", name="Keep it as the flow’s sample").click()
        await expect(page.get_by_role("button", name="Keep it as the flow’s sample")).to_have_count(
            0
        )
        await expect(event).to_have_value(re.compile("9.10"))
        await page.get_by_label("Values of the config, as JSON").fill('{"note": "mine"}')
        await page.get_by_role("button", name="Run the test").click()
        await expect(bar.get_by_text("100.50")).to_be_visible()
        await page.get_by_role("button", name="Make one of the last run…").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("two lines")
        await page.get_by_role("button", name="Make the test").click()
        await expect(tests.get_by_role("listitem")).to_have_count(2)
        await page.get_by_role("button", name="Run all").click()
        await expect(page.get_by_text("2 of 2 passed")).to_be_visible()
        written = (await desk.place.api("GET", f"/drafts/{draft}"))["text"]
        assert "    config: {note: mine}\n" in written
        head, _, rest = written.partition("    steps:")
        assert "    sample:" in head, written
        assert "9.10" in head
        assert "sample: {name: Ada" in rest
    written = (await desk.place.api("GET", f"/drafts/{draft}"))["text"]
    assert "    answer: 200\n" in written
    assert "- amount: 9.10\n" in written
    assert "    expect:\n" in written.partition("two lines")[2]


ODD = """\
name: {name}
flows:
  one:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - title: A large order?
        if: =event.total > 5
        then: [{{log: it is large}}]
"""


async def test_a_failed_part_without_a_record_says_its_own_error(
    desk: Desk, tmp_path: Path
) -> None:
    place, name = desk.place, f"odd-m{uuid4().int % 10**8}x"
    await place.publish(tmp_path / name, ODD.format(name=name))
    wanted = {"customer": "Initech", "integration": name}
    made = (await place.api("POST", "/instances", wanted))["id"]
    shown = await place.api("POST", f"/instances/{made}/activate", wait="30")
    async with place.http.post(shown["urls"]["one"], json={"total": "250,00"}) as got:
        execution = got.headers["halflap-execution"]
    await place.until(execution, "failed")
    async with opened(desk, f"/executions/{execution}") as page:
        await page.get_by_text("A large order?").first.click()
        part = page.get_by_role("region", name="A large order?")
        await expect(part).to_contain_text("cannot be compared")
        await expect(part).not_to_contain_text("nothing was recorded")
    await place.api("POST", f"/executions/{execution}/dismiss")
    await place.api("POST", f"/instances/{made}/disable", wait="30")


async def test_an_execution_is_drawn_and_becomes_a_test(desk: Desk) -> None:
    place = desk.place
    number = f"T-{uuid4().int % 10**6}"
    execution = await place.send("Initech", number)
    await place.until(execution, "succeeded")
    async with opened(desk, f"/executions/{execution}") as page:
        await page.get_by_role("tab", name="Drawing").click()
        await page.get_by_role("button", name="Show all of it").click()
        made = page.locator("[data-card]").filter(has_text="Create the order")
        await expect(made).to_contain_text("succeeded")
        await made.get_by_role("button").click()
        await expect(page.get_by_role("region", name="Create the order")).to_contain_text(number)
        await at_rest(page)
        await page.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Copy as a test…").click()
        await page.get_by_label("A new draft of the version that ran").check()
        await page.get_by_role("button", name="Make the test").click()
        await page.get_by_role("link", name="Open the draft").click()
        await page.get_by_role("button", name="Run all").click()
        await expect(page.get_by_text("1 of 1 passed")).to_be_visible()

        # The next event of a customer is listened for, and is what the flow is run with.
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_label("The event of an execution").check()
        await page.get_by_label("Or wait for the next one of a customer").fill("Initech")
        await page.get_by_role("button", name="Listen").click()
        await expect(page.get_by_text("Waiting.")).to_be_visible()
        await at_rest(page)
        await place.send("Initech", f"{number}-2")
        await expect(page.get_by_text("It came, and is chosen.")).to_be_visible()
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar.get_by_text("succeeded")).to_be_visible()


READ = """\
name: {name}
config:
  Connect:
    hubspot: {{connection: hubspot}}
flows:
  contact:
    trigger: hubspot.changed_record
    with: {{object: contacts}}
    steps:
      - action: hubspot.get_record
        title: Read the owner
        with: {{object: owners, id: =event.properties.owner}}
      - for: each
        title: All of them
        in: [{{id: one}}]
        where: =each.id != "0"
        do: [{{log: =each.id}}]
"""


async def test_a_step_alone_is_given_the_event_of_the_run(desk: Desk) -> None:
    name = f"read-m{uuid4().int % 10**8}x"
    wanted = {"integration": name, "text": READ.format(name=name)}
    draft = (await desk.place.api("POST", "/drafts", wanted))["id"]
    event = (
        '{"id": "1", "properties": {"owner": "owner-4711"}, "createdAt": "2026-01-31T12:00:00Z", '
    )
    event += '"updatedAt": "2026-01-31T12:00:00Z", "archived": false, "object": "contacts"}'
    async with opened(desk, f"/drafts/{draft}") as page:
        await page.get_by_role("button", name="Test", exact=True).click()
        await page.get_by_label("Event, as JSON").fill(event)
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar.get_by_text("succeeded")).to_be_visible()
        await page.get_by_role("treeitem", name="Read the owner").click()
        # What the fields show is of the run: no trigger's event has to be a webhook's body for that.
        await expect(
            page.locator("[data-live=value]").filter(has_text="owner-4711")
        ).to_be_visible()
        await page.get_by_role("tab", name="Result").click()
        result = page.get_by_role("region", name="Result")
        await expect(result).to_contain_text("owner-4711")
        async with page.expect_response("**/steps/run") as answered:
            await page.get_by_role("button", name="Run only this step").click()
        assert "owner-4711" in (await (await answered.value).json())["rows"][0]["inputs"]["text"]
        # A loop's item is known where it is decided which items are left out.
        await page.get_by_role("treeitem", name="All of them").click()
        await page.get_by_role("tab", name="Setup").click()
        panel = page.get_by_role("complementary", name="What is selected")
        await expect(panel.locator(".pill")).to_contain_text("one")


REAL = """\
name: {name}
config:
  Connect:
    shop: {{connection: http}}
flows:
  order:
    title: An order
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - title: Create the order
        id: made
        action: http.post
        with: {{path: /orders, json: {{number: =event.number}}}}
        answers: {{sample: {{id: a sample}}}}
      - stop: {{answer: =made.id}}
"""


async def test_a_draft_gets_its_development_instance_and_acts_as_it(desk: Desk) -> None:
    place = desk.place
    name = f"real-m{uuid4().int % 10**8}x"
    text = REAL.format(name=name)
    draft = (await place.api("POST", "/drafts", {"integration": name, "text": text}))["id"]
    view: Any = {"width": 1600, "height": 1000}

    def done() -> int:
        return sum(each["number"] == name for each in place.shop.orders)

    async with opened(desk, f"/drafts/{draft}", viewport=view) as page:
        # Set up once, by the wizard that customers' instances have, too.
        await page.get_by_role("button", name="Development instance…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Begin with this draft").click()
        await expect(dialog.get_by_text("choose a connection")).to_be_visible()
        await at_rest(page)
        await dialog.get_by_role("link", name="Set it up…").click()
        await page.get_by_role("button", name="Connect HTTP…").click()
        await page.get_by_label("Name of the connection").fill(name)
        await page.get_by_label("Base URL").fill(place.shop.url)
        await page.get_by_role("button", name="Save the connection").click()
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="Next").click()
        await page.get_by_role("button", name="Activate", exact=True).click()
        await page.get_by_role("link", name="Back to the drafts").click()
        await page.get_by_role("link", name=name).click()

        # A run calls apps only where that was chosen for it, and confirmed.
        await page.get_by_role("button", name="Test", exact=True).click()
        await fill_event(page, f'{{"number": "{name}"}}')
        await dialog.get_by_role("radio", name="Real").check()
        await expect(dialog.get_by_role("button", name="Run the test")).to_be_disabled()
        await dialog.get_by_role("checkbox", name="Call the apps").check()
        await at_rest(page)
        await page.get_by_role("button", name="Run the test").click()
        bar = page.get_by_role("region", name="The test")
        await expect(bar.get_by_text(f"A-{name}")).to_be_visible()
        await expect(bar.get_by_text("real effects")).to_be_visible()
        assert done() == 1
        await bar.get_by_role("button", name="Run again, stubbed").click()
        await expect(bar.get_by_text("a sample")).to_be_visible()
        await expect(bar.get_by_text("real effects")).to_have_count(0)
        assert done() == 1

        # One step for real; its result is pinned, and is what a stubbed run has from then on.
        card = page.locator("[data-card]").filter(has_text="Create the order")
        await card.get_by_role("button").first.click()
        await page.get_by_role("tab", name="Result").click()
        panel = page.get_by_role("tabpanel")
        await panel.get_by_role("button", name="Run it for real…").click()
        await dialog.get_by_role("button", name="Run it").click()
        await expect(panel.get_by_text(f'"A-{name}"')).to_be_visible()
        assert done() == 2
        await panel.get_by_role("button", name="Pin this output").click()
        await expect(panel.get_by_role("button", name="Unpin")).to_be_visible()
        await at_rest(page)
        await bar.get_by_role("button", name="Run again").click()
        await expect(bar.get_by_text(f"A-{name}")).to_be_visible()
        await expect(panel.get_by_text("real effects")).to_have_count(0)
        assert done() == 2

        # The pin is seen; a real run names it, calls nothing in its place, and can leave it out.
        await expect(card.get_by_label("has a pinned answer")).to_be_visible()
        outline = page.get_by_role("treeitem", name="Create the order, has a pinned answer")
        await expect(outline).to_be_visible()
        for left_out, orders in (False, 2), (True, 3):
            await page.get_by_role("button", name="Test with another event…").click()
            await dialog.get_by_role("radio", name="Real").check()
            await expect(dialog.get_by_text("1 pin is in force")).to_be_visible()
            await dialog.get_by_label("Leave the pin out: Create the order").set_checked(left_out)
            await at_rest(page)
            await page.get_by_role("button", name="Run the test").click()
            await expect(bar.get_by_text("real effects")).to_be_visible()
            await expect(bar.get_by_text(f"A-{name}")).to_be_visible()
            assert done() == orders

        # Edited, it is brought to the draft; its endpoint is listened to.
        await page.get_by_role("tab", name="Setup").click()
        await page.get_by_label("Title").fill("Make the order")
        await expect(page.locator("[data-card]").filter(has_text="Make the order")).to_be_visible()
        await page.get_by_role("button", name="Development instance…").click()
        await expect(dialog.get_by_text("The draft is another by now.")).to_be_visible()
        await dialog.get_by_role("button", name="Update to this draft").click()
        await expect(dialog.get_by_text("It is this draft.")).to_be_visible()
        await expect(dialog.get_by_text("active", exact=True)).to_be_visible()
        await at_rest(page)
        await dialog.get_by_role("button", name="Close").last.click()
        await page.get_by_role("button", name="Test with another event…").click()
        await page.get_by_label("The event of an execution").check()
        url = await dialog.get_by_label("URL of order", exact=True).inner_text()
        await dialog.get_by_role("button", name="Listen").click()
        await expect(page.get_by_text("Waiting.")).to_be_visible()
        async with place.http.post(url, json={"number": name}) as sent:
            assert sent.status < 300
        await expect(page.get_by_text("It came, and is chosen.")).to_be_visible()
    await place.until(sent.headers["halflap-execution"], "succeeded")
    assert done() == 4


CATS = """
from typing import Annotated

from halflap import Component, Source

component = Component("cats")


@component.action
async def list_colours(of: str) -> list[str]:
    \"\"\"List the colours of a cat.\"\"\"
    return [f"{of} {each}" for each in ("red", "grey", "black")]


@component.action
async def paint(of: str, colour: Annotated[str, Source(list_colours, ("of",))]) -> None:
    \"\"\"Paint a cat.\"\"\"
"""
PAINTED = """
name: {name}
flows:
  paint:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - title: Paint it
        action: cats.paint
        with: {{of: Tom, colour: any}}
"""


async def test_an_input_is_chosen_among_what_its_app_lists(desk: Desk, tmp_path: Path) -> None:
    place = desk.place
    name = f"cats-m{uuid4().int % 10**8}x"
    (tmp_path / "cats.py").write_text(CATS)
    await place.publish(tmp_path, PAINTED.format(name=name))
    begin = {"integration": name, "version": "dev"}
    draft = (await place.api("POST", "/drafts", begin))["id"]
    async with opened(desk, f"/drafts/{draft}") as page:
        card = page.locator("[data-card]").filter(has_text="Paint it")
        await card.get_by_role("button").first.click()
        choose = page.get_by_role("button", name="Choices of the app for Colour")
        await choose.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("has no development instance yet")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Development instance…").click()
        await dialog.get_by_role("button", name="Begin with this draft").click()
        await expect(dialog.get_by_text("It is this draft.")).to_be_visible()
        await dialog.get_by_role("button", name="Close").last.click()
        await choose.click()
        await expect(dialog.get_by_role("option")).to_have_count(3)
        await at_rest(page)
        await page.keyboard.type("gr")
        await expect(dialog.get_by_role("option")).to_have_count(1)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("textbox", name="Colour")).to_contain_text("Tom grey")
        await at_rest(page)
    text = (await place.api("GET", f"/drafts/{draft}"))["text"]
    assert "colour: Tom grey" in text
