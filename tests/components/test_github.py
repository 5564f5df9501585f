"""GitHub: every payload that it gives as an example, its webhooks and what they missed, its records."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import ApiKey, ConfigError, Endpoint, Subscription, UpstreamError, github
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


async def test_subscribing_twice_makes_one_hook(fake: Fake, connection: github.GitHub):
    there = [{"id": 7, "config": {"url": URL}}, {"id": 8, "config": {}}]
    fake.get(HOOKS, answers=there[1:]).then(there)
    fake.post(HOOKS, answers={"id": 7}, status=201)
    fake.patch(f"{HOOKS}/7", answers={"id": 7})
    first = await TRIGGER.subscribe(connection, ENDPOINT)
    assert await TRIGGER.subscribe(connection, ENDPOINT, first) == first
    assert [each.method for each in fake.requests] == ["GET", "POST", "GET", "PATCH"]
    for each in (fake.requests[1], fake.requests[3]):
        assert each.json["config"]["secret"] == "whsec_c2VjcmV0"
        assert each.json["events"] == ["*"]


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


async def test_a_hook_that_is_gone_already_is_told_by_its_status(
    fake: Fake, connection: github.GitHub
):
    fake.delete(f"{HOOKS}/7", status=404)
    made = Subscription("7", data={"hooks": HOOKS})
    with pytest.raises(UpstreamError) as gone:
        await TRIGGER.unsubscribe(connection, made)
    assert gone.value.status == 404  # which the engine takes for done


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


ISSUE = {"number": 1, "title": "It breaks", "state": "open", "html_url": "https://github.com/x"}
PULL = {**ISSUE, "head": {"ref": "fix", "sha": "a"}, "base": {"ref": "main", "sha": "b"}}


async def test_issues_are_made_read_changed_and_commented(fake: Fake, connection: github.GitHub):
    fake.post("/repos/octo/hello/issues", answers=ISSUE, status=201)
    fake.patch("/repos/octo/hello/issues/1", answers={**ISSUE, "state": "closed"})
    fake.get("/repos/octo/hello/issues/1", answers={**ISSUE, "user": {"login": "ada"}})
    fake.post(
        "/repos/other/place/issues/1/comments",
        answers={"id": 5, "body": "Thanks", "html_url": "https://github.com/x#5"},
        status=201,
    )
    fake.get("/repos/octo/hello/issues", answers=[ISSUE, {**ISSUE, "pull_request": {}}, ISSUE])
    made = await github.create_issue(connection, "It breaks", labels=["bug"])
    assert fake.requests[-1].json == {"title": "It breaks", "labels": ["bug"]}
    closed = await github.update_issue(connection, made.number, state="closed")
    assert (closed.state, fake.requests[-1].json) == ("closed", {"state": "closed"})
    found = await github.get_issue(connection, 1)
    assert found.user is not None
    assert found.user.login == "ada"
    told = await github.comment(connection, 1, "Thanks", repository="other/place")
    assert told.id == 5
    assert len(await github.list_issues(connection, labels=["bug", "new"], since=NOW)) == 2
    assert fake.requests[-1].params["labels"] == "bug,new"
    assert len(await github.list_issues(connection, most=1)) == 1


async def test_pull_requests_and_files(fake: Fake, connection: github.GitHub):
    fake.get("/repos/octo/hello/pulls/1", answers=PULL)
    fake.post("/repos/octo/hello/pulls", answers=PULL, status=201)
    text = base64.b64encode("größe\n".encode()).decode()
    there = {"path": "docs/a b.md", "sha": "s1", "content": text[:4] + "\n" + text[4:]}
    fake.get("/repos/octo/hello/contents/docs/a%20b.md", answers=there).then(status=404)
    fake.put(
        "/repos/octo/hello/contents/docs/a%20b.md",
        answers={"content": {"sha": "s2"}, "commit": {"sha": "c1"}},
    )
    assert (await github.get_pull_request(connection, 1)).head.ref == "fix"
    assert (await github.create_pull_request(connection, "Fix", "fix", "main")).number == 1
    file = await github.get_file(connection, "docs/a b.md", ref="main")
    assert file == github.Content(path="docs/a b.md", sha="s1", text="größe\n")
    assert await github.get_file(connection, "docs/a b.md") is None
    made = await github.write_file(connection, "docs/a b.md", "new", "Say it anew", sha=file.sha)
    assert (made.sha, made.commit) == ("s2", "c1")
    assert fake.requests[-1].json["sha"] == "s1"


async def test_repositories_are_listed_for_choices(fake: Fake, connection: github.GitHub):
    fake.get("/user/repos", answers=[{"full_name": "octo/hello"}])
    assert await github.list_repositories(connection) == [("octo/hello", "octo/hello")]


@for_each("path", ["", "/hooks"])
def test_without_a_repository_nothing_is_guessed(path: str) -> None:
    connection = github.GitHub(auth=ApiKey(key=SecretStr("t")))
    with pytest.raises(ConfigError, match="which repository"):
        connection.at(None, path)
    assert connection.at("octo/a?b", path) == f"/repos/octo/a%3Fb{path}"
