"""The receivers of a customer in the console: added, changed, tested, disabled, enabled and recovered."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from aiohttp import web
from playwright.async_api import Locator, Page, expect

from halflap.model import Throttled
from halflap.sdk.action import Retry
from tests.console.desk import Desk, barriers, opened, visit
from tests.loopback import on_loopback

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_a_receiver_is_added_changed_disabled_and_recovered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What failed waits for its next try as long as the page is looked at.
    monkeypatch.setattr(Retry, "wait", lambda *_: timedelta(hours=1))
    answers = [500]
    seen: list[str | None] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request.headers.get("X-Shop"))
        return web.Response(status=answers[0], text="no thanks")

    server = web.Application()
    server.add_routes([web.post("/orders", take), web.post("/others", take)])
    place = desk.place
    types = [
        {"name": f"order.{each}", "schema": {}, "example": {"id": 1}} for each in ("made", "paid")
    ]
    await place.api("PUT", "/event-types", {"types": types})
    found = await place.api("POST", "/customers", {"name": "Hooked"})
    webhooks = f"/customers/{found['id']}?view=webhooks"
    async with on_loopback(server) as url, opened(desk, webhooks) as page:
        await page.get_by_role("button", name="New receiver").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("URL").fill("http://10.0.0.1/orders")
        await dialog.get_by_role("button", name="Add the receiver").click()
        await expect(dialog).to_contain_text("10.0.0.1 may not be called")
        await dialog.get_by_label("URL").fill(f"{url}/orders")
        await dialog.get_by_label("all events").uncheck()
        await dialog.get_by_label("order.made").check()
        await dialog.get_by_role("button", name="Add a pair").click()
        await dialog.get_by_label("Headers 1: from").fill("X-Shop")
        await dialog.get_by_label("Headers 1: to").fill("canary-7")
        assert await barriers(page) == []
        await dialog.get_by_role("button", name="Add the receiver").click()
        secret = page.get_by_role("dialog", name="The secret")
        await expect(secret.get_by_text("whsec_")).to_be_visible()
        await secret.get_by_role("button", name="I have copied it").click()
        row = page.get_by_role("listitem").filter(has_text=url)
        await expect(row).to_contain_text("order.made · X-Shop")
        assert "whsec_" not in await page.content()
        assert "canary-7" not in await page.content()

        await row.get_by_role("button", name="More for").click()
        await page.get_by_role("menuitem", name="Edit…").click()
        await dialog.get_by_label("URL").fill(f"{url}/others")
        await dialog.get_by_label("order.paid").check()
        await dialog.get_by_role("button", name="Save").click()
        await expect(row).to_contain_text("order.made, order.paid · X-Shop")

        await row.get_by_role("button", name="Send a test").click()
        await dialog.get_by_label("Event").select_option("order.paid")
        await dialog.get_by_role("button", name="Send it").click()
        await dialog.get_by_role("button", name="Tries").click()
        await expect(dialog).to_contain_text("answered 500: no thanks")
        await dialog.get_by_role("button", name="Close").last.click()

        await row.get_by_role("button", name="More for").click()
        await page.get_by_role("menuitem", name="Disable").click()
        await expect(row).to_contain_text("disabled: by")
        event = {"type": "order.made", "data": {}}
        await place.api("POST", f"/customers/{found['id']}/events", event)
        await row.get_by_role("button", name="Enable").click()
        await expect(row).not_to_contain_text("disabled")
        answers[0] = 204
        await row.get_by_role("button", name="Recover…").click()
        await expect(dialog).to_contain_text("1 event is sent again")
        await expect(dialog).to_contain_text("1 waits for its next try")
        assert await barriers(page) == []
        await dialog.get_by_role("button", name="Send 1 again").click()
        await row.get_by_role("button", name="Deliveries").click()
        await expect(dialog.get_by_text("succeeded")).to_be_visible()
        assert set(seen) == {"canary-7"}


async def test_the_instance_of_a_disabled_receiver_does_not_say_that_it_is_active(
    desk: Desk,
) -> None:
    found = await desk.place.api("POST", "/customers", {"name": "Off"})
    url = {"url": "https://hooks.example/orders"}
    made = await desk.place.api("POST", f"/customers/{found['id']}/receivers", url)
    await desk.place.api(
        "POST", f"/receivers/{made['id']}/disable", {"reason": "asked for by mail"}
    )
    async with opened(desk, f"/instances/{made['id']}") as page:
        header = page.get_by_role("article").locator("header").first
        await expect(header).to_contain_text("disabled: asked for by mail")
        await expect(header).not_to_contain_text("active")
        await header.get_by_role("link", name="Manage it").click()
        await expect(page.get_by_text("https://hooks.example/orders")).to_be_visible()
        await page.get_by_role("button", name="Recover…").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("enable it first")
        await expect(dialog.get_by_role("button", name="Send 0 again")).to_be_disabled()
        await dialog.get_by_role("button", name="Back").click()
        await page.get_by_role("tab", name="Overview").click()
        await expect(page.get_by_text("disabled: asked for by mail")).to_be_visible()
        await visit(page, "/instances?customer=Off")
        row = page.get_by_role("grid", name="Instances").get_by_role("row").nth(1)
        await expect(row).to_contain_text("disabled")


async def test_a_team_finds_its_event_types_and_who_takes_them(desk: Desk) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    declared = {
        "name": "bill.sent",
        "title": "A bill was sent",
        "schema": schema,
        "example": {"total": 7},
    }
    await desk.place.api("PUT", "/event-types", {"types": [declared]})
    found = await desk.place.api("POST", "/customers", {"name": "Billed"})
    url = {"url": "https://hooks.example/bills", "types": ["bill.*"]}
    made = await desk.place.api("POST", f"/customers/{found['id']}/receivers", url)
    await desk.place.api("POST", f"/receivers/{made['id']}/disable", {})
    await desk.place.api(
        "POST", f"/customers/{found['id']}/events", {"type": "bill.sent", "data": {"total": 1}}
    )
    async with opened(desk, "/overview") as page:
        await page.get_by_role("link", name="Event types").click()
        row = page.get_by_role("listitem").filter(has_text="bill.sent").first
        await row.get_by_role("button", name="bill.sent").click()
        await expect(row).to_contain_text("1 event")
        await expect(row.get_by_label("the example", exact=True)).to_contain_text('"total": 7')
        await expect(row.get_by_role("listitem").filter(has_text="Billed")).to_contain_text(
            "disabled"
        )
        assert await barriers(page) == []
        async with page.expect_download() as download:
            await page.get_by_role("link", name="OpenAPI document").click()
        document = json.loads((await (await download.value).path()).read_text())
        assert "bill.sent" in document["webhooks"]


async def test_a_customers_own_people_manage_its_webhooks_by_a_token_alone(desk: Desk) -> None:
    place = desk.place
    own, other = [
        await place.api("POST", "/customers", {"name": each}) for each in ("Own", "Other")
    ]
    url = {"url": "https://others.example/hooks"}
    await place.api("POST", f"/customers/{other['id']}/receivers", url)
    draft = {"customer": own["id"], "access": "manage", "lasts_seconds": 900}
    token = (await place.api("POST", "/tokens", draft))["token"]
    async with opened(desk.out, f"/portal/webhooks#token={token}") as page:
        await page.get_by_role("button", name="New receiver").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("URL").fill("own.example/hooks")
        await dialog.get_by_role("button", name="Add the receiver").click()
        await expect(dialog).to_contain_text("begins with https://")
        await dialog.get_by_label("URL").fill("https://own.example/hooks")
        await dialog.get_by_role("button", name="Add the receiver").click()
        secret = page.get_by_role("dialog", name="The secret")
        await page.keyboard.press("Escape")
        await expect(secret.get_by_text("whsec_")).to_be_visible()
        await secret.get_by_role("button", name="I have copied it").click()
        row = page.get_by_role("listitem").filter(has_text="https://own.example/hooks")
        await row.get_by_role("button", name="More for").click()
        await page.get_by_role("menuitem", name="New secret…").click()
        await dialog.get_by_role("button", name="Make a new secret").click()
        await secret.get_by_role("button", name="I have copied it").click()
        await expect(row).to_contain_text("the secret before signs, too")
        await row.get_by_role("button", name="More for").click()
        await page.get_by_role("menuitem", name="New secret…").click()
        await expect(dialog).to_contain_text("both of the others end at once")
        await dialog.get_by_role("button", name="Make a new secret").click()
        await secret.get_by_role("button", name="I have copied it").click()
        await expect(row).not_to_contain_text("the secret before signs, too")
        assert "others.example" not in await page.content()
        assert token not in page.url
        assert await barriers(page) == []
    async with opened(desk.out, "/portal/webhooks#token=halflap_tok_wrong") as page:
        await expect(page.get_by_text("This link is not good any more")).to_be_visible()


async def test_another_link_in_the_same_tab_shows_its_customer_and_an_ended_one_nothing(
    desk: Desk,
) -> None:
    place = desk.place
    links = list[dict[str, str]]()
    for each in ("First", "Second"):
        found = await place.api("POST", "/customers", {"name": each})
        url = {"url": f"https://{each.lower()}.example/hooks"}
        await place.api("POST", f"/customers/{found['id']}/receivers", url)
        draft = {"customer": found["id"], "access": "manage", "lasts_seconds": 900}
        links.append(await place.api("POST", "/tokens", draft))
    first, second = links
    async with opened(desk.out, f"/portal/webhooks#token={first['token']}") as page:
        await expect(page.get_by_text("https://first.example/hooks")).to_be_visible()
        await page.goto(f"/console/portal/webhooks#token={second['token']}")
        await expect(page.get_by_text("https://second.example/hooks")).to_be_visible()
        assert "first.example" not in await page.content()
        assert "token" not in page.url
        await place.api("DELETE", f"/tokens/{second['id']}")
        await expect(page.get_by_text("This link has ended")).to_be_visible()
        assert "second.example" not in await page.content()


async def test_what_was_typed_as_a_link_ends_goes_on_with_the_next_one(desk: Desk) -> None:
    place = desk.place
    own = await place.api("POST", "/customers", {"name": "Slow"})
    draft = {"customer": own["id"], "access": "manage", "lasts_seconds": 900}
    before, after = [await place.api("POST", "/tokens", draft) for _ in range(2)]
    async with opened(desk.out, f"/portal/webhooks#token={before['token']}") as page:
        await page.get_by_role("button", name="New receiver").click()
        url = page.get_by_role("dialog").get_by_label("URL")
        await url.fill("https://slow.example/hooks")
        await place.api("DELETE", f"/tokens/{before['id']}")
        await expect(page.get_by_text("What you typed is kept, but for secrets")).to_be_visible()
        assert "slow.example" not in await page.content()
        assert await barriers(page) == []
        link = f"/portal/webhooks#token={after['token']}"
        async with opened(desk.out, link, beside=page) as other:
            await expect(other.get_by_role("button", name="New receiver")).to_be_visible()
            await expect(url).to_have_value("https://slow.example/hooks")
            await page.get_by_role("button", name="Add the receiver").click()
            await expect(page.get_by_role("dialog", name="The secret")).to_be_visible()
            await page.get_by_role("button", name="I have copied it").click()
        await page.reload()
        await expect(page.get_by_text("https://slow.example/hooks")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_the_overview_says_what_needs_a_persons_attention(desk: Desk) -> None:
    place = desk.place
    types = [{"name": "order.late", "schema": {}, "example": {"id": 1}}]
    await place.api("PUT", "/event-types", {"types": types})
    customer = (await place.api("POST", "/customers", {"name": "Morning"}))["id"]
    webhooks = f"/customers/{customer}/receivers"
    async with on_loopback(answering(500)) as failing, on_loopback(answering(410)) as gone:
        for url in (failing, gone):
            await place.api("POST", webhooks, {"url": f"{url}/in"})
        await place.api("POST", f"/customers/{customer}/events", {"type": "order.late", "data": {}})
        off = await place.api("POST", webhooks, {"url": f"{gone}/off"})
        await place.api("POST", f"/receivers/{off['id']}/disable", {"reason": "asked for"})
        async with opened(desk, "/overview") as page:
            await expect(
                listed_of(page, "Morning").filter(has_text="takes nothing")
            ).to_contain_text("failing")
            gone_one = listed_of(page, "Morning").filter(has_text="it is gone (410)")
            await expect(gone_one).to_contain_text("disabled")
            await expect(listed_of(page, "asked for")).to_have_count(0)
            assert await barriers(page) == []
            await gone_one.get_by_role("link").click()
            await page.wait_for_url(f"**/customers/{customer}?view=webhooks")
    connections, journal = place.host.store.catalogue.connections, place.host.store.journal
    shop = await connections.save(customer, "shop", "its shop", {"base_url": "x"}, {})
    now = place.host.store.clock()
    rest = Throttled(now + 3_600_000_000, "it answered 503", away=True, since=now)
    await journal.rest(shop.id, rest)
    await place.api("POST", f"/customers/{customer}/pause", {"by": "anna", "reason": "they move"})
    async with opened(desk, "/overview") as page:
        away = listed_of(page, "its shop")
        await expect(away).to_contain_text("it answered 503")
        await expect(listed_of(page, "they move")).to_contain_text("paused")
        await away.get_by_role("link").click()
        await page.wait_for_url(f"**/connections?open={shop.id}")
        await visit(page, f"/customers/{customer}")
        for words in ("it answered 503", "they move", "takes nothing", "asked for"):
            await expect(listed_of(page, words)).to_be_visible()
        await page.route("**/api/listeners?*", lambda route: route.fulfill(status=503))
        await visit(page, "/overview")
        region = page.get_by_role("region", name="Needs attention")
        await expect(region).to_contain_text("Not all could be looked at: listeners.")
        await expect(listed_of(page, "they move")).to_be_visible()
        await page.unroute("**/api/listeners?*")
        await region.get_by_role("button", name="Try again").click()
        await expect(region).not_to_contain_text("Not all could be looked at")
        await visit(page, "/instances?paused=true")
        row = page.get_by_role("grid").get_by_role("row").nth(1)
        await expect(row).to_contain_text("Morning")
        await page.get_by_role("group", name="Pauses").get_by_role("button").click()
        await page.wait_for_url("**/instances")
        await visit(page, "/connections?status=away")
        await expect(page.get_by_role("grid")).to_contain_text("its shop")
    await connections.remove(shop.id)
    await place.api("POST", f"/customers/{customer}/resume")


def listed_of(page: Page, words: str) -> Locator:
    """Return what the overview lists with some words."""
    region = page.get_by_role("region", name="Needs attention")
    return region.get_by_role("listitem").filter(has_text=words)


def answering(status: int) -> web.Application:
    """A server that answers everything with a status."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    server = web.Application()
    server.add_routes([web.post("/{rest:.*}", answer)])
    return server
