from typing import Any

import github
import pytest
from pydantic import SecretStr

from halflap import Endpoint, Subscription, UpstreamError
from halflap.testing import Fake, Receive

URL = "https://halflap.example/hooks/1"
ENDPOINT = Endpoint(URL, SecretStr("whsec_c2VjcmV0"), "activity")
HOOKS = "/repos/octo/hello/hooks"
TRIGGER = github.webhook(events=["*"])


@pytest.fixture
def connection(fake: Fake) -> github.GitHub:
    return fake.connection(github.GitHub, repository="octo/hello")


async def test_an_event_arrives_with_what_happened_and_to_whom(receive: Receive):
    body: dict[str, Any] = {"action": "created", "repository": {"full_name": "octo/hello"}}
    headers = {"X-GitHub-Event": "star", "X-GitHub-Delivery": "d-1"}
    received = await receive(TRIGGER, body, headers=headers)
    (event,) = await received.events()
    assert (event.id, event.name, event.action, event.sender) == ("d-1", "star", "created", None)
    assert received.keys == ["octo/hello"]
    # GitHub signs the body alone: the same id with another body is another delivery.
    (delivery,) = received.deliveries
    assert delivery is not None
    assert delivery.startswith("d-1#")


async def test_a_ping_is_answered_and_starts_nothing(receive: Receive):
    received = await receive(TRIGGER, {"zen": "…"}, headers={"X-GitHub-Event": "ping"})
    assert (received.text, list(received.started)) == ("pong", [])


async def test_what_github_did_not_sign_is_rejected(receive: Receive):
    received = await receive(TRIGGER, {}, headers={"X-GitHub-Event": "ping"}, sign=False)
    assert received.status == 401


async def test_subscribing_twice_makes_one_hook(fake: Fake, connection: github.GitHub):
    fake.get(HOOKS, answers=[]).then([{"id": 7, "config": {"url": URL}}])
    fake.post(HOOKS, answers={"id": 7}, status=201)
    first = await TRIGGER.subscribe(connection, ENDPOINT)
    assert await TRIGGER.subscribe(connection, ENDPOINT) == first == Subscription("7")
    assert [each.method for each in fake.requests] == ["GET", "POST", "GET"]
    assert fake.requests[1].json["config"]["secret"] == "whsec_c2VjcmV0"


async def test_a_hook_that_is_gone_already_is_unsubscribed(fake: Fake, connection: github.GitHub):
    fake.delete(f"{HOOKS}/7", status=404).then(status=500)
    await TRIGGER.unsubscribe(connection, Subscription("7"))
    with pytest.raises(UpstreamError):
        await TRIGGER.unsubscribe(connection, Subscription("7"))
