"""The designer in the browser: drafts made by mouse and by keyboard, and written by two."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.console.desk import Desk, at_rest, opened, press, visit
from tests.console.place import Place

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

MADE = """\
    steps:
      - sleep: 1 min
      - log: An event arrived
"""
TWO = """\
name: {name}
flows:
  one:
    trigger: webhook.request
    steps:
      - log: one
      # stays here
      - log: two
  other:
    trigger: webhook.request
    steps:
      - log: three
"""


MAILER = """\
from halflap import Component

component = Component("mailer")


@component.action
async def send() -> None:
    \"\"\"Send a letter.\"\"\"
"""


def fresh_name() -> str:
    """A name that no other integration has."""
    return f"made-{uuid4().int % 10**8}x".replace("-", "-m")


async def choose(page: Page, words: str) -> None:
    """Choose what is inserted, in the palette that is open."""
    box = page.get_by_role("combobox", name="Insert a step")
    await expect(box).to_be_focused()
    await page.keyboard.type(words)
    await expect(page.get_by_role("option").first).to_be_visible()
    await press(page, "Enter")
    await expect(box).to_be_hidden()
    await saved(page)


async def saved(page: Page) -> None:
    await expect(page.get_by_role("status").filter(has_text=re.compile("^Saved$"))).to_be_visible()


async def text_of(place: Place, name: str) -> str:
    """Return the text of an integration's only draft."""
    found = await place.api("GET", "/drafts", integration=name)
    return (await place.api("GET", f"/drafts/{found['items'][0]['id']}"))["text"]


def card(page: Page, title: str) -> Locator:
    return page.locator("[data-card]").filter(has_text=title)


