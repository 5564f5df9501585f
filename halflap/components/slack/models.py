"""The values of Slack: events, interactions, messages, views and people."""

from __future__ import annotations

from halflap import Json, Model


class Event(Model):
    """An event: `app_mention`, say. `ts` is a message's id in its channel; `payload` is all of it."""

    id: str
    type: str
    team_id: str
    channel: str | None = None
    user: str | None = None
    text: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    payload: dict[str, Json]


class Interaction(Model):
    """A button, a menu, a form or a command: `block_actions`, `view_submission`, `command`, …"""

    type: str
    team_id: str
    user: str
    trigger_id: str | None = None
    """Opens a view, for three seconds."""
    response_url: str | None = None
    channel: str | None = None
    callback_id: str | None = None
    payload: dict[str, Json]


class Message(Model):
    """A message, known by channel and time together."""

    channel: str
    ts: str


class Post(Model):
    """A message as it stands in a channel."""

    ts: str
    user: str | None = None
    bot_id: str | None = None
    text: str = ""
    thread_ts: str | None = None


class View(Model):
    """A view: a modal, or the home of somebody."""

    id: str
    hash: str = ""


class Profile(Model):
    """The profile of a person."""

    email: str | None = None
    real_name: str | None = None
    display_name: str | None = None


class User(Model):
    """A person in the workspace, or a bot."""

    id: str
    name: str
    deleted: bool = False
    is_bot: bool = False
    profile: Profile = Profile()
