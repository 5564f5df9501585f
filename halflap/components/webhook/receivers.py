"""Webhooks: events of the team's product, signed, to the receivers of its customers.

It is published as the integration `halflap-webhooks` with the first receiver. A receiver is an instance
of it, a delivery an execution: what waits, fails, is replayed and is kept is so as of any other.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from halflap import (
    FAILURES,
    Cancel,
    Config,
    Conflict,
    Context,
    Integration,
    Retry,
    StepFailed,
    app,
    webhook,
)

WAITS = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The waits before each try, as Standard Webhooks has them, up to a tenth longer."""
LONGEST = timedelta(hours=84)
"""The longest time from an event to its last try, where a receiver that is away holds it up."""
GIVES_UP_AFTER = timedelta(days=5)
"""For how long all deliveries fail until the receiver is disabled."""
ONE_TRY = Retry(attempts=1)
GONE = 410
HEALTH = "health"
"""The name of what an instance knows of its receiver: since when it is `failing`, and `disabled`, why."""


class Settings(Config):
    """A receiver and the events that it is sent."""

    receiver: webhook.Receiver
    types: Annotated[list[str], Field(title="Events")] = ["*"]
    """Their types: order.created, order.* or * for all."""


integration = Integration(
    "halflap-webhooks",
    config=Settings,
    title="Webhooks",
    description="Your product's events, signed, to a customer's own receiver.",
)


@integration.flow(trigger=app.events(Settings.types), max_age=timedelta(days=4))
async def deliver(ctx: Context[Settings], event: app.AppEvent[Any]) -> webhook.Sent:
    """Send an event to the receiver: again for three days where it is not taken."""
    began, failed = ctx.now(), StepFailed("no try was made")
    for tries, wait in enumerate(WAITS, 1):
        if wait:
            await ctx.sleep(wait * (1 + share_of(f"{event.id}:{tries}") / 10))
        found: dict[str, Any] | None = await ctx.state.instance.get(HEALTH)
        health = found or {}
        if "disabled" in health:
            raise Cancel(f"the receiver is disabled: {health['reason']}")
        if ctx.now() - began > LONGEST:
            break
        send = webhook.send.retried(ONE_TRY).titled(f"Try {tries}")
        try:
            sent = await send(
                ctx.config.receiver, event.type, event.data, at=event.timestamp, id=event.id
            )
        except FAILURES as error:
            failed = error if isinstance(error, StepFailed) else StepFailed(str(error))
        else:
            await note(ctx, found, {})
            return sent
        if failed.error == "EgressRefused":
            break
        await note(ctx, found, after_failure(health, ctx.now(), failed.status))
        if failed.status == GONE:
            break
    raise failed


def after_failure(health: dict[str, Any], now: datetime, status: int | None) -> dict[str, Any]:
    """Return what is known of a receiver once it has not taken an event."""
    since = health.get("failing", now.isoformat())
    reason = ""
    if status == GONE:
        reason = "it answered that it is gone (410)"
    elif now - datetime.fromisoformat(since) > GIVES_UP_AFTER:
        reason = f"it has taken nothing since {since[:16]} UTC"
    disabled = {"disabled": now.isoformat(), "reason": reason} if reason else {}
    return {"failing": since, **disabled}


async def note(
    ctx: Context[Settings], before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    """Note what is known of the receiver, unless another delivery, or a person, has meanwhile."""
    if after == (before or {}):
        return
    try:
        await ctx.state.instance.put(HEALTH, after, expect=before)
    except Conflict:
        return
    if "disabled" in after:
        ctx.log.warning("the receiver is disabled", reason=after["reason"])


def share_of(text: str) -> float:
    """Return a number from 0 to 1 that a text stands for: chance that is the same on every attempt."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
