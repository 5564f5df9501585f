"""The triggers of Zendesk: events by a webhook that the trigger makes, and the incremental export."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, WithJsonSchema

from halflap import (
    Endpoint,
    Json,
    Message,
    Model,
    PolledPage,
    Polling,
    Request,
    Subscription,
    ZendeskSignature,
    pointer,
)
from halflap.components.zendesk.connection import Zendesk, component, next_of
from halflap.components.zendesk.models import Ticket, User

HOOKS = "/api/v2/webhooks"
PREFIX = "zen:event-type:"
EVENTS = (
    "ticket.agent_assignment_changed",
    "ticket.attachment_linked_to_comment",
    "ticket.comment_added",
    "ticket.created",
    "ticket.custom_field_changed",
    "ticket.custom_status_changed",
    "ticket.group_assignment_changed",
    "ticket.merged",
    "ticket.organization_changed",
    "ticket.priority_changed",
    "ticket.soft_deleted",
    "ticket.status_changed",
    "ticket.subject_changed",
    "ticket.tags_changed",
    "ticket.type_changed",
    "user.active_changed",
    "user.created",
    "user.custom_field_changed",
    "user.deleted",
    "user.external_id_changed",
    "user.identity_changed",
    "user.merged",
    "user.name_changed",
    "user.role_changed",
    "organization.created",
    "organization.custom_field_changed",
    "organization.deleted",
    "organization.external_id_changed",
    "organization.name_changed",
    "organization.tags_changed",
)
"""The events that are offered; Zendesk has more, which may be written as well."""

WANTED = Field(min_length=1, description="What to be told of, as ticket.created.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class Event(Model):
    """An event: `ticket.created`, say. `detail` is the record, `event` what changed of it."""

    id: str
    type: str
    account_id: int
    subject: str
    """The record that it is about: zen:ticket:35436"""
    time: datetime
    detail: dict[str, Json]
    event: dict[str, Json]


@component.trigger(
    verify=ZendeskSignature(),
    secret="subscription",  # noqa: S106
    dedupe=pointer("/id"),
    key=pointer("/detail/id"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
) -> Event:
    """Something happened in Zendesk."""
    happened = Event.model_validate(request.json())
    happened.type = happened.type.removeprefix(PREFIX)
    return happened


@event.takes
def _(request: Request, events: list[str]) -> bool:
    return str(request.json().get("type")).removeprefix(PREFIX) in events


async def hooks(zendesk: Zendesk, url: str) -> list[dict[str, Any]]:
    """Return the webhooks that call a URL."""
    found = zendesk.pages(HOOKS, items="webhooks", next=lambda each: next_of(each.json()))
    return [each async for each in found if each["endpoint"] == url]


@event.subscribe
async def _(
    zendesk: Zendesk, endpoint: Endpoint, former: Subscription | None, events: list[str]
) -> Subscription:
    wanted = [f"{PREFIX}{each}" for each in events]
    made: str | None = None
    for hook in await hooks(zendesk, endpoint.url):
        same = sorted(hook.get("subscriptions") or ()) == sorted(wanted)
        if same and hook.get("status") == "active" and made is None:
            made = hook["id"]
        elif former is None or hook["id"] != former.id:  # the former one is removed after this
            await zendesk.delete(f"{HOOKS}/{{id}}", values={"id": hook["id"]})
    if made is None:
        hook = {
            "name": f"Halflap: {endpoint.flow}",
            "status": "active",
            "endpoint": endpoint.url,
            "http_method": "POST",
            "request_format": "json",
            "subscriptions": wanted,
        }
        made = (await zendesk.post(HOOKS, json={"webhook": hook}))["webhook"]["id"]
    signing = await zendesk.get(f"{HOOKS}/{{id}}/signing_secret", values={"id": made})
    return Subscription(id=str(made), secret=SecretStr(signing["signing_secret"]["secret"]))


@event.unsubscribe
async def _(zendesk: Zendesk, subscription: Subscription) -> None:
    await zendesk.delete(f"{HOOKS}/{{id}}", values={"id": subscription.id})


@event.exists
async def _(zendesk: Zendesk, subscription: Subscription) -> bool:
    hook = await zendesk.find(f"{HOOKS}/{{id}}", values={"id": subscription.id})
    return hook is not None and hook["webhook"]["status"] == "active"


EARLIEST = 1
LATEST = timedelta(seconds=61)
"""An export begins so long ago at the latest: Zendesk refuses what is less than a minute old."""


INTERVAL = Field(ge=10, le=86_400, description="Seconds between two questions.")


@component.trigger(methods=(), title="Ticket changed, by the export", key=pointer("/id"))
async def changed_ticket(
    request: Request,
    interval: Annotated[int, INTERVAL] = 60,
    start: Literal["now", "earliest"] = "now",
) -> Ticket:
    """A ticket was made or changed, as Zendesk's incremental export tells: no webhook is needed.

    It is asked less often while nothing comes; Zendesk allows ten questions a minute. With `start` at
    earliest, all tickets are imported first.
    """
    return Ticket.model_validate(request.json())


@changed_ticket.poll(at_most=timedelta(minutes=10))
async def _(zendesk: Zendesk, polling: Polling) -> PolledPage:
    return await exported(zendesk, polling, "tickets")


@component.trigger(methods=(), title="Person changed, by the export", key=pointer("/id"))
async def changed_user(
    request: Request,
    interval: Annotated[int, INTERVAL] = 60,
    start: Literal["now", "earliest"] = "now",
) -> User:
    """A person was made or changed, as Zendesk's incremental export tells: no webhook is needed.

    With `start` at earliest, all people are imported first.
    """
    return User.model_validate(request.json())


@changed_user.poll(at_most=timedelta(minutes=10))
async def _(zendesk: Zendesk, polling: Polling) -> PolledPage:
    return await exported(zendesk, polling, "users")


async def exported(zendesk: Zendesk, polling: Polling, kind: str) -> PolledPage:
    """Read a page of the export: by time at first, and by the cursor that Zendesk gave from then on."""
    since = polling.since if polling.cursor is None else None
    params: dict[str, Any] = {"cursor": polling.cursor, "per_page": 1000}
    if polling.cursor is None:
        begin = None if since is None else min(since, datetime.now(UTC) - LATEST)
        begins = EARLIEST if begin is None else int(begin.timestamp())
        params = {"start_time": begins, "per_page": 1000}
    found = await zendesk.get(f"/api/v2/incremental/{kind}/cursor.json", params=params)
    messages = [
        Message(each, id=str(each["id"]), version=each["updated_at"], key=str(each["id"]))
        for each in found[kind]
        if since is None or datetime.fromisoformat(each["updated_at"]) >= since
    ]
    more = not found["end_of_stream"]
    return PolledPage(messages, found["after_cursor"], more=more)
