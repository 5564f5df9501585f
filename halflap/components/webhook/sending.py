"""The action that sends a webhook, as Standard Webhooks says."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from halflap import Model, Retry, encode_json
from halflap.components.webhook.connection import Receiver, component

SCHEDULE = Retry(attempts=16, first=timedelta(seconds=5), longest=timedelta(hours=10))
"""Tries in about a day, as Standard Webhooks wants; a receiver that is gone (410) has one."""

TYPE = Field(
    pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", description="What happened, as user.created."
)
ID = Field(
    pattern=r"^[!-\-/-~]{1,256}$",
    description="By which the receiver knows the message; by default, one for each step.",
)
AT = Field(description="When it happened.")


class Sent(Model):
    """A message that the receiver took: its id, and what was answered."""

    id: str
    status: int


@component.action(retry=SCHEDULE)
async def send(
    receiver: Receiver,
    type: Annotated[str, TYPE],
    data: Any,
    at: Annotated[AwareDatetime | None, AT] = None,
    id: Annotated[str | None, ID] = None,
) -> Sent:
    """Send a webhook, signed as Standard Webhooks says.

    Each try has the same `webhook-id`, and a time and a signature of its own. It is tried again for
    about a day, when the receiver says where it does (`Retry-After`); a receiver that is gone (410)
    is not.
    """
    id = id or receiver.upcoming_key()
    told: dict[str, Any] = {"type": type, **({} if at is None else {"timestamp": at}), "data": data}
    answer = await receiver.deliver(encode_json(told), "application/json", {}, id)
    return Sent(id=id, status=answer.status)
