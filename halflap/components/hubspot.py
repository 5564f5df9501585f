"""HubSpot: changes of records in the portals that installed an app."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field, WithJsonSchema

from halflap import Component, HubSpotSignature, Ignore, Json, Model, Request, pointer

KINDS = ("contact", "company", "deal", "ticket", "product", "line_item")
CHANGES = ("creation", "deletion", "merge", "restore", "propertyChange", "associationChange")
EVENTS = (
    *(f"{kind}.{change}" for kind in KINDS for change in CHANGES),
    "contact.privacyDeletion",
    "conversation.creation",
    "conversation.newMessage",
)
"""The events that are offered; HubSpot has more, which may be written as well."""

WANTED = Field(
    description="What the flow wants, as deal.creation; all that HubSpot sends by default."
)
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class Change(Model):
    """A change of one record: which, in which portal, and of what."""

    event_id: int = Field(alias="eventId")
    type: str = Field(alias="subscriptionType")
    portal_id: int = Field(alias="portalId")
    app_id: int = Field(alias="appId")
    object_id: int | None = Field(None, alias="objectId")
    occurred_at: int = Field(alias="occurredAt")
    """Milliseconds since 1970."""
    property_name: str | None = Field(None, alias="propertyName")
    property_value: Json = Field(None, alias="propertyValue")
    source: str | None = Field(None, alias="changeSource")
    flag: str | None = Field(None, alias="changeFlag")


component = Component("hubspot", title="HubSpot")


def identity(request: Request) -> str | None:
    """Return the change's identity; HubSpot says that its event ids alone are not unique."""
    body = request.json()
    if not isinstance(body, dict):  # all of them together
        return None
    change = cast("dict[str, Any]", body)
    names = ("portalId", "subscriptionId", "eventId", "occurredAt", "objectId")
    return "/".join(str(change.get(each)) for each in names)


@component.trigger(
    title="Record changed",
    verify=HubSpotSignature(),
    split=Request.elements,
    dedupe=identity,
    key=pointer("/objectId"),
)
async def change(
    request: Request,
    events: Annotated[list[EventName] | None, WANTED] = None,
) -> Change | Ignore:
    """A record changed in HubSpot.

    An app's webhooks are one URL for all portals: that of a shared flow, whose secret is the app's
    client secret. Each of up to 100 changes in a request is an event of its own; `portal_id` says
    whose.
    """
    changed = Change.model_validate(request.json())
    if events is not None and changed.type not in events:
        return Ignore(f"{changed.type} was not asked for")
    return changed
