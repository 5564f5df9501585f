"""The article's integration, built from nothing in the designer, and run between both sandbox apps.

A commit builds the one that brings an opportunity to Acme; the soak builds all five.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from halflap.components import salesforce
from tests.console.desk import Desk, at_rest, opened, press, visit
from tests.console.place import Place
from tests.polling import until
from tests.twoapps import Apps
from tests.world import EXAMPLES

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

NAME = "drawn-together"
AMOUNT = "$round(event.seats * event.price * (1 - config.discount / 100), 2)"
PAIRS = {"account": "accounts", "opportunity": "opportunities"}
FIELDS = {
    "account": {"Account name": "event.Name"},
    "opportunity": {"Name": "event.Name", "Stage": "event.StageName"},
}


class Hands:
    """Hands at the designer: each does what a person does, by mouse or by keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.get_by_role("complementary", name="What is selected")
        self.tree = page.get_by_role("tree")

    async def saved(self) -> None:
        status = self.page.get_by_role("status").filter(has_text=re.compile("^Saved$"))
        await expect(status).to_be_visible()

    async def name_flow(self, name: str, title: str, trigger: str) -> None:
        """Name the flow that is selected, and choose its trigger by typing."""
        await self.panel.get_by_label("Name", exact=True).fill(name)
        await press(self.page, "Enter")
        heading = self.panel.get_by_label("Title", exact=True)
        await expect(heading).to_have_value(re.compile(name.replace("_", " "), re.IGNORECASE))
        await heading.fill(title)
        choice = self.panel.get_by_role("combobox", name="Trigger")
        await choice.fill(trigger)
        await self.page.get_by_role("option", name=re.compile(f"^{re.escape(trigger)}")).click()
        await expect(self.panel.get_by_role("heading", name=title)).to_be_visible()
        await self.saved()

    async def add_flow(self, name: str, title: str, trigger: str) -> None:
        await self.page.get_by_role("button", name="Add a flow").click()
        await expect(self.panel.get_by_role("heading", name="Flow")).to_be_visible()
        await self.name_flow(name, title, trigger)

    async def first(self, what: str, title: str = "") -> None:
        """Put a step in the place of the one that a new flow begins with."""
        await self.row("Log").click()
        await press(self.page, "a")
        await self.choose(what)
        await self.row("Log").click()
        await press(self.page, "Delete")
        await expect(self.row("Log")).to_have_count(0)
        await self.saved()
        await self.title(title)

    def row(self, title: str) -> Locator:
        """The row of a step of the flow that is open, by its title."""
        return self.tree.get_by_role("treeitem", name=re.compile(f"^{re.escape(title)}"))

    async def after(self, what: str, title: str = "") -> None:
        """Insert a step behind the one that is selected, by keyboard."""
        await self.tree.get_by_role("treeitem", selected=True).focus()
        await press(self.page, "a")
        await self.choose(what)
        await self.title(title)

    async def into(self, empty: Locator, what: str, title: str = "") -> None:
        """Insert a step into an empty place of the drawing, by mouse."""
        await empty.click()
        await self.choose(what)
        await self.title(title)

    async def choose(self, what: str) -> None:
        box = self.page.get_by_role("combobox", name="Insert a step")
        await expect(box).to_be_focused()
        await self.page.keyboard.insert_text(what)
        await expect(self.page.get_by_role("option").first).to_contain_text(what.split(".")[-1])
        await press(self.page, "Enter")
        await expect(box).to_be_hidden()
        await self.saved()

    async def title(self, title: str) -> None:
        if title:
            await press(self.page, "F2")
            await expect(self.panel.get_by_label("Title", exact=True)).to_be_focused()
            await self.page.keyboard.type(title)
            await press(self.page, "Enter")

    async def result(self, name: str) -> None:
        await self.panel.get_by_label("Name of the result").fill(name)
        await press(self.page, "Enter")

    async def typed(self, label: str, text: str) -> None:
        """Type a text; a `/` in it offers the data, of which the first is taken."""
        box = self.panel.get_by_role("textbox", name=label, exact=True)
        await box.click()
        await press(self.page, "Control+a")
        plain, slash, path = text.partition("/")
        await self.page.keyboard.insert_text(plain)
        if slash:
            await self.page.keyboard.type(slash)
            await self.page.keyboard.insert_text(path)
            offered = self.page.get_by_role("option", name=re.compile(f"^{re.escape(path)}"))
            await expect(offered.first).to_be_visible()
            await self.page.wait_for_timeout(150)  # what appeared this moment is not taken
            await press(self.page, "Enter")
            await expect(box.locator(".pill")).to_be_visible()

    async def picked(self, label: str, path: str) -> None:
        """Put a value into a field, from the picker beside it."""
        await self.panel.get_by_role("button", name=f"Put data into {label}", exact=True).click()
        await self.find(path)
        box = self.panel.get_by_role("textbox", name=label, exact=True)
        await expect(box.locator(".pill")).to_be_visible()

    async def find(self, path: str) -> None:
        await self.page.get_by_role("combobox", name="Find data").fill(path)
        await expect(
            self.page.get_by_role("option", name=re.compile(rf"^{re.escape(path)}\b")).first
        ).to_be_visible()
        await press(self.page, "Enter")

    async def formula(self, label: str, text: str) -> None:
        """Write a formula, which `fx` opens."""
        await self.panel.get_by_role("button", name=f"fx: write {label} as a formula").click()
        await self.page.keyboard.insert_text(text)
        await press(self.page, "Escape")


