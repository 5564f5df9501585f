"""A Slack of the sandbox on loopback, and connections to its workspaces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from halflap.components.slack import Slack
from halflap.sdk.connection import Link
from halflap_sandbox import slack as sandbox
from halflap_sandbox.slack.model import APP_TOKEN
from tests.loopback import LoopbackSandbox, sandbox_on_loopback
from tests.polling import DEADLINE


class SlackApp(LoopbackSandbox):
    """The sandbox on loopback."""

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    async def team(self, name: str) -> dict[str, Any]:
        return await self.post("/teams", {"name": name})

    async def seen(self, team: dict[str, Any]) -> dict[str, Any]:
        [found] = [each for each in await self.look("/teams") if each["id"] == team["id"]]
        return found

    async def installed(self, url: str, team: dict[str, Any]) -> tuple[str, str]:
        """Install the app in a workspace, as the browser does; the state and the code."""
        async with self.http.get(f"{url}&team={team['id']}", allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            back = parse_qs(urlsplit(response.headers["location"]).query)
        return back["state"][0], back["code"][0]

    async def token(self, team: dict[str, Any]) -> str:
        """The token of a bot that was installed in a workspace."""
        asked = "client_id=1000.2000&state=s&redirect_uri=https://x.example/back"
        _, code = await self.installed(f"{self.url}/oauth/v2/authorize?{asked}", team)
        form = {
            "client_id": "1000.2000",
            "client_secret": "slack-client-secret",
            "redirect_uri": "https://x.example/back",
            "code": code,
        }
        async with self.http.post(f"{self.api}/oauth.v2.access", data=form) as response:
            return (await response.json())["access_token"]

    async def bot(self, team: dict[str, Any]) -> Slack:
        """A connection to a workspace by a bot's token."""
        auth = {"kind": "api_key", "key": await self.token(team)}
        found = Slack.model_validate({"base_url": self.api, "auth": auth, "app_token": APP_TOKEN})
        found._link = Link("slack", None, self.egress, None)
        return found


@asynccontextmanager
async def slack_app(**settings: Any) -> AsyncIterator[SlackApp]:
    """Run the sandbox."""
    settings = {"delivery_timeout": DEADLINE, **settings}
    async with sandbox_on_loopback(sandbox.create_app(sandbox.Settings(**settings))) as parts:
        yield SlackApp(*parts)
