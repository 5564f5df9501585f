"""Stripe against the sandbox that is made of its document, and Stripe's own SDK against the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe as sdk
from pydantic import SecretStr

from halflap import ApiKey, RateLimited, Unauthorized, UpstreamError
from halflap.components import stripe
from halflap.sdk.conformity import DEVIATIONS
from halflap_sandbox.specified import STRIPE
from tests.vendor_app import VendorApp, vendor_app

KEY = "sk_test_halflap"


@pytest.fixture
async def app() -> AsyncIterator[VendorApp]:
    async with vendor_app(STRIPE) as found:
        yield found


@pytest.fixture
def connection(app: VendorApp) -> stripe.Stripe:
    return app.connection(stripe.Stripe, base_url=app.url, auth=ApiKey(key=SecretStr(KEY)))


async def test_a_customer_is_billed_from_the_invoice_to_the_refund(
    connection: stripe.Stripe,
) -> None:
    before = DEVIATIONS.total()
    customer = await stripe.create_customer(
        connection,
        email="ada@example.com",
        name="Ada & Söhne",
        address={"city": "Graz", "line1": "1, a=b"},
        metadata={"crm id": "7"},
    )
    assert customer["id"].startswith("cus_")
    found = await stripe.get_customer(connection, customer["id"])
    assert found is not None
    assert (found.get("name"), found.get("metadata")) == ("Ada & Söhne", {"crm id": "7"})
    assert await stripe.get_customer(connection, "cus_none") is None
    changed = await stripe.update_customer(
        connection, customer["id"], phone="+43", email="a@b.example"
    )
    assert (changed.get("phone"), changed.get("email")) == ("+43", "a@b.example")
    terms = 'email:"a@b.example"'
    assert [each["id"] for each in await stripe.search_customers(connection, query=terms)] == [
        customer["id"]
    ]

    product = await stripe.create_product(connection, name="Anvil")
    price = await stripe.create_price(
        connection,
        currency="eur",
        product=product["id"],
        unit_amount=500,
        recurring={"interval": "month"},
    )
    assert price["type"] == "recurring"
    subscription = await stripe.create_subscription(
        connection, customer=customer["id"], items=[{"price": price["id"], "quantity": 2}]
    )
    canceled = await stripe.cancel_subscription(connection, subscription["id"])
    assert canceled["status"] == "canceled"

    invoice = await stripe.create_invoice(connection, customer=customer["id"], auto_advance=False)
    assert "id" in invoice
    await stripe.add_invoice_item(
        connection, customer=customer["id"], invoice=invoice["id"], amount=500, currency="eur"
    )
    states = [
        (await action(connection, invoice["id"]))["status"]
        for action in (stripe.finalize_invoice, stripe.pay_invoice)
    ]
    assert states == ["open", "paid"]

    intent = await stripe.create_payment_intent(connection, amount=500, currency="eur")
    confirmed = await stripe.confirm_payment_intent(connection, intent["id"])
    assert confirmed["status"] == "succeeded"
    refund = await stripe.create_refund(connection, payment_intent=intent["id"], reason="duplicate")
    assert refund["status"] == "succeeded"
    session = await stripe.create_checkout_session(
        connection,
        mode="payment",
        success_url="https://shop.example",
        line_items=[{"price": price["id"], "quantity": 1}],
    )
    assert (await stripe.expire_checkout_session(connection, session["id"]))["status"] == "expired"
    assert (await stripe.get_balance(connection))["object"] == "balance"
    gone = await stripe.delete_customer(connection, customer["id"])
    assert gone["deleted"] is True
    assert await stripe.get_customer(connection, customer["id"]) is None
    # The sandbox answers as the document says, each time.
    assert DEVIATIONS.total() == before


async def test_lists_come_in_pages_the_newest_first(
    app: VendorApp, connection: stripe.Stripe
) -> None:
    for number in range(7):
        await stripe.create_customer(connection, name=str(number))
    found = await stripe.list_customers(connection, most=5)
    assert [each.get("name") for each in found] == list("65432")
    assert [each["name"] async for each in stripe.list_customers.each(connection)] == list(
        "6543210"
    )
    tomorrow = int(datetime.now(UTC).timestamp()) + 86_400
    assert await stripe.list_customers(connection, created={"gte": tomorrow}) == []


@pytest.mark.parametrize(
    ("action", "given", "place"),
    [
        (stripe.create_customer, {"metadata": {"a": 1}}, None),
        (stripe.create_price, {"currency": "eur", "unit_amount": "x"}, "unit_amount"),
        (stripe.create_refund, {"reason": "because"}, "reason"),
        (stripe.list_customers, {"created": {"gte": "soon"}}, "created"),
    ],
    ids=["typed", "number", "choice", "range"],
)
async def test_the_sandbox_refuses_what_the_document_does_not_allow(
    connection: stripe.Stripe, action: Any, given: dict[str, Any], place: str | None
) -> None:
    if place is None:
        await action(connection, **given)
        return
    with pytest.raises(UpstreamError) as raised:
        await action(connection, **given)
    assert (raised.value.status, place in (raised.value.body or "")) == (400, True)


async def test_faults_are_the_errors_that_they_mean(
    app: VendorApp, connection: stripe.Stripe
) -> None:
    await app.faults(rate_limit_per_s=0.001)
    await stripe.get_balance(connection)
    with pytest.raises(RateLimited) as raised:
        await stripe.get_balance(connection)
    assert raised.value.retry_after is not None
    await app.faults(fail_next=1, status=500)
    with pytest.raises(UpstreamError, match="answered 500"):
        await stripe.get_balance(connection)
    wrong = app.connection(stripe.Stripe, base_url=app.url, auth=ApiKey(key=SecretStr("nobody")))
    with pytest.raises(Unauthorized):
        await stripe.get_balance(wrong)


async def test_a_repeated_key_makes_one_customer(app: VendorApp, connection: stripe.Stripe) -> None:
    again = {"Idempotency-Key": "k1"}
    made = [
        (
            await connection.request(
                "POST", "/v1/customers", form={"name": name}, headers=again, check=False
            )
        )
        for name in ("Ada", "Ada", "Bob")
    ]
    assert [each.status for each in made] == [200, 200, 400]
    assert made[0].json() == made[1].json()
    assert "idempotency_error" in made[2].text
    assert len(await stripe.list_customers(connection)) == 1


async def test_stripes_own_sdk_takes_the_sandbox_for_stripe(app: VendorApp) -> None:
    client = sdk.StripeClient(KEY, base_addresses={"api": app.url}, max_network_retries=0)

    def work() -> None:
        customers = client.v1.customers
        made = customers.create(
            {"email": "ada@example.com", "metadata": {"a": "b"}, "address": {"city": "Graz"}}
        )
        assert customers.retrieve(made.id).address.city == "Graz"
        assert customers.update(made.id, {"name": "Ada"}).name == "Ada"
        for number in range(12):
            customers.create({"name": str(number)})
        assert len([*customers.list({"limit": 5}).auto_paging_iter()]) == 13
        assert [each.id for each in customers.search({"query": "name:'Ada'"}).data] == [made.id]
        intent = client.v1.payment_intents.create({"amount": 100, "currency": "eur"})
        assert client.v1.payment_intents.confirm(intent.id).status == "succeeded"
        invoice = client.v1.invoices.create({"customer": made.id})
        assert client.v1.invoices.finalize_invoice(invoice.id).status == "open"
        assert client.v1.invoices.void_invoice(invoice.id).status == "void"
        assert client.v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"
        with pytest.raises(sdk.InvalidRequestError) as raised:
            customers.create({"nmae": "Ada"})  # type: ignore[typeddict-unknown-key]
        assert raised.value.param == "nmae"
        with pytest.raises(sdk.InvalidRequestError) as missing:
            customers.retrieve("cus_none")
        assert missing.value.code == "resource_missing"
        with pytest.raises(sdk.AuthenticationError):
            sdk.StripeClient("sk_live_no", base_addresses={"api": app.url}).v1.customers.list()
        assert customers.delete(made.id).deleted is True

    await asyncio.to_thread(work)
