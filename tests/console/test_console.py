"""The console in real Chromium: find, explain, replay; live, by keyboard, and with hostile texts."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import oidc_provider_mock
import pytest
from playwright.async_api import Page, Request, Route, expect

from halflap.api.operations.executions import Executions
from halflap.api.operations.oidc import Provider, ProviderSettings
from halflap.model import Rejection
from halflap.server.host import Host
from halflap.store.shards import ListenerKey
from tests.console.desk import Desk, at_rest, find, opened, show, visit
from tests.console.hostile import EACH_HOSTILE
from tests.console.looks import style
from tests.console.place import Place
from tests.polling import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


@pytest.fixture(autouse=True)
def strict(place: Place) -> None:
    """The shop refuses what an order wishes it to refuse, until a test says otherwise."""
    place.shop.kind = False


def number() -> str:
    """An order's number that no other test has."""
    return f"N{uuid4().hex[:10]}"


async def active(place: Place, folder: Path, text: str) -> dict[str, str]:
    """Publish an integration that needs no connection, and return the URLs of an active instance."""
    await place.publish(folder, text)
    name = text.split(maxsplit=2)[1]
    customer = await place.api("POST", "/customers", {"name": f"{name} {number()}"})
    draft = {"customer": customer["id"], "integration": name, "name": name}
    made = await place.api("POST", "/instances", draft)
    return (await place.api("POST", f"/instances/{made['id']}/activate", wait="30"))["urls"]


def word() -> str:
    """A word of letters that no other test has: a cause keeps it, as it keeps no number."""
    return uuid4().hex[:6].translate(str.maketrans("0123456789", "ghijklmnop"))


async def test_who_is_not_signed_in_signs_in_and_comes_to_where_they_wanted(
    place: Place, desk: Desk
) -> None:
    added = await place.api("POST", "/users", {"email": "ada@example.com", "role": "support"})
    async with opened(desk.out, f"/sign-in#link={added['link']}") as page:
        await page.get_by_label("New password").fill("too short")
        await expect(page.get_by_text("It is shorter than 12 characters.")).to_be_visible()
        await page.get_by_label("New password").fill("correct horse battery")
        await page.get_by_role("button", name="Set the password").click()
        await expect(page.get_by_text("Your password is set")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("heading", name="Sign in to Halflap").wait_for()
    async with opened(desk.out, "/executions?state=%5B%22failed%22%5D") as page:
        await page.get_by_label("Email").fill("ada@example.com")
        await page.get_by_label("Password").fill("a wrong password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Executions").wait_for()
        await expect(page.get_by_role("button", name="failed", pressed=True)).to_be_visible()
        await expect(page.get_by_text("ada@example.com")).to_be_visible()
        # A link is good once, and nothing of it stays in the address.
        await page.goto(f"{place.url}/console/sign-in#link={added['link']}")
        await expect(page.get_by_role("alert")).to_be_visible()
        await expect(page).to_have_url(re.compile("^[^#]*$"))


@pytest.mark.filterwarnings("ignore")  # the provider's own
async def test_people_sign_in_at_the_teams_provider(
    place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.api("POST", "/users", {"email": "may@example.com", "role": "support"})
    known = {"email": "may@example.com", "email_verified": True}
    unknown = {"email": "nobody@example.com", "email_verified": True}
    users = [
        oidc_provider_mock.User(sub="may", claims=known),
        oidc_provider_mock.User(sub="nobody", claims=unknown),
    ]
    host = place.host
    with oidc_provider_mock.run_server_in_thread(require_nonce=True, user_claims=users) as server:
        named = f"localhost:{server.server_port}"
        settings = ProviderSettings(f"http://{named}", "us", "a secret as long as a key is", "")
        monkeypatch.setattr(host.operations.people, "provider", provider_of(host, settings))
        async with opened(desk.out, "/failures") as page:
            button = page.get_by_role("button", name=f"Sign in with {named}")
            await button.click()
            await page.get_by_role("button", name="Deny").click()
            await expect(page.get_by_role("alert")).to_contain_text("did not sign you in: access")
            await expect(page).to_have_url(re.compile("/console/sign-in$"))
            await button.click()
            await page.get_by_role("button", name="nobody").click()
            await expect(page.get_by_role("alert")).to_be_visible()
            await expect(page).to_have_url(re.compile("/console/sign-in$"))
            await button.click()
            await page.get_by_role("button", name="may", exact=True).click()
            # Back where it was wanted, with nothing of the sign-in in the address.
            await page.get_by_role("heading", name="Failures").wait_for()
            await expect(page).to_have_url(f"{place.url}/console/failures")
            await expect(page.get_by_text("may@example.com")).to_be_visible()
            await page.get_by_role("button", name="Sign out").click()
            await button.wait_for()
    # It is away: that is said, and there are other ways in.
    monkeypatch.setattr(host.operations.people, "provider", provider_of(host, settings))
    async with opened(desk.out, "/failures") as page:
        await page.get_by_role("button", name=f"Sign in with {named}").click()
        await expect(page.get_by_role("alert")).to_contain_text("provider")
        await expect(page.get_by_label("Email")).to_be_editable()


def provider_of(host: Host, settings: ProviderSettings) -> Provider:
    """Return a provider as a server makes it from its settings."""
    return Provider(
        settings, host.store.vault, host.clock, lambda: f"{host.base_url}/console/sign-in"
    )


async def test_a_viewer_sees_no_payloads_and_no_buttons(place: Place, desk: Desk) -> None:
    failed = await place.send("Initech", number(), "refuse 422 a secret of ours")
    await place.until(failed, "failed")
    added = await place.api("POST", "/users", {"email": "eve@example.com", "role": "viewer"})
    async with opened(desk.out, f"/sign-in#link={added['link']}") as page:
        await page.wait_for_url("**/console/account")
        await visit(page, f"/executions/{failed}")
        await page.get_by_role("option", name="webhook.request").click()
        await expect(page.get_by_text("Your role does not show")).to_be_visible()
        await page.get_by_role("option", name="Find the customer").click()
        await page.get_by_role("tab", name="Output").click()
        await expect(page.get_by_text("Your role does not show")).to_be_visible()
        assert await page.get_by_role("button", name="Replay").count() == 0
        assert "a secret of ours" not in await page.content()
        await visit(page, f"/search?q={failed}")
        await expect(page.get_by_role("grid").get_by_role("row")).to_have_count(2)  # by its id
        await expect(page.get_by_text("Your role does not show what was sent")).to_be_visible()
        await visit(page, "/search?q=a%20secret%20of%20ours")
        await expect(page.get_by_text("Nothing has this text")).to_be_visible()


async def test_an_order_is_found_by_its_number_explained_and_replayed_from_its_failed_step(
    place: Place, desk: Desk
) -> None:
    order = number()
    failed = await place.send("Initech", order, "refuse 422 the total is missing")
    await place.until(failed, "failed")
    async with opened(desk, "/executions") as page:
        await page.get_by_role("searchbox", name="Find by record").fill(order)
        await page.keyboard.press("Enter")
        rows = page.get_by_role("grid", name="Executions").get_by_role("row").filter(has_text=order)
        await rows.first.click()
        await expect(page).to_have_url(re.compile(f"key={order}"))
        sheet = page.get_by_role("complementary", name="Execution")
        await expect(sheet.get_by_test_id("why")).to_contain_text("“Create the order” failed: POST")
        await expect(sheet.get_by_test_id("why")).to_contain_text("422: the total is missing")
        steps = sheet.get_by_role("listbox", name="Steps")
        await expect(steps.get_by_role("option", name="Reserve the goods")).to_contain_text("×2")
        await expect(steps.get_by_role("option", selected=True)).to_contain_text("Create the order")

        await steps.get_by_role("option", name="Reserve the goods").click()
        await sheet.get_by_role("tab", name="Output").click()
        await expect(sheet.get_by_role("tabpanel", name="Output").locator("pre")).to_contain_text(
            "9007199254740993"
        )

        place.shop.kind = True
        await sheet.get_by_role("button", name="Replay").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("radio", name="From the failed step")).to_be_checked()
        await dialog.get_by_role("button", name="Replay").click()
        await page.wait_for_url(re.compile("/console/executions/exe_"))
        await expect(page.get_by_test_id("why")).to_have_text("All of its steps succeeded.")
        await page.get_by_role("tab", name="Lineage").click()
        await expect(page.get_by_text("from the failed step", exact=True)).to_be_visible()
    assert [each["number"] for each in place.shop.orders].count(order) == 1


async def test_a_complaint_leads_to_the_failed_execution_in_three_clicks(
    place: Place, desk: Desk
) -> None:
    parcel = number()
    failed = await place.send("Globex", number(), "refuse 422 the total is missing", parcel=parcel)
    await place.until(failed, "failed")
    async with opened(desk, "/executions") as page:
        # "Parcel … did not arrive": no record has this number, an event has.
        await page.get_by_role("searchbox", name="Find by record").click()
        await page.keyboard.type(parcel)
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name=f"Search everything for “{parcel}”").click()
        row = page.get_by_role("grid", name="Found").get_by_role("row").nth(1)
        await expect(row.locator("mark")).to_have_text(parcel)
        await expect(row).to_contain_text("Event")
        await row.click()
        sheet = page.get_by_role("complementary", name="Execution")
        await expect(sheet.get_by_test_id("why")).to_contain_text("422: the total is missing")
        await expect(sheet.get_by_role("option", selected=True)).to_contain_text("webhook.request")
        await expect(sheet.get_by_label("Body", exact=True)).to_contain_text(parcel)

        await expect(page.get_by_test_id("progress")).to_contain_text("all of it is searched")
        await page.reload()
        await expect(sheet.get_by_test_id("why")).to_be_visible()
        await page.get_by_role("searchbox", name="Text to search for").fill("ab")
        await page.get_by_role("button", name="Search", exact=True).click()
        await expect(page.get_by_text("Type 3 characters at least.")).to_be_visible()
        # Steps and logs are found, too, each with its place; a range of time leaves them out.
        order = (await place.api("GET", f"/executions/{failed}"))["key"]
        for text, where in (
            (f"booking the order {order}", "Log"),
            ('"asked":', "Output of Reserve"),
        ):
            await page.get_by_role("searchbox", name="Text to search for").fill(text)
            await page.keyboard.press("Enter")
            await expect(row).to_contain_text(where)
            await expect(row.locator("mark")).to_have_text(text)
        await visit(page, f"/search?q={parcel}&until=1h")
        await expect(page.get_by_text("Nothing has this text")).to_be_visible()
        await page.get_by_role("button", name="Remove the filter Until").click()
        await expect(row.locator("mark")).to_have_text(parcel)


