"""Jira's dynamic webhooks, as its documentation has them: made once, renewed before they end, removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from halflap import Endpoint, Ignore, UpstreamError, jira
from halflap.components.jira.dynamic import DYNAMIC, time_of
from halflap.testing import Fake, Receive
from halflap.testing.fake import Sent

SITE = "https://api.atlassian.com/ex/jira/35273b54-3f06-40d2-880f-dd28cf8daafa"
ENDPOINT = Endpoint(url="https://hooks.test/hooks/hk_1", secret=SecretStr("s"), flow="seen")


class Site:
    """The webhooks of an OAuth app at a site."""

    def __init__(self, fake: Fake) -> None:
        self.hooks: dict[int, dict[str, Any]] = {}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.made = 0
        fake.get(DYNAMIC, answers=self.page)
        fake.post(DYNAMIC, answers=self.make)
        fake.put(f"{DYNAMIC}/refresh", answers=self.refresh)
        fake.delete(DYNAMIC, answers=self.remove)

    def ends(self) -> str:
        return (self.now + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")

    def page(self, sent: Sent) -> Any:
        at = int(sent.params["startAt"])
        every = [{"id": id, **hook} for id, hook in self.hooks.items()]
        return {"values": every[at : at + 2], "isLast": at + 2 >= len(every)}

    def make(self, sent: Sent) -> Any:
        [wanted] = sent.json["webhooks"]
        if "nonsense" in wanted["jqlFilter"]:
            return {
                "webhookRegistrationResult": [{"errors": ["The clause nonsense is unsupported"]}]
            }
        self.made += 1
        self.hooks[1_000 + self.made] = {"url": sent.json["url"], **wanted}
        return {"webhookRegistrationResult": [{"createdWebhookId": 1_000 + self.made}]}

    def refresh(self, sent: Sent) -> Any:
        return {"expirationDate": self.ends()}  # of what is not there, too

    def remove(self, sent: Sent) -> Any:
        for id in sent.json["webhookIds"]:
            self.hooks.pop(id, None)
        return {}


def connected(fake: Fake) -> jira.Jira:
    auth = jira.JiraSignIn(client_id="c", access_token=SecretStr("t"))
    return fake.connection(jira.Jira, base_url=SITE, email=None, api_token=None, auth=auth)


async def test_a_webhook_is_made_once_renewed_and_removed(fake: Fake) -> None:
    site, box = Site(fake), connected(fake)
    for number in range(3):  # of others
        site.hooks[number] = {"url": "https://elsewhere.test", "events": [], "jqlFilter": ""}
    trigger = jira.dynamic_event(events=["jira:issue_created"], jql="project = ACME")
    made = await trigger.subscribe(box, ENDPOINT)
    assert (made.id, made.expires_at) == ("1001", site.now + timedelta(days=30))
    assert await trigger.subscribe(box, ENDPOINT) == made
    site.now += timedelta(days=20)
    after = await trigger.renew(box, made, ENDPOINT)
    assert (after.id, after.expires_at) == ("1001", site.now + timedelta(days=30))
    assert await trigger.exists(box, made)
    other = jira.dynamic_event(events=["jira:issue_updated"], jql="project = ACME")
    changed = await other.subscribe(box, ENDPOINT)
    assert (changed.id, len(site.hooks)) == ("1002", 4)
    with pytest.raises(UpstreamError) as gone:  # so that it is subscribed anew
        await trigger.renew(box, made, ENDPOINT)
    assert gone.value.status == 404
    await other.unsubscribe(box, changed)
    await other.unsubscribe(box, changed)
    assert list(site.hooks) == [0, 1, 2]
    assert {each.headers["authorization"] for each in fake.requests} == {"Bearer t"}


async def test_what_jira_refuses_is_told(fake: Fake) -> None:
    Site(fake)
    trigger = jira.dynamic_event(events=["jira:issue_created"], jql="nonsense")
    with pytest.raises(UpstreamError, match="The clause nonsense is unsupported"):
        await trigger.subscribe(connected(fake), ENDPOINT)


async def test_an_event_is_the_same_as_by_an_administrators_webhook(receive: Receive) -> None:
    body = {"webhookEvent": "jira:issue_created", "timestamp": 7, "issue": {"id": "10"}}
    trigger = jira.dynamic_event(events=["jira:issue_created"], jql="project = ACME")
    received = await receive(trigger, body, headers={"x-atlassian-webhook-identifier": "w1"})
    [event] = await received.events()
    assert (event.name, event.issue, received.keys) == ("jira:issue_created", {"id": "10"}, ["10"])
    again = await receive(trigger, body, headers={"x-atlassian-webhook-identifier": "w1"})
    assert again.duplicates == 1
    other = await receive(trigger, {"webhookEvent": "x"})
    assert isinstance((await other.events())[0], Ignore)


def test_a_site_has_one_way_in() -> None:
    token: dict[str, Any] = {"base_url": "https://a.test", "email": "a@test", "api_token": "t"}
    assert jira.Jira(**token).headers()["Authorization"].startswith("Basic ")
    with pytest.raises(ValidationError, match="signing in"):
        jira.Jira(**token, auth={})


def test_both_forms_of_a_time_are_read() -> None:
    assert time_of(1_767_225_600_000) == datetime(2026, 1, 1, tzinfo=UTC)
    assert time_of("2026-01-01T01:00:00.000+0100") == datetime(2026, 1, 1, tzinfo=UTC)
