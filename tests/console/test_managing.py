"""Customers, connections and instances in Chromium: from nothing to an event that flows, and mended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from halflap.engine.bundle import pack
from tests.console.desk import Desk, at_rest, barriers, go_on, opened, show
from tests.console.place import TOKEN, Place
from tests.polling import until
from tests.twoapps import Apps, project

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def published(place: Place, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The version of the article's integration."""
    folder = project(tmp_path_factory.mktemp("article") / "project")
    body = pack(Path(folder), "salesforce_acme:integration").to_bytes()
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with place.http.post(f"{place.url}/api/versions", data=body, headers=headers) as got:
        assert got.status == 201, await got.text()
        return (await got.json())["hash"]


async def sign_in(page: Page, org: dict[str, Any], button: str) -> None:
    """Press what opens the app's window, and allow there what it asks."""
    await page.context.add_init_script("window.close = () => {}")  # it is looked at, then closed
    async with page.expect_popup() as opening:
        await page.get_by_role("button", name=button, exact=True).last.click()
    window = await opening.value
    await window.get_by_label("Username").fill(org["username"])
    await window.get_by_label("Password").fill(org["password"])
    await window.get_by_role("button", name="Allow").click()
    await window.get_by_text(re.compile("You are (not )?connected")).wait_for()
    assert await window.get_by_text("You are connected").count() == 1, await window.inner_text(
        "body"
    )
    await expect(window).to_have_url(re.compile("/console/connected$"))
    await window.close()


async def test_from_nothing_to_an_event_that_flows_and_a_connection_that_is_mended(
    desk: Desk, apps: Apps, published: str
) -> None:
    place = desk.place
    redirect = f"{place.url}/console/connected"
    org = await apps.salesforce.org("Hooli", redirect_uris=[redirect])
    key = await apps.acme.workspace("Hooli")
    async with opened(desk, "/customers") as page:
        await page.get_by_role("button", name="New customer").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(dialog.get_by_text("Fill this in.")).to_have_count(0)
        await dialog.get_by_role("button", name="Add the customer").click()
        await expect(dialog.get_by_text("Fill this in.")).to_be_visible()
        await dialog.get_by_label("Name", exact=True).fill("Initech")
        await dialog.get_by_role("button", name="Add the customer").click()
        await expect(dialog.get_by_text("is taken").first).to_be_visible()
        await dialog.get_by_label("Name", exact=True).fill("Hooli")
        await dialog.get_by_role("button", name="Add the customer").click()
        await page.get_by_role("article", name="Hooli").wait_for()

        await page.get_by_role("link", name="Activate an integration").click()
        await page.get_by_role("button", name=re.compile("Salesforce")).click()
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_text("Fill this in.")).to_have_count(2)

        # Salesforce: what is wrong is told at its field, then somebody signs in there.
        await page.get_by_role("button", name="Connect Salesforce…").click()
        await dialog.get_by_label(re.compile("Login URL")).fill("login.example")
        await dialog.get_by_role("button", name="Save the connection").click()
        await expect(dialog.get_by_text("This is an address")).to_be_visible()
        await dialog.get_by_label(re.compile("Login URL")).fill(apps.salesforce.url)
        await dialog.get_by_label(re.compile("Client ID")).fill(org["client_id"])
        await dialog.get_by_label(re.compile("Client secret")).fill(org["client_secret"])
        await dialog.get_by_role("button", name="Save the connection").click()
        await expect(page.get_by_text("not signed in")).to_be_visible()
        await sign_in(page, org, "Connect")
        await expect(page.get_by_text("working", exact=True)).to_have_count(1)

        # Acme: the key is tried at the app before it is saved.
        await page.get_by_role("button", name="Connect Acme…").click()
        await dialog.get_by_label(re.compile("Base URL")).fill(f"{apps.acme.url}/v1")
        await dialog.get_by_label("API key").fill("no-such-key")
        await dialog.get_by_role("button", name="Save the connection").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("401")
        await dialog.get_by_label("API key").fill(key)
        await dialog.get_by_role("button", name="Save the connection").click()
        await expect(page.get_by_text("working", exact=True)).to_have_count(2)
        await page.get_by_role("button", name="Next").click()

        # Options: a value out of its bounds, and one that a reload keeps.
        discount = page.get_by_label(re.compile("Discount"))
        await discount.fill("101")
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_text("At most 100.")).to_be_visible()
        await discount.fill("12.50")
        await page.reload()
        await expect(discount).to_have_value("12.50")
        await page.get_by_role("button", name="Next").click()
        await expect(page.get_by_role("heading", name="Review")).to_be_visible()
        await expect(page.get_by_text("12.50")).to_be_visible()
        assert await barriers(page) == []
        await page.get_by_role("button", name="Activate", exact=True).click()
        await page.get_by_role("link", name="Show its URLs").click()
        await expect(page.get_by_label("URL of account", exact=True)).to_contain_text("/hooks/")

    [instance] = (await place.api("GET", "/instances", customer="Hooli"))["items"]
    account = await apps.salesforce.edit(org, "create", "Account", values={"Name": "Pied Piper"})
    assert account

    async def made() -> Any:
        return [e for e in await apps.acme.get("/v1/accounts", key) if e["name"] == "Pied Piper"]

    await until(made)
    await mended(desk, apps, org, key, instance)


