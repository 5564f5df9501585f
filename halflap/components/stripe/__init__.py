"""Stripe: customers, payments, invoices, subscriptions, and the events of an account."""

from halflap.components.stripe.actions import *  # noqa: F403
from halflap.components.stripe.connection import HOOKS, Stripe, StripeSignIn, component
from halflap.components.stripe.triggers import Event, EventData, account_event, event

__all__ = [
    "HOOKS",
    "Event",
    "EventData",
    "Stripe",
    "StripeSignIn",
    "account_event",
    "component",
    "event",
]
