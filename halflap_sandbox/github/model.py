"""The data: accounts with their repositories, one app with its installations, and webhooks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

Json = dict[str, Any]

CLIENT_ID = "Iv1.halflap"
CLIENT_SECRET = "github-client-secret"  # noqa: S105
WEBHOOK_SECRET = "github-webhook-secret"  # noqa: S105
APP_ID = 1001


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this GitHub: its clock, and its patience with webhooks."""

    clock: Callable[[], float] = time.time
    delivery_timeout: float = 10.0
    public_key: str = ""
    """The public key (PEM) of the app; without one, the app itself cannot sign in."""


@dataclass(slots=True)
class Account:
    """A person or an organization; `members` are the people of that, by role."""

    id: int
    login: str
    kind: str = "User"
    members: dict[str, str] = field(default_factory=dict[str, str])

    def json(self) -> Json:
        """Give it as GitHub's simple user."""
        return {"login": self.login, "id": self.id, "node_id": f"U_{self.id}", "type": self.kind}


@dataclass(slots=True)
class Hook:
    """A webhook, with what was sent to it, the oldest first."""

    id: int
    url: str
    secret: str
    events: list[str]
    active: bool = True
    path: str = ""
    deliveries: list[Delivery] = field(default_factory=list["Delivery"])

    def json(self, base: str) -> Json:
        """Give it as the API does: its secret is never told."""
        config = {
            "url": self.url,
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
        }
        return {
            "type": "Repository",
            "id": self.id,
            "name": "web",
            "active": self.active,
            "events": self.events,
            "config": config,
            "url": f"{base}{self.path}/{self.id}",
        }


@dataclass(slots=True)
class Delivery:
    """A try to deliver an event."""

    id: int
    guid: str
    event: str
    payload: Json
    at: float
    status: int = 0
    redelivery: bool = False
    installation: int | None = None

    def json(self) -> Json:
        """Give it as the API does."""
        repository: Json = self.payload.get("repository") or {}
        return {
            "id": self.id,
            "guid": self.guid,
            "delivered_at": moment(self.at),
            "redelivery": self.redelivery,
            "duration": 0.1,
            "status": "OK" if 200 <= self.status < 300 else "failed to connect",
            "status_code": self.status,
            "event": self.event,
            "action": self.payload.get("action"),
            "installation_id": self.installation,
            "repository_id": repository.get("id"),
        }


@dataclass(slots=True)
class Repo:
    """A repository: issues and pull requests by number, and the files of each branch."""

    id: int
    owner: Account
    name: str
    issues: dict[int, Json] = field(default_factory=dict[int, Json])
    pulls: dict[int, Json] = field(default_factory=dict[int, Json])
    comments: list[Json] = field(default_factory=list[Json])
    reviews: list[Json] = field(default_factory=list[Json])
    branches: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {"main": {"README.md": b"# Hello\n"}}
    )
    hooks: dict[int, Hook] = field(default_factory=dict[int, Hook])
    numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner.login}/{self.name}"

    def json(self) -> Json:
        """Give it as the API does."""
        return {
            "id": self.id,
            "node_id": f"R_{self.id}",
            "name": self.name,
            "full_name": self.full_name,
            "private": False,
            "owner": self.owner.json(),
            "html_url": f"https://github.com/{self.full_name}",
            "description": None,
            "fork": False,
            "default_branch": "main",
        }


@dataclass(slots=True)
class Session:
    """A token: of a person, through the app where it was granted so, or of an installation."""

    account: Account
    installation: int | None = None
    through_app: bool = False


@dataclass(slots=True)
class World:
    """All accounts and repositories, and the app."""

    settings: Settings
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    repos: dict[str, Repo] = field(default_factory=dict[str, Repo])
    org_hooks: dict[str, dict[int, Hook]] = field(default_factory=dict[str, dict[int, Hook]])
    tokens: dict[str, Session] = field(default_factory=dict[str, Session])
    codes: dict[str, tuple[Account, str]] = field(default_factory=dict[str, tuple[Account, str]])
    installations: dict[int, Account] = field(default_factory=dict[int, Account])
    app_hook: Hook = field(default_factory=lambda: Hook(1, "", WEBHOOK_SECRET, ["*"], path="/app"))
    ids: count[int] = field(default_factory=lambda: count(100))

    def add_account(self, login: str, kind: str = "User", owner: str | None = None) -> Account:
        """Add a person, or an organization that a person owns."""
        made = self.accounts[login] = Account(next(self.ids), login, kind)
        if owner is not None:
            made.members[owner] = "admin"
        if kind == "User":
            self.tokens[f"ghp_{login}"] = Session(made)
        return made

    def add_repo(self, owner: str, name: str) -> Repo:
        """Add a repository with a file."""
        made = Repo(next(self.ids), self.accounts[owner], name)
        self.repos[made.full_name] = made
        return made

    def install(self, login: str) -> int:
        """Install the app in an account."""
        self.installations[id := next(self.ids)] = self.accounts[login]
        return id

    def installation_of(self, account: Account) -> int | None:
        """Find the installation of the app in an account."""
        return next((id for id, each in self.installations.items() if each is account), None)

    def sees(self, session: Session, account: Account) -> bool:
        """Return whether a token may see what belongs to an account."""
        if session.installation is not None:
            return self.installations.get(session.installation) is account
        mine = session.account is account or session.account.login in account.members
        return mine and (not session.through_app or self.installation_of(account) is not None)

    def now(self) -> str:
        """Give the time, as the API does."""
        return moment(self.settings.clock())


def moment(at: float) -> str:
    """Write a time as GitHub does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def blob_sha(content: bytes) -> str:
    """Give the id that git has for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