async def test_two_tabs_of_the_wizard_make_one_instance_and_lose_nothing(
    desk: Desk, apps: Apps, published: str
) -> None:
    place = desk.place
    org = await apps.salesforce.org("Aviato", redirect_uris=[f"{place.url}/console/connected"])
    customer = (await place.api("POST", "/customers", {"name": "Aviato"}))["id"]
    wanted = {"customer": customer, "integration": "salesforce-acme", "version": published}
    for field, values in (
        ("acme", {"base_url": f"{apps.acme.url}/v1", "api_key": await apps.acme.workspace("Aviato")}),
        ("salesforce", {"login_url": apps.salesforce.url, "auth": {
            "kind": "oauth2_code", **{name: org[name] for name in ("client_id", "client_secret")}}}),
    ):  # fmt: skip
        await place.api(
            "POST", "/connections",
            {**wanted, "field": field, "name": field, "values": values, "test": False},
        )  # fmt: skip
    address = f"/customers/{customer}/activate?integration=salesforce-acme&version={published}"

    async def filled(page: Page) -> None:
        for field in ("Salesforce", "Acme"):
            await page.get_by_label(field, exact=True).select_option(label=field.lower())
        await expect(page.get_by_text("not signed in")).to_be_visible()

    async with opened(desk, address) as first:
        await filled(first)
        async with opened(desk, address, beside=first) as second:
            await filled(second)
            # Nobody passes with an account that nobody has signed in to: what to do is said at it.
            refused = second.get_by_text("Nobody has signed in to this account yet")
            await second.get_by_role("button", name="Next").click()
            await expect(refused).to_be_visible()
            await expect(second.get_by_label("Salesforce", exact=True)).to_be_visible()
            # One signs in at the app, and the other one has it.
            await sign_in(first, org, "Connect")
            for page in (first, second):
                await expect(page.get_by_text("not signed in")).to_have_count(0)
                await expect(refused).to_have_count(0)
                await expect(page.get_by_text("working", exact=True)).to_be_visible()
                for _ in range(2):
                    await go_on(page)
                await expect(page.get_by_role("heading", name="Review")).to_be_visible()
            # The first one is closed with the instance made, and not activated yet.
            await first.route(re.compile("/instances/.*/activate$"), lambda route: route.abort())
            await first.get_by_role("button", name="Activate", exact=True).click()
            await expect(first.get_by_role("alert")).to_be_visible()
            # The second one is told of it, makes no other, and goes on with that one.
            await second.get_by_role("button", name="Activate", exact=True).click()
            there = second.get_by_role("alert").filter(has_text="perhaps in another tab")
            await expect(there).to_contain_text("configured")
            await there.get_by_role("link", name="salesforce-acme").click()
            await second.get_by_role("button", name="Activate", exact=True).click()
            dialog = second.get_by_role("dialog", name="Activate salesforce-acme")
            await dialog.get_by_role("button", name="Activate", exact=True).click()
            await expect(second.get_by_text("active", exact=True).first).to_be_visible()
    [made] = (await place.api("GET", "/instances", customer=customer))["items"]
    assert made["state"] == "active"


