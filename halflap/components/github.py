"""GitHub: events of repositories, organizations and apps; issues, pull requests and files."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any, Literal, cast

from pydantic import Field, SecretStr, WithJsonSchema

from halflap import (
    Component,
    ConfigError,
    Connection,
    Endpoint,
    GitHubSignature,
    Ignore,
    Json,
    Missed,
    Model,
    Reply,
    Request,
    Source,
    Subscription,
    encode_segment,
    header,
    pointer,
)

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
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "installation",
    "installation_repositories",
    "issue_comment",
    "issues",
    "label",
    "member",
    "membership",
    "milestone",
    "organization",
    "package",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "release",
    "repository",
    "secret_scanning_alert",
    "star",
    "status",
    "team",
    "watch",
    "workflow_job",
    "workflow_run",
)
"""The events that are offered; GitHub has more, which may be written as well."""

EVERYTHING = Field(min_length=1, description="What to be told of, as issues; * is everything.")
WANTED = Field(description="What the flow wants, as issues; all that GitHub sends by default.")
ORGANIZATION = Field(description="All repositories of this organization, instead of one.")
REPOSITORY = r"^[\w.-]+/[\w.-]+$"
EventName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class GitHub(Connection):
    """A token, of a person or of an app's installation."""

    base_url: str = "https://api.github.com"
    token: SecretStr
    repository: str | None = Field(None, pattern=REPOSITORY)
    """The repository that steps and triggers without one of their own are for: octocat/hello-world"""

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token.get_secret_value()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    async def test(self) -> None:
        await self.get("/user" if self.repository is None else f"/repos/{self.repository}")

    def at(self, repository: str | None, path: str = "") -> str:
        """The path of a repository, or of something in it."""
        found = repository or self.repository
        if found is None:
            raise ConfigError("say which repository: of the step, or of the connection")
        return f"/repos/{'/'.join(map(encode_segment, found.split('/')))}{path}"


class Event(Model):
    """An event: `issues` was `opened`, say; `payload` is all that GitHub tells."""

    id: str
    name: str
    action: str | None = None
    repository: str | None = None
    organization: str | None = None
    installation: int | None = None
    """Of an app: the installation that it is of."""
    sender: str | None = None
    payload: dict[str, Json]


class Repository(Model):
    """A repository, by owner and name."""

    full_name: str
    private: bool = False
    description: str | None = None
    default_branch: str = "main"


class Account(Model):
    """A person, or a bot."""

    login: str


class Label(Model):
    """A label of an issue."""

    name: str


class Issue(Model):
    """An issue, or a pull request as one."""

    number: int
    title: str
    state: Literal["open", "closed"]
    body: str | None = None
    html_url: str
    user: Account | None = None
    labels: list[Label] = []
    assignees: list[Account] = []


class Comment(Model):
    """A comment on an issue or a pull request."""

    id: int
    body: str
    html_url: str


class Branch(Model):
    """A side of a pull request."""

    ref: str
    sha: str


class PullRequest(Model):
    """A pull request."""

    number: int
    title: str
    state: Literal["open", "closed"]
    draft: bool = False
    merged_at: datetime | None = None
    html_url: str
    head: Branch
    base: Branch


class Content(Model):
    """A text file in a repository; `sha` says which state of it."""

    path: str
    sha: str
    text: str


class Written(Model):
    """A file that was written, and its commit."""

    path: str
    sha: str
    commit: str


component = Component("github", title="GitHub", connection=GitHub)


@component.action
async def list_repositories(github: GitHub) -> list[tuple[str, str]]:
    """List the repositories that the token may see."""
    found = github.pages("/user/repos", params={"per_page": 100})
    return [(each["full_name"], each["full_name"]) async for each in found]


Repo = Annotated[str | None, Source(list_repositories, open=True)]
"""Owner and name of a repository; without it, that of the connection."""


@component.action
async def get_issue(github: GitHub, number: int, repository: Repo = None) -> Issue:
    """Read an issue."""
    path = github.at(repository, "/issues/{number}")
    return Issue.model_validate(await github.get(path, values={"number": number}))


@component.action
async def list_issues(
    github: GitHub,
    repository: Repo = None,
    state: Literal["open", "closed", "all"] = "open",
    labels: list[str] | None = None,
    since: datetime | None = None,
    most: int = 100,
) -> list[Issue]:
    """List issues, newest first, without pull requests; at most `most`."""
    params = {
        "state": state,
        "per_page": 100,
        **({"labels": ",".join(labels)} if labels else {}),
        **({"since": since.isoformat()} if since else {}),
    }
    found: list[Issue] = []
    async for each in github.pages(github.at(repository, "/issues"), params=params):
        if len(found) == most:
            break
        if "pull_request" not in each:
            found.append(Issue.model_validate(each))
    return found


@component.action
async def create_issue(
    github: GitHub,
    title: str,
    body: str | None = None,
    repository: Repo = None,
    labels: list[str] | None = None,
    assignees: list[str] | None = None,
) -> Issue:
    """Open an issue."""
    given = {"title": title, "body": body, "labels": labels, "assignees": assignees}
    sent = {name: value for name, value in given.items() if value is not None}
    return Issue.model_validate(await github.post(github.at(repository, "/issues"), json=sent))


@component.action(repeatable=True)
async def update_issue(
    github: GitHub,
    number: int,
    repository: Repo = None,
    title: str | None = None,
    body: str | None = None,
    state: Literal["open", "closed"] | None = None,
    labels: list[str] | None = None,
    assignees: list[str] | None = None,
) -> Issue:
    """Change an issue: what is given, and nothing else."""
    given = {"title": title, "body": body, "state": state, "labels": labels, "assignees": assignees}
    sent = {name: value for name, value in given.items() if value is not None}
    path = github.at(repository, "/issues/{number}")
    return Issue.model_validate(await github.patch(path, values={"number": number}, json=sent))


