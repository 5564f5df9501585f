"""Events go out, signed or by Socket Mode, and are tried four times, as Slack does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from urllib.parse import urlencode

from halflap_sandbox.answer import dump
from halflap_sandbox.faults import FaultBoard
from halflap_sandbox.poster import Poster
from halflap_sandbox.slack.model import APP_ID, SIGNING_SECRET, Json, Team, World, new_id
from halflap_sandbox.slack.socket import Links


def sign(secret: str, at: str, body: bytes) -> str:
    """Sign a request, as the value of X-Slack-Signature."""
    digest = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256)
    return "v0=" + digest.hexdigest()


class Sender:
    """Sends to the app's URLs."""

    def __init__(self, world: World, faults: FaultBoard) -> None:
        self.links = Links()
        self._world = world
        self._faults = faults
        self._poster = Poster(world.settings.delivery_timeout)

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
            self._poster.start(self._tried(id, envelope), f"slack event {id}")
        return id

    async def interaction(self, payload: Json) -> Json:
        """Send what somebody clicked or submitted, once."""
        return await self._send("interactions", payload)

    async def command(self, fields: dict[str, str]) -> Json:
        """Send a slash command, once."""
        return await self._send("commands", fields)

    async def verify(self, what: str) -> Json:
        """Send the challenge by which Slack learns that a URL is the app's."""
        challenge = new_id("c")
        asked = {"token": "deprecated", "challenge": challenge, "type": "url_verification"}
        sent = await self._send(what, asked)
        return {**sent, "verified": challenge in sent["body"]}

    async def close(self) -> None:
        """Stop sending."""
        await self.links.close()
        await self._poster.close()

    async def _tried(self, id: str, envelope: Json) -> None:
        reason = ""
        for number, wait in enumerate((0.0, *self._world.settings.waits)):
            await asyncio.sleep(wait)
            sent = await self._send("events", envelope, id, number, reason)
            if sent["status"] is not None and sent["status"] < 300:
                return
            reason = "http_timeout" if sent["status"] is None else "http_error"

    async def _send(
        self, what: str, payload: Json, id: str = "", number: int = 0, reason: str = ""
    ) -> Json:
        """Send something to the app: to its URL, or where it has none, by Socket Mode."""
        retry = {"x-slack-retry-num": str(number), "x-slack-retry-reason": reason} if number else {}
        note: Json = {"to": what, "id": id, "retry": retry.get("x-slack-retry-num")}
        note |= {"status": None, "body": ""}
        if self._world.urls:
            note |= await self._post(what, *encoded(what, payload), retry)
        else:
            within = self._world.settings.delivery_timeout
            note |= await self.links.send(ENVELOPES[what], payload, number, reason, within)
        self._world.sent.append(note)
        return note

    async def _post(
        self, what: str, body: bytes, kind: dict[str, str], headers: dict[str, str]
    ) -> Json:
        at = str(int(self._world.settings.clock()))
        signed = {
            "x-slack-request-timestamp": at,
            "x-slack-signature": sign(SIGNING_SECRET, at, body),
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        if what not in self._world.urls:
            return {"error": f"there is no URL for {what}"}
        posted = await self._poster.post(self._world.urls[what], body, kind | headers | signed)
        if posted.error is not None:
            return {"error": posted.error}
        return {"status": posted.status, "body": posted.body.decode("utf-8", "replace")}


JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
ENVELOPES = {"events": "events_api", "interactions": "interactive", "commands": "slash_commands"}


def encoded(what: str, payload: Json) -> tuple[bytes, dict[str, str]]:
    """Write what is posted, with the header that says how: events as JSON, all else as a form."""
    if what == "events":
        return dump(payload), JSON
    form = payload if what == "commands" else {"payload": dump(payload).decode()}
    return urlencode(form).encode(), FORM
