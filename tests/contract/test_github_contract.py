"""The trigger's contract holds GitHub: one hook with many events, ping, delivery ids, 422, 404."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

import pytest
from pydantic import SecretStr

from halflap import DefinitionError, Endpoint, Ignore, Subscription, UpstreamError
from halflap.testing import Fake, Receive, Sent
from tests.contract import github

EXAMPLES = Path(__file__).parents[2] / "node_modules/@octokit/webhooks-examples/api.github.com"
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    (each["name"], example)
    for each in json.loads((EXAMPLES / "index.json").read_bytes())
    for example in each["examples"]
]
URL = "https://halflap.example/hooks/1"
ENDPOINT = Endpoint(URL, SecretStr("It's a Secret to Everybody"), "events")
EVERYTHING = github.webhook(events=["*"])
HOOKS = "/repos/octo/hello/hooks"


def headers(name: str, delivery: str = "d-1") -> dict[str, str]:
    return {"X-GitHub-Event": name, "X-GitHub-Delivery": delivery}


def first(name: str) -> dict[str, Any]:
    return next(payload for event, payload in PAYLOADS if event == name)


def delivery_of(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, str(number)))


@pytest.fixture
def connection(fake: Fake) -> github.GitHub:
    return fake.connection(github.GitHub, repository="octo/hello", token=SecretStr("t"))


async def test_every_payload_arrives_typed_once_whichever_content_type(receive: Receive) -> None:
    assert len(PAYLOADS) == 329
    arrived = 0
    for number, (name, payload) in enumerate(PAYLOADS):
        as_form = number % 2 == 1
        sent: dict[str, Any] = {"headers": headers(name, delivery_of(number))}
        sent |= {"form": {"payload": json.dumps(payload)}} if as_form else {"body": payload}
        received = await receive(EVERYTHING, **sent)
        again = await receive(EVERYTHING, **sent)
        assert (received.status, again.status, received.reason) == (200, 200, "")
        if name == "ping":
            assert received.noted == ["handshake"]
            assert received.json == {"zen": payload["zen"]}
            continue
        (event,) = await received.events()
        assert type(event) is github.TYPES.get(name, github.Other)
        assert (event.event, event.delivery) == (name, delivery_of(number))
        assert event.action == payload.get("action")
        assert event.payload.keys() == payload.keys()
        assert received.keys == [payload.get("repository", {}).get("full_name")]
        assert (list(again.started), again.duplicates) == ([], 1)
        arrived += 1
    assert arrived == 329 - 4


async def test_githubs_own_vector_verifies(receive: Receive) -> None:
    signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    sent = {**headers("push"), "X-Hub-Signature-256": f"sha256={signature}"}
    secret = "It's a Secret to Everybody"
    received = await receive(EVERYTHING, b"Hello, World!", headers=sent, secret=secret, sign=False)
    assert (received.status, len(received.started)) == (200, 1)
    changed = await receive(EVERYTHING, b"Hello, World?", headers=sent, secret=secret, sign=False)
    assert changed.status == 401


async def test_a_ping_that_nobody_signed_is_not_answered(receive: Receive) -> None:
    received = await receive(EVERYTHING, first("ping"), headers=headers("ping"), sign=False)
    assert (received.status, received.noted) == (401, [])


async def test_an_event_that_was_not_asked_for_is_ignored_visibly(receive: Receive) -> None:
    trigger = github.webhook(events=["push", "issues"])
    received = await receive(trigger, first("star"), headers=headers("star"))
    assert await received.events() == [Ignore("star is none of push, issues")]


def test_an_event_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(DefinitionError, match=r"github\.webhook: events: 0: has to be"):
        github.webhook.bind({"events": ["pushed"]})


async def test_subscribing_makes_one_hook_for_all_events(
    fake: Fake, connection: github.GitHub
) -> None:
    fake.get(HOOKS, answers=[{"id": 1, "config": {"url": "https://other.example"}}])
    fake.post(HOOKS, answers={"id": 2}, status=201)
    made = await github.webhook(events=["push", "issues"]).subscribe(connection, ENDPOINT)
    assert made == Subscription("2", secret=ENDPOINT.secret)
    sent = fake.requests[-1].json
    assert (sent["name"], sent["events"], sent["config"]["url"]) == ("web", ["push", "issues"], URL)
    assert sent["config"]["secret"] == ENDPOINT.secret.get_secret_value()


async def test_subscribing_again_brings_the_hook_up_to_date(
    fake: Fake, connection: github.GitHub
) -> None:
    fake.get(
        HOOKS, answers=[{"id": 1, "config": {}}], headers={"Link": f'<{HOOKS}?page=2>; rel="next"'}
    )
    fake.get(HOOKS, params={"page": 2}, answers=[{"id": 7, "config": {"url": URL}}])
    fake.patch(f"{HOOKS}/7", answers={"id": 7})
    made = await EVERYTHING.subscribe(connection, ENDPOINT)
    assert (made.id, fake.requests[-1].json["events"]) == ("7", ["*"])


async def test_a_hook_that_somebody_made_meanwhile_is_taken(
    fake: Fake, connection: github.GitHub
) -> None:
    fake.get(HOOKS, answers=[]).then([{"id": 7, "config": {"url": URL}}])
    fake.post(HOOKS, status=422, json={"message": "Hook already exists on this repository"})
    fake.patch(f"{HOOKS}/7", answers={"id": 7})
    assert (await EVERYTHING.subscribe(connection, ENDPOINT)).id == "7"


async def test_a_422_for_another_reason_is_raised(fake: Fake, connection: github.GitHub) -> None:
    fake.get(HOOKS, answers=[])
    fake.post(HOOKS, status=422, json={"message": "url is not public"})
    with pytest.raises(UpstreamError, match="not public"):
        await EVERYTHING.subscribe(connection, ENDPOINT)


async def test_unsubscribing_what_is_gone_is_done(fake: Fake, connection: github.GitHub) -> None:
    fake.delete(f"{HOOKS}/7", status=404).then(status=403)
    await EVERYTHING.unsubscribe(connection, Subscription("7"))
    with pytest.raises(UpstreamError):
        await EVERYTHING.unsubscribe(connection, Subscription("7"))


async def test_the_token_is_sent_to_github_and_to_nobody_else(
    fake: Fake, connection: github.GitHub
) -> None:
    def elsewhere(sent: Sent) -> list[Any]:
        assert sent.headers["Authorization"] == "Bearer t"
        return []

    fake.get(HOOKS, answers=elsewhere)
    fake.post(HOOKS, answers={"id": 2})
    await EVERYTHING.subscribe(connection, ENDPOINT)
    with pytest.raises(UpstreamError, match="not the app of this connection"):
        await connection.get("https://evil.example/")


def test_the_named_events_exist() -> None:
    assert set(get_args(github.EventName)) - {"*"} <= {name for name, _ in PAYLOADS}


async def test_a_form_without_a_payload_is_kept_and_fails_as_invalid(receive: Receive) -> None:
    body = urlencode({"other": 1}).encode()
    sent = {**headers("push"), "Content-Type": "application/x-www-form-urlencoded"}
    received = await receive(EVERYTHING, body, headers=sent)
    assert (received.status, len(received.started), received.keys) == (200, 1, [None])
    with pytest.raises(Exception, match="no field `payload`"):
        await received.events()