async def test_a_search_is_stopped_and_goes_on_where_it_was(
    place: Place, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = number()
    sent = [await place.send("Initech", number(), note=item) for _ in range(4)]
    for each in sent:
        await place.until(each, "succeeded")
    going = asyncio.Semaphore(2)
    listed = Executions.list

    async def one_a_page(self: Any, which: Any, *more: Any, **options: Any) -> Any:
        if not which.payload:
            return await listed(self, which, *more, **options)
        await going.acquire()
        return await listed(self, which, *more, examine=1)

    monkeypatch.setattr(Executions, "list", one_a_page)
    async with opened(desk, f"/search?q={item}") as page:
        progress = page.get_by_test_id("progress")
        await expect(progress).to_contain_text("2 found · searched back to")
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Search further back").click()
        for _ in range(2000):
            going.release()
        await expect(progress).to_contain_text("4 found · all of it is searched")
        assert await page.get_by_role("grid", name="Found").get_by_role("row").count() == 5


async def test_filters_are_chips_in_the_address_which_keys_remove(place: Place, desk: Desk) -> None:
    order = number()
    failed = await place.send("Umbrella", order, "refuse 418 a teapot")
    await place.until(failed, "failed")
    async with opened(desk, "/executions") as page:
        await page.get_by_role("button", name="Filter", exact=True).click()
        await page.get_by_label("Ran at least").fill("5")
        await page.get_by_label("Version").fill("3")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_text("such as 500 ms, 5 s, or 2 min")).to_be_visible()
        await expect(page.get_by_text("say of which integration")).to_be_visible()
        given = {
            "Version": "1",
            "Integration": "orders",
            "Trigger": "webhook.request",
            "Component that failed": "http",
            "Kind of error": (await place.api("GET", f"/executions/{failed}"))["failure"]["kind"],
            "HTTP status": "418",
            "Ran at least": "1 ms",
        }
        for label, text in given.items():
            await page.get_by_label(label, exact=True).fill(text)
        await page.get_by_role("button", name="Apply").click()
        grid = page.get_by_role("grid", name="Executions")
        await expect(grid.get_by_text(order)).to_be_visible()
        await expect(page.get_by_test_id("total")).to_have_text("1")
        assert "min_ms=1&" in f"{page.url}&"
        assert "failure_kind=" in page.url
        await page.reload()
        await expect(grid.get_by_text(order)).to_be_visible()

        chips = page.get_by_role("button", name="Remove the filter")
        await expect(chips).to_have_count(len(given))
        await chips.first.focus()
        for left in reversed(range(len(given))):
            await expect(chips.and_(page.locator(":focus"))).to_have_count(1)
            await page.keyboard.press("Delete")
            await expect(chips).to_have_count(left)
        await expect(page.get_by_role("button", name="Filter", exact=True)).to_be_focused()
        await visit(page, f"/executions?replay_of={failed}")
        await expect(page.get_by_text("No execution matches")).to_be_visible()


