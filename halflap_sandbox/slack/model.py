"""The data: one app, the workspaces that installed it, and what is written there."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Json = dict[str, Any]

CLIENT_ID = "1000.2000"
CLIENT_SECRET = "slack-client-secret"  # noqa: S105
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"  # noqa: S105
APP_ID = "A0HALFLAP"
APP_TOKEN = "xapp-1-A0HALFLAP-1-sandbox"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this Slack: its clock, its patience, and the waits between the tries of an event."""

    clock: Callable[[], float] = time.time
    delivery_timeout: float = 3.0
    waits: tuple[float, ...] = (0.0, 60.0, 300.0)
    code_lasts: float = 600.0
    token_lasts: float = 0.0
    """Seconds until a token has to be refreshed; 0 for tokens that last."""


def new_id(prefix: str) -> str:
    """Make an id as Slack's look: a letter and ten signs."""
    return prefix + secrets.token_hex(5).upper()


@dataclass(slots=True)
class Team:
    """A workspace: its channels by id, people, messages by channel and ts, and views."""

    id: str
    name: str
    channels: dict[str, Json] = field(default_factory=dict[str, Json])
    users: dict[str, Json] = field(default_factory=dict[str, Json])
    messages: dict[tuple[str, str], Json] = field(default_factory=dict[tuple[str, str], Json])
    views: dict[str, Json] = field(default_factory=dict[str, Json])
    triggers: set[str] = field(default_factory=set[str])
    bot_user: str = field(default_factory=lambda: new_id("U"))
    bot_id: str = field(default_factory=lambda: new_id("B"))

    def channel(self, named: str) -> str | None:
        """Find a channel's id by its id or name; a person's id is their direct messages."""
        if named in self.channels or named in self.users:
            return named
        names = {each["name"]: id for id, each in self.channels.items()}
        return names.get(named.removeprefix("#"))


@dataclass(slots=True)
class Token:
    """A token of the bot in a workspace; it ends, or does not (0)."""

    team: Team
    ends: float = 0


@dataclass(slots=True)
class World:
    """The app with its URLs, and all workspaces."""

    settings: Settings
    urls: dict[str, str] = field(default_factory=dict[str, str])
    """Where it sends `events`, `interactions` and `commands`; nowhere in Socket Mode."""
    app_token: str = APP_TOKEN
    """The token that opens WebSockets; empty once it was revoked."""
    teams: dict[str, Team] = field(default_factory=dict[str, Team])
    tokens: dict[str, Token] = field(default_factory=dict[str, Token])
    refreshes: dict[str, Team] = field(default_factory=dict[str, Team])
    codes: dict[str, tuple[Team, str, float]] = field(
        default_factory=dict[str, tuple[Team, str, float]]
    )
    sent: list[Json] = field(default_factory=list[Json])
    _ts: count[int] = field(default_factory=lambda: count(1))

    def add(self, name: str) -> Team:
        """Add a workspace with a channel and a person."""
        team = Team(new_id("T"), name)
        general, ada = new_id("C"), new_id("U")
        team.channels[general] = {"id": general, "name": "general", "is_archived": False}
        profile = {"email": f"ada@{name}.example"}
        team.users[ada] = {"id": ada, "name": "ada", "real_name": "Ada", "profile": profile}
        self.teams[team.id] = team
        return team

    def grant(self, team: Team) -> Json:
        """Give the bot a token for a workspace; the answer of `oauth.v2.access`."""
        token = "xoxb-" + secrets.token_hex(12)
        lasts = self.settings.token_lasts
        self.tokens[token] = Token(team, self.settings.clock() + lasts if lasts else 0)
        answer: Json = {
            "access_token": token,
            "token_type": "bot",
            "scope": "chat:write,channels:read",
            "bot_user_id": team.bot_user,
            "app_id": APP_ID,
            "team": {"id": team.id, "name": team.name},
            "enterprise": None,
            "is_enterprise_install": False,
            "authed_user": {"id": next(iter(team.users))},
        }
        if lasts:
            refresh = "xoxe-1-" + secrets.token_hex(12)
            self.refreshes[refresh] = team
            answer |= {"refresh_token": refresh, "expires_in": int(lasts)}
        return answer

    def post(self, team: Team, channel: str, message: Json) -> Json:
        """Keep a message, under a `ts` of its own."""
        ts = f"{int(self.settings.clock())}.{next(self._ts):06d}"
        kept = {"type": "message", "ts": ts, **message}
        team.messages[channel, ts] = kept
        return kept