@component.action
async def comment(github: GitHub, number: int, body: str, repository: Repo = None) -> Comment:
    """Comment on an issue or a pull request."""
    path = github.at(repository, "/issues/{number}/comments")
    made = await github.post(path, values={"number": number}, json={"body": body})
    return Comment.model_validate(made)


@component.action
async def get_pull_request(github: GitHub, number: int, repository: Repo = None) -> PullRequest:
    """Read a pull request."""
    path = github.at(repository, "/pulls/{number}")
    return PullRequest.model_validate(await github.get(path, values={"number": number}))


@component.action
async def create_pull_request(
    github: GitHub,
    title: str,
    head: str,
    base: str,
    body: str | None = None,
    repository: Repo = None,
    draft: bool = False,
) -> PullRequest:
    """Open a pull request that brings the branch `head` into `base`."""
    sent = {"title": title, "head": head, "base": base, "body": body or "", "draft": draft}
    return PullRequest.model_validate(await github.post(github.at(repository, "/pulls"), json=sent))


@component.action
async def get_file(
    github: GitHub, path: str, repository: Repo = None, ref: str | None = None
) -> Content | None:
    """Read a text file, at a branch, tag or commit; nothing where there is none."""
    params = None if ref is None else {"ref": ref}
    found = await github.find(file_path(github, repository, path), params=params)
    if found is None:
        return None
    text = base64.b64decode(found["content"]).decode()
    return Content(path=found["path"], sha=found["sha"], text=text)


@component.action
async def write_file(
    github: GitHub,
    path: str,
    text: str,
    message: str,
    repository: Repo = None,
    branch: str | None = None,
    sha: str | None = None,
) -> Written:
    """Write a text file, in a commit of its own.

    `sha` is that of the state which is replaced: GitHub refuses (409) where it has changed since.
    Without it, the file must not be there yet.
    """
    content = base64.b64encode(text.encode()).decode()
    given = {"message": message, "content": content, "branch": branch, "sha": sha}
    sent = {name: value for name, value in given.items() if value is not None}
    made = await github.put(file_path(github, repository, path), json=sent)
    return Written(path=path, sha=made["content"]["sha"], commit=made["commit"]["sha"])


def file_path(github: GitHub, repository: str | None, path: str) -> str:
    """The path of a file's contents."""
    parts = map(encode_segment, path.strip("/").split("/"))
    return github.at(repository, f"/contents/{'/'.join(parts)}")


# Events ---------------------------------------------------------------------------------------


def pong(request: Request) -> Reply | None:
    """GitHub pings a webhook that was just made."""
    return Reply(200, "pong") if request.headers.get("x-github-event") == "ping" else None


def read(request: Request) -> Event:
    """Return the event of a delivery."""
    payload: dict[str, Any] = request.json()

    def named(part: str, field: str) -> Any:
        found: Any = payload.get(part)
        return cast("dict[str, Any]", found).get(field) if isinstance(found, dict) else None

    return Event(
        id=request.headers.get("x-github-delivery", ""),
        name=request.headers.get("x-github-event", ""),
        action=payload.get("action"),
        repository=named("repository", "full_name"),
        organization=named("organization", "login"),
        installation=named("installation", "id"),
        sender=named("sender", "login"),
        payload=payload,
    )


def wanted(happened: Event, events: list[str] | None) -> Event | Ignore:
    """Return the event, or that nobody asked for it."""
    if events is None or "*" in events or happened.name in events:
        return happened
    return Ignore(f"{happened.name} was not asked for")


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
) -> Event | Ignore:
    """Something happened in a repository, or in those of an organization."""
    return wanted(read(request), events)


@component.trigger(
    title="Event of an app",
    verify=GitHubSignature(),
    handshake=pong,
    dedupe=header("x-github-delivery"),
    key=pointer("/repository/full_name"),
)
async def app_event(
    request: Request, events: Annotated[list[EventName] | None, WANTED] = None
) -> Event | Ignore:
    """Something happened where a GitHub App is installed, for a shared pre-process flow.

    An app has one webhook for all its installations: give it the flow's URL, and the app's webhook
    secret to the URL. `installation` says whose event it is.
    """
    return wanted(read(request), events)


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


@event.catch_up
async def _(
    github: GitHub, subscription: Subscription | None, since: datetime
) -> AsyncGenerator[Missed]:
    """Have GitHub deliver anew what it could not deliver: it never does so by itself.

    What it sends comes to the URL as ever, under the id of the delivery that failed.
    """
    if subscription is None:
        return
    path = f"{subscription.data['hooks']}/{{id}}/deliveries"
    failed: dict[str, int] = {}
    arrived: set[str] = set()
    deliveries = github.pages(path, values={"id": subscription.id}, params={"per_page": 100})
    async for each in deliveries:  # newest first; GitHub keeps them for three days
        if datetime.fromisoformat(each["delivered_at"]) < since:
            break
        if 200 <= each["status_code"] < 300:
            arrived.add(each["guid"])
        else:
            failed.setdefault(each["guid"], each["id"])
    for guid, id in reversed(failed.items()):
        if guid not in arrived:
            values = {"id": subscription.id, "delivery": id}
            await github.post(f"{path}/{{delivery}}/attempts", values=values)
    nothing: list[Missed] = []
    for each in nothing:
        yield each
