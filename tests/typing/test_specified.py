"""The type checker's knowledge of actions that are declared from a specification, by their stubs."""

from __future__ import annotations

from typing import Any, assert_type

from halflap import stripe
from halflap.components.stripe.actions import ACTIONS, SPECIFICATION


async def create(connection: stripe.Stripe) -> None:
    made = await stripe.create_customer(connection, email="ada@example.com", metadata={"a": "b"})
    assert_type(made["id"], str)
    found = await stripe.get_customer(connection, "cus_1")
    if found is not None and "email" in found:
        assert_type(found["email"], str | None)
    listed = await stripe.list_invoices(connection, customer="cus_1", status="open", most=5)
    assert_type(listed[0]["livemode"], bool)
    async for each in stripe.list_invoices.each(connection, status="open"):
        assert_type(each["livemode"], bool)
    async for each in ACTIONS["list_invoices"].each(connection, status="open"):
        assert SPECIFICATION.document, each
    stripe.list_invoices.each(connection, name="x")  # pyright: ignore[reportCallIssue]
    stripe.get_invoice.each(connection)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await stripe.create_refund(connection, reason="twice")  # pyright: ignore[reportArgumentType]
    await stripe.create_price(connection)  # pyright: ignore[reportCallIssue]
    await stripe.get_invoice(connection, name="x")  # pyright: ignore[reportCallIssue]


def test_what_the_checker_refuses_is_refused_as_it_runs() -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (stripe.create_price, {}),
        (stripe.get_invoice, {"name": "x"}),
    ]
    for action, given in calls:
        try:
            action.bind((None,), given)
        except TypeError:
            continue
        raise AssertionError(action)
