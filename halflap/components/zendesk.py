"""Zendesk: events of tickets, users and organizations, by a webhook that the trigger makes."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, SecretStr, WithJsonSchema

from halflap import (
    Component,
    Connection,
    Endpoint,
    Ignore,
    Json,
    Model,
    Request,
    Subscription,
    ZendeskSignature,
    pointer,
)

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


class Zendesk(Connection):
    """An administrator's API token."""

    subdomain: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Of acme.zendesk.com: acme"""
    email: str
    api_token: SecretStr

    @property
    def base_url(self) -> str:
        """The address of the account."""
        return f"https://{self.subdomain}.zendesk.com"

    def headers(self) -> dict[str, str]:
        both = f"{self.email}/token:{self.api_token.get_secret_value()}"
        return {"Authorization": "Basic " + base64.b64encode(both.encode()).decode()}

    async def test(self) -> None:
        await self.get(HOOKS, params={"page[size]": 1})


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


component = Component("zendesk", title="Zendesk", connection=Zendesk)


@component.trigger(
    verify=ZendeskSignature(),
    secret="subscription",  # noqa: S106
    dedupe=pointer("/id"),
    key=pointer("/detail/id"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
) -> Event | Ignore:
    """Something happened in Zendesk."""
    happened = Event.model_validate(request.json())
    happened.type = happened.type.removeprefix(PREFIX)
    if happened.type not in events:
        return Ignore(f"{happened.type} was not asked for")
    return happened


async def hooks(zendesk: Zendesk, url: str) -> list[dict[str, Any]]:
    """Return the webhooks that call a URL."""
    found = zendesk.pages(HOOKS, items="webhooks", next=lambda each: next_of(each.json()))
    return [each async for each in found if each["endpoint"] == url]


def next_of(body: Any) -> str | None:
    """Return the address of the next page."""
    more: bool = body["meta"]["has_more"]
    return body["links"]["next"] if more else None


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
