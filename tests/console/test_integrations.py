"""Integrations in the browser: versions compared, a canary rolled back, a mended one for all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.console.desk import Desk, at_rest, barriers, opened, press, visit
from tests.console.place import ORDERS, Place
from tests.polling import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

TITLED = ORDERS.replace("title: Find the customer", "title: Look the customer up")
BROKEN = TITLED.replace("path: /orders\n", "path: /sales\n")


async def test_a_canary_that_fails_is_rolled_back_and_a_mended_version_goes_to_all(
    desk: Desk, tmp_path: Path
) -> None:
    place = desk.place
    for number in range(7):
        await place.customer(f"Customer {number}")
    await place.publish(tmp_path / "two", BROKEN, note="orders are sales now", target="")
    async with opened(desk, "/integrations") as page:
        await expect(page.get_by_role("gridcell", name="10 on 1")).to_be_visible()
        await at_rest(page)
        await page.get_by_role("row", name=re.compile("Orders to the shop")).focus()
        await press(page, "Enter")
        drawing = page.get_by_role("figure", name="The flows, between the apps")
        arrow = drawing.get_by_role("button", name="Order: from Webhook to HTTP")
        await expect(arrow).to_have_attribute("title", re.compile("Look the customer up"))
        await arrow.click()
        await expect(page.get_by_role("article", name="Order")).to_be_focused()

        # The difference, by keyboard.
        await page.get_by_role("tab", name="Flows").focus()
        await press(page, "ArrowRight", "ArrowRight", "Enter")
        changes = page.get_by_role("region", name="Changes")
        steps = changes.get_by_role("region", name="Flows and steps")
        await expect(steps.get_by_role("listitem")).to_have_count(2)
        await at_rest(page)
        await changes.focus()
        await press(page, "n", "n")
        await expect(steps.get_by_role("listitem").nth(1)).to_be_focused()
        await press(page, "p")
        await expect(steps.get_by_role("listitem").nth(0)).to_be_focused()
        await press(page, "u")
        await expect(page).to_have_url(re.compile("layout=split"))
        await expect(changes.get_by_role("cell", name="path: /sales")).to_be_visible()

        # A canary of two, by keyboard; a reload loses nothing.
        await page.get_by_role("button", name="Upgrade instances…").focus()
        await press(page, "Enter")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("To version")).to_be_focused()
        await dialog.get_by_label("How many first").focus()
        await press(page, "Control+a")
        await page.keyboard.type("many")
        await expect(dialog.get_by_text("is neither a number nor a share")).to_be_visible()
        await press(page, "Control+a")
        await page.keyboard.type("2")
        await page.reload()
        await expect(dialog.get_by_label("How many first")).to_have_value("2")
        named = dialog.get_by_role("list", name="Canary").get_by_role("listitem")
        await expect(named).to_have_count(2)
        canary = [text.split(" / ")[0] for text in await named.all_inner_texts()]
        await at_rest(page)
        await dialog.get_by_label("How many first").focus()
        await press(page, "Enter")
        rollout = page.get_by_role("complementary", name="Rollout")
        await expect(rollout.get_by_text("paused", exact=True)).to_be_visible()
        await expect(rollout.get_by_text("2 of 10")).to_be_visible()

        # One of it fails by the new version, and the others do not.
        failed = await place.send(canary[0], "4711")
        await place.until(failed, "failed")
        other = next(each for each in place.hooks if each not in canary)
        await place.until(await place.send(other, "4712"), "succeeded")
        figures = rollout.get_by_role("region", name="Figures")
        await expect(
            figures.get_by_role("row", name=re.compile(r"^2 new 2 0 .* 1 \(100 %\)"))
        ).to_be_visible()
        await expect(figures.get_by_role("row", name=re.compile(r"^1 8 "))).to_be_visible()
        await at_rest(page)
        await rollout.get_by_role("button", name="Roll back…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Roll back 2").click()
        await expect(rollout.get_by_text("Back to what was before")).to_be_visible()
        await expect(rollout.get_by_text("2 of 2")).to_be_visible()
        await press(page, "Escape")
        await expect(rollout).to_have_count(0)

        # The mended one, for those that are chosen first, then for all.
        await place.publish(tmp_path / "three", TITLED, note="mended", target="")
        await page.reload()
        await page.get_by_role("button", name="Upgrade instances…").click()
        await dialog.get_by_label("Some that you choose first").check()
        await dialog.get_by_label("Search by customer or name").fill("customer 3")
        await dialog.get_by_role("checkbox", name="Customer 3 / orders").check()
        await dialog.get_by_role("button", name="Upgrade the first 1").click()
        await expect(rollout.get_by_text("paused", exact=True)).to_be_visible()
        await rollout.get_by_role("button", name="Go on with the other 9").click()
        await expect(rollout.get_by_text("succeeded", exact=True)).to_be_visible()
        await expect(rollout.get_by_text("10 of 10")).to_be_visible()
        await press(page, "Escape")
        await page.get_by_role("tab", name="Versions").click()
        row = page.get_by_role("row", name=re.compile("^3 "))
        await expect(row.get_by_role("link", name="10")).to_be_visible()
        await row.get_by_role("button", name="Actions for version 3").click()
        await page.get_by_role("menuitem", name="Offer it to customers…").click()
        await page.get_by_role("dialog").get_by_role("button", name="Offer", exact=True).click()
        await expect(row.get_by_text("offered to customers")).to_be_visible()
        await at_rest(page)
        await page.get_by_role("tab", name="Source").click()
        await page.get_by_role("button", name="Look the customer up").click()
        await expect(page.get_by_role("row", name="title: Look the customer up")).to_be_visible()
        await page.get_by_role("tab", name="Rollouts").click()
        await expect(
            page.get_by_role("button", name=re.compile("Upgrade to version"))
        ).to_have_count(2)
        await at_rest(page)


async def test_a_viewer_compares_versions_and_changes_nothing(
    place: Place, desk: Desk, tmp_path: Path
) -> None:
    await place.publish(tmp_path / "four", f"{TITLED}\n# the fourth\n", target="")
    added = await place.api("POST", "/users", {"email": "vic@example.com", "role": "viewer"})
    async with opened(desk.out, f"/sign-in#link={added['link']}") as page:
        await page.wait_for_url("**/console/account")
        await visit(page, "/integrations/orders?view=changes&upgrade=4")
        await expect(page.get_by_text("# the fourth")).to_be_visible()
        await expect(page.get_by_role("button", name="Upgrade instances…")).to_have_count(0)
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await visit(page, "/integrations/none")
        await expect(page.get_by_text("there is no integration 'none'")).to_be_visible()


async def test_one_instance_is_upgraded_with_what_its_new_version_asks_for(
    desk: Desk, tmp_path: Path
) -> None:
    place = desk.place
    field = "shop: {connection: http}\n    county: {type: text, title: County}"
    text = ORDERS.replace("shop: {connection: http}", field)
    await place.publish(tmp_path / "five", text, note="by county", target="")
    [instance] = (await place.api("GET", "/instances", q="Umbrella"))["items"]
    async with opened(desk, f"/instances/{instance['id']}") as page:
        await page.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Upgrade…").click()
        dialog = page.get_by_role("dialog", name="Upgrade orders")
        newest = dialog.get_by_role("option").filter(has_text="by county")
        value = await newest.get_attribute("value") or ""
        await dialog.get_by_label("Version").select_option(value)
        await expect(dialog.get_by_role("textbox")).to_have_count(1)
        await dialog.get_by_role("button", name="Upgrade to version").click()
        await expect(dialog.get_by_role("textbox", name="County")).to_have_attribute(
            "aria-invalid", "true"
        )
        await dialog.get_by_role("textbox", name="County").fill("kent")
        await dialog.get_by_role("button", name="Upgrade to version").click()
        await expect(dialog).to_have_count(0)
    moved = await place.api("GET", f"/instances/{instance['id']}")
    assert moved["config"]["county"] == "kent"
    assert moved["version"]["number"] > instance["version"]["number"]


ASKING = ORDERS.replace(
    "    shop: {connection: http}\n",
    "    shop: {connection: http}\n"
    "  Options:\n"
    "    region: {title: Region}\n"
    "    discount: {type: decimal, title: Discount, default: 0}\n",
)


async def test_many_are_upgraded_with_one_answer_and_a_rule(desk: Desk, tmp_path: Path) -> None:
    place = desk.place
    await place.publish(tmp_path / "asking", ASKING, note="by region", target="")
    number = (await place.api("GET", "/integrations/orders"))["versions"][0]["number"]
    own = {each: config.get("region") for each, config in (await configs_of(place)).items()}
    lacking = [each for each, region in own.items() if region is None]
    async with opened(desk, f"/integrations/orders?upgrade={number}") as page:
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text(f"{len(own)} instances are meant.")).to_be_visible()
        await expect(dialog.get_by_text(f"{len(lacking)} cannot be: region")).to_be_visible()
        values = dialog.get_by_role("region", name="Values for all")
        await values.get_by_label("Region").fill("north")
        plan = dialog.get_by_role("list", name="Values", exact=True)
        await expect(plan).to_contain_text(f"region: {len(lacking)} instances, get the value above")
        await expect(plan).to_contain_text(f"discount: {len(own)} instances, get its default")
        await plan.get_by_text("region").click()
        await expect(plan.get_by_text("Initech / orders").first).to_be_visible()
        await dialog.get_by_label("How many first").fill("1")
        await dialog.get_by_label("Go on by itself").check()
        await dialog.get_by_label("Pause where more fail than").fill("5")
        await expect(dialog.get_by_text("is no share, as 5%")).to_be_visible()
        await dialog.get_by_label("Pause where more fail than").fill("50%")
        await dialog.get_by_label("Of so many executions at least").fill("1")
        assert await barriers(page) == []
        await dialog.get_by_role("button", name="Upgrade the first 1").click()
        await expect(page.get_by_role("complementary", name="Rollout")).to_be_visible()
        [bulk] = [
            each
            for each in (await place.api("GET", "/bulks", upgrades_of="orders"))["items"]
            if each["wanted"].get("pause_on")
        ]
        assert bulk["wanted"]["pause_on"] == {"share": "50%", "least": 1}

        async def now() -> Any:
            return await place.api("GET", f"/bulks/{bulk['id']}")

        async def has_begun() -> bool:
            return (await now())["done"] == 1

        async def over() -> Any:
            found = await now()
            return found if found["state"] != "running" else None

        # The canary's execution, of the new version, succeeds: it goes on by itself.
        await until(has_begun)
        names = (await place.api("GET", f"/bulks/{bulk['id']}/rollout"))["canary"]
        await place.until(await place.send(names[0]["customer_name"], "7"), "succeeded")
        ended = await until(over)
        assert (ended["state"], ended["done"]) == ("succeeded", len(own))
    now = {each: config.get("region") for each, config in (await configs_of(place)).items()}
    assert now == own | dict.fromkeys(lacking, "north")


async def configs_of(place: Place) -> dict[str, Any]:
    """The config of each instance, by its id."""
    found = (await place.api("GET", "/instances", integration="orders"))["items"]
    ids = [each["id"] for each in found]
    return {each: (await place.api("GET", f"/instances/{each}"))["config"] for each in ids}


async def test_the_wizard_goes_on_where_the_version_has_other_fields_or_a_tab_took_it_away(
    desk: Desk, tmp_path: Path
) -> None:
    place = desk.place
    await place.publish(tmp_path / "text", ASKING, target="")
    customer = await place.api("POST", "/customers", {"name": "Soylent"})
    connection = {
        "customer": customer["id"],
        "integration": "orders",
        "field": "shop",
        "name": "the shop of Soylent",
        "values": {"base_url": place.shop.url},
        "test": False,
    }
    await place.api("POST", "/connections", connection)
    async with opened(desk, "/integrations/orders") as page:

        async def chosen() -> None:
            await page.get_by_role("button", name="Activate…").click()
            await page.get_by_role("combobox", name="For which customer?").fill("soyl")
            await expect(page.get_by_role("option")).to_have_count(1)
            await press(page, "Enter")
            await page.get_by_label("Shop").select_option(label="the shop of Soylent")
            await page.get_by_role("button", name="Next").click()

        await chosen()
        # What is missing on a page is told once it is to be left.
        await expect(page.get_by_label("Region")).to_be_visible()
        await expect(page.get_by_text("Fill this in.")).to_have_count(0)
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_text("Fill this in.")).to_be_visible()
        await page.get_by_label("Region").fill("north")
        # Another version has a list in the place of the text, and another field.
        text = ASKING.replace("region: {title: Region}", "region: {title: Region, multiple: true}")
        await place.publish(tmp_path / "list", text.replace("discount:", "rebate:"), target="")
        await page.goto("/console/integrations/orders")
        await chosen()
        await page.get_by_role("button", name="Add").click()
        await page.get_by_label(re.compile("Region")).last.fill("south")
        await page.get_by_role("button", name="Next").click()
        # What was made before is gone: it is made anew.
        lost = re.compile("/instances/.*/activate$")
        await page.route(lost, lambda route: route.abort())
        await page.get_by_role("button", name="Activate", exact=True).click()
        await expect(page.get_by_role("alert")).to_be_visible()
        [made] = (await place.api("GET", "/instances", customer=customer["id"]))["items"]
        await place.api("DELETE", f"/instances/{made['id']}")
        await page.unroute(lost)
        await page.get_by_role("button", name="Activate", exact=True).click()
        await page.get_by_role("link", name="Show its URLs").wait_for()
    [now] = (await place.api("GET", "/instances", customer=customer["id"]))["items"]
    assert now["id"] != made["id"]
    found = (await place.api("GET", f"/instances/{now['id']}"))["config"]
    assert found["region"] == ["south"]
