"""Slack: its Events API and its slash commands; written as a stranger would."""

from typing import Any, Literal

from pydantic import SecretStr

from halflap import (
    Component,
    Connection,
    Ignore,
    Model,
    Reply,
    Request,
    SlackSignature,
    header,
    pointer,
)


class Slack(Connection):
    """An app installed to one workspace."""

    base_url: str = "https://slack.com/api"
    bot_token: SecretStr
    signing_secret: SecretStr

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.bot_token.get_secret_value()}"}


class Retry(Model):
    """Why Slack sends an event again."""

    number: int
    reason: str


class Message(Model):
    type: Literal["message", "app_mention"]
    channel: str
    text: str = ""
    user: str | None = None


class Event(Model):
    """Something happened in the workspace."""

    event_id: str
    team_id: str
    event: Message
    retry: Retry | None = None


class Command(Model):
    """Somebody typed a slash command."""

    command: str
    text: str
    user_name: str


component = Component("slack", title="Slack", connection=Slack)


def challenge(request: Request) -> Reply | None:
    """Slack asks whether the URL is ours."""
    body = request.json()
    return Reply(200, body["challenge"]) if body.get("type") == "url_verification" else None


def retry_of(request: Request) -> Retry | None:
    """Slack says which try this is."""
    number = header("x-slack-retry-num")(request)
    reason = request.headers.get("x-slack-retry-reason", "")
    return Retry(number=int(number), reason=reason) if number else None


@component.trigger(
    verify=SlackSignature(),
    secret="connection.signing_secret",
    handshake=challenge,
    dedupe=pointer("/event_id"),
    key=pointer("/event/channel"),
    answer=Reply(200, headers={"X-Slack-No-Retry": "1"}),
)
async def event(request: Request, types: list[str]) -> Event | Ignore:
    """Something happened in the workspace."""
    body: dict[str, Any] = request.json()
    if body["event"]["type"] not in types:
        return Ignore(f"a {body['event']['type']}")
    return Event.model_validate({**body, "retry": retry_of(request)})


@component.trigger(
    verify=SlackSignature(),
    secret="connection.signing_secret",
    answer=Reply(200, {"response_type": "ephemeral", "text": "On it."}),
)
async def command(request: Request) -> Command:
    """Somebody typed a slash command."""
    return Command.model_validate({name: each[0] for name, each in request.form().items()})