async def configured(hands: Hands, kinds: Sequence[str]) -> None:
    """Say what customers fill in, and which records belong together."""
    page = hands.page
    await page.get_by_role("button", name="Config", exact=True).click()
    await page.get_by_label("Title", exact=True).first.fill("Salesforce and Acme")
    await page.get_by_label("A page", exact=True).fill("Connect")
    await press(page, "Enter")
    for app in ("salesforce", "acme"):
        await page.get_by_label("A field on Connect", exact=True).fill(app)
        await press(page, "Enter")
        await expect(page.get_by_label("Name of the field")).to_have_value(app)
        await page.get_by_label("What it is").select_option(f"A connection: {app}")
        await hands.saved()
    await page.get_by_label("A page", exact=True).fill("Options")
    await press(page, "Enter")
    await page.get_by_label("A field on Options", exact=True).fill("discount")
    await press(page, "Enter")
    await expect(page.get_by_label("Name of the field")).to_have_value("discount")
    await page.get_by_label("Type", exact=True).select_option("decimal")
    await expect(page.get_by_label("Default", exact=True)).to_have_attribute("inputmode", "decimal")
    for label, value in (("Default", "0"), ("Minimum", "0"), ("Maximum", "100")):
        await page.get_by_label(label, exact=True).fill(value)
    for kind in kinds:
        await page.get_by_label("A pair", exact=True).fill(PAIRS[kind])
        await press(page, "Enter")
        region = page.get_by_role("region", name=PAIRS[kind], exact=True)
        for at, record in enumerate((kind.title(), kind), 1):
            await region.get_by_label(f"Records {at}").fill(record)
    await page.get_by_role("button", name="Config", exact=True).click()
    await hands.saved()


async def deploy_flow(hands: Hands, kinds: Sequence[str]) -> None:
    """Point both apps at the flows."""
    await hands.row("Main").click()
    await hands.name_flow("deploy", "Deploy", "instance.deploy")
    await hands.first("salesforce.get_current_user", "Get Current User")
    await hands.result("user")
    for kind in kinds:
        object = kind.title()
        await hands.after("salesforce.ensure_outbound_message", f"Set Up {object} Outbound Message")
        await hands.typed("Object", object)
        await hands.typed("URL", f"/urls.{kind}")
        for at, field in enumerate(FIELDS[kind].values(), 1):
            field = field.removeprefix("event.")
            await hands.panel.get_by_role("button", name="Add an item").click()
            await hands.typed(f"Fields {at}", field)
        await hands.picked("Username", "user.preferred_username")
    await hands.after("acme.ensure_webhook", "Create an Opportunity Webhook")
    await hands.panel.get_by_label("Event", exact=True).select_option("opportunity.updated")
    await hands.typed("URL", "/urls.opportunity_amount")
    await hands.picked("Secret", "secrets.opportunity_amount")
    await hands.saved()


