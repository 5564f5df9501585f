"""Slack: events and interactions of a workspace, each once; what its API refuses with 200 is an error."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from pydantic import SecretStr

from halflap import ApiKey, Ignore, Request, Unauthorized, UpstreamError, slack
from halflap.sdk.request import Headers
from halflap.testing import Fake, Receive
from tests.cases import for_each

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MENTION = slack.event(["app_mention", "message"])
EVENT: dict[str, Any] = {
    "type": "event_callback",
    "team_id": "T1",
    "event_id": "Ev1",
    "event": {"type": "app_mention", "channel": "C1", "user": "U1", "text": "hi", "ts": "17.1"},
}
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "team": {"id": "T1"},
    "user": {"id": "U1"},
    "channel": {"id": "C1"},
    "trigger_id": "13.1",
    "actions": [{"action_id": "approve"}],
}
COMMAND = {"command": "/ask", "text": "why", "team_id": "T1", "user_id": "U1", "trigger_id": "14.1"}


@pytest.fixture
def connection(fake: Fake) -> slack.Slack:
    return fake.connection(slack.Slack, auth=ApiKey(key=SecretStr("xoxb-1-secret")))


# ---- Events


async def test_the_challenge_is_answered_and_signed_as_all_else(receive: Receive):
    asked = {"type": "url_verification", "challenge": "3eZbrw1a"}
    received = await receive(MENTION, asked)
    assert (received.json, list(received.started)) == ({"challenge": "3eZbrw1a"}, [])
    assert (await receive(MENTION, asked, sign=False)).status == 401


async def test_an_event_is_typed_and_comes_once_however_often_slack_tries(receive: Receive):
    first = await receive(MENTION, EVENT)
    again = await receive(MENTION, EVENT, headers={"X-Slack-Retry-Num": "1"})
    assert (first.status, first.keys, first.deliveries) == (200, ["C1"], ["Ev1"])
    assert (again.status, len(again.started), again.duplicates) == (200, 0, 1)
    [event] = await first.events()
    assert (event.type, event.team_id, event.user, event.text) == ("app_mention", "T1", "U1", "hi")


async def test_what_is_old_is_refused(receive: Receive):
    received = await receive(MENTION, EVENT, now=NOW, signed_at=NOW - timedelta(seconds=301))
    assert received.status == 401


async def test_what_was_not_asked_for_is_not_stored(receive: Receive):
    by_bot = {**EVENT, "event": {**EVENT["event"], "type": "message", "bot_id": "B1"}}
    for trigger, body, taken in (
        (MENTION, by_bot, 0),
        (slack.event(["message"], bots=True), by_bot, 1),
        (slack.event(["team_join"]), EVENT, 0),
        (MENTION, EVENT, 1),
        (MENTION, CLICK, 0),
        (slack.interaction(), EVENT, 0),
        (slack.interaction(), CLICK, 1),
        (slack.interaction("view"), CLICK, 0),
    ):
        form = {"payload": json.dumps(body)} if body is CLICK else None
        received = await receive(trigger, None if form else body, form=form)
        assert (received.status, len(received.started)) == (200, taken)


async def test_what_reaches_a_flow_all_the_same_is_ignored():
    headers = Headers([("Content-Type", "application/json")])
    request = Request("POST", "", "", headers, json.dumps(EVENT).encode(), "", NOW)
    assert isinstance(await slack.event(["team_join"]).parse(request), Ignore)
    assert isinstance(await MENTION.parse(request), slack.Event)


async def test_a_button_and_a_command_are_interactions(receive: Receive):
    clicked = await receive(slack.interaction(), form={"payload": json.dumps(CLICK)})
    [click] = await clicked.events()
    assert (click.type, click.user, click.channel) == ("block_actions", "U1", "C1")
    assert click.payload["actions"] == [{"action_id": "approve"}]
    assert (clicked.deliveries, clicked.keys) == (["13.1"], ["C1"])
    [command] = await (await receive(slack.interaction("command"), form=COMMAND)).events()
    assert (command.type, command.user, command.payload["text"]) == ("command", "U1", "why")


@for_each("body, kind", [(EVENT, "json"), (CLICK, "payload"), (COMMAND, "form")], ids=str)
def test_the_workspace_is_found_in_all_that_slack_sends(body: dict[str, Any], kind: str) -> None:
    given = json.dumps(body)
    if kind != "json":
        given = urlencode({"payload": given} if kind == "payload" else body)
    content = "application/json" if kind == "json" else slack.FORM
    request = Request("POST", "", "", Headers([("Content-Type", content)]), given.encode(), "", NOW)
    assert slack.Slack.app_endpoint is not None
    assert slack.Slack.app_endpoint.account(request) == "T1"


# ---- Signing in


def test_installing_the_app_tells_the_workspace() -> None:
    way = slack.SlackSignIn(client_id="1.2", client_secret=SecretStr("client-secret"))
    begun = way.authorization("https://halflap.example/callback")
    asked = parse_qs(urlsplit(begun.url).query)
    assert begun.url.startswith("https://slack.com/oauth/v2/authorize?")
    assert "chat:write" in asked["scope"][0]
    answer = {"ok": True, "access_token": "xoxb-2", "team": {"id": "T7", "name": "Initech"}}
    assert way.keep(answer) == {"team_id": "T7"}
    assert slack.SlackSignIn.granted >= {"team_id", "access_token"}


# ---- Actions


async def test_channels_are_listed_page_by_page(fake: Fake, connection: slack.Slack):
    for cursor, name, more in ((None, "all", "c2"), ("c2", "ops", "")):
        channel = {"id": f"C-{name}", "name": name}
        found = {"ok": True, "channels": [channel], "response_metadata": {"next_cursor": more}}
        fake.get(
            "/conversations.list", params={"cursor": cursor} if cursor else None, answers=found
        )
    assert await slack.list_channels(connection) == [("C-all", "#all"), ("C-ops", "#ops")]


async def test_what_slack_refuses_with_200_is_an_error(fake: Fake, connection: slack.Slack):
    answers = fake.post("/auth.test", answers={"ok": False, "error": "token_revoked"})
    answers.then({"ok": False, "error": "internal_error"}).then({"ok": False, "error": "bad"})
    with pytest.raises(Unauthorized, match="token_revoked"):
        await connection.test()
    for retryable in (True, False):
        with pytest.raises(UpstreamError) as refused:
            await connection.test()
        assert refused.value.retryable is retryable
    fake.post("/chat.postMessage", answers={"ok": False, "error": "token_expired"})
    with pytest.raises(Unauthorized):
        await slack.post_message(connection, "C1", "x")
