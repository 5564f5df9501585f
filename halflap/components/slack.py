"""Slack: what happens in a workspace; messages, views and people."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import Field, SecretStr, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from halflap import (
    ApiKey,
    AppEndpoint,
    Component,
    ConfigError,
    Connection,
    Ignore,
    Json,
    Model,
    OAuth2Code,
    RateLimited,
    Reply,
    Request,
    SlackSignature,
    Source,
    Unauthorized,
    UpstreamError,
)

FORM = "application/x-www-form-urlencoded"
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

REVOKED = {
    "account_inactive",
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "team_access_not_granted",
}
"""The errors that no request gets past until somebody connects again."""

LATER = {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}

WANTED = Field(min_length=1, description="What to be told of, as app_mention.")
BOTS = Field(description="Take what bots write, too: also this app's own messages.")
THREAD = Field(description="The ts of the message that is answered in its thread.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class SlackSignIn(OAuth2Code):
    """Install the app in a workspace, in a browser."""

    granted: ClassVar[frozenset[str]] = OAuth2Code.granted | {"team_id"}
    scope_separator: ClassVar[str] = ","

    authorize_url: SkipJsonSchema[str] = "https://slack.com/oauth/v2/authorize"
    token_url: SkipJsonSchema[str] = "https://slack.com/api/oauth.v2.access"  # noqa: S105
    scopes: tuple[str, ...] = ("channels:read", "chat:write", "users:read", "users:read.email")
    team_id: SkipJsonSchema[str] = ""
    """The workspace, as the answer with the token names it; of an app that is installed for a whole
    organization, that."""

    def keep(self, answer: Any) -> dict[str, Any]:
        """The workspace, or the organization."""
        team = answer.get("enterprise" if answer.get("is_enterprise_install") else "team")
        return {"team_id": str(within(team, "id") or "")}


def within(value: Any, name: str) -> Any:
    """Return a field of an object; None where it is none."""
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def body_of(request: Request) -> dict[str, Any]:
    """Return what Slack sends: an event, an interaction, or a command."""
    if request.content_type != FORM:
        return request.json()
    form = {name: values[0] for name, values in request.form().items()}
    return json.loads(form["payload"]) if "payload" in form else form


def team_of(request: Request) -> str | None:
    """Return the installation that a request is for: a workspace, or a whole organization.

    An event of a shared channel names the workspace of who wrote; the installation stands beside it.
    """
    body = body_of(request)
    installed: Any = (body.get("authorizations") or [None])[0]
    flags = (within(installed, "is_enterprise_install"), body.get("is_enterprise_install"))
    name = "enterprise" if any(each in (True, "true") for each in flags) else "team"
    id = f"{name}_id"
    return within(installed, id) or body.get(id) or within(body.get(name), "id")


def challenge(request: Request) -> Reply | None:
    """Prove that the URL is ours, by saying what Slack said."""
    if request.content_type == FORM:
        return None
    body = request.json()
    is_asked = body.get("type") == "url_verification"
    return Reply(200, {"challenge": body["challenge"]}) if is_asked else None


class Slack(Connection):
    """A workspace, as a bot of it."""

    app_endpoint: ClassVar[AppEndpoint | None] = AppEndpoint(
        verify=SlackSignature(), account=team_of, field="auth.team_id", handshake=challenge
    )

    base_url: SkipJsonSchema[str] = "https://slack.com/api"
    auth: Annotated[SlackSignIn | ApiKey, Field(discriminator="kind")]
    signing_secret: SecretStr = SecretStr("")
    """Of an app of the customer's own: what it signs with. Your team's own app has it stored."""

    async def test(self) -> None:
        found = await self.call("auth.test")
        known = getattr(self.auth, "team_id", "")
        if known and known not in (found.get("team_id"), found.get("enterprise_id")):
            raise ConfigError(
                f"the token is of workspace {found.get('team_id')}, and not of {known}; connect again",
                fields={"auth": "is another workspace's"},
            )

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method that does something; what Slack refuses with 200 is an error."""
        return await self._call("POST", method, {"json": {**without_none(given)}})

    async def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method that reads."""
        return await self._call("GET", method, {"params": without_none(given)})

    async def _call(self, verb: str, method: str, content: dict[str, Any]) -> dict[str, Any]:
        connection: Self = self
        answer: dict[str, Any] = (await self.request(verb, f"/{method}", **content)).json()
        if answer.get("error") == "token_expired":
            connection = await self.refreshed()
            answer = (await connection.request(verb, f"/{method}", **content)).json()
        if answer.get("ok") is not True:
            raise refusal(method, str(answer.get("error") or "no reason"), answer.get("needed"))
        return answer


def without_none(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that were given."""
    return {name: value for name, value in given.items() if value is not None}