async def record_flow(hands: Hands, kind: str, *, alone: bool) -> None:
    """Create a record at Acme, or update the one that it is paired with.

    alone: as the flow that the draft began with.
    """
    title, pairs, fields = f"Salesforce {kind}", PAIRS[kind], FIELDS[kind]
    page, panel = hands.page, hands.panel
    named = hands.name_flow if alone else hands.add_flow
    if alone:
        await hands.row("Main").click()
    await named(kind, title, "salesforce.outbound_message")
    await panel.get_by_role("tab", name="Options").click()
    await panel.get_by_label("Pairs", exact=True).select_option(pairs)
    await panel.get_by_role("tab", name="Setup").click()
    await hands.first("paired")
    await hands.result("known")
    await panel.get_by_label("Paired", exact=True).select_option(pairs)
    await panel.get_by_label("With: a new name").fill("salesforce")
    await press(page, "Enter")
    await hands.picked("salesforce", "event.Id")
    await hands.after("if", f"New {kind.title()}?")
    await panel.get_by_role("button", name=re.compile("^Field 1")).click()
    await hands.find("known")
    await panel.get_by_label("Operator 1").select_option("is not there")
    empty = page.get_by_role("button", name="Insert a step into this empty place")
    await hands.into(empty.first, f"acme.create_{kind}", f"Create an {kind.title()}")
    await hands.typed("External ID", "/event.Id")
    for label, path in fields.items():
        await hands.picked(label, path)
    await hands.into(empty.first, f"acme.update_{kind}", f"Update an {kind.title()}")
    await hands.picked("ID", "known")
    for label, path in fields.items():
        await hands.picked(label.removeprefix("Account ").capitalize(), path)
    await hands.saved()


async def amount_flow(hands: Hands) -> None:
    """Bring the seats and the price at Acme back, as the amount in Salesforce."""
    page, panel = hands.page, hands.panel
    await hands.add_flow(
        "opportunity_amount", "Acme opportunity update", "acme.opportunity_updated"
    )
    await panel.get_by_role("tab", name="Options").click()
    await panel.get_by_label("Pairs", exact=True).select_option("opportunities")
    await panel.get_by_role("tab", name="Setup").click()
    await hands.first("paired")
    await hands.result("known")
    await panel.get_by_label("Paired", exact=True).select_option("opportunities")
    await panel.get_by_label("With: a new name").fill("acme")
    await press(page, "Enter")
    await hands.picked("acme", "event.id")
    await hands.after("if", "From Salesforce?")
    await panel.get_by_role("button", name=re.compile("^Field 1")).click()
    await hands.find("known")
    await panel.get_by_label("Operator 1").select_option("is not there")
    empty = page.get_by_role("button", name="Insert a step into this empty place")
    await hands.into(empty.first, "stop")
    await panel.get_by_label("How it ends").select_option("Ignored, for a reason")
    await hands.formula("Reason", 'event.id & " did not come from Salesforce"')
    await hands.row("From Salesforce?").click()
    await hands.after("salesforce.update_record", "Update the Amount")
    await hands.typed("Object", "Opportunity")
    await hands.picked("ID", "known")
    await panel.get_by_label("Fields: a new name").fill("Amount")
    await press(page, "Enter")
    await hands.formula("Amount", AMOUNT)
    await hands.saved()


async def teardown_flow(hands: Hands) -> None:
    """Take down what deploy put up, and no other webhook."""
    page, panel = hands.page, hands.panel
    await hands.add_flow("teardown", "Tear down", "instance.teardown")
    for at, (app, what, item) in enumerate(
        (("salesforce", "outbound_message", "message"), ("acme", "webhook", "webhook"))
    ):
        insert = hands.after if at else hands.first
        await insert(f"{app}.list_{what}s", f"List the {item}s")
        await hands.result(f"{item}s")
        await hands.after("for", f"Each {item}")
        await panel.get_by_label("Name of the item").fill(item)
        await press(page, "Enter")
        await hands.picked("In", f"{item}s")
        await hands.formula("Where", f"{item}.url in urls.*")
        empty = page.get_by_role("button", name="Insert a step into this empty place")
        await hands.into(empty.first, f"{app}.delete_{what}", f"Remove the {item}")
        await hands.picked("ID", f"{item}.id")
        await hands.row(f"Each {item}").click()
    await hands.saved()


