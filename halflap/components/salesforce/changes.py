"""The trigger of changed records, by the best way that an org allows.

Whichever way tells of a change, the event is the record as it is then, written as an outbound message
writes it; an event that says the same of the same second is a duplicate. So what several ways tell,
and what is read again after an outage, starts a flow once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from halflap import (
    Batch,
    Declaration,
    Endpoint,
    Listening,
    PollSpec,
    Request,
    Subscription,
    UpstreamError,
    polled,
)
from halflap.components.salesforce.capture import (
    Capture,
    has_change_events,
    is_final,
    is_selected,
    topic_of,
)
from halflap.components.salesforce.connection import Salesforce, component
from halflap.components.salesforce.description import Object
from halflap.components.salesforce.outbound import (
    delete_outbound_message,
    delete_rule,
    ensure_by_rule,
    ensure_outbound_message,
    ids_by_name,
    usual_fields,
)
from halflap.components.salesforce.stamps import LATE, STAMP, ChangedRecords, Poll, version_of
from halflap.components.salesforce.trigger import DECLARED, event_of

By = Literal["best", "change_events", "outbound_message", "polling"]
EVENTS, MESSAGE, RULE, POLLED = "change_events", "outbound_message", "workflow_rule", "polling"
EVERY = PollSpec(overlap=LATE)
RECONSIDERED = 900.0
"""Seconds after which what is polled is looked at again: there may be change events by now."""


def dedupe(request: Request) -> str | None:
    """The identity of the state that an event tells."""
    record = request.json().get("sObject")
    return None if record is None else version_of(record)


@component.trigger(title="Record changed")
async def record_changed(
    request: Request,
    object: Object,
    fields: list[str] | None = None,
    deletes: bool = False,
    by: By = "best",
    interval: Annotated[int, Field(ge=5, le=86_400)] = 60,
    start: Literal["now", "earliest"] = "now",
) -> Any:
    """A record was created or changed, in the best way that the org allows.

    The event is the record, as of `outbound_message`: values are text. `fields`: those to read;
    without, the ones that the typed record reads, or all that a person may change. With `deletes`,
    deleted records are told too, and the event says `IsDeleted`.
    By change events where the org has selected the object for change data capture. Otherwise by an
    outbound message, where Salesforce lets the connection's user make one, and by asking every
    `interval` seconds for what was stamped since (`SystemModstamp`), which finds what no message told;
    less often while nothing comes, up to five minutes. With `start="earliest"`, all records are read
    first.
    """
    event = event_of(request, object, fields)
    return event if not isinstance(event, dict) or not deletes else {"IsDeleted": "false", **event}


@record_changed.declare
def _(
    object: str,
    fields: list[str] | None,
    deletes: bool,
    by: By,
    interval: int,
    start: str,
) -> Declaration:
    if by in (POLLED, EVENTS):
        plain = Declaration(methods=(), subscribes=False)
        return replace(plain, dedupe=dedupe, key=DECLARED.key, reads=DECLARED.reads)
    return replace(DECLARED, dedupe=dedupe)


@record_changed.subscribe
async def _(
    sf: Salesforce,
    endpoint: Endpoint,
    former: Subscription | None,
    object: str,
    fields: list[str] | None,
    by: By,
) -> Subscription:
    if by == "best" and await has_change_events(sf, object):
        return Subscription(topic_of(object), data=way(EVENTS, "by change events"))
    sent = sorted({STAMP, *(fields if fields is not None else await usual_fields(sf, object))})
    try:
        made = await ensure_outbound_message(sf, object, endpoint.url, sent)
        if former is not None and former.data.get("way") == RULE:
            await delete_rule(sf, object, endpoint.url)  # a flow is allowed by now
        note = "by an outbound message that a flow sends"
        return Subscription(made.id, data=way(MESSAGE, note))
    except UpstreamError as error:
        if not is_final(error):
            raise
    try:
        id = await ensure_by_rule(sf, object, endpoint.url, sent)
        note = "by an outbound message that a workflow rule sends"
        return Subscription(id, data=way(RULE, note))
    except UpstreamError as error:
        if by != "best" or not is_final(error):
            raise
        return Subscription(POLLED, data=way(POLLED, f"by polling, as {error}"))


def way(name: str, note: str) -> dict[str, str]:
    """Return what is stored with a subscription: the way, and a note for people."""
    return {"way": name, "note": note[:500]}


@record_changed.unsubscribe
async def _(sf: Salesforce, subscription: Subscription) -> None:
    if subscription.data.get("way") in (MESSAGE, RULE):
        await delete_outbound_message(sf, subscription.id)


@record_changed.exists
async def _(sf: Salesforce, subscription: Subscription, object: str) -> bool:
    match subscription.data.get("way"):
        case "change_events":
            return await has_change_events(sf, object)
        case "polling":
            return True
        case _:
            ids = (await ids_by_name(sf)).values()
            return any(each[:15] == subscription.id[:15] for each in ids)


@record_changed.listen(tuning=["fields", "deletes", "by", "interval"])
async def _(
    sf: Salesforce,
    listening: Listening,
    object: str,
    fields: list[str] | None,
    deletes: bool,
    by: By,
    interval: int,
) -> AsyncGenerator[Batch]:
    named = fields if fields is not None else await usual_fields(sf, object)
    rows = ChangedRecords(sf, object, sorted({"Id", STAMP, *named}), deletes)
    if by == EVENTS and await is_selected(sf, object) is False:
        raise UpstreamError(
            f"the Salesforce org publishes no changes of {object}; select it in Setup → Change Data "
            "Capture, or leave `by` out"
        )
    now = asyncio.get_running_loop().time
    while True:
        is_captured = by == EVENTS or (by == "best" and await has_change_events(sf, object))
        poll = polled(listening, EVERY.within(interval), Poll(rows))
        until = now() + RECONSIDERED if by == "best" and not is_captured else math.inf
        async for batch in Capture(rows, listening).batches() if is_captured else poll:
            yield batch
            if now() > until:
                break
