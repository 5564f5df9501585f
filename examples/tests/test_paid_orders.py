"""The example at the three sandboxes that are made of the same documents."""

from __future__ import annotations

from typing import Any

import paid_orders
from pydantic import SecretStr

from halflap import Action, ApiKey, Connection, jira, stripe, twilio
from halflap.testing import Run
from halflap_sandbox import specified
from tests.vendor_app import vendor_app


def at(action: Action[..., Any], connection: Connection) -> Any:
    """Answer an action by calling it at a sandbox."""

    async def call(**inputs: Any) -> Any:
        return await action.invoke(connection, **inputs)

    return call


async def test_a_paid_checkout_is_a_task_and_a_message(run: Run) -> None:
    async with (
        vendor_app(specified.STRIPE) as payments,
        vendor_app(specified.JIRA) as issues,
        vendor_app(specified.TWILIO) as phones,
    ):
        shop = payments.connection(
            stripe.Stripe, base_url=payments.url, auth=ApiKey(key=SecretStr("sk_test_1"))
        )
        site = issues.connection(
            jira.Jira, base_url=issues.url, email="ada@example.com", api_token=specified.JIRA.token
        )
        phone = phones.connection(
            twilio.Twilio,
            base_url=f"{phones.url}/2010-04-01",
            account_sid=specified.TWILIO.sid,
            auth_token=specified.TWILIO.token,
        )
        buyer = await stripe.create_customer(shop, name="Ada", phone="+15005550006")
        session = await stripe.create_checkout_session(
            shop, mode="payment", customer=buyer["id"], success_url="https://shop.example"
        )
        event = {
            "id": "evt_1",
            "type": "checkout.session.completed",
            "created": 1767323045,
            "livemode": False,
            "data": {"object": {"id": session["id"], "customer": buyer["id"]}},
        }
        stubs = {
            stripe.get_customer: at(stripe.get_customer, shop),
            jira.create_issue: at(jira.create_issue, site),
            twilio.send_message: at(twilio.send_message, phone),
        }
        result = await run(paid_orders.paid, event, stubs=stubs)
        assert result.result == "ACME-1"
        [found] = await jira.search_issues(site, "project = ACME")
        assert found["fields"]["summary"] == "Deliver to Ada"
        assert found["fields"]["customfield_10000"] == session["id"]
        [message] = await twilio.list_messages(phone)
        assert message.get("body") == "Thank you! ACME-1"
