"""GitHub: every payload that it gives as an example, its webhooks and what they missed, its records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import ApiKey, ConfigError, Endpoint, Subscription, github
from halflap.components.github.triggers import EVENTS
from halflap.testing import Fake, Receive
from tests.cases import for_each

URL = "https://halflap.example/hooks/1"
ENDPOINT = Endpoint(URL, SecretStr("whsec_c2VjcmV0"), "activity")
HOOKS = "/repos/octo/hello/hooks"
TRIGGER = github.event(events=["*"])
EXAMPLES = Path(__file__).parents[2] / "node_modules/@octokit/webhooks-examples/api.github.com"
PAYLOADS: list[tuple[str, dict[str, Any]]] = [
    (each["name"], example)
    for each in json.loads((EXAMPLES / "index.json").read_bytes(), parse_float=Decimal)
    for example in each["examples"]
]
KEY = ApiKey(key=SecretStr("ghp_1"))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def connection(fake: Fake) -> github.GitHub:
    return fake.connection(github.GitHub, auth=KEY, repository="octo/hello")


# ---- Events


async def test_every_payload_is_an_event_with_what_happened_and_to_whom(receive: Receive):
    found: list[github.Event] = []
    for number, (name, payload) in enumerate(PAYLOADS):
        headers = {"X-GitHub-Event": name, "X-GitHub-Delivery": f"d-{number}"}
        received = await receive(TRIGGER, payload, headers=headers)
        assert received.status == 200
        if name == "ping":
            assert (received.text, list(received.started)) == ("pong", [])
            continue
        [event] = await received.events()
        found.append(event)
        assert (event.id, event.name, event.payload) == (f"d-{number}", name, payload)
        assert event.action == payload.get("action")
        assert received.keys == [event.repository]
    assert len(found) > 300
    assert {"Codertocat/Hello-World", None} <= {each.repository for each in found}
    assert {"Codertocat", None} <= {each.sender for each in found}
    assert any(each.installation for each in found)
    assert any(each.organization for each in found)
    for name, field in (
        ("issues", "issue"),
        ("issue_comment", "comment"),
        ("pull_request", "pull_request"),
        ("release", "release"),
        ("push", "ref"),
    ):
        # GitHub gives few of them cut short: those have no state.
        known = [getattr(each, field) is not None for each in found if each.name == name]
        assert sum(known) >= 0.9 * len(known) > 0, field


async def test_a_delivery_that_comes_again_is_one_event(receive: Receive):
    headers = {"X-GitHub-Event": "star", "X-GitHub-Delivery": "d-1"}
    counts: list[tuple[int, int]] = []
    for body in ({"a": 1}, {"a": 1}, {"a": 2}):
        received = await receive(TRIGGER, body, headers=headers)
        counts.append((len(received.started), received.duplicates))
    # GitHub signs the body alone: the same id with another body is another delivery.
    assert counts == [(1, 0), (0, 1), (1, 0)]


async def test_what_github_did_not_sign_is_rejected(receive: Receive):
    for trigger in (TRIGGER, github.app_event()):
        headers = {"X-GitHub-Event": "ping"}
        assert (await receive(trigger, {}, headers=headers, sign=False)).status == 401


async def test_what_was_not_asked_for_is_not_stored(receive: Receive):
    for trigger in (github.event(["issues", "a.new.one"]), github.app_event(["issues"])):
        for name, taken in (("issues", 1), ("star", 0)):
            received = await receive(trigger, {}, headers={"X-GitHub-Event": name})
            assert (received.status, len(received.started)) == (200, taken)


def test_every_event_that_github_gives_as_an_example_has_a_name() -> None:
    assert {name for name, _ in PAYLOADS} - {"ping"} <= set(EVENTS)


# ---- Webhooks


async def test_an_organization_has_webhooks_too(fake: Fake):
    fake.get("/orgs/octo/hooks", answers=[])
    fake.post("/orgs/octo/hooks", answers={"id": 9}, status=201)
    fake.get("/orgs/octo/hooks/9", answers={"id": 9, "active": True}).then(status=404)
    trigger, connection = (
        github.event(["push"], organization="octo"),
        fake.connection(github.GitHub, auth=KEY),
    )
    made = await trigger.subscribe(connection, ENDPOINT)
    assert (made.id, made.data) == ("9", {"hooks": "/orgs/octo/hooks"})
    assert await trigger.exists(connection, made)
    assert not await trigger.exists(connection, made)


async def test_what_could_not_be_delivered_is_delivered_anew(fake: Fake, connection: github.GitHub):
    def delivery(id: int, guid: str, status: int, ago: int) -> dict[str, Any]:
        at = (NOW - timedelta(minutes=ago)).isoformat().replace("+00:00", "Z")
        return {"id": id, "guid": guid, "delivered_at": at, "status_code": status}

    next_page = "https://api.github.com" + f"{HOOKS}/7/deliveries?cursor=2"
    first = [
        delivery(9, "b", 200, 1),  # b was delivered anew already
        delivery(8, "c", 502, 2),
        delivery(7, "c", 502, 3),
    ]
    second = [
        delivery(6, "b", 500, 4),
        delivery(5, "a", 0, 5),
        delivery(3, "refused", 401, 5),
        delivery(4, "old", 500, 62),
    ]
    fake.get(f"{HOOKS}/7/deliveries", answers=first, headers={"Link": f'<{next_page}>; rel="next"'})
    fake.get(f"{HOOKS}/7/deliveries", answers=second, params={"cursor": "2"})
    fake.post(f"{HOOKS}/7/deliveries/{{id}}/attempts", status=202)
    made = Subscription("7", data={"hooks": HOOKS})
    since = NOW - timedelta(hours=1)
    missed = [each async for each in TRIGGER.catch_up(connection, since, made)]
    assert missed == []  # they come to the URL, as ever
    sent = [each.path for each in fake.requests if each.method == "POST"]
    assert sent == [f"{HOOKS}/7/deliveries/{id}/attempts" for id in (5, 8)]
    assert [each async for each in TRIGGER.catch_up(connection, since)] == []


# ---- Records


@for_each("path", ["", "/hooks"])
def test_without_a_repository_nothing_is_guessed(path: str) -> None:
    connection = github.GitHub(auth=ApiKey(key=SecretStr("t")))
    with pytest.raises(ConfigError, match="which repository"):
        connection.at(None, path)
    assert connection.at("octo/a?b", path) == f"/repos/octo/a%3Fb{path}"
