"""GitHub: everything that happens in a repository, by one webhook."""

from typing import Any

from pydantic import Field, SecretStr

from halflap import (
    Component,
    Connection,
    Endpoint,
    GitHubSignature,
    Model,
    Reply,
    Request,
    Subscription,
    UpstreamError,
    header,
    pointer,
)


class GitHub(Connection):
    """A token that may administer the webhooks of one repository."""

    base_url: str = "https://api.github.com"
    token: SecretStr
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    """Owner and name: octocat/hello-world"""

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}

    @property
    def hooks(self) -> str:
        return f"/repos/{self.repository}/hooks"

    async def test(self) -> None:
        await self.get(self.hooks)


class Event(Model):
    """An event: `issues` was `opened`, say; `payload` is all that GitHub tells."""

    id: str
    name: str
    action: str | None
    repository: str | None
    sender: str | None
    payload: dict[str, Any]


component = Component("github", title="GitHub", connection=GitHub)


def pong(request: Request) -> Reply | None:
    """GitHub pings a webhook that was just made."""
    return Reply(200, "pong") if request.headers.get("x-github-event") == "ping" else None


@component.trigger(
    verify=GitHubSignature(),
    handshake=pong,
    dedupe=header("x-github-delivery"),
    key=pointer("/repository/full_name"),
)
async def webhook(request: Request, events: list[str]) -> Event:
    """Something happened in a repository."""
    payload: dict[str, Any] = request.json()
    return Event(
        id=request.headers["x-github-delivery"],
        name=request.headers["x-github-event"],
        action=payload.get("action"),
        repository=payload.get("repository", {}).get("full_name"),
        sender=payload.get("sender", {}).get("login"),
        payload=payload,
    )


@webhook.subscribe
async def _(github: GitHub, endpoint: Endpoint, events: list[str]) -> Subscription:
    hook = await find_hook(github, endpoint.url)
    if hook is None:
        secret = endpoint.secret.get_secret_value()
        config = {"url": endpoint.url, "content_type": "json", "secret": secret}
        wanted = {"name": "web", "active": True, "events": events, "config": config}
        hook = await github.post(github.hooks, json=wanted)
    return Subscription(id=str(hook["id"]))


@webhook.unsubscribe
async def _(github: GitHub, subscription: Subscription) -> None:
    try:
        await github.delete(github.hooks + "/{id}", values={"id": subscription.id})
    except UpstreamError as error:
        if error.status != 404:  # gone already
            raise


async def find_hook(github: GitHub, url: str) -> Any:
    """The repository's webhook that calls a URL."""
    async for hook in github.pages(github.hooks):
        if hook["config"]["url"] == url:
            return hook
    return None
