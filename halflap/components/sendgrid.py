"""SendGrid: what becomes of the mails that were sent, and the mails that it receives."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal

import anyio.to_thread
from pydantic import ConfigDict, Field, SecretStr
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    Component,
    Connection,
    Endpoint,
    Ignore,
    Model,
    Request,
    SendGridSignature,
    Subscription,
    Unsigned,
    email,
    pointer,
)

HOOKS = "/v3/user/webhooks/event/settings"
EventName = Literal[
    "processed",
    "deferred",
    "delivered",
    "dropped",
    "bounce",
    "open",
    "click",
    "spam_report",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
]
WANTED = Field(min_length=1, description="What to be told of, as bounce.")
SENT_AS = {"spamreport": "spam_report"}
"""Names in events that differ from those in settings."""


class SendGrid(Connection):
    """An API key with the right to manage event webhooks."""

    base_url: SkipJsonSchema[str] = "https://api.sendgrid.com"
    api_key: SecretStr

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}

    async def test(self) -> None:
        await self.get(f"{HOOKS}/all")


class Event(Model):
    """An event of a mail: `delivered`, say. Custom arguments are fields beside these."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(alias="sg_event_id")
    message_id: str | None = Field(None, alias="sg_message_id")
    event: str
    email: str
    timestamp: int
    reason: str | None = None
    url: str | None = None


component = Component("sendgrid", title="SendGrid", connection=SendGrid)


@component.trigger(
    title="Mail event",
    verify=SendGridSignature(),
    secret="subscription",  # noqa: S106
    split=Request.elements,
    dedupe=pointer("/sg_event_id"),
    key=pointer("/sg_message_id"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
) -> Event | Ignore:
    """Something became of a mail that SendGrid sent: each event of a batch by itself."""
    happened = Event.model_validate(request.json())
    happened.event = SENT_AS.get(happened.event, happened.event)
    if happened.event not in events:
        return Ignore(f"{happened.event} was not asked for")
    return happened


@event.subscribe
async def _(sendgrid: SendGrid, endpoint: Endpoint, events: list[str]) -> Subscription:
    wanted = {
        "enabled": True,
        "url": endpoint.url,
        "friendly_name": f"Halflap: {endpoint.flow}"[:100],
        **{each: each in events for each in EventName.__args__},
    }
    there = (await sendgrid.get(f"{HOOKS}/all"))["webhooks"]
    id = next((each["id"] for each in there if each["url"] == endpoint.url), None)
    if id is None:
        id = (await sendgrid.post(HOOKS, json=wanted))["id"]
    else:
        await sendgrid.patch(f"{HOOKS}/{{id}}", values={"id": id}, json=wanted)
    signed = f"{HOOKS}/signed/{{id}}"
    key = await sendgrid.patch(signed, values={"id": id}, json={"enabled": True})
    return Subscription(id=id, secret=SecretStr(key["public_key"]))


@event.unsubscribe
async def _(sendgrid: SendGrid, subscription: Subscription) -> None:
    await sendgrid.delete(f"{HOOKS}/{{id}}", values={"id": subscription.id})


@event.exists
async def _(sendgrid: SendGrid, subscription: Subscription) -> bool:
    hook = await sendgrid.find(f"{HOOKS}/{{id}}", values={"id": subscription.id})
    return hook is not None and bool(hook["enabled"])


def mail_id(request: Request) -> str | None:
    """Return the identity of a mail that is posted: its own id, and a digest of the form."""
    found = re.search(rb"^message-id:[ \t]*(<[^>\s]{1,200}>)", request.body, re.I | re.M)
    boundary = re.search(r'boundary="?([^";,\s]{1,70})', request.headers.get("content-type") or "")
    content = request.body if boundary is None else request.body.replace(boundary[1].encode(), b"")
    digest = hashlib.sha256(content).hexdigest()[:32]
    return f"{'' if found is None else found[1].decode('ascii', 'replace')}#{digest}"


@component.trigger(
    title="Mail received",
    verify=Unsigned("Inbound Parse proves nothing; the flow's URL is secret"),
    dedupe=mail_id,
)
async def inbound(request: Request) -> email.Mail:
    """A mail came to a domain whose mail SendGrid receives (Inbound Parse).

    Enter the flow's URL there, with or without *POST the raw, full MIME message*. What a mail says of
    its sender proves nothing.
    """
    kind = request.headers.get("content-type") or ""
    return await anyio.to_thread.run_sync(email.read_posted, kind, request.body)
