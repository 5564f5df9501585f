"""Dynamic webhooks of Jira, which an OAuth app makes: they end after 30 days, and are renewed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from halflap import (
    Endpoint,
    Ignore,
    Request,
    Subscription,
    Unsigned,
    UpstreamError,
    header,
    pointer,
)
from halflap.components.jira.connection import Jira, component
from halflap.components.jira.triggers import WANTED, Event, read_event

DYNAMIC = "/rest/api/3/webhook"
EVENTS = (
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "issue_property_set",
    "issue_property_deleted",
)
"""The events that a dynamic webhook can be of."""
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]
JQL = Field(min_length=1, description="The issues that it is told of, as project = ACME.")


@component.trigger(
    title="Event, by an OAuth app",
    verify=Unsigned("Jira signs these for the OAuth app alone; the flow's URL is secret"),
    dedupe=header("x-atlassian-webhook-identifier"),
    key=pointer("/issue/id"),
)
async def dynamic_event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
    jql: Annotated[str, JQL],
) -> Event | Ignore:
    """Something happened to an issue in Jira; the webhook is one of an OAuth app.

    Jira ends it after 30 days; it is renewed before.
    """
    return read_event(request, events)


@dynamic_event.subscribe
async def _(jira: Jira, endpoint: Endpoint, events: list[str], jql: str) -> Subscription:
    for hook in await listed(jira):
        if hook.get("url") == endpoint.url:
            if (hook.get("jqlFilter"), sorted(hook["events"])) == (jql, sorted(events)):
                return await prolonged(jira, str(hook["id"]))
            await removed(jira, str(hook["id"]))
    wanted = {"url": endpoint.url, "webhooks": [{"events": events, "jqlFilter": jql}]}
    told = await jira.post(DYNAMIC, json=wanted)
    [made] = told["webhookRegistrationResult"]
    if "createdWebhookId" not in made:
        reasons = "; ".join(made.get("errors") or ["no reason"])
        raise UpstreamError(f"Jira refused the webhook: {reasons}", status=400, retryable=False)
    return await prolonged(jira, str(made["createdWebhookId"]))


@dynamic_event.renew
async def _(jira: Jira, subscription: Subscription) -> Subscription:
    if subscription.id not in [str(each["id"]) for each in await listed(jira)]:
        # A refresh passes over what is not there, and tells a date all the same.
        raise UpstreamError("Jira has the webhook no more", status=404, retryable=False)
    return await prolonged(jira, subscription.id)


@dynamic_event.unsubscribe
async def _(jira: Jira, subscription: Subscription) -> None:
    await removed(jira, subscription.id)


@dynamic_event.exists
async def _(jira: Jira, subscription: Subscription) -> bool:
    return subscription.id in [str(each["id"]) for each in await listed(jira)]


async def listed(jira: Jira) -> list[Any]:
    """Return the webhooks that the OAuth app has at the site."""
    found: list[Any] = []
    for _ in range(jira.most_pages):
        page = await jira.get(DYNAMIC, params={"startAt": len(found), "maxResults": 100})
        found += page["values"]
        if page.get("isLast", True) or not page["values"]:
            break
    return found


async def prolonged(jira: Jira, id: str) -> Subscription:
    """Prolong a webhook; return it with its new end."""
    told = await jira.put(f"{DYNAMIC}/refresh", json={"webhookIds": [int(id)]})
    return Subscription(id, expires_at=time_of(told["expirationDate"]))


async def removed(jira: Jira, id: str) -> None:
    """Remove a webhook; one that is gone is fine."""
    await jira.request("DELETE", DYNAMIC, json={"webhookIds": [int(id)]})


def time_of(told: Any) -> datetime:
    """Return a time that Jira tells: ISO 8601, or milliseconds since 1970."""
    if isinstance(told, int):
        return datetime.fromtimestamp(told / 1000, UTC)
    return datetime.strptime(str(told), "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
