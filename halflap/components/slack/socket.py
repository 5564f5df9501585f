"""Socket Mode: what Slack sends, by WebSockets that the listener opens; no URL has to be public."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, cast

from pydantic import Field

from halflap import Batch, Listening, Message, Request, UpstreamError, WebSocket, encode_json
from halflap.components.slack.connection import Slack, component, team_of, within
from halflap.components.slack.models import Event, Interaction
from halflap.components.slack.triggers import (
    BOTS,
    EventName,
    delivery_of,
    event_of,
    interaction_of,
    is_wanted,
    kind_of,
    place,
)

Envelope = dict[str, Any]

READ_BYTES = 64 * 1024
BEAT_SECONDS = 20.0
MOST_OPEN = 4
"""The WebSockets of one listener: one, its successor, and what Slack has yet to close."""
CARRIED = ("events_api", "interactive", "slash_commands")
"""The kinds of envelopes that carry something that happened."""

ALL = Field(
    description="What to be told of, as app_mention; every event that the app subscribes to."
)
INTERACTIONS = Field(description="Take buttons, menus, forms and commands.")
CONNECTIONS = Field(
    ge=1, le=10, description="How many WebSockets are open at once; Slack allows an app ten."
)


@component.trigger(methods=(), key=place, title="Socket Mode")
async def socket(
    request: Request,
    events: Annotated[list[EventName] | None, ALL] = None,
    interactions: Annotated[bool, INTERACTIONS] = True,
    bots: Annotated[bool, BOTS] = False,
    connections: Annotated[int, CONNECTIONS] = 1,
) -> Event | Interaction:
    """Something happened in the workspace of an app that uses Socket Mode, which needs no public URL.

    Slack gives each event and interaction to one WebSocket of the app: let one flow read an app.
    """
    body = request.json()
    return interaction_of(body, team_of(request)) if kind_of(body) else event_of(body)


@socket.takes
def _(request: Request, events: list[str] | None, interactions: bool, bots: bool) -> bool:
    body: dict[str, Any] = request.json()
    if kind_of(body):
        return interactions
    named = [str(within(body.get("event"), "type"))] if events is None else events
    return is_wanted(body, named, bots)


@socket.shards
async def _(connections: int) -> Sequence[str]:
    return [str(number) for number in range(connections)]


@socket.listen(tuning=["events", "interactions", "bots", "connections"])
async def _(slack: Slack, listening: Listening) -> AsyncGenerator[Batch]:
    links = Links(slack)
    await listening.credit(READ_BYTES)
    try:
        await links.open()
        while True:
            listening.beat()
            for link, envelope in await links.read():
                if envelope.get("type") in CARRIED:
                    yield Batch([carried(envelope)], ack=partial(acknowledge, link, envelope))
                    await listening.credit(READ_BYTES)
                elif envelope.get("type") == "disconnect":
                    await links.replace(str(envelope.get("reason") or ""))
    finally:
        await links.close()


class Links:
    """The WebSockets of a listener: one, and while Slack replaces it, two."""

    def __init__(self, slack: Slack) -> None:
        self._slack = slack
        self._reading: dict[asyncio.Task[bytes | None], WebSocket] = {}

    async def open(self) -> None:
        """Open a WebSocket."""
        self._read(await self._slack.websocket(await self._slack.socket_url()))

    async def read(self) -> list[tuple[WebSocket, Envelope]]:
        """Return what has come, and by which WebSocket; nothing where it takes long."""
        if not self._reading:
            raise UpstreamError("Slack closed the WebSocket; it is opened again", in_doubt=False)
        done, _ = await asyncio.wait(
            self._reading, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        found: list[tuple[WebSocket, Envelope]] = []
        for task in done:
            link, frame = self._reading.pop(task), task.result()
            if frame is None:
                await link.close()
            else:
                self._read(link)
                found.append((link, envelope_of(frame)))
        return found

    async def replace(self, reason: str) -> None:
        """Open the next WebSocket before Slack closes this one, so that nothing finds none."""
        if reason == "link_disabled":
            raise UpstreamError(
                "Socket Mode is switched off for the app; switch it on in its settings at Slack",
                in_doubt=False,
            )
        if len(self._reading) < MOST_OPEN:
            await self.open()

    async def close(self) -> None:
        """Close all; what was not acknowledged, Slack sends again."""
        for task, link in self._reading.items():
            task.cancel()
            await link.close()

    def _read(self, link: WebSocket) -> None:
        self._reading[asyncio.create_task(link.receive(), name="slack socket")] = link


def envelope_of(frame: bytes) -> Envelope:
    """Return what a WebSocket carried; `UpstreamError` for what is no object."""
    try:
        found = json.loads(frame, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(f"Slack sent what is no JSON: {error}", in_doubt=False) from error
    if not isinstance(found, dict):
        raise UpstreamError("Slack sent JSON that is no object", in_doubt=False)
    return cast(Envelope, found)


def carried(envelope: Envelope) -> Message:
    """Return what happened, known by its id: the same where Slack sends it again."""
    payload = envelope.get("payload")
    known = delivery_of(cast(Envelope, payload)) if isinstance(payload, dict) else None
    return Message(encode_json(payload), id=known or envelope.get("envelope_id"))


async def acknowledge(link: WebSocket, envelope: Envelope) -> None:
    """Tell Slack that it is taken, which closes a view that was submitted."""
    await link.send(json.dumps({"envelope_id": envelope.get("envelope_id")}))
