"""Make the pictures of the console that the docs show: `python docs/screenshots.py`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.async_api import Page, async_playwright

from tests.built import build_console
from tests.console.conftest import CHROMIUM, FLAGS
from tests.console.place import ORDERS, Place, fill, running

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1280, "height": 720}


async def take(page: Page, name: str) -> None:
    """Write a picture of the page."""
    await page.get_by_role("status", name="Loading").first.wait_for(state="detached")
    await page.wait_for_timeout(500)  # fonts
    await page.screenshot(path=IMAGES / f"console-{name}.png")


async def pictures(place: Place, page: Page) -> None:
    """Take all of them."""
    await page.goto("/console/overview?period=1h")
    await page.get_by_role("table").nth(1).wait_for()
    await take(page, "overview")
    failed = (await place.api("GET", "/executions", state="failed"))["items"]
    token = next(each["id"] for each in failed if "401" in each["reason"])
    await page.goto(f"/console/executions?open={token}")
    await page.get_by_role("option", selected=True).wait_for()
    await take(page, "executions")
    await page.goto(f"/console/executions/{token}")
    await page.get_by_role("option", selected=True).wait_for()
    await take(page, "execution")
    await page.goto("/console/search?q=anvil")
    await page.get_by_role("grid", name="Found").get_by_role("row").nth(1).click()
    await page.get_by_label("Body", exact=True).wait_for()
    await take(page, "search")
    await page.goto("/console/failures")
    await page.get_by_role("row").nth(1).click()
    await page.get_by_role("complementary").wait_for()
    await take(page, "failures")
    globex = (await place.api("GET", "/customers", q="Globex"))["items"][0]["id"]
    await page.goto(f"/console/customers?open={globex}")
    await page.get_by_role("heading", name="Failures").wait_for()
    await take(page, "customers")
    [connection] = (await place.api("GET", "/connections", customer=globex))["items"]
    await page.goto(f"/console/connections?open={connection['id']}")
    await page.get_by_role("heading", name="Used by").wait_for()
    await take(page, "connections")
    await designer(place, page)
    await rollout(place, page)


async def designer(place: Place, page: Page) -> None:
    """Take a picture of a draft with a step selected."""
    draft = await place.api("POST", "/drafts", {"integration": "orders", "version": "1"})
    await page.goto(f"/console/drafts/{draft['id']}")
    await page.get_by_role("treeitem", name="Create the order").click()
    await page.get_by_role("region", name="Fields of the step").wait_for()
    await take(page, "designer")


async def rollout(place: Place, page: Page) -> None:
    """Take a picture of an upgrade that is paused behind its canary."""
    text = ORDERS.replace("path: /orders\n", "path: /sales\n")
    with TemporaryDirectory() as folder:
        await place.publish(Path(folder), text, target="", note="orders are sales now")
    for number in range(5):
        await place.customer(f"Customer {number}")
    draft = {"version": "2", "canary": "25%"}
    bulk = (await place.api("POST", "/integrations/orders/upgrade", draft))["id"]
    while (await place.api("GET", f"/bulks/{bulk}"))["state"] != "paused":  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    sent = [await place.send(name, f"{at}") for at in range(6) for name in place.hooks]
    for each in sent:
        await place.until(each, "succeeded", "failed")
    await page.goto(f"/console/integrations/orders?view=changes&rollout={bulk}")
    await page.get_by_role("region", name="Figures").wait_for()
    await take(page, "rollout")


async def main() -> None:
    """Fill a server, and look at it."""
    build_console()
    with TemporaryDirectory() as folder:
        async with running(Path(folder)) as place, async_playwright() as playwright:
            await fill(place, 60)
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(FLAGS), chromium_sandbox=False
            )
            page = await browser.new_page(base_url=place.url, viewport=SIZE)
            await page.goto(await place.link())
            await page.wait_for_url("**/console/overview")
            await pictures(place, page)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