async def published(page: Page) -> None:
    await page.get_by_role("button", name="Publish…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("Nothing stands in the way")).to_be_visible()
    await dialog.get_by_role("button", name="Publish", exact=True).click()
    await expect(page.get_by_text("draft, from version 1", exact=True)).to_be_visible()


async def activated(place: Place, apps: Apps) -> tuple[dict[str, Any], str, dict[str, str]]:
    """Activate it for a new customer; return their org, their key of Acme, and the flows' URLs."""
    org, key = await apps.salesforce.org("Hooli"), await apps.acme.workspace("Hooli")
    credentials = {name: org[name] for name in ("client_id", "client_secret")}
    values = {
        "salesforce": {
            "login_url": apps.salesforce.url,
            "auth": {"kind": "client_credentials", **credentials},
        },
        "acme": {"base_url": f"{apps.acme.url}/v1", "api_key": key},
    }
    wanted = {"customer": (await place.api("POST", "/customers", {"name": "Hooli Drawn"}))["id"]}
    wanted["integration"] = NAME
    for field, each in values.items():
        made = {**wanted, "field": field, "name": field, "values": each, "test": True}
        await place.api("POST", "/connections", made)
    made = {**wanted, "name": NAME, "config": {"discount": 10}}
    made["connections"] = {field: field for field in values}
    instance = await place.api("POST", "/instances", made)
    active = await place.api("POST", f"/instances/{instance['id']}/activate", wait="30")
    assert active["state"] == "active", active
    return org, key, active["urls"]


async def deal_flows(page: Page, apps: Apps, org: dict[str, Any], key: str, *, back: bool) -> None:
    """An opportunity goes from Salesforce to Acme, and what is changed there comes back."""
    deal = {"Name": "Licences", "StageName": "Prospecting", "CloseDate": "2030-01-01"}
    made = await apps.salesforce.edit(org, "create", "Opportunity", values=deal)
    [opportunity] = await until(lambda: apps.acme.get("/v1/opportunities", key))
    assert opportunity["name"] == "Licences"
    if back:
        change = {"seats": 10, "price": 22}
        await apps.acme.patch(f"/v1/opportunities/{opportunity['id']}", change, key)
        sf = await apps.salesforce.client(org)

        async def amount() -> Any:
            record = await salesforce.get_record(sf, "Opportunity", made["Id"], ["Amount"])
            return record["Amount"]

        assert await until(amount) == 198
    await visit(page, f"/executions?integration={NAME}&state=succeeded")
    rows = page.get_by_role("grid").get_by_role("row")
    for flow in ("opportunity", "opportunity_amount")[: 1 + back]:
        await expect(rows.filter(has=page.get_by_text(flow, exact=True)).first).to_be_visible()


async def accounts_flow(apps: Apps, org: dict[str, Any], key: str) -> None:
    """An account that is made in Salesforce is made at Acme, and renamed with it."""
    account = await apps.salesforce.edit(org, "create", "Account", values={"Name": "Pied Piper"})
    await until(lambda: apps.acme.get("/v1/accounts", key))
    await apps.salesforce.edit(
        org, "update", "Account", id=account["Id"], values={"Name": "Raviga"}
    )

    async def renamed() -> Any:
        return [e for e in await apps.acme.get("/v1/accounts", key) if e["name"] == "Raviga"]

    await until(renamed)


async def taken_down(place: Place, apps: Apps, org: dict[str, Any], key: str) -> None:
    """Disable the instance: what its deploy flow put up at both apps is gone."""
    [instance] = (await place.api("GET", "/instances", integration=NAME))["items"]
    assert len(await apps.acme.hooks(key)) == 1
    await place.api("POST", f"/instances/{instance['id']}/disable", wait="30")
    assert await apps.acme.hooks(key) == []
    sf = await apps.salesforce.client(org)
    assert await salesforce.list_outbound_messages(sf) == []


@pytest.mark.parametrize("flows", [1, pytest.param(5, marks=pytest.mark.soak)])
async def test_the_article_s_flows_are_built_from_nothing_and_run_between_both_apps(
    desk: Desk, apps: Apps, tmp_path: Path, flows: int
) -> None:
    place, source = desk.place, (EXAMPLES / "acme.py").read_text()
    kinds = [*PAIRS] if flows == 5 else ["opportunity"]
    await place.deploy_components(tmp_path / "acme", "acme", acme=source)
    async with opened(desk, "/integrations", viewport={"width": 1500, "height": 1000}) as page:
        hands = Hands(page)
        await page.get_by_role("button", name="New integration…").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name", exact=True).fill(NAME)
        await expect(dialog.get_by_label("Components")).to_contain_text("acme 1: acme")
        await dialog.get_by_role("button", name="Begin").click()
        await configured(hands, kinds)
        for kind in kinds:
            await record_flow(hands, kind, alone=flows == 1)
        if flows == 5:
            await amount_flow(hands)
            await teardown_flow(hands)
            await deploy_flow(hands, kinds)
            # Until then nothing uses the discount, and that is found.
            await expect(page.get_by_role("button", name="No findings")).to_be_visible()
        await at_rest(page)
        await published(page)
        org, key, urls = await activated(place, apps)
        if flows == 1:  # what the deploy flow would do
            sf = await apps.salesforce.client(org)
            fields = ["Name", "StageName"]
            await salesforce.ensure_outbound_message(sf, "Opportunity", urls["opportunity"], fields)
        await deal_flows(page, apps, org, key, back=flows == 5)
        if flows == 5:
            await accounts_flow(apps, org, key)
            await taken_down(place, apps, org, key)
