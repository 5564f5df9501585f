"""Events go out: signed, and tried four times, as Slack does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from urllib.parse import urlencode

import aiohttp

from halflap_sandbox.answer import dump
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.slack.model import APP_ID, SIGNING_SECRET, Json, Team, World, new_id


def sign(secret: str, at: str, body: bytes) -> str:
    """Sign a request, as the value of X-Slack-Signature."""
    digest = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256)
    return "v0=" + digest.hexdigest()


class Sender:
    """Sends to the app's URLs."""

    def __init__(self, world: World, faults: FaultBoard) -> None:
        self._world = world
        self._faults = faults
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def event(self, team: Team, event: Json) -> str:
        """Send an event of a workspace, and try again where it is not taken; returns its id."""
        id = new_id("Ev")
        installed = {
            "enterprise_id": None,
            "team_id": team.id,
            "user_id": team.bot_user,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        envelope = {
            "token": "deprecated",
            "team_id": team.id,
            "api_app_id": APP_ID,
            "event": event,
            "type": "event_callback",
            "event_id": id,
            "event_time": int(self._world.settings.clock()),
            "authorizations": [installed],
        }
        plan = self._faults.of(team.id)
        for _ in range(0 if plan.drops() else 2 if plan.doubles() else 1):
            task = asyncio.create_task(self._tried(id, dump(envelope)), name=f"slack event {id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return id

    async def interaction(self, payload: Json) -> Json:
        """Send what somebody clicked or submitted, once."""
        form = urlencode({"payload": dump(payload).decode()})
        return await self._post("interactions", form.encode(), FORM)

    async def command(self, fields: dict[str, str]) -> Json:
        """Send a slash command, once."""
        return await self._post("commands", urlencode(fields).encode(), FORM)

    async def verify(self, what: str) -> Json:
        """Send the challenge by which Slack learns that a URL is the app's."""
        challenge = new_id("c")
        body = dump({"token": "deprecated", "challenge": challenge, "type": "url_verification"})
        sent = await self._post(what, body, JSON)
        return {**sent, "verified": challenge in sent["body"]}

    async def close(self) -> None:
        """Stop sending."""
        for each in self._tasks:
            each.cancel()
        if self._session is not None:
            await self._session.close()

    async def _tried(self, id: str, body: bytes) -> None:
        reason = ""
        for number, wait in enumerate((0.0, *self._world.settings.waits)):
            await asyncio.sleep(wait)
            retry = {"x-slack-retry-num": str(number), "x-slack-retry-reason": reason}
            sent = await self._post("events", body, JSON | (retry if number else {}), id=id)
            if sent["status"] is not None and sent["status"] < 300:
                return
            reason = "http_timeout" if sent["status"] is None else "http_error"

    async def _post(self, what: str, body: bytes, headers: dict[str, str], id: str = "") -> Json:
        at = str(int(self._world.settings.clock()))
        signed = {
            "x-slack-request-timestamp": at,
            "x-slack-signature": sign(SIGNING_SECRET, at, body),
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        note: Json = {"to": what, "id": id, "retry": headers.get("x-slack-retry-num"), "body": ""}
        note["status"] = None
        try:
            url = self._world.urls[what]
            async with self._open().post(url, data=body, headers=headers | signed) as response:
                note |= {"status": response.status, "body": await response.text()}
        except (aiohttp.ClientError, OSError, KeyError, TimeoutError) as error:
            note["error"] = str(error) or type(error).__name__
        self._world.sent.append(note)
        return note

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._world.settings.delivery_timeout)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session


JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
