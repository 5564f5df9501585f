"""The receivers of a customer in the console: added, their secret shown once, disabled and enabled."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.console.desk import Desk, barriers, opened

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_a_receiver_is_added_with_a_secret_that_is_shown_once(desk: Desk) -> None:
    found = await desk.place.api("POST", "/customers", {"name": "Hooked"})
    async with opened(desk, f"/customers/{found['id']}?view=webhooks") as page:
        await page.get_by_role("button", name="New receiver").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("URL").fill("https://hooks.example/orders")
        await dialog.get_by_label("Events").fill("order.created, order.*")
        await dialog.get_by_role("button", name="Add the receiver").click()
        secret = page.get_by_role("dialog", name="The secret")
        await expect(secret.get_by_text("whsec_")).to_be_visible()
        await secret.get_by_role("button", name="I have copied it").click()
        row = page.get_by_role("listitem").filter(has_text="https://hooks.example/orders")
        await expect(row).to_contain_text("order.created, order.*")
        assert "whsec_" not in await page.content()
        await row.get_by_role("button", name="Disable").click()
        await expect(row).to_contain_text("disabled: by")
        await expect(row.get_by_role("button", name="Send a test")).to_be_disabled()
        assert await barriers(page) == []
        await row.get_by_role("button", name="Enable").click()
        await expect(row).not_to_contain_text("disabled")
        await expect(row.get_by_role("link", name="Deliveries")).to_be_visible()
