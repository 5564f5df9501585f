"""The triggers of Slack: what it posts to the app's URL."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from halflap import Request, SlackSignature
from halflap.components.slack.connection import (
    body_of,
    challenge,
    component,
    team_of,
    within,
)
from halflap.components.slack.models import Event, Interaction

EVENTS = (
    "app_home_opened",
    "app_mention",
    "channel_archive",
    "channel_created",
    "channel_rename",
    "file_shared",
    "link_shared",
    "member_joined_channel",
    "member_left_channel",
    "message",
    "reaction_added",
    "reaction_removed",
    "team_join",
    "user_change",
)
"""The events that are offered; Slack has more, which may be written as well."""

WANTED = Field(min_length=1, description="What to be told of, as app_mention.")
BOTS = Field(description="Take what bots write, too: also this app's own messages.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


def delivery(request: Request) -> str | None:
    """Return the id of an event, or of an interaction, which is the same where Slack tries again."""
    return delivery_of(body_of(request))


def delivery_of(body: dict[str, Any]) -> str | None:
    """Return the id of what Slack sends."""
    return body.get("event_id") or body.get("trigger_id")


def place(request: Request) -> str | None:
    """Return where it happened: the channel, else the person."""
    told = body_of(request)
    body = told.get("event") or told
    for name in ("channel", "channel_id", "user", "user_id"):
        found = body.get(name)
        if found:
            return text_of(found)
    return None


def text_of(value: Any) -> str | None:
    """Return an id: as it is, or of the object that has it."""
    return within(value, "id") if isinstance(value, dict) else value


def kind_of(body: dict[str, Any]) -> str:
    """Return which interaction it is; empty for an event."""
    kind = "command" if "command" in body else str(body.get("type") or "")
    return "" if kind == "event_callback" else kind


def is_wanted(body: dict[str, Any], events: list[str], bots: bool) -> bool:
    """Return whether it is one of these events, and not a bot's message where those are not wanted."""
    told = body.get("event") if body.get("type") == "event_callback" else None
    is_bots = bool(within(told, "bot_id")) or within(told, "subtype") == "bot_message"
    return within(told, "type") in events and (bots or not is_bots)


def event_of(body: dict[str, Any]) -> Event:
    """Return an event that Slack sends."""
    told: dict[str, Any] = body["event"]
    return Event(
        id=body["event_id"],
        type=told["type"],
        team_id=body["team_id"],
        channel=text_of(told.get("channel")),
        user=text_of(told.get("user")),
        text=told.get("text"),
        ts=told.get("ts"),
        thread_ts=told.get("thread_ts"),
        payload=told,
    )


def interaction_of(body: dict[str, Any], team: str | None) -> Interaction:
    """Return an interaction that Slack sends."""
    return Interaction(
        type=kind_of(body),
        team_id=str(team or ""),
        user=str(text_of(body.get("user")) or body.get("user_id") or ""),
        trigger_id=body.get("trigger_id"),
        response_url=body.get("response_url"),
        channel=text_of(body.get("channel")) or body.get("channel_id"),
        callback_id=body.get("callback_id") or within(body.get("view"), "callback_id"),
        payload=body,
    )


signed = component.trigger(
    verify=SlackSignature(),
    secret="connection.signing_secret",  # noqa: S106
    handshake=challenge,
    dedupe=delivery,
    key=place,
    app_endpoint=True,
)


@signed
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
    bots: Annotated[bool, BOTS] = False,
) -> Event:
    """Something happened in a Slack workspace.

    Of your team's own app, the events of all workspaces come to the app's one URL; of an app of the
    customer's own, to the flow's. Slack wants an answer within three seconds, and tries three times more.
    """
    return event_of(body_of(request))


@event.takes
def _(request: Request, events: list[str], bots: bool) -> bool:
    return is_wanted(body_of(request), events, bots)


@signed
async def interaction(
    request: Request, type: Literal["any", "action", "view", "command"] = "any"
) -> Interaction:
    """Somebody used a button, a menu, a form or a command of the app."""
    return interaction_of(body_of(request), team_of(request))


@interaction.takes
def _(request: Request, type: str) -> bool:
    kind = kind_of(body_of(request))
    group = "view" if kind.startswith("view_") else "command" if kind == "command" else "action"
    return bool(kind) and type in ("any", group)