async def mended(
    desk: Desk, apps: Apps, org: dict[str, Any], key: str, instance: dict[str, Any]
) -> None:
    """Revoke what Salesforce granted: the connection is found, reconnected, and what waits goes on."""
    place = desk.place
    values = {"Name": "Big", "StageName": "Prospecting", "CloseDate": "2030-01-01"}
    await apps.salesforce.edit(org, "create", "Opportunity", values=values)

    async def known() -> Any:
        return await apps.acme.get("/v1/opportunities", key)

    [opportunity] = await until(known)
    connections = (await place.api("GET", "/connections", customer="Hooli"))["items"]
    salesforce = next(each for each in connections if each["component"] == "salesforce")
    opened_secrets = await place.host.store.catalogue.connections.open_secrets(salesforce["id"])
    for name in ("auth.refresh_token", "auth.access_token"):
        url = f"{apps.salesforce.url}/services/oauth2/revoke"
        async with place.http.post(url, data={"token": opened_secrets[name]}) as answer:
            assert answer.status in (200, 400)
    change = {"seats": 3, "price": 10}
    await apps.acme.patch(f"/v1/opportunities/{opportunity['id']}", change, key)

    async with opened(desk, "/connections?status=unauthorized") as page:
        row = page.get_by_role("grid").get_by_role("row").filter(has_text="Hooli")
        await expect(row).to_be_visible()
        await row.click()
        sheet = page.get_by_role("complementary", name="Connection")
        await expect(sheet.get_by_text("1 execution waits for it.")).to_be_visible()
        await sign_in(page, org, "Reconnect")
        await expect(sheet.get_by_text("working", exact=True)).to_be_visible()

    async def done() -> Any:
        query = {"instance": instance["id"], "flow": "opportunity_amount", "state": "succeeded"}
        return (await place.api("GET", "/executions", **query))["items"]

    [amount, *_] = await until(done)
    async with opened(desk, f"/executions/{amount['id']}") as page:
        # What a replay would write, and the way to the executions of the other app's record.
        await page.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Replay from the start…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("written over what was edited at the other app")
        await dialog.get_by_role("checkbox", name="With an edited event").check()
        await expect(dialog).to_contain_text("not from the edited event")
        await page.keyboard.press("Escape")
        await page.get_by_role("option").filter(has_text="paired opportunities").click()
        await page.get_by_role("link", name="Executions of the paired record").click()
        flows = page.get_by_role("grid", name="Executions").get_by_role("gridcell")
        await expect(flows.get_by_text("opportunity", exact=True).first).to_be_visible()


async def test_an_instance_is_paused_disabled_and_its_config_told_at_its_fields(desk: Desk) -> None:
    [instance] = (await desk.place.api("GET", "/instances", customer="Globex"))["items"]
    async with opened(desk, f"/instances?open={instance['id']}") as page:
        sheet = page.get_by_role("complementary", name="Instance")
        await sheet.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Pause…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Reason").fill("a stocktaking")
        await dialog.get_by_role("button", name="Pause").click()
        await expect(sheet.get_by_text("a stocktaking")).to_be_visible()
        await sheet.get_by_role("button", name="Resume").click()
        await expect(sheet.get_by_text("a stocktaking")).to_have_count(0)

        await sheet.get_by_role("tab", name="Config").click()
        await sheet.get_by_label("Shop").select_option("")
        await sheet.get_by_role("button", name="Save the config").click()
        await expect(sheet.get_by_text("Fill this in.")).to_be_visible()
        await sheet.get_by_role("button", name="Drop what I changed").click()
        await sheet.get_by_role("tab", name="Endpoints").click()
        await expect(sheet.get_by_label("URL of order", exact=True)).to_contain_text("/hooks/")
        await sheet.get_by_role("button", name="Show the secrets").click()
        await expect(sheet.get_by_label("Secret of order", exact=True)).to_be_visible()


