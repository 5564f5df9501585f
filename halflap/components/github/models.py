"""The values of GitHub: events, repositories, issues, pull requests and files."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from halflap import Json, Model


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


class Review(Model):
    """A review of a pull request."""

    id: int
    state: str
    body: str | None = None
    html_url: str


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


class Release(Model):
    """A release."""

    id: int
    tag_name: str
    name: str | None = None
    draft: bool = False
    prerelease: bool = False
    html_url: str


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
    issue: Issue | None = None
    pull_request: PullRequest | None = None
    comment: Comment | None = None
    """Of an issue, a pull request, a commit or a discussion."""
    release: Release | None = None
    ref: str | None = None
    """Of a push, or of a branch or tag that was made or deleted."""
    payload: dict[str, Json]
