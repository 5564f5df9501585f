"""Twilio: messages that come in at a phone number."""

from __future__ import annotations

import re
from typing import Annotated

from halflap import (
    DefinitionError,
    Endpoint,
    Model,
    Rejected,
    Reply,
    Request,
    Source,
    Subscription,
    TwilioSignature,
)
from halflap.components.twilio.connection import Twilio, component

NOTHING_TO_SAY = Reply(200, "<Response/>", {"Content-Type": "text/xml; charset=utf-8"})


class Media(Model):
    """A picture, say, that came with a message."""

    url: str
    content_type: str


class Message(Model):
    """A message by SMS, MMS or WhatsApp; numbers as `+15005550006`."""

    sid: str
    sender: str
    to: str
    body: str
    media: list[Media]


@component.action
async def list_numbers(twilio: Twilio) -> list[tuple[str, str]]:
    """List the account's phone numbers."""
    found = await twilio.numbers()
    return [(each["phone_number"], each.get("friendly_name") or "") for each in found]


SHAPES = {
    "MessageSid": re.compile(r"[SM]M[0-9a-fA-F]{32}"),
    "From": re.compile(r"[^\s=&]{1,200}"),
    "To": re.compile(r"[^\s=&]{1,200}"),
}
NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")


def delivery(request: Request) -> str:
    """Return the message's SID; raise `Rejected` for a form that Twilio would not make.

    Names and values are signed without separators: one that was cut anew has a valid signature.
    """
    form = request.form()
    for name, values in form.items():
        if not NAME.fullmatch(name) or len(values) > 1:
            raise Rejected(f"Twilio has no field {name[:64]!r}, or not twice.", status=400)
    for name, shape in SHAPES.items():
        if not shape.fullmatch(form.get(name, [""])[0]):
            raise Rejected(f"The form's {name} is none of Twilio's.", status=400)
    return form["MessageSid"][0]


def sender(request: Request) -> str | None:
    """Return who sent the message."""
    return request.form().get("From", [None])[0]


@component.trigger(
    title="Message received",
    verify=TwilioSignature(),
    secret="connection.auth_token",  # noqa: S106
    dedupe=delivery,
    key=sender,
    answer=NOTHING_TO_SAY,
)
async def message(
    request: Request,
    number: Annotated[str, Source(list_numbers)],
) -> Message:
    """A message came in at a phone number of Twilio; nothing is answered to it.

    The trigger sets the address for messages of the `number`, and empties it afterwards.
    """
    form = {name: each[0] for name, each in request.form().items()}
    count = int(form.get("NumMedia") or 0)
    return Message(
        sid=form["MessageSid"],
        sender=form["From"],
        to=form["To"],
        body=form.get("Body", ""),
        media=[
            Media(url=form[f"MediaUrl{each}"], content_type=form[f"MediaContentType{each}"])
            for each in range(count)
        ],
    )


@message.subscribe
async def _(twilio: Twilio, endpoint: Endpoint, number: str) -> Subscription:
    found = await twilio.numbers(PhoneNumber=number)
    if not found:
        raise DefinitionError(f"Twilio has no number {number} in this account")
    sid, taken = found[0]["sid"], found[0].get("sms_url")
    if taken and taken not in (endpoint.url, "https://demo.twilio.com/welcome/sms/reply"):
        raise DefinitionError(
            f"messages to {number} go elsewhere already; empty the number's address for messages at "
            "Twilio, or take another number"
        )
    form = {"SmsUrl": endpoint.url, "SmsMethod": "POST"}
    await twilio.post(twilio.numbers_path("/{sid}.json"), values={"sid": sid}, form=form)
    return Subscription(id=sid, data={"url": endpoint.url})


async def is_ours(twilio: Twilio, subscription: Subscription) -> bool:
    """Return whether messages to the number still come here."""
    found = await twilio.get(twilio.numbers_path("/{sid}.json"), values={"sid": subscription.id})
    return found.get("sms_url") == subscription.data["url"]


@message.unsubscribe
async def _(twilio: Twilio, subscription: Subscription) -> None:
    if await is_ours(twilio, subscription):
        path = twilio.numbers_path("/{sid}.json")
        await twilio.post(path, values={"sid": subscription.id}, form={"SmsUrl": ""})


@message.exists
async def _(twilio: Twilio, subscription: Subscription) -> bool:
    return await is_ours(twilio, subscription)
