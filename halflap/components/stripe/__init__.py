"""Stripe: customers, payments, invoices, subscriptions, and the events of an account."""

from halflap.components.stripe.actions import *  # noqa: F403
from halflap.components.stripe.connection import HOOKS, Stripe, component
from halflap.components.stripe.triggers import Event, EventData, event

__all__ = ["HOOKS", "Event", "EventData", "Stripe", "component", "event"]