async def test_an_event_is_edited_for_a_replay_and_its_numbers_keep_their_digits(
    place: Place, desk: Desk
) -> None:
    order = number()
    failed = await place.send("Initech", order, "refuse 422 no", big=9007199254740993)
    await place.until(failed, "failed")
    async with opened(desk, f"/executions/{failed}") as page:
        await page.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Replay from the start").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("checkbox", name="With an edited event").check()
        body = dialog.get_by_role("textbox", name="Body of the event")
        text = await body.input_value()
        assert '"big": 9007199254740993' in text
        await body.fill("{")
        fault = dialog.get_by_text("It is no JSON: Expected property name")
        await expect(fault).to_contain_text("(line 1 column 2)")
        await dialog.get_by_role("button", name="Replay", exact=True).click()
        await expect(fault).to_be_visible()
        assert (await place.api("GET", f"/executions/{failed}"))["replays"] == []
        await body.fill(text.replace('"refuse 422 no"', '"fine"'))
        # What was typed outlives a click beside the dialog, and the session.
        await page.mouse.click(4, 4)
        await expect(dialog).to_have_count(0)
        ended = await page.context.cookies()
        await page.context.clear_cookies()
        # A page that comes back loads all of it anew: each of its requests finds the session's end.
        for each in ("pagehide", "pageshow"):
            await page.evaluate(f"dispatchEvent(new PageTransitionEvent('{each}'))")
        await expect(page.get_by_text("Your session has ended.")).to_be_visible()
        ended_at = f"/sign-in?to=%2Fexecutions%2F{failed}&ended=true"
        await expect(page).to_have_url(re.compile(f"{re.escape(ended_at)}$"))
        await page.context.add_cookies(ended)  # pyright: ignore[reportArgumentType]
        held: list[Route] = []
        await page.route("**/executions/*/body", lambda each: held.append(each))
        await page.goto(f"/console/executions/{failed}")
        await page.get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Replay from the start").click()
        # What was typed is sent, though the event that it was made of has not come yet.
        await dialog.get_by_role("button", name="Replay").click()
        await page.wait_for_url(lambda url: failed not in url)
        await expect(page.get_by_test_id("why")).to_have_text("All of its steps succeeded.")
        await page.unroute("**/executions/*/body")
        assert held, "nothing was held back"
        # It does not look like the customer's own: in its head, in its steps, in lists.
        edit = "Event edited by local for this replay"
        await expect(page.get_by_text(edit)).to_be_visible()
        trigger = page.get_by_role("option", name="webhook.request")
        await expect(trigger.get_by_title("event edited by local")).to_be_visible()
        await page.get_by_role("button", name="what differs from the event that came").click()
        await expect(page.get_by_label("Body", exact=True)).to_contain_text("9007199254740993")
        difference = page.get_by_role("group", name="Difference")
        rows = difference.get_by_role("row")
        await expect(rows.filter(has_text='-  "wish": "refuse 422 no"')).to_be_visible()
        await expect(rows.filter(has_text='+  "wish": "fine"')).to_be_visible()
        await at_rest(page)
        await page.get_by_role("link", name="Open the event as it came").click()
        await page.wait_for_url(f"**/executions/{failed}?*")
        await expect(page.get_by_label("Body", exact=True)).to_contain_text("refuse 422 no")
        await expect(page.get_by_text(edit)).to_have_count(0)
        await visit(page, f"/executions?key={order}")
        rows = page.get_by_role("grid", name="Executions").get_by_role("row")
        await expect(rows).to_have_count(3)
        await expect(rows.filter(has_text="edited event")).to_have_count(1)
    assert place.shop.orders[-1]["number"] == order


