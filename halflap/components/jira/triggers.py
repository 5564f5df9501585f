"""Jira: events of issues, comments, projects and versions, by a webhook that the trigger makes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from halflap import (
    Endpoint,
    Ignore,
    JiraSignature,
    Json,
    Model,
    Request,
    Subscription,
    header,
    pointer,
)
from halflap.components.jira.connection import Jira, component

HOOKS = "/rest/webhooks/1.0/webhook"
EVENTS = (
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "attachment_created",
    "attachment_deleted",
    "issuelink_created",
    "issuelink_deleted",
    "worklog_created",
    "worklog_updated",
    "worklog_deleted",
    "project_created",
    "project_updated",
    "project_deleted",
    "jira:version_created",
    "jira:version_updated",
    "jira:version_deleted",
    "jira:version_released",
    "sprint_created",
    "sprint_started",
    "sprint_updated",
    "sprint_closed",
    "sprint_deleted",
    "user_created",
    "user_updated",
    "user_deleted",
)
"""The events that are offered; Jira has more, which may be written as well."""

WANTED = Field(min_length=1, description="What to be told of, as jira:issue_created.")
JQL = Field(description="Of issues, only those that this JQL finds, as project = ACME.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class Event(Model):
    """An event: `jira:issue_updated`, say; `payload` is all that Jira tells."""

    name: str
    timestamp: int | None = None
    """Milliseconds since 1970."""
    issue: Json = None
    comment: Json = None
    user: Json = None
    changelog: Json = None
    payload: dict[str, Json]


@component.trigger(
    verify=JiraSignature(),
    dedupe=header("x-atlassian-webhook-identifier"),
    key=pointer("/issue/id"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
    jql: Annotated[str | None, JQL] = None,
) -> Event | Ignore:
    """Something happened in Jira."""
    return read_event(request, events)


def read_event(request: Request, events: list[str]) -> Event | Ignore:
    """Return the event of a request, of those that are wanted."""
    payload: dict[str, Any] = request.json()
    name = payload.get("webhookEvent", "")
    if name not in events:
        return Ignore(f"{name} was not asked for")
    known = {
        each: payload.get(each) for each in ("timestamp", "issue", "comment", "user", "changelog")
    }
    return Event(name=name, payload=payload, **known)


@event.subscribe
async def _(jira: Jira, endpoint: Endpoint, events: list[str], jql: str | None) -> Subscription:
    wanted = {
        "name": f"Halflap: {endpoint.flow}",
        "url": endpoint.url,
        "events": events,
        "filters": {"issue-related-events-section": jql or ""},
        "excludeBody": False,
        "enabled": True,
        "secret": endpoint.secret.get_secret_value(),
    }
    for hook in await jira.get(HOOKS):
        if hook["url"] == endpoint.url:
            id = id_of(hook)
            await jira.put(f"{HOOKS}/{{id}}", values={"id": id}, json=wanted)
            return Subscription(id=id)
    return Subscription(id=id_of(await jira.post(HOOKS, json=wanted)))


def id_of(hook: Any) -> str:
    """Return the id of a webhook, which Jira tells as the end of its address."""
    return str(hook["self"]).rstrip("/").rpartition("/")[2]


@event.unsubscribe
async def _(jira: Jira, subscription: Subscription) -> None:
    await jira.delete(f"{HOOKS}/{{id}}", values={"id": subscription.id})


@event.exists
async def _(jira: Jira, subscription: Subscription) -> bool:
    hook = await jira.find(f"{HOOKS}/{{id}}", values={"id": subscription.id})
    return hook is not None and bool(hook["enabled"])
