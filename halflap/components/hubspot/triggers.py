"""The triggers of HubSpot: what an app is sent of all portals, and what can be asked for of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import Field, WithJsonSchema

from halflap import (
    HubSpotSignature,
    Message,
    PolledPage,
    Polling,
    Reads,
    Request,
    pointer,
)
from halflap.components.hubspot.actions import AT_ONCE, Object, Wanted, filter_of, next_of, path_of
from halflap.components.hubspot.connection import HubSpot, component
from halflap.components.hubspot.models import Change, ChangedRecord, Condition

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
    app_endpoint=True,
)
async def change(
    request: Request,
    events: Annotated[list[EventName] | None, WANTED] = None,
) -> Change:
    """A record changed in a portal in which your team's app is installed.

    The app's webhooks are one URL for all portals: each of up to 100 changes in a request is an event
    of its own, for the customers that signed in to its portal.
    """
    return Change.model_validate(request.json())


@change.takes
def _(request: Request, events: list[str] | None) -> bool:
    return events is None or request.json().get("subscriptionType") in events


READS = Reads(
    kind="{object}",
    within="properties",
    ignore=("createdate", "hs_lastmodifieddate", "hs_object_id", "lastmodifieddate"),
)


@component.trigger(methods=(), title="Record found changed", key=pointer("/id"), reads=READS)
async def changed_record(
    request: Request,
    object: Object,
    properties: Wanted = None,
    interval: Annotated[
        int, Field(ge=10, le=86_400, description="Seconds between two searches.")
    ] = 60,
    start: Annotated[
        Literal["now", "earliest"],
        Field(description="What is found at first: changes from now on, or all records."),
    ] = "now",
) -> ChangedRecord:
    """A record was made or changed, as HubSpot's search finds: for a token, which has no webhooks.

    It is asked for every `interval` seconds, and less often while nothing comes. A record that changes
    twice in between is one event; an archived one is none.
    """
    return ChangedRecord.model_validate({**request.json(), "object": object})


@changed_record.poll(
    overlap=timedelta(minutes=2), at_most=timedelta(minutes=10), tuning=["properties"]
)
async def _(
    hubspot: HubSpot, polling: Polling, object: str, properties: list[str] | None
) -> PolledPage:
    """Search by the time of the last change, oldest first; a page begins where the last one ended.

    One search finds 10,000 at most, so pages follow each other by time and not by HubSpot's `after`,
    but for more than a page of one millisecond.
    """
    modified = "lastmodifieddate" if object == "contacts" else "hs_lastmodifieddate"
    since = 0 if polling.since is None else int(polling.since.timestamp() * 1000)
    body: dict[str, Any] = {
        "filterGroups": [
            {"filters": [filter_of(Condition(property=modified, operator="GTE", value=str(since)))]}
        ],
        "sorts": [{"propertyName": modified, "direction": "ASCENDING"}],
        "properties": properties or [],
        "limit": AT_ONCE,
    }
    found: list[Any] = []
    after, is_more = "0", True
    while is_more and len({each["updatedAt"] for each in found}) < 2:
        page = await hubspot.post(path_of(object, "/search"), json={**body, "after": after})
        found += page["results"]
        after = next_of(page, "after") or ""
        is_more = bool(after)
    messages = [
        Message(each, id=each["id"], version=each["updatedAt"], key=each["id"]) for each in found
    ]
    return PolledPage(messages, polling.newest(each["updatedAt"] for each in found), more=is_more)
