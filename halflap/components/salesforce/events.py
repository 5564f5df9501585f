"""The trigger of the Pub/Sub API: platform events and change events, each as it was published."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from pydantic import Field

from halflap import Batch, InvalidEvent, Listening, Message, Request, encode_json
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.pubsub import PubSub, PubSubEvent

UNDECODED = "salesforce-undecoded"
"""The header of an event that could not be decoded: why. Its body is the payload as it came."""


@component.trigger(methods=(), title="Event")
async def event(
    request: Request,
    topic: Annotated[str, Field(pattern=r"^/(event|data)/\w+$")],
    start: Literal["now", "earliest"] = "now",
) -> Any:
    """An event was published on a topic of the Pub/Sub API: a platform event, or a change event.

    `topic`: `/event/Order_Shipped__e`, `/data/AccountChangeEvent`, or `/data/ChangeEvents` for the
    changes of all selected objects. The event has its fields by their API names. In a change event, the
    header's `changedFields`, `nulledFields` and `diffFields` are lists of names. With
    `start="earliest"` it begins with what Salesforce still keeps (72 hours).
    """
    if problem := request.headers.get(UNDECODED):
        raise InvalidEvent(f"an event on {topic} cannot be decoded: {problem}")
    return request.json()


@event.listen(on_expired="earliest")
async def _(sf: Salesforce, listening: Listening, topic: str) -> AsyncGenerator[Batch]:
    replay = bytes.fromhex(listening.cursor) if listening.cursor else None
    async with PubSub(sf) as api:
        following = api.follow(listening, topic, replay, start=listening.start)
        async for fetched in following:
            messages = [message(each) for each in fetched.events]
            yield Batch(messages, cursor=fetched.replay.hex())


def message(event: PubSubEvent) -> Message:
    """An event as the message that is accepted."""
    headers = {"salesforce-event-id": event.id, "salesforce-schema-id": event.schema}
    body: Any = event.payload
    try:
        body = encode_json(event.value) if event.value is not None else body
        problem = event.problem
    except Exception as error:  # such as a number that JSON has not
        problem = f"{type(error).__name__}: {error}"[:300]
    if problem:
        return Message(event.payload, headers={**headers, UNDECODED: ascii(problem)})
    ids = event.header.get("recordIds")
    return Message(body, headers=headers, key=str(ids[0]) if ids else None)
