"""The backstage of a Salesforce, and its page, through a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from halflap_sandbox import serving
from halflap_sandbox.salesforce import Settings, create_app
from tests.console.conftest import CHROMIUM
from tests.polling import DEADLINE, until

ACK = (
    '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><notificationsResponse '
    'xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    "</Body></Envelope>"
)
OPPORTUNITY = {"Name": "Suit", "StageName": "Prospecting", "CloseDate": "2026-01-31", "Amount": 10}


@dataclass
class Stage:
    http: aiohttp.ClientSession
    base: str

    async def ask(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, self.base + path, json=json) as response:
            text = await response.text()
            return response.status, await response.json(content_type=None) if text else None

    async def see(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def edit(self, action: str, **more: Any) -> tuple[int, Any]:
        edit = {"action": action, "object": "Opportunity", **more}
        return await self.ask("POST", "/sandbox/orgs/acme/records", edit)


@pytest_asyncio.fixture
async def stage():
    app = create_app(Settings(backoff=(0.02,)), orgs=("acme",))
    async with serving(app) as base, aiohttp.ClientSession() as http:
        yield Stage(http, base)


async def test_an_org_is_made_with_what_one_signs_in_with_and_deleted(stage):
    own = {"username": "ada@globex.example", "password": "secret", "client_id": "mine"}
    status, made = await stage.ask("POST", "/sandbox/orgs", {"name": "Globex", **own})
    assert status == 201
    assert made.items() >= {**own, "name": "Globex", "client_secret": "secret-globex"}.items()
    assert made["id"].startswith("00D")
    assert made in await stage.see("/sandbox/orgs")
    for twin in ({"name": "globex"}, {"name": "x", "username": own["username"]}):
        assert (await stage.ask("POST", "/sandbox/orgs", twin))[0] == 409
    assert (await stage.ask("POST", "/sandbox/orgs", {"name": "<b>"}))[0] == 422
    assert (await stage.ask("DELETE", f"/sandbox/orgs/{made['id']}"))[0] == 204
    assert [each["name"] for each in await stage.see("/sandbox/orgs")] == ["acme"]
    assert (await stage.ask("GET", f"/sandbox/effects?org={made['id']}"))[0] == 404


async def test_what_is_deployed_fires_and_ends_when_it_is_deleted(stage):
    got = list[str]()

    async def receive(request: web.Request) -> web.Response:
        got.append(await request.text())
        return web.Response(text=ACK if len(got) > 1 else "no", content_type="text/xml")

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = {"client_id": "halflap-acme", "client_secret": "secret-acme"}
    form = {"grant_type": "client_credentials", **client}
    async with stage.http.post(f"{stage.base}/services/oauth2/token", data=form) as response:
        stage.http.headers["Authorization"] = f"Bearer {(await response.json())['access_token']}"
    message = {
        "apiVersion": 63.0,
        "endpointUrl": f"http://127.0.0.1:{runner.addresses[0][1]}/hook",
        "fields": ["Id", "Amount"],
        "includeSessionId": False,
        "integrationUser": "admin@acme.example",
        "name": "Tell",
        "protected": False,
        "useDeadLetterQueue": False,
    }
    rule = {
        "actions": [{"name": "Tell", "type": "OutboundMessage"}],
        "active": True,
        "formula": "OR(ISNEW(), ISCHANGED(Amount))",
        "triggerType": "onAllChanges",
    }
    ids = list[str]()
    for kind, body in (("WorkflowOutboundMessage", message), ("WorkflowRule", rule)):
        path = f"/services/data/v63.0/tooling/sobjects/{kind}"
        made = {"FullName": "Opportunity.Tell", "Metadata": body}
        status, said = await stage.ask("POST", path, made)
        assert status == 201, said
        ids.append(f"{path}/{said['id']}")

    _, record = await stage.edit("create", values=OPPORTUNITY)
    await until(lambda: len(got) == 2)
    assert f"<sf:Id>{record['Id']}</sf:Id>" in got[0]
    assert "<sf:Amount>10.0</sf:Amount>" in got[1]
    assert got[0] == got[1]
    await stage.edit("update", id=record["Id"], values={"Name": "y"})
    tries = await stage.see("/sandbox/deliveries?org=acme")
    assert [each["outcome"] for each in tries] == ["failed", "delivered"]
    shown = (await stage.see("/sandbox/overview"))["shown"]
    assert [each["name"] for each in shown["messages"]] == ["Opportunity.Tell"]
    assert [each["status"] for each in shown["flows"]] == ["Active"]

    for path in reversed(ids):
        assert (await stage.ask("DELETE", path))[0] == 204
    await stage.edit("update", id=record["Id"], values={"Amount": 30})
    assert (await stage.see("/sandbox/pending?org=acme"))["pending"] == 0
    assert len(got) == 2
    await runner.cleanup()


async def test_a_person_edits_records_and_every_write_is_listed(stage):
    status, made = await stage.edit("create", values=OPPORTUNITY)
    assert (status, made["Amount"]) == (200, 10.0)
    status, changed = await stage.edit("update", id=made["Id"][:15], values={"Amount": "20"})
    assert (status, changed["Amount"], changed["Name"]) == (200, 20.0, "Suit")
    assert await stage.edit("delete", id=made["Id"]) == (204, None)
    written = await stage.see(f"/sandbox/effects?org=acme&record={made['Id']}")
    assert [(each["kind"], each["by"]) for each in written] == [
        ("created", "person"),
        ("updated", "person"),
        ("deleted", "person"),
    ]
    assert written[1]["values"]["Amount"] == 20.0
    assert await stage.see("/sandbox/effects?org=acme&object=Account") == []


async def test_an_edit_that_salesforce_refuses_says_why(stage):
    status, said = await stage.edit("create", values={"Name": "x"})
    assert status == 400
    assert said["error"]["code"] == "REQUIRED_FIELD_MISSING"
    assert "StageName" in said["error"]["fields"]
    assert (await stage.edit("update", values={}))[0] == 422
    assert (await stage.edit("update", id="006000000000000AAA", values={}))[0] == 404
    assert (await stage.ask("POST", "/sandbox/orgs/none/records", {}))[0] == 404


async def test_faults_are_set_for_one_org_or_all_and_never_meet_the_backstage(stage):
    (acme,) = await stage.see("/sandbox/orgs")
    status, active = await stage.ask("POST", "/sandbox/faults", {"org": "acme", "error_rate": 1})
    assert status == 200
    assert active["all"] is None
    assert active["orgs"][acme["id"]]["error_rate"] == 1
    assert (await stage.ask("POST", "/sandbox/faults", {"fail_next": 2}))[1]["all"]["fail_next"]
    assert (await stage.edit("create", values=OPPORTUNITY))[0] == 200
    assert (await stage.ask("DELETE", "/sandbox/faults?org=acme"))[0] == 204
    assert (await stage.see("/sandbox/faults"))["orgs"] == {}
    assert (await stage.ask("DELETE", "/sandbox/faults"))[0] == 204
    assert await stage.see("/sandbox/faults") == {"all": None, "orgs": {}}
    for wrong in ({"workspace": "x"}, {"drop_notification_rate": 2}):
        assert (await stage.ask("POST", "/sandbox/faults", wrong))[0] == 422
    assert (await stage.ask("POST", "/sandbox/faults", {"org": "none"}))[0] == 404


async def test_an_overview_shows_the_newest_of_an_org(stage):
    for number in range(12):
        await stage.edit("create", values={**OPPORTUNITY, "Name": str(number)})
    shown = (await stage.see("/sandbox/overview?org=acme"))["shown"]
    assert shown["counts"]["opportunities"] == 12
    assert [each["Name"] for each in shown["opportunities"]][:2] == ["11", "10"]
    assert len(shown["opportunities"]) == 10
    assert shown["pending"] == 0
    assert await stage.see("/sandbox/pending?org=acme") == {"pending": 0, "messages": {}}
    assert await stage.see("/sandbox/deliveries?org=acme") == []
    assert await stage.see("/sandbox/dead-letters?org=acme") == []


@pytest.mark.browser
async def test_the_page_of_a_salesforce_shows_records_inertly_and_edits_them(stage):
    from playwright.async_api import async_playwright

    hostile = "<img src=x onerror=\"document.title='owned'\">"
    _, made = await stage.edit("create", values={**OPPORTUNITY, "Name": hostile})
    await stage.edit("create", values=OPPORTUNITY)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu"], chromium_sandbox=False
        )
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE * 1_000)
        wrong = list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        await page.goto(stage.base)
        amount = page.get_by_label(f"Amount of {hostile}")
        await amount.fill("20.5")
        await amount.press("Enter")
        await page.get_by_label("Stage").first.wait_for()
        async with asyncio.timeout(DEADLINE):
            path = f"/sandbox/effects?org=acme&record={made['Id']}"
            while len(written := await stage.see(path)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert written[1]["values"]["Amount"] == 20.5

        await page.get_by_label("Stage").last.select_option("Closed Won")
        await page.get_by_role("button", name="Add to accounts").click()
        await page.get_by_label("Name", exact=True).fill("Wayne")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_label("Name of Wayne").wait_for()
        await page.get_by_label("Name of Wayne").fill("")
        await page.get_by_label("Name of Wayne").press("Enter")
        await page.locator("td input:invalid").wait_for()
        assert await page.title() == "Salesforce (sandbox)"
        assert await page.locator("td img").count() == 0

        async def is_won() -> bool:
            stages = await stage.see("/sandbox/effects?org=acme&object=Opportunity")
            return stages[-1]["values"]["StageName"] == "Closed Won"

        await until(is_won)
        assert [text for text in wrong if "400" not in text] == []
        await browser.close()