def refusal(method: str, why: str, needed: str | None = None) -> UpstreamError:
    """Return the error that Slack's answer means; `needed` is a scope that the app has not."""
    if why == "ratelimited":
        return RateLimited(f"Slack asks to slow down ({method})")
    if why in REVOKED or why == "token_expired":
        return Unauthorized(f"Slack refused {method}: {why}; connect again")
    later = why in LATER
    hint = f" (it needs the scope {needed}; add it, and install the app again)" if needed else ""
    return UpstreamError(
        f"Slack refused {method}: {why}{hint}", status=200, retryable=later, in_doubt=later
    )


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


component = Component("slack", title="Slack", connection=Slack)


@component.action
async def list_channels(slack: Slack) -> list[tuple[str, str]]:
    """List the public channels, by id and name."""
    found: list[tuple[str, str]] = []
    cursor: str | None = None
    for _ in range(slack.most_pages):
        page = await slack.ask(
            "conversations.list", limit=200, exclude_archived="true", cursor=cursor
        )
        found += [(each["id"], f"#{each['name']}") for each in page["channels"]]
        cursor = within(page.get("response_metadata"), "next_cursor")
        if not cursor:
            break
    return found


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
    try:
        await slack.call("chat.delete", channel=channel, ts=ts)
    except UpstreamError as error:
        if not error.message.endswith("message_not_found"):
            raise


@component.action
async def open_view(slack: Slack, trigger_id: str, view: dict[str, Json]) -> View:
    """Open a modal, within three seconds of the interaction that asks for it."""
    answer = await slack.call("views.open", trigger_id=trigger_id, view=view)
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


# Events ---------------------------------------------------------------------------------------


def delivery(request: Request) -> str | None:
    """Return the id of an event, or of an interaction, which is the same where Slack tries again."""
    body = body_of(request)
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


@component.trigger(
    verify=SlackSignature(),
    secret="connection.signing_secret",  # noqa: S106
    handshake=challenge,
    dedupe=delivery,
    key=place,
    app_endpoint=True,
)
async def event(
    request: Request,
    events: Annotated[list[EventName], WANTED],
    bots: Annotated[bool, BOTS] = False,
) -> Event | Ignore:
    """Something happened in a Slack workspace.

    Of your team's own app, the events of all workspaces come to the app's one URL; of an app of the
    customer's own, to the flow's. Slack wants an answer within three seconds, and tries three times more.
    """
    body = body_of(request)
    if body.get("type") != "event_callback":
        return Ignore(f"{body.get('type') or body.get('command')} is no event")
    told: dict[str, Any] = body["event"]
    if told["type"] not in events:
        return Ignore(f"{told['type']} was not asked for")
    if not bots and (told.get("bot_id") or told.get("subtype") == "bot_message"):
        return Ignore("a bot wrote it")
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


@component.trigger(
    verify=SlackSignature(),
    secret="connection.signing_secret",  # noqa: S106
    handshake=challenge,
    dedupe=delivery,
    key=place,
    app_endpoint=True,
)
async def interaction(
    request: Request, type: Literal["any", "action", "view", "command"] = "any"
) -> Interaction | Ignore:
    """Somebody used a button, a menu, a form or a command of the app."""
    body = body_of(request)
    kind = "command" if "command" in body else str(body.get("type"))
    if kind in ("event_callback", "None"):
        return Ignore("it is an event")
    group = "view" if kind.startswith("view_") else "command" if kind == "command" else "action"
    if type not in ("any", group):
        return Ignore(f"{kind} was not asked for")
    return Interaction(
        type=kind,
        team_id=str(team_of(request) or ""),
        user=str(text_of(body.get("user")) or body.get("user_id") or ""),
        trigger_id=body.get("trigger_id"),
        response_url=body.get("response_url"),
        channel=text_of(body.get("channel")) or body.get("channel_id"),
        callback_id=body.get("callback_id") or within(body.get("view"), "callback_id"),
        payload=body,
    )
