"""The triggers of GitHub: webhooks of repositories and organizations, and what an app is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from halflap import (
    Endpoint,
    GitHubSignature,
    Missed,
    Request,
    Subscription,
    encode_segment,
    header,
    pointer,
)
from halflap.components.github.actions import Repo, redelivered
from halflap.components.github.connection import GitHub, component, pong, within
from halflap.components.github.models import Event

EVENTS = (
    "*",
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "code_scanning_alert",
    "commit_comment",
    "create",
    "delete",
    "dependabot_alert",
    "deploy_key",
    "deployment",
    "deployment_review",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "github_app_authorization",
    "gollum",
    "installation",
    "installation_repositories",
    "issue_comment",
    "issues",
    "label",
    "marketplace_purchase",
    "member",
    "membership",
    "merge_group",
    "meta",
    "milestone",
    "org_block",
    "organization",
    "package",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "projects_v2_item",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "release",
    "repository",
    "repository_dispatch",
    "repository_import",
    "repository_vulnerability_alert",
    "secret_scanning_alert",
    "security_advisory",
    "sponsorship",
    "star",
    "status",
    "team",
    "team_add",
    "watch",
    "workflow_dispatch",
    "workflow_job",
    "workflow_run",
)
"""The events that are offered; GitHub has more, which may be written as well."""

EVERYTHING = Field(min_length=1, description="What to be told of, as issues; * is everything.")
WANTED = Field(description="What the flow wants, as issues; all that GitHub sends by default.")
ORGANIZATION = Field(description="All repositories of this organization, instead of one.")
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]
REDELIVERED_EVERY = timedelta(hours=1)


def read(request: Request) -> Event:
    """Return the event of a delivery."""
    payload: dict[str, Any] = request.json()

    def known(name: str, by: str) -> Any:
        """A part of the payload that is an object with such a field."""
        return payload.get(name) if within(payload.get(name), by) is not None else None

    return Event(
        id=request.headers.get("x-github-delivery", ""),
        name=request.headers.get("x-github-event", ""),
        action=payload.get("action"),
        repository=within(payload.get("repository"), "full_name"),
        organization=within(payload.get("organization"), "login"),
        installation=within(payload.get("installation"), "id"),
        sender=within(payload.get("sender"), "login"),
        issue=known("issue", "state"),
        pull_request=known("pull_request", "state"),
        comment=known("comment", "body"),
        release=known("release", "tag_name"),
        ref=payload.get("ref"),
        payload=payload,
    )


def is_wanted(request: Request, events: list[str] | None) -> bool:
    """Return whether an event was asked for."""
    return events is None or "*" in events or request.headers.get("x-github-event") in events


@component.trigger(
    verify=GitHubSignature(),
    handshake=pong,
    dedupe=header("x-github-delivery"),
    key=pointer("/repository/full_name"),
)
async def event(
    request: Request,
    events: Annotated[list[EventName], EVERYTHING],
    repository: Repo = None,
    organization: Annotated[str | None, ORGANIZATION] = None,
) -> Event:
    """Something happened in a repository, or in those of an organization."""
    return read(request)


@event.takes
def _(request: Request, events: list[str]) -> bool:
    return is_wanted(request, events)


@component.trigger(
    title="Event of an app",
    verify=GitHubSignature(),
    handshake=pong,
    dedupe=header("x-github-delivery"),
    key=pointer("/repository/full_name"),
    app_endpoint=True,
)
async def app_event(
    request: Request, events: Annotated[list[EventName] | None, WANTED] = None
) -> Event:
    """Something happened where your team's GitHub App is installed.

    The app has one webhook for all its installations: each event goes to the flows of the customers
    that signed in to its installation. `installation` says whose event it is.
    """
    return read(request)


@app_event.takes
def _(request: Request, events: list[str] | None) -> bool:
    return is_wanted(request, events)


def hooks_of(github: GitHub, repository: str | None, organization: str | None) -> str:
    """The path of the webhooks of a repository, or of an organization."""
    if organization:
        return f"/orgs/{encode_segment(organization)}/hooks"
    return github.at(repository, "/hooks")


@event.subscribe
async def _(
    github: GitHub,
    endpoint: Endpoint,
    events: list[str],
    repository: str | None,
    organization: str | None,
) -> Subscription:
    hooks = hooks_of(github, repository, organization)
    secret = endpoint.secret.get_secret_value()
    config = {"url": endpoint.url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}
    wanted = {"active": True, "events": events, "config": config}
    async for hook in github.pages(hooks, params={"per_page": 100}):
        if hook["config"].get("url") == endpoint.url:
            await github.patch(f"{hooks}/{{id}}", values={"id": hook["id"]}, json=wanted)
            return Subscription(id=str(hook["id"]), data={"hooks": hooks})
    made = await github.post(hooks, json={"name": "web", **wanted})
    return Subscription(id=str(made["id"]), data={"hooks": hooks})


@event.unsubscribe
async def _(github: GitHub, subscription: Subscription) -> None:
    path = f"{subscription.data['hooks']}/{{id}}"
    await github.delete(path, values={"id": subscription.id})


@event.exists
async def _(github: GitHub, subscription: Subscription) -> bool:
    path = f"{subscription.data['hooks']}/{{id}}"
    hook = await github.find(path, values={"id": subscription.id})
    return hook is not None and bool(hook["active"])


@event.catch_up(every=REDELIVERED_EVERY)
async def _(
    github: GitHub, subscription: Subscription | None, since: datetime
) -> AsyncGenerator[Missed]:
    """Have GitHub deliver anew what it could not deliver: it never does so by itself.

    What it sends comes to the URL as ever, under the id of the delivery that failed.
    """
    if subscription is not None:
        path = f"{subscription.data['hooks']}/{encode_segment(subscription.id)}/deliveries"
        await redelivered(github, path, since)
    nothing: list[Missed] = []
    for each in nothing:
        yield each
