"""The actions of GitHub: issues, pull requests, files, and what its webhooks could not deliver."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from halflap import ConfigError, Source, encode_segment
from halflap.components.github.connection import AppKey, GitHub, component
from halflap.components.github.models import (
    Comment,
    Content,
    Issue,
    PullRequest,
    Review,
    Written,
)
from halflap.components.listing import first


@component.action
async def list_repositories(github: GitHub) -> list[tuple[str, str]]:
    """List the repositories that the connection may see."""
    path, items = "/user/repos", None
    if isinstance(github.auth, AppKey):
        path, items = "/installation/repositories", "repositories"
    found = github.pages(path, params={"per_page": 100}, items=items)
    return [(each["full_name"], each["full_name"]) async for each in found]


AGAIN = (404, 408, 410, 429)
"""Refusals that need not be the last word: an endpoint was closed, or busy."""

LATE = timedelta(minutes=1)
"""The time before `since` that is looked at again: a delivery was under way then."""

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
    pages = github.pages(github.at(repository, "/issues"), params=params)
    return await first(most, Issue, (each async for each in pages if "pull_request" not in each))


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
async def list_pull_requests(
    github: GitHub,
    repository: Repo = None,
    state: Literal["open", "closed", "all"] = "open",
    head: str | None = None,
    base: str | None = None,
    most: int = 100,
) -> list[PullRequest]:
    """List pull requests, newest first; of the branch `head` (owner:branch), into `base`."""
    given = {"state": state, "per_page": 100, "head": head, "base": base}
    params = {name: value for name, value in given.items() if value is not None}
    pages = github.pages(github.at(repository, "/pulls"), params=params)
    return await first(most, PullRequest, pages)


@component.action(repeatable=True)
async def update_pull_request(
    github: GitHub,
    number: int,
    repository: Repo = None,
    title: str | None = None,
    body: str | None = None,
    state: Literal["open", "closed"] | None = None,
    base: str | None = None,
) -> PullRequest:
    """Change a pull request: what is given, and nothing else."""
    given = {"title": title, "body": body, "state": state, "base": base}
    sent = {name: value for name, value in given.items() if value is not None}
    path = github.at(repository, "/pulls/{number}")
    found = await github.patch(path, values={"number": number}, json=sent)
    return PullRequest.model_validate(found)


@component.action
async def review_pull_request(
    github: GitHub,
    number: int,
    event: Literal["APPROVE", "REQUEST_CHANGES", "COMMENT"],
    body: str | None = None,
    repository: Repo = None,
) -> Review:
    """Review a pull request: approve it, ask for changes, or comment."""
    path = github.at(repository, "/pulls/{number}/reviews")
    sent = {"event": event, **({"body": body} if body else {})}
    return Review.model_validate(await github.post(path, values={"number": number}, json=sent))


@component.action
async def merge_pull_request(
    github: GitHub,
    number: int,
    repository: Repo = None,
    sha: str | None = None,
    method: Literal["merge", "squash", "rebase"] = "merge",
) -> str:
    """Merge a pull request, and return the commit; with `sha`, only where its head is that still."""
    path = github.at(repository, "/pulls/{number}/merge")
    sent = {"merge_method": method, **({"sha": sha} if sha else {})}
    return (await github.put(path, values={"number": number}, json=sent))["sha"]


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


@component.action
async def delete_file(
    github: GitHub,
    path: str,
    sha: str,
    message: str,
    repository: Repo = None,
    branch: str | None = None,
) -> str:
    """Delete a file in the state `sha`, in a commit of its own, and return that."""
    sent = {"message": message, "sha": sha, **({"branch": branch} if branch else {})}
    made = await github.delete(file_path(github, repository, path), json=sent)
    return made["commit"]["sha"]


def file_path(github: GitHub, repository: str | None, path: str) -> str:
    """The path of a file's contents."""
    parts = map(encode_segment, path.strip("/").split("/"))
    return github.at(repository, f"/contents/{'/'.join(parts)}")


@component.action(repeatable=True)
async def redeliver_app_events(github: GitHub, since: datetime) -> int:
    """Have GitHub send again what it could not deliver to the app's webhook, and return how much.

    The connection is the app's key; only events of its installation are sent again.
    """
    auth = github.auth
    if not isinstance(auth, AppKey):
        raise ConfigError("only the app itself may ask for its deliveries: connect with its key")
    return await redelivered(
        github, "/app/hook/deliveries", since, auth.as_app(), auth.installation_id
    )


async def redelivered(
    github: GitHub,
    path: str,
    since: datetime,
    headers: Mapping[str, str] | None = None,
    installation: str | None = None,
) -> int:
    """Have what failed since a time delivered anew; return how much.

    What was refused as such (4xx) is not: it would be again. A delivery that arrived after all, at
    whichever try, is left alone.
    """
    since -= LATE
    failed: dict[str, int] = {}
    arrived: set[str] = set()
    deliveries = github.pages(path, params={"per_page": 100}, headers=headers)
    async for each in deliveries:  # newest first; GitHub keeps them for three days
        if datetime.fromisoformat(each["delivered_at"]) < since:
            break
        if installation is not None and str(each.get("installation_id")) != installation:
            continue
        status = each["status_code"]
        if 200 <= status < 300:
            arrived.add(each["guid"])
        elif not 400 <= status < 500 or status in AGAIN:
            failed.setdefault(each["guid"], each["id"])
    wanted = [id for guid, id in reversed(failed.items()) if guid not in arrived]
    for id in wanted:
        values = {"delivery": id}
        await github.post(f"{path}/{{delivery}}/attempts", values=values, headers=headers)
    return len(wanted)