async def test_an_instance_gets_another_account(desk: Desk) -> None:
    place = desk.place
    [instance] = (await place.api("GET", "/instances", customer="Umbrella"))["items"]
    another = {
        "customer": instance["customer"],
        "integration": "orders",
        "field": "shop",
        "name": "the new shop",
        "values": {"base_url": place.shop.url},
        "test": False,
    }
    made = await place.api("POST", "/connections", another)
    async with opened(desk, f"/instances?open={instance['id']}") as page:
        sheet = page.get_by_role("complementary", name="Instance")
        await sheet.get_by_role("button", name="Change account…").click()
        dialog = page.get_by_role("dialog", name="Change the account")
        save = dialog.get_by_role("button", name="Change the account")
        await expect(save).to_be_disabled()
        await dialog.get_by_label("Shop", exact=True).select_option(label="the new shop")
        assert await barriers(page) == []
        # What a dialog above it saves is no answer to this one.
        await dialog.get_by_role("button", name="Another account…").click()
        above = page.get_by_role("dialog").last
        await above.get_by_role("button", name="Save the connection").click()
        await expect(above.get_by_text("Fill this in.").first).to_be_visible()
        await above.get_by_role("button", name="Close").last.click()
        await expect(save).to_be_enabled()
        await save.click()
        await expect(dialog).to_have_count(0)
        await expect(sheet.get_by_role("link", name="the new shop")).to_be_visible()

    async def settled() -> Any:
        now = await place.api("GET", f"/instances/{instance['id']}")
        return now["state"] == "active" and now

    assert (await until(settled))["connections"] == {"shop": made["id"]}


async def test_an_edit_that_another_one_made_stale_is_shown_with_both_values(desk: Desk) -> None:
    [customer] = (await desk.place.api("GET", "/customers", q="Umbrella"))["items"]
    async with opened(desk, f"/customers?open={customer['id']}") as page:
        await page.get_by_role("button", name="Edit the limits").click()
        dialog = page.get_by_role("dialog")
        once = dialog.get_by_label(re.compile("At once .optional"))
        await once.fill("7")
        await desk.place.api("PUT", f"/customers/{customer['id']}/limits", {"concurrency": 5})
        await dialog.get_by_role("button", name="Save the limits").click()
        alert = dialog.get_by_role("alert").filter(has_text="Somebody else changed this")
        await expect(alert.get_by_role("row").filter(has_text="At once")).to_contain_text("57")
        await alert.get_by_role("button", name="Save mine over it").click()
        await expect(dialog).to_have_count(0)
    found = await desk.place.api("GET", f"/customers/{customer['id']}")
    assert found["limits"]["concurrency"] == 7


async def test_the_pages_of_customers_have_no_serious_barrier(desk: Desk) -> None:
    [instance] = (await desk.place.api("GET", "/instances", customer="Umbrella"))["items"]
    customer = instance["customer"]
    paths = [
        f"/customers?open={customer}",
        f"/customers/{customer}?view=settings",
        f"/instances?open={instance['id']}",
        f"/instances/{instance['id']}?view=config",
        f"/connections?open={instance['connections']['shop']}"
        if "connections" in instance
        else "/connections",
        f"/customers/{customer}/activate",
    ]
    async with opened(desk, "/account") as page:
        for path in paths:
            await show(page, path)
            await (
                page.get_by_role("heading", level=2)
                .or_(page.get_by_role("grid"))
                .or_(page.get_by_role("heading", level=3))
                .first.wait_for()
            )
            await at_rest(page)
