"""GitHub: one webhook, many events, each with its type; written as a stranger would."""

import json
from typing import Any, Literal

from pydantic import Field, SecretStr

from halflap import (
    Component,
    Connection,
    Endpoint,
    GitHubSignature,
    Ignore,
    InvalidEvent,
    Model,
    Reply,
    Request,
    Subscription,
    UpstreamError,
    header,
)


class GitHub(Connection):
    """A fine-grained token that may administer the webhooks of one repository."""

    base_url: str = "https://api.github.com"
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    token: SecretStr

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token.get_secret_value()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    @property
    def hooks(self) -> str:
        return f"/repos/{self.repository}/hooks"


class Named(Model):
    id: int
    name: str = Field(default="", alias="full_name")


class User(Model):
    id: int
    login: str


class Delivery(Model):
    """The fields of every event; `payload` is all that GitHub sent."""

    delivery: str
    event: str
    action: str | None = None
    repository: Named | None = None
    sender: User | None = None
    payload: dict[str, Any] = Field(repr=False)


class Commit(Model):
    id: str
    message: str


class Push(Delivery):
    ref: str
    before: str
    after: str
    commits: list[Commit]


class Issue(Model):
    id: int
    number: int
    title: str
    state: str | None = None


class Issues(Delivery):
    issue: Issue


class PullRequest(Delivery):
    number: int
    pull_request: Issue


class Other(Delivery):
    """An event that has no type of its own here."""


TYPES: dict[str, type[Delivery]] = {"push": Push, "issues": Issues, "pull_request": PullRequest}
Event = Push | Issues | PullRequest | Other
EventName = Literal["*", "issues", "pull_request", "push", "release", "star", "status"]

component = Component("github", title="GitHub", connection=GitHub)


def payload(request: Request) -> dict[str, Any]:
    """The payload, whichever content type the hook was made with."""
    if request.content_type != "application/x-www-form-urlencoded":
        return request.json()
    fields = request.form().get("payload")
    if not fields:
        raise InvalidEvent("the form has no field `payload`")
    return json.loads(fields[0])


def ping(request: Request) -> Reply | None:
    """GitHub pings a hook that was just made."""
    if request.headers.get("x-github-event") != "ping":
        return None
    return Reply(200, {"zen": payload(request).get("zen")})


def repository(request: Request) -> str | None:
    """Events of one repository belong together."""
    return payload(request).get("repository", {}).get("full_name")


@component.trigger(
    verify=GitHubSignature(),
    secret="subscription",
    handshake=ping,
    dedupe=header("X-GitHub-Delivery"),
    key=repository,
)
async def webhook(request: Request, events: list[EventName]) -> Event | Ignore:
    """Something happened in a repository."""
    name = request.headers["x-github-event"]
    if name not in events and "*" not in events:
        return Ignore(f"{name} is none of {', '.join(events)}")
    sent = payload(request)
    kind: Any = TYPES.get(name, Other)
    known = {"delivery": request.headers["x-github-delivery"], "event": name, "payload": sent}
    return kind.model_validate({**sent, **known})


@webhook.subscribe
async def _(github: GitHub, endpoint: Endpoint, events: list[EventName]) -> Subscription:
    wanted: dict[str, Any] = {
        "active": True,
        "events": list(events),
        "config": {
            "url": endpoint.url,
            "content_type": "json",
            "secret": endpoint.secret.get_secret_value(),
            "insecure_ssl": "0",
        },
    }
    made = await updated(github, wanted)
    if made is None:
        try:
            made = await github.post(github.hooks, json={"name": "web", **wanted})
        except UpstreamError as error:
            if error.status != 422:
                raise
            made = await updated(github, wanted)  # somebody was faster
            if made is None:
                raise
    return Subscription(id=str(made["id"]), secret=endpoint.secret)


async def updated(github: GitHub, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The hook that calls the wanted URL, brought up to date; None where there is none."""
    async for hook in github.pages(github.hooks):
        if hook["config"].get("url") == wanted["config"]["url"]:
            return await github.patch(f"{github.hooks}/{hook['id']}", json=wanted)
    return None


@webhook.unsubscribe
async def _(github: GitHub, subscription: Subscription) -> None:
    try:
        await github.delete(f"{github.hooks}/{subscription.id}")
    except UpstreamError as error:
        if error.status != 404:
            raise
