"""Stripe: events of an account, by a webhook endpoint that the trigger makes, or by the platform's."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SecretStr, WithJsonSchema

from halflap import Endpoint, Json, Model, Request, StripeSignature, Subscription, pointer
from halflap.components.stripe.connection import HOOKS, Stripe, component

EVENTS = (
    "*",
    "account.updated",
    "charge.dispute.created",
    "charge.failed",
    "charge.refunded",
    "charge.succeeded",
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.upcoming",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "payout.failed",
    "payout.paid",
    "price.created",
    "price.updated",
    "product.created",
    "product.updated",
    "refund.created",
    "refund.updated",
)
"""The events that are offered; Stripe has more, which may be written as well."""

WANTED = Field(min_length=1, description="What to be told of, as invoice.paid; * is everything.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class EventData(Model):
    """The object that an event is about, as it was then; what it was before, where it changed."""

    object: dict[str, Any]
    previous_attributes: dict[str, Any] | None = None


class Event(Model):
    """An event: `invoice.paid`, say, of the object in `data.object`."""

    id: str
    type: str
    created: int
    livemode: bool
    account: str | None = None
    """The connected account (Connect) that it is of."""
    api_version: str | None = None
    data: EventData
    request: Json = None


def is_wanted(request: Request, events: list[str] | None) -> bool:
    """Return whether an event was asked for."""
    return events is None or "*" in events or request.json().get("type") in events


@component.trigger(
    verify=StripeSignature(),
    secret="subscription",  # noqa: S106
    dedupe=pointer("/id"),
    key=pointer("/data/object/id"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
) -> Event:
    """Something happened in a Stripe account.

    Stripe sends events in no order, and each with the object as it was: read it anew where the newest
    state matters.
    """
    return Event.model_validate(request.json())


@event.takes
def _(request: Request, events: list[str]) -> bool:
    return is_wanted(request, events)


@component.trigger(
    title="Event of a connected account",
    verify=StripeSignature(),
    dedupe=pointer("/id"),
    key=pointer("/data/object/id"),
    app_endpoint=True,
)
async def account_event(
    request: Request,
    events: Annotated[
        list[EventName] | None, Field(description="What the flow wants; all by default.")
    ] = None,
) -> Event:
    """Something happened in an account that is connected to your team's platform (Stripe Connect).

    The platform has one webhook endpoint for the events of connected accounts: each goes to the flows
    of the customers that connected its account. `account` says whose event it is.
    """
    return Event.model_validate(request.json())


@account_event.takes
def _(request: Request, events: list[str] | None) -> bool:
    return is_wanted(request, events)


@event.subscribe
async def _(
    stripe: Stripe, endpoint: Endpoint, former: Subscription | None, events: list[str]
) -> Subscription:
    wanted = {f"enabled_events[{place}]": name for place, name in enumerate(events)}
    hooks = (await stripe.get(HOOKS, params={"limit": 100}))["data"]
    for hook in [each for each in hooks if each["url"] == endpoint.url]:
        path, values = f"{HOOKS}/{{id}}", {"id": hook["id"]}
        if former is not None and former.id == hook["id"] and former.secret is not None:
            await stripe.post(path, values=values, form={**wanted, "disabled": "false"})
            return former
        # Its secret was told once, when it was made, and that is not known.
        await stripe.delete(path, values=values)
    form = {"url": endpoint.url, "description": f"Halflap: {endpoint.flow}", **wanted}
    made = await stripe.post(HOOKS, form=form)
    return Subscription(id=made["id"], secret=SecretStr(made["secret"]))


@event.unsubscribe
async def _(stripe: Stripe, subscription: Subscription) -> None:
    await stripe.delete(f"{HOOKS}/{{id}}", values={"id": subscription.id})


@event.exists
async def _(stripe: Stripe, subscription: Subscription) -> bool:
    hook = await stripe.find(f"{HOOKS}/{{id}}", values={"id": subscription.id})
    return hook is not None and hook["status"] == "enabled"
