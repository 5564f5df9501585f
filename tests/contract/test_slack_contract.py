"""The trigger's contract holds Slack: challenge, event ids, retries, No-Retry, its own vector."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from halflap import Ignore
from halflap.testing import Receive
from tests.contract import slack

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SENT_AT = datetime.fromtimestamp(1531420618, UTC)
VECTOR = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNED = {
    "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    "X-Slack-Request-Timestamp": "1531420618",
    "Content-Type": "application/x-www-form-urlencoded",
}
MESSAGES = slack.event(types=["message"])
CHALLENGE = {"token": "t", "challenge": "3eZbrw1a", "type": "url_verification"}


def message(id: str = "Ev1", type: str = "message") -> dict[str, Any]:
    event = {"type": type, "channel": "C1", "text": "hello", "user": "U1"}
    return {"type": "event_callback", "team_id": "T1", "event_id": id, "event": event}


async def test_slacks_own_vector_verifies(receive: Receive) -> None:
    received = await receive(
        slack.command, VECTOR, headers=SIGNED, secret=SECRET, sign=False, now=SENT_AT
    )
    assert await received.events() == [
        slack.Command(command="/webhook-collect", text="", user_name="roadrunner")
    ]
    assert received.json["text"] == "On it."


async def test_the_vector_is_refused_when_it_is_old_changed_or_not_for_us(receive: Receive) -> None:
    sent: dict[str, Any] = {"headers": SIGNED, "sign": False}
    later = SENT_AT.replace(hour=23)
    for body, secret, now in (
        (VECTOR, SECRET, later),
        (VECTOR + b"&", SECRET, SENT_AT),
        (VECTOR, SECRET[::-1], SENT_AT),
    ):
        assert (await receive(slack.command, body, secret=secret, now=now, **sent)).status == 401


async def test_the_challenge_is_answered_as_text(receive: Receive) -> None:
    received = await receive(MESSAGES, CHALLENGE, secret=SECRET)
    assert (received.status, received.text) == (200, "3eZbrw1a")
    assert received.headers["content-type"].startswith("text/plain")
    assert (list(received.started), received.noted) == ([], ["handshake"])


async def test_a_challenge_that_slack_did_not_sign_is_not_answered(receive: Receive) -> None:
    received = await receive(MESSAGES, CHALLENGE, secret=SECRET, sign="another")
    assert (received.status, received.noted) == (401, [])
    assert "3eZbrw1a" not in received.text


async def test_an_event_is_typed_keyed_by_its_channel_and_asks_for_no_retry(
    receive: Receive,
) -> None:
    received = await receive(MESSAGES, message(), secret=SECRET)
    (event,) = await received.events()
    assert event.event == slack.Message(type="message", channel="C1", text="hello", user="U1")
    assert (received.keys, received.deliveries) == (["C1"], ["Ev1"])
    assert received.headers["x-slack-no-retry"] == "1"


async def test_slacks_retries_start_nothing_new(receive: Receive) -> None:
    assert len((await receive(MESSAGES, message(), secret=SECRET)).started) == 1
    for number in ("1", "2", "3"):
        retry = {"X-Slack-Retry-Num": number, "X-Slack-Retry-Reason": "http_timeout"}
        again = await receive(MESSAGES, message(), headers=retry, secret=SECRET)
        assert (again.status, list(again.started), again.duplicates) == (200, [], 1)


async def test_a_retry_of_what_never_arrived_starts_and_says_why(receive: Receive) -> None:
    retry = {"X-Slack-Retry-Num": "2", "X-Slack-Retry-Reason": "connection_failed"}
    received = await receive(MESSAGES, message("Ev2"), headers=retry, secret=SECRET)
    (event,) = await received.events()
    assert event.retry == slack.Retry(number=2, reason="connection_failed")


async def test_a_type_that_was_not_asked_for_is_ignored_visibly(receive: Receive) -> None:
    received = await receive(MESSAGES, message(type="reaction_added"), secret=SECRET)
    assert await received.events() == [Ignore("a reaction_added")]
