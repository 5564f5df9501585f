"""The Web API: one function a method, over the data of the workspace whose token was sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halflap_sandbox.slack.model import APP_ID, Json, Team, World

Method = Callable[[World, Team, Mapping[str, Any]], Json]


class SlackError(Exception):
    """Slack says no, by a code."""


def auth_test(world: World, team: Team, _: Mapping[str, Any]) -> Json:
    """Tell whose token it is."""
    return {
        "url": f"https://{team.name}.slack.com/",
        "team": team.name,
        "user": "halflap",
        "team_id": team.id,
        "user_id": team.bot_user,
        "bot_id": team.bot_id,
        "is_enterprise_install": False,
    }


def post_message(world: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Post a message as the bot."""
    channel = channel_of(team, given)
    if not given.get("text") and not given.get("blocks"):
        raise SlackError("no_text")
    known = {name: given[name] for name in ("text", "blocks", "thread_ts") if given.get(name)}
    bot = {"user": team.bot_user, "bot_id": team.bot_id, "app_id": APP_ID}
    message = world.post(team, channel, {**known, **bot})
    return {"channel": channel, "ts": message["ts"], "message": message}


def update_message(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Change a message of the bot."""
    channel, message = own_message(team, given)
    message.update({name: given[name] for name in ("text", "blocks") if name in given})
    return {"channel": channel, "ts": message["ts"], "text": message.get("text", "")}


def delete_message(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Delete a message of the bot."""
    channel, message = own_message(team, given)
    del team.messages[channel, message["ts"]]
    return {"channel": channel, "ts": message["ts"]}


def list_channels(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """List channels, a page at a time."""
    return paged("channels", list(team.channels.values()), given)


def paged(name: str, found: Sequence[Json], given: Mapping[str, Any]) -> Json:
    """Give a page of a list."""
    limit, begin = int(given.get("limit") or 100), int(given.get("cursor") or 0)
    following = str(begin + limit) if begin + limit < len(found) else ""
    return {
        name: found[begin : begin + limit],
        "response_metadata": {"next_cursor": following},
    }


def list_replies(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """List a message and its replies, a page at a time."""
    channel, ts = channel_of(team, given), given.get("ts")
    found = [
        each
        for (place, at), each in team.messages.items()
        if place == channel and ts in (at, each.get("thread_ts"))
    ]
    if not found:
        raise SlackError("thread_not_found")
    return paged("messages", found, given)


def post_ephemeral(world: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Post a message for one person, which stands in no channel."""
    channel_of(team, given)
    if given.get("user") not in team.users:
        raise SlackError("user_not_in_channel")
    if not given.get("text") and not given.get("blocks"):
        raise SlackError("no_text")
    return {"message_ts": f"{int(world.settings.clock())}.000000"}


def add_reaction(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """React to a message, once by each emoji."""
    message = team.messages.get((channel_of(team, given), str(given.get("timestamp"))))
    if message is None:
        raise SlackError("message_not_found")
    reactions = message.setdefault("reactions", [])
    if any(each["name"] == given.get("name") for each in reactions):
        raise SlackError("already_reacted")
    reactions.append({"name": given.get("name"), "count": 1, "users": [team.bot_user]})
    return {}


def open_conversation(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Open direct messages: the channel of one person has that person's id."""
    users = str(given.get("users") or "").split(",")
    if not set(users) <= team.users.keys():
        raise SlackError("user_not_found")
    return {"channel": {"id": users[0]}}


def list_users(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """List people, a page at a time."""
    return paged("members", list(team.users.values()), given)


def get_user(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Find a person by id."""
    if (user := team.users.get(str(given.get("user")))) is None:
        raise SlackError("user_not_found")
    return {"user": user}


def lookup_user(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Find a person by email address."""
    for user in team.users.values():
        if user["profile"]["email"] == given.get("email"):
            return {"user": user}
    raise SlackError("users_not_found")


def open_view(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Open a modal for a trigger, which is good once."""
    if given.get("trigger_id") not in team.triggers:
        raise SlackError("invalid_trigger_id")
    team.triggers.discard(str(given["trigger_id"]))
    return stored_view(team, given, secrets.token_hex(5))


def push_view(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Open a modal above the one that is open."""
    if not any(each["type"] == "modal" for each in team.views.values()):
        raise SlackError("not_found")
    return open_view(_, team, given)


def update_view(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Change an open modal."""
    before = team.views.get(str(given.get("view_id")))
    if before is None:
        raise SlackError("not_found")
    if given.get("hash") not in (None, before["hash"]):
        raise SlackError("hash_conflict")
    return stored_view(team, given, before["id"])


def publish_view(_: World, team: Team, given: Mapping[str, Any]) -> Json:
    """Show the home tab of a person."""
    if given.get("user_id") not in team.users:
        raise SlackError("user_not_found")
    return stored_view(team, given, f"home-{given['user_id']}")


def stored_view(team: Team, given: Mapping[str, Any], id: str) -> Json:
    view = given.get("view")
    if not isinstance(view, dict) or "type" not in view:
        raise SlackError("invalid_arguments")
    team.views[id] = {**view, "id": id, "hash": secrets.token_hex(4)}
    return {"view": team.views[id]}


def channel_of(team: Team, given: Mapping[str, Any]) -> str:
    channel = team.channel(str(given.get("channel", "")))
    if channel is None:
        raise SlackError("channel_not_found")
    if team.channels.get(channel, {}).get("is_archived"):
        raise SlackError("is_archived")
    return channel


def own_message(team: Team, given: Mapping[str, Any]) -> tuple[str, Json]:
    channel = channel_of(team, given)
    message = team.messages.get((channel, str(given.get("ts"))))
    if message is None:
        raise SlackError("message_not_found")
    if message.get("bot_id") != team.bot_id:
        raise SlackError("cant_update_message")
    return channel, message


METHODS: Mapping[str, Method] = {
    "auth.test": auth_test,
    "chat.postMessage": post_message,
    "chat.postEphemeral": post_ephemeral,
    "chat.update": update_message,
    "chat.delete": delete_message,
    "conversations.list": list_channels,
    "conversations.open": open_conversation,
    "conversations.replies": list_replies,
    "reactions.add": add_reaction,
    "users.info": get_user,
    "users.list": list_users,
    "users.lookupByEmail": lookup_user,
    "views.open": open_view,
    "views.push": push_view,
    "views.update": update_view,
    "views.publish": publish_view,
}
