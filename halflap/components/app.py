"""The team's own product: its events, which it publishes for a customer, start that customer's flows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from halflap import Component, Declaration, Model, Request, pointer

T = TypeVar("T")

component = Component(
    "app",
    title="Your product",
    description="Start a flow when something happens in your own product, for the customer it concerns.",
)

TYPE = Field(description="What happened: order.created, or order.* for all that begin with it.")
TYPES = Field(description="What happened, of any of these: order.created, order.*, or * for all.")


class AppEvent(Model, Generic[T]):
    """An event that the product published for the customer."""

    id: str
    type: str
    version: int
    timestamp: datetime
    """When it happened."""
    subject: str | None = None
    """The record that it is about."""
    data: T


ID, SUBJECT = pointer("/id"), pointer("/subject")


@component.trigger(
    title="Event of your product", methods=("PUBLISH",), app_events=(), dedupe=ID, key=SUBJECT
)
async def event(request: Request, type: Annotated[str, TYPE]) -> AppEvent[Any]:
    """Something happened in your product: an event of this type was published for the customer.

    One that is published again with its idempotency key is the same event. Its `subject` is the record.
    """
    return read(request)


@event.declare
def _(type: str) -> Declaration:
    return taking((type,))


@component.trigger(
    title="Events of your product", methods=("PUBLISH",), app_events=(), dedupe=ID, key=SUBJECT
)
async def events(request: Request, types: Annotated[list[str], TYPES]) -> AppEvent[Any]:
    """Something happened in your product: an event of one of these types was published."""
    return read(request)


@events.declare
def _(types: list[str]) -> Declaration:
    return taking(tuple(types))


def taking(types: tuple[str, ...]) -> Declaration:
    """Return the declaration of a trigger that is given events of these types."""
    return Declaration(methods=("PUBLISH",), app_events=types, dedupe=ID, key=SUBJECT)


def read(request: Request) -> AppEvent[Any]:
    """Return the event as it was published."""
    return AppEvent[Any].model_validate(request.json())
