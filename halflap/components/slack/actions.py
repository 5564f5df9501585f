"""The actions of Slack: messages, views and people."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Annotated, Any

from pydantic import Field

from halflap import Json, Source, UpstreamError
from halflap.components.listing import first
from halflap.components.slack.connection import Slack, component, within
from halflap.components.slack.models import Message, Post, User, View

THREAD = Field(description="The ts of the message that is answered in its thread.")


async def listed(slack: Slack, method: str, name: str, **given: Any) -> AsyncGenerator[Any]:
    """Yield the items of a list, which comes in pages."""
    cursor: str | None = None
    seen: set[str | None] = {None, ""}
    for _ in range(slack.most_pages):
        page = await slack.ask(method, limit=200, cursor=cursor, **given)
        for each in page[name]:
            yield each
        cursor = within(page.get("response_metadata"), "next_cursor")
        if cursor in seen:
            break
        seen.add(cursor)


@component.action
async def list_channels(slack: Slack) -> list[tuple[str, str]]:
    """List the public channels, by id and name."""
    found = listed(slack, "conversations.list", "channels", exclude_archived="true")
    return [(each["id"], f"#{each['name']}") async for each in found]


Channel = Annotated[str, Source(list_channels, open=True)]
"""The id of a channel; or of a person, who gets a direct message."""


@component.action
async def post_message(
    slack: Slack,
    channel: Channel,
    text: str,
    blocks: list[dict[str, Json]] | None = None,
    thread_ts: Annotated[str | None, THREAD] = None,
) -> Message:
    """Post a message; of one with `blocks`, the text is what a notification says."""
    answer = await slack.call(
        "chat.postMessage", channel=channel, text=text, blocks=blocks, thread_ts=thread_ts
    )
    return Message.model_validate(answer)


@component.action
async def post_ephemeral(
    slack: Slack,
    channel: Channel,
    user: str,
    text: str,
    blocks: list[dict[str, Json]] | None = None,
    thread_ts: Annotated[str | None, THREAD] = None,
) -> None:
    """Post a message that only one person in a channel sees, until they reload."""
    given = {"channel": channel, "user": user, "text": text}
    await slack.call("chat.postEphemeral", **given, blocks=blocks, thread_ts=thread_ts)


@component.action(repeatable=True)
async def update_message(
    slack: Slack, channel: str, ts: str, text: str, blocks: list[dict[str, Json]] | None = None
) -> Message:
    """Replace a message that the app has posted."""
    answer = await slack.call("chat.update", channel=channel, ts=ts, text=text, blocks=blocks)
    return Message.model_validate(answer)


@component.action(repeatable=True)
async def delete_message(slack: Slack, channel: str, ts: str) -> None:
    """Delete a message that the app has posted; one that is gone already is fine."""
    await done_already("message_not_found", slack.call("chat.delete", channel=channel, ts=ts))


async def done_already(reason: str, calling: Awaitable[object]) -> None:
    """Await a call; that Slack refuses it for this reason is fine, as it was done before."""
    try:
        await calling
    except UpstreamError as error:
        if not error.message.endswith(reason):
            raise


@component.action
async def read_thread(slack: Slack, channel: str, ts: str, most: int = 100) -> list[Post]:
    """Read a message and its replies, oldest first; at most `most`."""
    replies = listed(slack, "conversations.replies", "messages", channel=channel, ts=ts)
    return await first(most, Post, replies)


@component.action(repeatable=True)
async def add_reaction(slack: Slack, channel: str, ts: str, name: str) -> None:
    """React to a message, as with `thumbsup`; a reaction that is there already is fine."""
    await done_already(
        "already_reacted", slack.call("reactions.add", channel=channel, timestamp=ts, name=name)
    )


@component.action(repeatable=True)
async def open_conversation(slack: Slack, users: list[str]) -> str:
    """Open a direct message with one person or several, and return the id of its channel."""
    answer = await slack.call("conversations.open", users=",".join(users))
    return answer["channel"]["id"]


@component.action
async def open_view(slack: Slack, trigger_id: str, view: dict[str, Json]) -> View:
    """Open a modal, within three seconds of the interaction that asks for it."""
    answer = await slack.call("views.open", trigger_id=trigger_id, view=view)
    return View.model_validate(answer["view"])


@component.action
async def push_view(slack: Slack, trigger_id: str, view: dict[str, Json]) -> View:
    """Open a modal above the one that is open."""
    answer = await slack.call("views.push", trigger_id=trigger_id, view=view)
    return View.model_validate(answer["view"])


@component.action
async def update_view(
    slack: Slack, view_id: str, view: dict[str, Json], hash: str | None = None
) -> View:
    """Replace a view; with its `hash`, only where it has not changed since."""
    answer = await slack.call("views.update", view_id=view_id, view=view, hash=hash)
    return View.model_validate(answer["view"])


@component.action(repeatable=True)
async def publish_home(slack: Slack, user: str, view: dict[str, Json]) -> View:
    """Show somebody a home of the app."""
    answer = await slack.call("views.publish", user_id=user, view=view)
    return View.model_validate(answer["view"])


@component.action
async def get_user(slack: Slack, id: str) -> User:
    """Read a person by id."""
    return User.model_validate((await slack.ask("users.info", user=id))["user"])


@component.action
async def find_user(slack: Slack, email: str) -> User | None:
    """Find a person by e-mail address; nothing where there is none."""
    try:
        found = await slack.ask("users.lookupByEmail", email=email)
    except UpstreamError as error:
        if not error.message.endswith("users_not_found"):
            raise
        return None
    return User.model_validate(found["user"])


@component.action
async def list_users(slack: Slack, bots: bool = False, deleted: bool = False) -> list[User]:
    """List the people in the workspace."""
    found = [User.model_validate(each) async for each in listed(slack, "users.list", "members")]
    return [each for each in found if (bots or not each.is_bot) and (deleted or not each.deleted)]