async def drag(page: Page, what: Locator, to: Locator) -> None:
    one, other = await what.bounding_box(), await to.bounding_box()
    assert one is not None
    assert other is not None
    await page.mouse.move(one["x"] + 80, one["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(one["x"] + 90, one["y"] + 40)
    await page.mouse.move(other["x"] + 12, other["y"] + 12, steps=5)
    await page.mouse.up()


async def test_a_draft_is_made_from_nothing_by_mouse_and_by_keyboard(
    desk: Desk, tmp_path: Path
) -> None:
    place, name = desk.place, fresh_name()
    view: Any = {"width": 1600, "height": 1000}
    async with opened(desk, "/integrations", viewport=view) as page:
        await page.get_by_role("button", name="New integration…").click()
        await page.get_by_role("dialog").get_by_label("Name").fill(name)
        await page.get_by_role("button", name="Begin").click()
        await expect(page.get_by_role("tree")).to_be_visible()

        # By mouse: a branch, a loop, and what is in them.
        inserts = page.get_by_role("button", name="Insert a step here")
        empty = page.get_by_role("button", name="Insert a step into this empty place")
        await inserts.last.click()
        await choose(page, "if")
        # Its condition is empty, and is what is filled in first.
        field = page.get_by_role("button", name=re.compile("^Field 1: Choose"))
        await expect(field).to_be_focused()
        await expect(page.get_by_text("if is empty; write what has to hold")).to_be_visible()
        await field.click()
        await page.get_by_role("combobox", name="Find data").fill("event")
        await press(page, "Enter")
        await page.get_by_label("Operator 1").select_option("is not there")
        await saved(page)
        await card(page, "Branch").locator("[data-step]").click()
        await press(page, "F2")
        title = page.get_by_label("Title", exact=True)
        await expect(title).to_be_focused()
        # Enter leads back to the step, and so does what is closed with nothing chosen.
        await press(page, "Enter")
        await expect(title).not_to_be_focused()
        await press(page, "F2")
        await expect(title).to_be_focused()
        await press(page, "Control+k")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await press(page, "Escape")
        await expect(title).to_be_focused()
        await empty.first.click()
        await choose(page, "stop")
        await inserts.last.click()
        await choose(page, "for")
        await empty.last.click()
        await choose(page, "log")
        await expect(page.locator("[data-card]")).to_have_count(6)
        await drag(page, card(page, "An event arrived"), inserts.nth(3))
        await saved(page)
        assert list(re.findall(r"- (\w+):", await text_of(place, name))) == [
            *("if", "stop", "log", "for", "log")
        ]
        await card(page, "Stop").get_by_role("button", name="Actions for the step").click()
        await page.get_by_role("menuitem", name="Duplicate").click()
        await expect(card(page, "Stop")).to_have_count(2)
        await page.get_by_role("button", name="Undo").click()
        await expect(card(page, "Stop")).to_have_count(1)
        await at_rest(page)

        # By keyboard alone: another flow, in the outline.
        await page.get_by_role("button", name="Add a flow").focus()
        await press(page, "Enter")
        tree = page.get_by_role("tree")
        row = tree.get_by_role("treeitem", selected=True)
        await expect(row).to_have_accessible_name(re.compile("Flow"))
        await row.focus()
        await press(page, "ArrowDown", "ArrowDown")
        await expect(row).to_have_accessible_name(re.compile("Log"))
        await press(page, "a")
        await page.keyboard.type("no such app")
        words = re.compile("Nothing matches. (For your|Your) own apps")
        await expect(page.get_by_text(words)).to_be_visible()
        await press(page, "Control+a")
        await choose(page, "sleep")
        await expect(row).to_have_accessible_name(re.compile("Wait for a time"))
        await expect(row).to_be_focused()
        await press(page, "Alt+ArrowUp")
        await saved(page)
        await press(page, "Control+d")
        await expect(tree.get_by_role("treeitem", name="Wait for a time")).to_have_count(2)
        await press(page, "Delete")
        await expect(tree.get_by_role("treeitem", name="Wait for a time")).to_have_count(1)
        await saved(page)
        await expect(row).to_be_focused()
        await page.reload()
        await expect(tree.get_by_role("treeitem", name="Wait for a time")).to_have_count(1)

        # A version of it is what the draft goes on from.
        await page.get_by_role("button", name="Publish…").click()
        await page.get_by_role("button", name="Publish", exact=True).click()
        await expect(page.get_by_text("draft, from version 1", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Show the version").click()
        await expect(page.get_by_role("figure")).to_be_visible()
        assert page.url.endswith(f"/integrations/{name}?version=1")
        text = await text_of(place, name)
        assert text.endswith(MADE)
        await at_rest(page)

        # A version that came since is asked about before, and is what another draft is begun of.
        first = (await place.api("GET", f"/integrations/{name}"))["versions"][0]["hash"]
        await place.publish(tmp_path, text.replace("1 min", "2 min"), expect=first)
        await page.get_by_role("link", name="Continue the draft of").click()
        await page.get_by_role("button", name="Publish…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("Version 2 was published since")).to_be_visible()
        await expect(dialog.get_by_text("Nothing stands in the way")).to_have_count(0)
        publish = dialog.get_by_role("button", name="Publish", exact=True)
        await expect(publish).to_be_disabled()
        await dialog.get_by_role("button", name="Publish on top of version 2").click()
        await expect(publish).to_be_enabled()
        await dialog.get_by_role("button", name="New draft of version 2").click()
        await expect(page.get_by_text("draft, from version 2", exact=True)).to_be_visible()
        latest = page.url.split("/drafts/")[1].split("?")[0]
        await at_rest(page)

        # Drafts that are there are gone on with, the last one first.
        await page.get_by_role("link", name=name).click()
        rows = page.get_by_role("list", name="Drafts").get_by_role("link")
        await expect(rows).to_have_text(
            [re.compile(f"Draftfrom version {n}last edited by .+, ") for n in (2, 1)]
        )
        await expect(page.get_by_role("button", name="New draft of version 2")).to_be_visible()
        await page.get_by_role("link", name="Continue the draft of").click()
        await expect(page).to_have_url(re.compile(latest))


async def test_what_cannot_be_loaded_says_so_in_a_dialog_and_is_tried_again(desk: Desk) -> None:
    place, name = desk.place, fresh_name()
    made = await place.api("POST", "/drafts", {"integration": name, "text": TWO.format(name=name)})
    refused = list[str]()

    async def refuse(route: Route) -> None:
        refused.append(route.request.url)
        told = '{"kind": "StoreError", "status": 500, "title": "", "detail": "the disk is full"}'
        await route.fulfill(status=500, body=told, content_type="application/problem+json")

    async with opened(desk, f"/drafts/{made['id']}") as page:
        await page.route("**/diff?*", refuse)
        await page.get_by_role("button", name="Publish…").click()
        dialog = page.get_by_role("dialog", name=f"Publish {name}")
        await expect(dialog.get_by_text("the disk is full")).to_be_visible()
        await expect(dialog.get_by_role("status", name="Loading")).to_have_count(0)
        await expect(dialog.get_by_text("Nothing stands in the way")).to_have_count(0)
        await expect(dialog.get_by_role("button", name="Publish", exact=True)).to_be_disabled()
        await page.unroute("**/diff?*", refuse)
        await dialog.get_by_role("button", name="Try again").click()
        await expect(dialog.get_by_text("It is the first version.")).to_be_visible()
        await expect(dialog.get_by_role("button", name="Publish", exact=True)).to_be_enabled()
    assert refused


async def test_newer_components_say_what_they_have_otherwise_before_they_are_used(
    desk: Desk, tmp_path: Path
) -> None:
    place, name = desk.place, fresh_name()
    await place.deploy_components(tmp_path, "tools", mailer=MAILER)
    text = TWO.format(name=name).replace("- log: one", "- action: mailer.send")
    made = await place.api(
        "POST", "/drafts", {"integration": name, "text": text, "components": "tools"}
    )
    async with opened(desk, f"/drafts/{made['id']}") as page:
        await expect(page.get_by_role("button", name="tools 1", exact=True)).to_be_visible()
        await place.deploy_components(
            tmp_path, "tools", mailer=MAILER.replace("def send", "def post")
        )
        await page.evaluate("dispatchEvent(new Event('focus'))")  # the reader comes back to it
        await page.get_by_role("button", name="tools 1 newer: 2").click()
        dialog = page.get_by_role("dialog", name="Components")
        await expect(dialog.get_by_text("tools 2 was sent by")).to_be_visible()
        await expect(dialog.get_by_role("listitem")).to_have_text(
            ["mailer.sendgoneused once here", "mailer.postnew"]
        )
        await at_rest(page)
        await dialog.get_by_role("button", name="Use these").click()
        await expect(page.get_by_role("button", name="tools 2", exact=True)).to_be_visible()
        await expect(page.get_by_role("button", name="Errors: 1")).to_be_visible()
        await page.locator("[data-step]").first.focus()
        await press(page, "a")
        await choose(page, "mailer")
        assert "action: mailer.post" in await text_of(place, name)

        # Who uses which is listed beside the drafts; what no draft uses can be deleted.
        await visit(page, "/drafts")
        sets = page.get_by_role("list", name="Component sets").get_by_role("listitem")
        newest, old = sets.filter(has_text="tools 2"), sets.filter(has_text="tools 1")
        await expect(newest.get_by_role("link", name=name)).to_be_visible()
        await expect(newest.get_by_role("button", name="Delete tools 2")).to_be_disabled()
        await expect(old).to_contain_text("used by no draft")
        await old.get_by_role("button", name="Delete tools 1").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(old).to_have_count(0)
        await expect(newest).to_be_visible()


async def test_two_editors_lose_nothing_and_one_takes_a_flow_over(
    desk: Desk,
) -> None:
    place, name = desk.place, fresh_name()
    email = f"{name}@example.com"
    await place.api("POST", "/users", {"email": email, "role": "developer"})
    text = TWO.format(name=name)
    made = await place.api("POST", "/drafts", {"integration": name, "text": text})
    path = f"/drafts/{made['id']}"
    link = (await place.link(email)).removeprefix(f"{place.url}/console")
    async with opened(desk, path) as one, opened(desk.out, link) as other:
        await other.get_by_label("New password").fill("correct horse battery")
        await other.get_by_role("button", name="Set the password").click()
        await other.get_by_text("Your password is set").wait_for()
        await visit(other, f"{path}?flow=other")
        await expect(card(other, "three")).to_be_visible()
        # Each writes a flow, at the same time.
        await card(one, "two").get_by_role("button").first.click()
        await card(other, "three").get_by_role("button").first.click()
        await one.keyboard.press("Control+d")
        await other.keyboard.press("Control+d")
        await expect(card(one, "two")).to_have_count(2)
        await expect(card(other, "three")).to_have_count(2)
        await saved(one)
        await saved(other)
        await expect(one.get_by_role("group", name="Also here")).to_be_visible()
        await one.get_by_role("treeitem", name="Other").click()
        await expect(card(one, "three")).to_have_count(2)
        await expect(one.get_by_text("writes this flow now.")).to_be_visible()
        await one.get_by_role("treeitem", name="One").click()

        # The other comes into a flow that is written: it says so, and takes it over.
        await other.get_by_role("treeitem", name="One").click()
        await expect(other.get_by_text("writes this flow now.")).to_be_visible()
        await other.get_by_role("button", name="Take over").click()
        await expect(other.get_by_text("writes this flow now.")).to_be_hidden()
        await card(other, "one").get_by_role("button").first.click()
        await other.keyboard.press("Delete")
        await expect(card(one, "one")).to_have_count(0)
        await expect(one.get_by_text("writes this flow now.")).to_be_visible()
        await at_rest(one)

        # Without a connection, what is edited is kept over a reload, and sent after it.
        await other.route("**/edits", lambda route: route.abort())
        await card(other, "two").first.get_by_role("button").first.click()
        await other.keyboard.press("Delete")
        await expect(other.get_by_text("Not sent yet")).to_be_visible()
        await expect(card(other, "two")).to_have_count(1)
        await other.reload()
        await expect(card(other, "two")).to_have_count(1)
        await other.unroute("**/edits")
        await saved(other)
        await expect(card(one, "two")).to_have_count(1)
    now = (await place.api("GET", f"/drafts/{made['id']}"))["text"]
    assert now.count("log: two") == 1
    assert now.count("log: three") == 2
    assert "log: one" not in now