async def test_a_bulk_is_ended_early_by_who_says_so_twice(place: Place, desk: Desk) -> None:
    cause = f"never {word()} more"
    for each in [await place.send("Globex", number(), f"refuse 409 {cause}") for _ in range(3)]:
        failed = await place.until(each, "failed")
    where = {"state": "failed", "cause": failed["cause"]}
    draft = {"do": "dismiss", "where": where, "rate": 0.001}
    bulk = (await place.api("POST", "/bulks", draft))["id"]
    async with opened(desk, f"/failures/bulks?open={bulk}") as page:
        opened_one = page.get_by_role("complementary", name="Bulk")
        await opened_one.get_by_role("button", name="End it early…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("2 are left as they are")
        await dialog.get_by_role("button", name="End it").click()
        await expect(opened_one.get_by_text("cancelled").first).to_be_visible()
    assert (await place.api("GET", f"/bulks/{bulk}"))["done"] == 1


async def test_failures_of_one_cause_are_replayed_together(place: Place, desk: Desk) -> None:
    cause = f"never {word()} again"
    sent = [await place.send("Globex", number(), f"refuse 409 {cause}") for _ in range(5)]
    for each in sent:
        await place.until(each, "failed")
    place.shop.kind = True
    async with opened(desk, "/failures") as page:
        causes = page.get_by_role("grid", name="Causes")
        row = causes.get_by_role("row").filter(has_text=cause)
        await expect(row).to_contain_text("5")
        # A time that is none lists nothing, so that nothing is done by a wider filter than meant.
        since = page.get_by_label("Since, e.g. 2h")
        await since.fill("thirty seconds")
        await since.press("Enter")
        await expect(page.get_by_text("“thirty seconds” is no time")).to_be_visible()
        await expect(since).to_have_attribute("aria-invalid", "true")
        await expect(causes).to_have_count(0)
        await since.fill("1h 30m")
        await since.press("Enter")
        await row.click()
        await page.get_by_role("button", name="Replay all…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("5 executions are meant.")).to_be_visible()
        await dialog.get_by_role("button", name="Replay 5").click()
        await expect(dialog.get_by_text("5 of 5")).to_be_visible()
        await expect(dialog.get_by_text("5 replayed", exact=True)).to_be_visible()
        await expect(dialog.get_by_text("It goes on if you close this.")).to_have_count(0)
        await expect(dialog.get_by_text("succeeded").first).to_be_visible()
        await dialog.get_by_role("button", name="Close").last.click()
        await expect(row).to_have_count(0)
        # It is found again: in the list of bulks, and by its id.
        [bulk] = (await place.api("GET", "/bulks", do="replay", limit="1"))["items"]
        await page.get_by_role("link", name="Bulks").click()
        await page.get_by_role("group", name="What is done").get_by_text("replay").click()
        await page.get_by_role("grid", name="Bulks").get_by_role("row").nth(1).click()
        opened_one = page.get_by_role("complementary", name="Bulk")
        await expect(opened_one.get_by_text("5 of 5")).to_be_visible()
        await expect(page).to_have_url(re.compile(f"open={bulk['id']}"))
        await visit(page, "/failures?flow=order&customer=Globex")
        await expect(page.get_by_label("Flow", exact=True)).to_have_value("order")
        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox").fill(bulk["id"])
        await page.keyboard.press("Enter")
        await expect(opened_one.get_by_text("5 of 5")).to_be_visible()
        # What a replay took over from the execution before is marked, and the way back keeps the list.
        await opened_one.get_by_role("link", name="Show its replays").click()
        await page.get_by_role("grid", name="Executions").get_by_role("row").nth(1).click()
        await expect(page.get_by_role("option").get_by_text("from before").first).to_be_visible()
        await page.get_by_role("link", name="Open in full").click()
        await page.get_by_role("navigation", name="Way back").get_by_role("link").click()
        await expect(page.get_by_role("button", name="Remove the filter Bulk")).to_be_visible()


async def test_a_replay_of_all_warns_of_what_is_not_mended_and_says_what_failed_again(
    place: Place, desk: Desk
) -> None:
    cause = "no stock is left of the goods"
    failed = await place.send("Globex", number(), f"refuse 422 {cause}")
    await place.until(failed, "failed")
    [listed] = (await place.api("GET", "/instances", customer="Globex"))["items"]
    instance = await place.api("GET", f"/instances/{listed['id']}")
    [connection] = instance["connections"].values()
    connections = place.host.store.catalogue.connections
    draft = {"do": "replay", "where": {"customer": "Globex"}, "dry_run": True}
    assert (await place.api("POST", "/bulks", draft))["unmended"] == []  # a control
    stored = await connections.get(connection)
    await connections.set_status(connection, "unauthorized")
    was_kind, place.shop.kind = place.shop.kind, False
    async with opened(desk, "/failures?customer=Globex") as page:
        row = page.get_by_role("grid", name="Causes").get_by_role("row").filter(has_text=cause)
        await row.click()
        await page.get_by_role("button", name="Replay all…").click()
        dialog = page.get_by_role("dialog")
        warning = dialog.get_by_role("region", name="Connections that are not mended")
        await expect(warning).to_contain_text("the app refused its credentials")
        await expect(warning).to_contain_text("last failure")
        await expect(warning.get_by_role("link", name=stored.name)).to_be_visible()
        await at_rest(page)
        await dialog.get_by_role("button", name="Close").last.click()
        await connections.set_status(connection, "working")
        await page.get_by_role("button", name="Replay all…").click()
        await expect(dialog.get_by_text("1 execution is meant.")).to_be_visible()
        await expect(warning).to_have_count(0)
        await dialog.get_by_role("button", name="Replay 1").click()
        await expect(dialog.get_by_text("1 of 1")).to_be_visible()
        await dialog.get_by_role("button", name="Close").last.click()
        await visit(page, "/failures/bulks")
        grid = page.get_by_role("grid", name="Bulks")
        await expect(grid.get_by_role("columnheader", name="Failed again")).to_be_visible()
        [bulk] = (await place.api("GET", "/bulks", do="replay", limit="1"))["items"]
        first = grid.get_by_role("row").nth(1)

        async def counted() -> bool:
            found = await place.api("GET", "/bulks", do="replay", limit="1", started="true")
            return found["items"][0]["started"] == {"failed": 1}

        await until(counted)
        await page.reload()
        again = first.locator(f'a[href*="{bulk["id"]}"]')
        await expect(again).to_have_text("1")
        await at_rest(page)
    place.shop.kind = was_kind


async def test_a_replay_of_all_that_would_be_left_out_is_not_offered(
    place: Place, desk: Desk
) -> None:
    name = f"Left {number()}"
    await place.customer(name)
    failed = await place.send(name, number(), "refuse 422 it was left out")
    await place.until(failed, "failed")
    [instance] = (await place.api("GET", "/instances", customer=name))["items"]
    await place.api("POST", f"/instances/{instance['id']}/disable")
    async with opened(desk, f"/failures?customer={quote(name)}") as page:
        await page.get_by_role("grid").get_by_role("row").filter(has_text="left out").click()
        await page.get_by_role("button", name="Replay all…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("1 of them would be left out.")
        await expect(dialog).to_contain_text("activate it, then replay")
        await expect(dialog.get_by_role("button", name="Replay 1")).to_be_disabled()


async def test_numbers_and_activities_lead_to_what_they_are_about(place: Place, desk: Desk) -> None:
    order = number()
    failed = await place.send("Umbrella", order, "refuse 418 a teapot")
    await place.until(failed, "failed")
    endpoint = place.hooks["Umbrella"].rpartition("/")[2]
    refused = Rejection(endpoint, place.host.store.clock(), "it is not signed", 401, (("x", "y"),))
    place.host.store.catalogue.rejections.note(refused)
    async with opened(desk, "/overview?period=1h&customer=Umbrella") as page:
        shares = page.get_by_role("region", name="By customer").get_by_role("row")
        count = shares.filter(has_text="Umbrella").get_by_role("cell").nth(2)
        await expect(count).not_to_have_text("0")
        told = await count.inner_text()
        ended = page.get_by_role("region", name="Outcomes")
        await ended.get_by_role("button", name="As a table").click()
        table = ended.get_by_role("list", name="Outcomes")
        await expect(table.get_by_role("listitem").first).to_contain_text("came")
        await count.get_by_role("link").click()
        await expect(page.get_by_test_id("total")).to_have_text(told)

        pages = page.get_by_role("navigation", name="Pages")
        await pages.get_by_role("link", name="Activity").click()
        await page.get_by_role("searchbox", name="Text of a line").fill(
            f"booking the order {order}"
        )
        lines = page.get_by_role("grid", name="Logs").get_by_role("row")
        await expect(lines).to_have_count(2)
        until = page.get_by_placeholder("Until")
        await until.fill("yesterday 10:00")
        await expect(page.get_by_text("No line matches")).to_be_visible()
        await until.fill("")
        await expect(lines).to_have_count(2)
        await lines.nth(1).click()
        await page.get_by_role("link", name="Open its execution").click()
        await page.wait_for_url(f"**/executions/{failed}?view=logs")
        await pages.get_by_role("link", name="Activity").click()
        tabs = page.get_by_role("navigation", name="Activity")
        await tabs.get_by_role("link", name="Rejected requests").click()
        await page.get_by_role("searchbox", name="Why").fill("NOT signed")
        await page.wait_for_url("**q=NOT*")
        await page.get_by_role("grid", name="Rejected requests").get_by_role("row").nth(1).click()
        sheet = page.get_by_role("complementary", name="Rejected request")
        await expect(sheet.get_by_role("heading", name="401 it is not signed")).to_be_visible()
        await expect(sheet.get_by_role("link", name="orders")).to_be_visible()
        await tabs.get_by_role("link", name="Schedules").click()
        await expect(page.get_by_text("No schedules")).to_be_visible()
        await tabs.get_by_role("link", name="Audit").click()
        # What was done is found in words; the look at all logs stands under each customer, by name.
        await page.get_by_role("combobox", name="What was done").fill("lines that authors")
        await page.get_by_role("option", name="look at logs").click()
        await page.wait_for_url("**operation=list_logs")
        await page.get_by_role("searchbox", name="Customer").fill("Umbrella")
        await page.get_by_role("searchbox", name="Until").fill("one day")
        await expect(page.get_by_text("“one day” is no time")).to_be_visible()
        await page.get_by_role("searchbox", name="Until").fill("")
        await page.get_by_role("searchbox", name="Since").fill("1h")
        await page.wait_for_url("**since=1h")
        await page.get_by_role("grid", name="Audit").get_by_role("row").nth(1).click()
        entry = page.get_by_role("complementary", name="Entry")
        await expect(entry.get_by_role("heading", name="look at logs")).to_be_visible()
        await expect(entry.get_by_role("link", name="Umbrella")).to_be_visible()
        await page.reload()
        await expect(entry.get_by_role("link", name="Umbrella")).to_be_visible()
        who = entry.get_by_role("definition").filter(has_text="local")
        await who.get_by_role("button", name="all entries about it").click()
        await page.wait_for_url("**/audit?actor=usr_*")
        await expect(page.get_by_role("grid", name="Audit")).to_contain_text("look at logs")


async def test_failures_are_dismissed_together_and_leave_another_s_list(
    place: Place, desk: Desk
) -> None:
    failed = await place.send("Umbrella", number(), "refuse 410 it is gone for good")
    await place.until(failed, "failed")
    failures = "/failures?customer=Umbrella"
    async with opened(desk, failures) as page, opened(desk, failures) as other:
        row, theirs = (
            each.get_by_role("grid").get_by_role("row").filter(has_text="gone for good")
            for each in (page, other)
        )
        await expect(theirs).to_be_visible()
        await row.click()
        await page.get_by_role("button", name="Dismiss all…").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Dismissing runs nothing")
        await page.get_by_role("dialog").get_by_role("button", name="Dismiss 1").click()
        await expect(page.get_by_role("dialog").get_by_text("1 of 1")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(row).to_have_count(0)
        await expect(theirs).to_have_count(0)
    assert (await place.api("GET", f"/executions/{failed}"))["dismissed"] is True


async def test_one_that_waits_says_for_what_and_is_cancelled(place: Place, desk: Desk) -> None:
    waiting = await place.send("Initech", number(), "wait")
    await place.until(waiting, "waiting")
    async with opened(desk, f"/executions/{waiting}") as page:
        await expect(page.get_by_test_id("why")).to_contain_text("It waits for the signal “")
        await expect(page.get_by_role("option", selected=True)).to_contain_text(
            "Wait for the approval"
        )
        await page.get_by_role("button", name="Cancel").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Reason").fill("a mistake of ours")
        await dialog.get_by_role("button", name="Cancel the execution").click()
        await expect(page.get_by_test_id("why")).to_have_text("It was cancelled: a mistake of ours")
        waited = page.get_by_role("option").filter(has_text="Wait for the approval")
        await expect(waited.get_by_title("cancelled")).to_be_visible()


async def test_an_approval_is_given_from_the_page_with_the_digits_that_were_typed(
    place: Place, desk: Desk
) -> None:
    waiting = await place.send("Initech", number(), "wait")
    await place.until(waiting, "waiting")
    async with opened(desk, f"/executions/{waiting}") as page:
        await page.get_by_role("button", name="Answer…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("waits for the signal approved")
        answer = dialog.get_by_role("textbox", name="Answer")
        await answer.fill('{"by": "Ada", "total": 9007199254740993')
        await dialog.get_by_role("button", name="Send the answer").click()
        await expect(dialog.get_by_text("(line 1 column 40)")).to_be_visible()
        await expect(dialog.get_by_text("JSON, as the flow expects it")).to_be_visible()
        await page.reload()  # nothing that was typed is lost
        await page.get_by_role("button", name="Answer…").click()
        await expect(answer).to_have_value('{"by": "Ada", "total": 9007199254740993')
        await answer.fill('{"by": "Ada", "total": 9007199254740993}')
        await dialog.get_by_role("button", name="Send the answer").click()
        await expect(page.get_by_test_id("why")).to_have_text("All of its steps succeeded.")
        await page.get_by_role("option", name="Wait for the approval").click()
        output = page.get_by_role("tabpanel", name="Output").locator("pre")
        await expect(output).to_contain_text("9007199254740993")
    [entry] = (await place.api("GET", "/audit", on=waiting, operation="send_signal"))["items"]
    assert entry["label"] == "local"


LOSING = """
name: losing
flows:
  each:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - title: Each line
        for: line
        in: =event.lines
        on_failure: continue
        do:
          - title: Double it
            set: {double: =line * 2}
"""


async def test_items_of_a_loop_that_failed_are_told_and_found(desk: Desk, tmp_path: Path) -> None:
    urls = await active(desk.place, tmp_path, LOSING)
    async with desk.place.http.post(urls["each"], json={"lines": [1, "two", 3]}) as sent:
        id = sent.headers["halflap-execution"]
    await desk.place.until(id, "succeeded")
    async with opened(desk, f"/executions/{id}") as page:
        why = page.get_by_test_id("why")
        await expect(why).to_contain_text("It succeeded, though 1 of 3 items failed.")
        await why.get_by_role("button", name="Show them").click()
        lost = page.get_by_role("list", name="Items that failed").get_by_role("listitem")
        await expect(lost).to_have_count(1)
        await expect(lost).to_contain_text("Item 2")
        await expect(lost).to_contain_text("two")
        await at_rest(page)


ASKING = """
name: asking
flows:
  ask:
    trigger: webhook.request # halflap: ignore[HF114]
    steps:
      - links: answer
        choices: [approve, refuse]
      - title: Wait for a person
        id: answer
        wait: answer
"""


async def test_an_answer_of_links_is_chosen_in_a_form(desk: Desk, tmp_path: Path) -> None:
    place = desk.place
    urls = await active(place, tmp_path, ASKING)
    async with place.http.post(urls["ask"], json={}) as sent:
        waiting = sent.headers["halflap-execution"]
    await place.until(waiting, "waiting")
    first = re.compile(r"(.*/steps\?limit=)200$")

    async def one(route: Route) -> None:  # as the first page of a long execution has not what waits
        await route.continue_(url=first.sub(r"\g<1>1", route.request.url))

    async with opened(desk, "/overview") as page:
        await page.route(first, one)
        await visit(page, f"/executions/{waiting}?view=logs")
        await page.get_by_role("button", name="Answer…").click()
        dialog = page.get_by_role("dialog")
        choice = dialog.get_by_label("Choice")
        await dialog.get_by_role("button", name="Send the answer").click()
        await expect(dialog.get_by_text("Fill this in.")).to_be_visible()
        await at_rest(page)
        await dialog.get_by_role("button", name="Write it as JSON instead").click()
        await expect(dialog.get_by_label("Answer")).to_be_visible()
        await dialog.get_by_role("button", name="Fill in the form instead").click()
        await choice.select_option("approve")
        await dialog.get_by_role("button", name="Send the answer").click()
        await expect(page.get_by_test_id("why")).to_have_text("All of its steps succeeded.")
    steps = (await place.api("GET", f"/executions/{waiting}"))["steps"]
    assert steps[-1]["result"] == {"choice": "approve"}


async def test_the_list_is_live_and_no_row_moves_under_the_pointer(
    place: Place, desk: Desk
) -> None:
    before = number()
    await place.until(await place.send("Initech", before), "succeeded")
    async with opened(desk, "/executions?customer=Initech&since=thirty") as page:
        grid = page.get_by_role("grid", name="Executions")
        await expect(page.get_by_text("“thirty” is no time")).to_be_visible()
        await expect(grid).to_have_count(0)
        await page.get_by_role("button", name="Remove the filter Since").click()
        await grid.wait_for()
    async with opened(desk, "/executions?customer=Initech") as page:
        grid = page.get_by_role("grid", name="Executions")
        await expect(grid.get_by_text(before)).to_be_visible()
        order = number()
        await place.send("Initech", order)
        first = grid.get_by_role("row").nth(1)
        await expect(first).to_contain_text(order)
        await expect(first).to_contain_text("succeeded")

        await grid.get_by_text(before).hover()
        held = number()
        await place.send("Initech", held)
        await expect(page.get_by_role("button", name="1 new")).to_be_visible()
        await expect(grid.get_by_text(held)).to_have_count(0)
        await page.get_by_role("button", name="1 new").click()
        await expect(first).to_contain_text(held)


async def test_one_stream_serves_every_tab_of_a_browser(place: Place, desk: Desk) -> None:
    context = await desk.browser.new_context(base_url=place.url, storage_state=desk.session)
    asked, led = list[str](), list[Page]()

    def note(request: Request) -> None:
        if "/api/stream" in request.url:
            asked.append(request.url)
            led.append(request.frame.page)

    context.on("request", note)
    pages = [await context.new_page() for _ in range(7)]  # a browser has six connections
    for each in pages:
        await each.goto("/console/executions")
        await each.get_by_role("grid").wait_for()
    order = number()
    await place.send("Globex", order)
    for each in pages:
        await expect(each.get_by_text(order)).to_be_visible()
    assert len(asked) == 1
    await pages.pop(0).close()  # it was the one that read the stream: another one takes over
    await until(lambda: len(asked) == 2)
    order = number()
    await place.until(await place.send("Globex", order), "succeeded")
    for each in pages:
        await expect(each.get_by_role("row").filter(has_text=order)).to_contain_text("succeeded")
    assert len(asked) == 2
    # So does one where the browser puts it away, as it does with a page that is in the history.
    put_away = led[-1]
    await put_away.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    await until(lambda: len(asked) == 3)
    order = number()
    await place.send("Globex", order)
    for each in pages:
        await expect(each.get_by_text(order)).to_have_count(0 if each is put_away else 1)
    assert len(asked) == 3
    await put_away.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    await expect(put_away.get_by_text(order)).to_be_visible()
    await context.close()


async def test_keys_alone_lead_to_a_replay(place: Place, desk: Desk) -> None:
    order = number()
    failed = await place.send("Initech", order, "refuse 422 by keys")
    await place.until(failed, "failed")
    place.shop.kind = True
    async with opened(desk, "/failures") as page:
        await page.get_by_role("heading", name="Failures").wait_for()
        await find(page, order)
        await expect(page.get_by_role("option", selected=True)).to_contain_text(order)
        await page.keyboard.press("Enter")
        row = page.get_by_role("row").filter(has_text=order)
        await row.wait_for()
        for _ in range(40):
            if await row.evaluate("row => row === document.activeElement"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        sheet = page.get_by_role("complementary", name="Execution")
        replay = sheet.get_by_role("button", name="Replay")
        await replay.wait_for()
        for _ in range(40):
            if await replay.evaluate("button => button === document.activeElement"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await (
            page.get_by_role("dialog").get_by_role("radio", name="From the failed step").wait_for()
        )
        for _ in range(12):
            if await page.evaluate("document.activeElement.type === 'submit'"):
                break
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile("/console/executions/exe_"))
        await expect(page.get_by_test_id("why")).to_have_text("All of its steps succeeded.")


async def test_a_row_has_the_focus_again_as_what_it_opened_closes(desk: Desk) -> None:
    async with opened(desk, "/connections") as page:
        row = page.get_by_role("grid").get_by_role("row").nth(2)
        await row.click()
        sheet = page.get_by_role("complementary", name="Connection")
        await sheet.get_by_role("button", name="Close").focus()
        await page.keyboard.press("Enter")
        await expect(sheet).to_have_count(0)
        await expect(row).to_be_focused()


async def test_a_lost_connection_is_said_and_what_was_missed_is_loaded(
    place: Place, desk: Desk
) -> None:
    async with opened(desk, "/executions") as page:
        await page.get_by_role("grid").wait_for()
        await page.context.set_offline(True)
        await expect(page.get_by_text("Not connected")).to_be_visible()
        order = number()
        await place.send("Umbrella", order)
        await page.context.set_offline(False)
        await expect(page.get_by_text("Not connected")).to_have_count(0)
        await expect(page.get_by_role("grid").get_by_text(order)).to_be_visible()


async def test_a_page_that_is_not_there_and_an_execution_that_never_was_say_so(
    place: Place, desk: Desk
) -> None:
    async with opened(desk, "/executions/exe_none") as page:
        asked: list[str] = []
        page.on("request", lambda each: asked.append(each.url))
        await page.reload()
        await expect(page.get_by_text(re.compile("no execution", re.I))).to_be_visible()
        await expect(page.get_by_text("halflap executions")).to_have_count(0)
        # The one stream of all tabs would be refused, and they all would be offline.
        assert not [each for each in asked if "/api/stream" in each and "exe_none" in each]
        await page.goto("/console/nothing/here")
        await expect(page.get_by_text("There is no such page")).to_be_visible()
        await expect(page.get_by_role("link", name="Executions")).to_be_visible()


async def saved(page: Page, name: str) -> str:
    """Return the text of the file that the log is downloaded as, by an item of its menu."""
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download the log").click()
        await page.get_by_role("menuitem", name=name).click()
    return (await (await download.value).path()).read_text()


async def test_log_lines_are_downloaded_as_the_page_shows_them(place: Place, desk: Desk) -> None:
    order = number()
    execution = await place.send("Initech", order)
    await place.until(execution, "succeeded")
    async with opened(desk, f"/executions/{execution}?view=logs") as page:
        [line] = (await saved(page, "As text")).splitlines()
        assert line.endswith(f"info     booking the order {order}")
        [line] = (await saved(page, "As lines of JSON")).splitlines()
        logged = await place.api("GET", f"/executions/{execution}/logs")
        assert json.loads(line) == logged["items"][0]
        await visit(page, f"/activity/logs?q={order}")
        await expect(page.get_by_role("grid").get_by_text(order)).to_be_visible()
        [line] = (await saved(page, "As lines of JSON")).splitlines()
        assert json.loads(line)["execution"] == execution
        assert execution in await saved(page, "As text")


async def test_a_page_of_logs_with_nothing_to_show_is_asked_past(place: Place, desk: Desk) -> None:
    order = number()
    await place.until(await place.send("Initech", order), "succeeded")
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) < 7:
            await route.fulfill(json={"items": [], "next": f"exe_{len(asked)}"})
        else:
            await route.continue_(url=f"{place.url}/api/logs?q={order}")

    async with opened(desk, "/overview") as page:
        await page.route("**/api/logs?*", answer)
        await visit(page, f"/activity/logs?q={order}")
        # Each page may read a lot, and is in the audit log: after a few a person asks, not the page.
        await expect(page.get_by_text("Nothing was found so far")).to_be_visible()
        assert len(asked) == 5
        await page.get_by_role("button", name="Look further").click()
        await expect(page.get_by_role("grid").get_by_text(order)).to_be_visible()
    assert [url.partition("before=")[2] for url in asked] == [
        "",
        *(f"exe_{n}" for n in range(1, 7)),
    ]


async def test_on_a_phone_the_page_that_is_open_is_in_sight_in_the_navigation(desk: Desk) -> None:
    async with opened(desk, "/activity/logs", viewport={"width": 390, "height": 800}) as page:
        pages = page.get_by_role("navigation", name="Pages")
        await expect(pages.get_by_role("link", name="Activity")).to_be_in_viewport(ratio=0.9)
        await expect(pages.get_by_role("link", name="Overview")).not_to_be_in_viewport()
        await visit(page, "/executions")
        await expect(pages.get_by_role("link", name="Executions")).to_be_in_viewport(ratio=0.9)
        await expect(pages.get_by_role("link", name="Activity")).not_to_be_in_viewport()


async def test_a_narrow_window_leaves_no_column_out_and_no_cause_is_cut(
    place: Place, desk: Desk
) -> None:
    order = f"{number()}-003892b0000005WAAQ"
    cause = "the total is missing, the date too, and no address was given to which it may be sent"
    failed = await place.send("Initech", order, f"refuse 422 {cause}")
    await place.until(failed, "failed")
    async with opened(
        desk, f"/executions?key={order}", viewport={"width": 800, "height": 700}
    ) as page:
        row = page.get_by_role("grid").get_by_role("row").nth(1)
        for each in ("failed", "order", "Initech", f"Record {order}", "Why 422 Create the order"):
            await expect(row).to_contain_text(each)
        await at_rest(page)
        # The record's number, which is looked for, is whole: the cause makes room for it.
        record = row.get_by_role("gridcell").filter(has_text="Record")
        assert await record.evaluate("each => each.scrollWidth <= each.clientWidth")
        await page.set_viewport_size({"width": 390, "height": 700})
        why = row.get_by_role("gridcell").filter(has_text="Why")
        # What matters less (how long it ran) makes room for why it is so.
        assert await why.evaluate("each => each.clientWidth") > 60
        await page.set_viewport_size({"width": 800, "height": 700})
        await visit(page, "/failures")
        whole = page.get_by_role("grid").get_by_role("gridcell").filter(has_text=cause)
        await expect(whole).to_be_visible()
        wide, shown = await whole.evaluate("each => [each.scrollWidth, each.clientWidth]")
        assert wide <= shown
        await page.set_viewport_size({"width": 1280, "height": 700})
        await expect(page.get_by_role("columnheader", name="Where")).to_be_visible()
        await whole.click()
        sheet = page.get_by_role("complementary", name="Cause")
        await expect(sheet.get_by_text("The newest, whole:")).to_be_visible()


async def test_a_listener_that_stands_still_is_marked_where_instances_are_looked_at(
    place: Place, desk: Desk
) -> None:
    [instance] = (await place.api("GET", "/instances", customer="Umbrella"))["items"]
    shards = place.host.store.journal.shards
    key = ListenerKey(instance["id"], instance["customer"], "order", "s1")
    (owned,) = (await shards.share("w1", [key], (), 600_000_000)).taken
    why = "401: the token was revoked"
    await shards.note(owned.key, owned.fence, "parked", why, "connection:con_1")
    async with opened(desk, "/overview") as page:
        halted = (
            page.get_by_role("region", name="Needs attention")
            .get_by_role("listitem")
            .filter(has_text=why)
        )
        await expect(halted).to_contain_text("parked")
        await expect(halted.get_by_role("link", name="Mend its connection")).to_be_visible()
        await at_rest(page)
        await visit(page, "/instances?customer=Umbrella")
        row = page.get_by_role("grid", name="Instances").get_by_role("row").nth(1)
        mark = row.get_by_role("link", name="listener parked")
        await expect(mark).to_have_attribute("title", f"order: {why}")
        await at_rest(page)
        await mark.click()
        await page.wait_for_url("**/instances/ins_*?view=endpoints")
        await expect(page.get_by_text(why)).to_be_visible()
        await shards.note(owned.key, owned.fence, "listening")
        await show(page, "/overview")
        await expect(halted).to_have_count(0)
    await shards.forget(instance["id"])


@EACH_HOSTILE
async def test_hostile_texts_are_shown_as_texts_everywhere(
    place: Place, desk: Desk, texts: tuple[str, ...]
) -> None:
    name = "<img src=x onerror=owned(0)> <0> {0} ${1} Ltd"
    await place.customer(name)
    left = await place.api("POST", "/customers", {"name": f"{name} that left"})
    gate = asyncio.Semaphore(8)

    async def one(text: str) -> str:
        async with gate:
            wish = f"refuse 422 {text}"
            return await place.send(name, text, wish, customer=quote(text, ""), **{text[:99]: text})

    sent = await asyncio.gather(*map(one, texts))
    for each in sent:
        await place.until(each, "failed")
    async with opened(desk, f"/executions?customer={quote(name)}&state=failed") as page:
        grid = page.get_by_role("grid", name="Executions")
        await expect(grid.get_by_role("gridcell", name=name).first).to_be_visible()

        async def at_the_end() -> bool:
            await grid.evaluate("grid => grid.scrollBy(0, 700)")
            return await page.get_by_text("These are all.").is_visible()

        await until(at_the_end)
        assert await page.locator("main script, main iframe, main img, main style").count() == 0
        await grid.evaluate("grid => grid.scrollTo(0, 0)")
        await find(page, "<img")
        await expect(page.get_by_role("option").filter(has_text=name).first).to_be_visible()
        await page.keyboard.press("Escape")
        sheet = page.get_by_role("complementary", name="Execution")
        for each in sent[:: max(len(sent) // 40, 1)]:
            await visit(page, f"/executions?open={each}")
            full = sheet.get_by_role("link", name="Open in full")
            await expect(full).to_have_attribute("href", f"/console/executions/{each}")
            await expect(sheet.get_by_test_id("why")).to_contain_text("failed:")
            await sheet.get_by_role("option", name="webhook.request").click()
            await expect(sheet.get_by_label("Body", exact=True)).to_contain_text("wish")
            assert await sheet.evaluate("sheet => sheet.scrollWidth <= sheet.clientWidth")
        for view in ("Logs", "Lineage", "Details"):
            await sheet.get_by_role("tab", name=view).click()
        await visit(page, "/failures")
        causes = page.get_by_role("grid", name="Causes").get_by_role("row")
        await causes.nth(1).click()
        await page.get_by_role("complementary", name="Cause").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # In a sentence, too, it is a text.
        await visit(page, f"/customers/{left['id']}?view=settings")
        await page.get_by_role("button", name="Erase…").click()
        dialog = page.get_by_role("dialog", name=f"Erase {left['name']}", exact=True)
        await expect(dialog.locator("strong")).to_have_text(left["name"])
        await dialog.get_by_label("To confirm").fill(left["name"])
        await dialog.get_by_role("button", name="Erase for good").click()
        await expect(page.get_by_text(f"{left['name']} is erased")).to_be_visible()


async def test_the_detector_of_scripts_and_violations_detects_them(
    place: Place, desk: Desk
) -> None:
    async def do_wrong() -> None:
        async with opened(desk, "/failures") as page:
            await page.get_by_role("heading", name="Failures").wait_for()
            await page.evaluate("owned('control')")
            await page.evaluate("new Image().src = '//evil.example'")
            await page.wait_for_function("window.wrong.length > 1")

    with pytest.raises(AssertionError, match=r"(?s)script ran: control.*policy: img-src"):
        await do_wrong()


async def test_the_pages_have_no_serious_barrier(place: Place, desk: Desk) -> None:
    failed = await place.send("Initech", number(), "refuse 401 the token expired")
    await place.send("Initech", number(), "wait")
    await place.send("Initech", number(), "free")
    await place.until(failed, "failed")
    paths = ["/executions", f"/executions?open={failed}", f"/executions/{failed}", "/failures"]
    paths += ["/search?q=anvil", "/overview", "/activity/logs", "/activity/audit"]
    async with opened(desk, "/account") as page:
        for path in paths:
            await show(page, path)
            shown = "listbox" if failed in path else "table" if path == "/overview" else "grid"
            await page.get_by_role(shown).first.wait_for()
            await at_rest(page)
            if path.endswith(failed) and "open" not in path:
                await page.get_by_role("button", name="Replay").click()
                await page.get_by_role("dialog").wait_for()
                await at_rest(page)


async def test_a_tab_that_was_put_away_is_as_a_new_one(desk: Desk) -> None:
    async with opened(desk, "/account") as first:
        await first.evaluate("localStorage.setItem('a', '1'); sessionStorage.setItem('b', '2')")
        await first.emulate_media(color_scheme="dark", reduced_motion="reduce")
        await first.set_viewport_size({"width": 390, "height": 800})
        await first.route("**/*", lambda route: route.abort())
        await first.context.set_offline(True)
    async with opened(desk.out, "/account") as page:
        assert page is first
        await expect(page.get_by_role("heading", name="Sign in to Halflap")).to_be_visible()
        assert await page.context.cookies() == []
        left = "[localStorage.length, sessionStorage.a, sessionStorage.b, innerWidth]"
        assert await page.evaluate(left) == [0, None, None, 1280]
        assert not await page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert not await page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")


async def test_a_page_is_shown_once_it_has_taken_the_place_of_the_one_before(
    place: Place, desk: Desk
) -> None:
    sent = await place.send("Initech", number(), "free")
    async with opened(desk, "/failures") as page:
        await page.wait_for_load_state("networkidle")
        script, found = list[Route](), list[Route]()
        await page.route("**/search.lazy-*.js", lambda route: script.append(route))
        await page.route("**/api/search?*", lambda route: found.append(route))
        showing = asyncio.create_task(show(page, f"/search?q={sent}"))
        for held in (script, found):
            await until(lambda held=held: held)
            for _ in range(10):  # more than to go there takes
                await page.evaluate("new Promise(requestAnimationFrame)")
            assert not showing.done()
            await held[0].continue_()
        await showing
        assert await page.get_by_role("grid").get_by_role("gridcell").first.is_visible()


async def test_control_a_heading_too_faint_in_one_theme_is_found(desk: Desk) -> None:
    async with opened(desk, "/account") as page:
        await page.get_by_role("heading", level=1).wait_for()
        for faint in ("html:not(.dark) h1 { color: #eee }", ".dark h1 { color: #333 }"):
            await at_rest(page)
            await style(page, faint)
            with pytest.raises(AssertionError, match="color-contrast"):
                await at_rest(page)
            await page.evaluate("document.adoptedStyleSheets.pop()")
