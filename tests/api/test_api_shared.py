"""A shared endpoint, whole: one URL for all customers of an integration, on both stores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from halflap import StandardWebhooks
from halflap.engine.bundle import pack
from halflap.errors import StoreError
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.api.conftest import KEYS, TOKEN, Answer, Client
from tests.cluster import emptied_url, kept_sessions
from tests.journals import new_store
from tests.polling import DEADLINE

TEAMS = '''
"""Teams: one app calls one URL for all customers."""

from typing import Any

from halflap import (
    Config, Context, DeadLetter, Deployment, Ignore, Integration, Route, header, instance, pointer,
    webhook,
)


class Settings(Config):
    """The settings that a customer fills in to activate the integration."""

    team: str


integration = Integration("teams", config=Settings)


@integration.flow(trigger=instance.deploy)
async def deploy(ctx: Context[Settings], _: Deployment) -> None:
    """Tell the app where to send."""
    ctx.log.info("sends to", url=ctx.url(receive), mine=ctx.url(receive) in ctx.urls)


@integration.flow(trigger=instance.routed)
async def message(ctx: Context[Settings], event: Any) -> Any:
    """A message in a team."""
    if event.get("text") == "fail":
        raise ValueError("not like that")
    return [ctx.config.team, event["text"]]


@integration.preprocess(
    trigger=webhook.request(
        signature="standard", dedupe="header:webhook-id", key="body:/text", answer=ANSWER
    ),
    shared=True,
    sender=SENDER,
)
async def receive(ctx: Context[Settings], event: Any) -> Any:
    """Everything that the app sends."""
    match event:
        case {"type": "ping"}:
            return Ignore("a ping")
        case {"type": "message", "team": team}:
            return Route(message, config={"team": team})
        case {"type": "message", "customer": customer}:
            return Route(message, customer=customer)
        case {"type": "message", "instance": instance}:
            return Route(message, instance=instance)
        case {"type": "all", "teams": teams}:
            return [Route(message, {"text": "hi"}, config={"team": each}) for each in teams]
        case {"type": type}:
            return DeadLetter(f"no flow takes {type}")
'''


class Teams:
    """A server, the app that signs, and customers."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.api, self.folder = host, Client(host), folder
        self.sent = 0
        self.url = ""

    async def publish(
        self, answer: str = '"accepted"', sender: str = 'pointer("/team")', note: str = ""
    ) -> str:
        root = self.folder / f"project-{len(list(self.folder.iterdir()))}"
        root.mkdir()
        text = TEAMS.replace("ANSWER", answer).replace("SENDER", sender)
        (root / "teams.py").write_text(f"{text}\n# {note}\n")
        return await self.publish_from(root, "teams:integration")

    async def publish_from(self, root: Path, entry: str) -> str:
        """Publish a project; the shared URL is its flow's `receive`."""
        body = pack(root, entry).to_bytes()
        made = await self.api("POST", "/api/versions", body=body, overwrite=True)
        assert made.status == 201, made.body
        [endpoint] = await self.api.get("/api/integrations/teams/endpoints")
        assert endpoint["flow"] == "receive"
        self.url = endpoint["url"]
        return made.json["hash"]

    async def customer(self, name: str, team: str) -> str:
        """A customer with an active instance; returns the instance's id."""
        draft: dict[str, Any] = {"name": name, "external_id": f"ext-{name}"}
        await self.api("POST", "/api/customers", draft)
        draft = {"customer": name, "integration": "teams", "config": {"team": team}}
        made = await self.api("POST", "/api/instances", draft)
        assert made.status == 201, made.body
        await self.life(made.json["id"], "activate", "active")
        return made.json["id"]

    async def life(self, instance: str, verb: str, state: str) -> None:
        answer = await self.api("POST", f"/api/instances/{instance}/{verb}", wait=30)
        assert answer.json["state"] == state, answer.body

    async def secret(self) -> str:
        answer = await self.api.get("/api/integrations/teams/endpoints/receive/secret")
        return answer["secret"]

    async def post(self, event: Any, *, secret: str | None = None, id: str | None = None) -> Answer:
        self.sent += 1
        body = codec.encode(event)
        id = id or f"msg_{self.sent}"
        signed = StandardWebhooks().sign(
            body, secret or await self.secret(), datetime.now(UTC), id=id
        )
        _, _, path = self.url.partition("/hooks/")
        headers = {"content-type": "application/json", **signed}
        return await self.api("POST", f"/hooks/{path}", body=body, headers=headers, token=None)

    async def receive(self, event: Any, **more: Any) -> dict[str, Any]:
        """Send an event; what became of it at the shared endpoint, once that has ended."""
        answer = await self.post(event, **more)
        assert answer.status == 200, answer.body
        [last] = (await self.list(flow="receive", limit=1))[:1]
        return await self.ended(last["id"])

    async def ended(self, execution: str) -> dict[str, Any]:
        assert await self.host.engine.outcome(execution, within=DEADLINE) is not None
        return await self.api.get(f"/api/executions/{execution}")

    async def list(self, **which: Any) -> list[dict[str, Any]]:
        return await self.api.items("/api/executions", **which)

    async def replay(self, execution: str) -> dict[str, Any]:
        answer = await self.api("POST", f"/api/executions/{execution}/replay", {})
        assert answer.status < 300, answer.body
        return await self.ended(answer.json["execution"])


@asynccontextmanager
async def teams_on(
    store: str, folder: Path, *, runs: bool = True, **settings: Any
) -> AsyncIterator[Teams]:
    url = emptied_url() if store == "postgresql" else ""
    made = Settings(
        dir=folder / "store", token=TOKEN, store=url, keys=KEYS if url else "", **settings
    )
    if not url:
        await new_store(made.dir)
    with kept_sessions():
        host = await Host.open(made, probation=False)
        (folder / "projects").mkdir()
        running = asyncio.create_task(host.engine.run(host.executor)) if runs else None
        try:
            yield Teams(host, folder / "projects")
        finally:
            await host.stop(1)
            if running is not None:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError, StoreError):
                    await running


@pytest.fixture
async def teams(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Teams]:
    async with teams_on(getattr(request, "param", "file"), tmp_path) as found:
        yield found


ON_BOTH_STORES = pytest.mark.parametrize("teams", ["file", "postgresql"], indirect=True)
"""For what is looked up, deduplicated and held in the store."""


# Routed ---------------------------------------------------------------------------------------


@ON_BOTH_STORES
async def test_one_url_serves_all_customers_and_shows_what_led_where(teams: Teams) -> None:
    await teams.publish()
    ada, bob = await teams.customer("ada", "T1"), await teams.customer("bob", "T2")
    for event, instance, result in (
        ({"type": "message", "team": "T1", "text": "a"}, ada, ["T1", "a"]),
        ({"type": "message", "team": "T2", "text": "b"}, bob, ["T2", "b"]),
        ({"type": "message", "customer": "ext-bob", "text": "c"}, bob, ["T2", "c"]),
        ({"type": "message", "instance": ada, "text": "d"}, ada, ["T1", "d"]),
    ):
        found = await teams.receive(event)
        assert found["state"] == "succeeded", found
        assert (found["customer"], found["customer_name"]) == ("$teams", "teams (all customers)")
        assert found["instance_name"] == "shared endpoint"
        [child] = found["children"]
        routed = await teams.ended(child["id"])
        assert (routed["instance"], routed["result"]) == (instance, result)
        assert routed["parent"] == found["id"]
        listed = await teams.list(parent=found["id"])
        assert [each["id"] for each in listed] == [child["id"]]
    both = await teams.receive({"type": "all", "teams": ["T1", "T2"]})
    assert {each["instance"] for each in both["children"]} == {ada, bob}
    assert len(await teams.list(customer="$teams")) == 5
    [deployed] = [each for each in await teams.list(instance=ada) if each["flow"] == "$deploy"]
    logs = await teams.api("GET", f"/api/executions/{deployed['id']}/logs")
    assert codec.encode({"url": teams.url, "mine": False}) in logs.body
    # A duplicate is routed once.
    event = {"type": "message", "team": "T1", "text": "a"}
    first, again = [await teams.receive(event, id="msg_x") for _ in range(2)]
    assert (again["id"], again["duplicates"], len(again["children"])) == (first["id"], 1, 1)


@pytest.mark.parametrize("store", ["file", "postgresql"])
async def test_a_synchronous_answer_is_the_customers(store: str, tmp_path: Path) -> None:
    async with teams_on(store, tmp_path) as teams:
        await teams.publish(answer='"result"')
        await teams.customer("ada", "T1")
        answer = await teams.post({"type": "message", "team": "T1", "text": "a"})
        assert (answer.status, answer.json) == (200, ["T1", "a"])
        answer = await teams.post({"type": "message", "team": "T9", "text": "a"})
        assert answer.status >= 500


# Refused --------------------------------------------------------------------------------------


async def test_what_is_signed_with_another_secret_is_refused(teams: Teams) -> None:
    await teams.publish()
    ada = await teams.customer("ada", "T1")
    own = await teams.host.store.catalogue.endpoints.of_instance(ada)
    assert own == {}  # a customer has no secret that would sign here
    wrong = "whsec_" + "A" * 32
    event = {"type": "message", "team": "T1", "text": "a"}
    assert (await teams.post(event, secret=wrong)).status == 401
    assert await teams.list(flow="receive") == []


async def test_an_unknown_or_closed_url_is_not_there(teams: Teams) -> None:
    await teams.publish()
    known = teams.url
    teams.url = "https://x/hooks/hs_" + "0" * 26
    assert (await teams.post({"type": "ping"})).status == 404
    teams.url = known
    assert (await teams.api("GET", "/hooks/" + known.rpartition("/")[2], token=None)).status == 404


async def test_a_rotated_secret_is_taken_beside_the_former(teams: Teams) -> None:
    await teams.publish()
    at = "/api/integrations/teams/endpoints/receive/secret"
    before = await teams.secret()
    rotated = (await teams.api("POST", at, {})).json
    assert rotated["former"] == before != rotated["secret"]
    for secret in (before, rotated["secret"]):
        assert (await teams.post({"type": "ping"}, secret=secret)).status == 200
    given = "whsec_" + "B" * 32
    assert (await teams.api("POST", at, {"secret": given})).json["secret"] == given
    assert (await teams.post({"type": "ping"}, secret=given)).status == 200
    assert (await teams.post({"type": "ping"}, secret=before)).status == 401


async def test_no_such_endpoint_says_what_there_is(teams: Teams) -> None:
    await teams.publish()
    answer = await teams.api("GET", "/api/integrations/teams/endpoints/other/secret")
    assert (answer.status, answer.kind) == (404, "NotFound")
    assert "it has: receive" in answer.json["detail"]
    assert (await teams.api("GET", "/api/integrations/nothing/endpoints")).status == 404


# Dead letters ---------------------------------------------------------------------------------


async def test_what_nobody_takes_can_be_replayed_once_that_is_mended(teams: Teams) -> None:
    await teams.publish()
    unknown = await teams.receive({"type": "message", "team": "T1", "text": "a"})
    assert unknown["state"] == "failed"
    assert unknown["failure"]["kind"] == "Unrouted"
    assert unknown["reason"].startswith("no instance of teams has config.team = 'T1'")
    strange = await teams.receive({"type": "strange"})
    assert strange["reason"] == "no flow takes strange"
    ada = await teams.customer("ada", "T1")
    replayed = await teams.replay(unknown["id"])
    assert replayed["state"] == "succeeded", replayed
    assert [each["instance"] for each in replayed["children"]] == [ada]
    assert replayed["replay_of"] == unknown["id"]


async def test_a_disabled_instances_events_are_dead_letters_until_it_is_active(
    teams: Teams,
) -> None:
    await teams.publish()
    ada = await teams.customer("ada", "T1")
    await teams.life(ada, "disable", "disabled")
    found = await teams.receive({"type": "message", "team": "T1", "text": "a"})
    assert (found["state"], found["children"]) == ("failed", [])
    assert f"teams ({ada}) is disabled, and takes no events" in found["reason"]
    await teams.life(ada, "activate", "active")
    assert len((await teams.replay(found["id"]))["children"]) == 1


@ON_BOTH_STORES
async def test_two_of_one_address_are_named_and_a_paused_customers_events_wait_in_its_own_queue(
    teams: Teams,
) -> None:
    await teams.publish()
    ada, bob = await teams.customer("ada", "T1"), await teams.customer("bob", "T2")
    eve = await teams.customer("eve", "T1")
    found = await teams.receive({"type": "message", "team": "T1", "text": "a"})
    assert found["state"] == "failed"
    assert (ada in found["reason"], eve in found["reason"], bob in found["reason"]) == (
        *(True, True),
        False,
    )
    await teams.life(eve, "disable", "disabled")
    assert [e["instance"] for e in (await teams.replay(found["id"]))["children"]] == [ada]
    await teams.api("POST", "/api/customers/ada/pause", {})
    found = await teams.receive({"type": "message", "team": "T1", "text": "a"})
    [child] = found["children"]
    other = await teams.receive({"type": "message", "team": "T2", "text": "b"})
    assert (await teams.ended(other["children"][0]["id"]))["state"] == "succeeded"
    waiting = await teams.api.get(f"/api/executions/{child['id']}")
    assert (found["state"], waiting["state"]) == ("succeeded", "queued")
    await teams.api("POST", "/api/customers/ada/resume", {})
    assert (await teams.ended(child["id"]))["state"] == "succeeded"


# Versions -------------------------------------------------------------------------------------


async def test_the_version_that_routes_is_productions_or_the_one_picked(teams: Teams) -> None:
    first = await teams.publish(note="1")
    url = teams.url
    second = await teams.publish(note="2")
    assert teams.url == url
    versions = teams.host.store.catalogue.versions
    at = "/api/integrations/teams/endpoints/receive"

    async def runs_on() -> str:
        return (await teams.receive({"type": "ping"}))["version"]["hash"]

    assert await runs_on() == second
    await versions.move_target("teams", "production", first, expect=None)
    assert await runs_on() == first
    picked = await teams.api("PATCH", at, {"version": "2"})
    assert (picked.json["picked"], picked.json["version"]["number"]) == (True, 2)
    assert await runs_on() == second
    assert (await teams.api("PATCH", at, {"version": "default"})).json["picked"] is False
    assert await runs_on() == first
    assert (await teams.api("PATCH", at, {"version": "9"})).status == 404


# Floods ---------------------------------------------------------------------------------------


async def place_of_a_lone_event(folder: Path, store: str, sender: str, flood: int) -> int:
    """Return how many of a flood were routed before the event that another customer sent after it."""
    async with teams_on(store, folder, runs=False, room=8) as teams:
        await teams.publish(sender=sender)
        host = teams.host
        deploying = asyncio.create_task(host.engine.run(host.executor))
        await teams.customer("ada", "T1")
        await teams.customer("bob", "T2")
        await host.engine.pause("$teams")
        for number in range(flood):
            event = {"type": "message", "team": "T1", "text": f"{number}"}
            assert (await teams.post(event)).status == 200
        assert (await teams.post({"type": "message", "team": "T2", "text": "b"})).status == 200
        [lone] = await teams.list(flow="receive", limit=1)
        await host.engine.resume("$teams")
        for each in await teams.list(flow="receive", limit=100):
            await teams.ended(each["id"])
        found = await teams.list(flow="receive", limit=100)
        deploying.cancel()
        started = next(each["started_at"] for each in found if each["id"] == lone["id"])
        return sum(each["started_at"] < started for each in found)


@pytest.mark.parametrize("store", ["file", "postgresql"])
async def test_a_flood_of_one_sender_does_not_hold_up_another(store: str, tmp_path: Path) -> None:
    assert await place_of_a_lone_event(tmp_path, store, 'pointer("/team")', 36) < 15


async def test_the_control_that_knows_no_sender_holds_it_up(tmp_path: Path) -> None:
    assert await place_of_a_lone_event(tmp_path, "file", "None", 36) > 24


async def test_one_sender_that_has_too_much_queued_is_refused_alone(tmp_path: Path) -> None:
    async with teams_on("file", tmp_path, runs=False, customer_backlog=3) as teams:
        await teams.publish()
        statuses = [(await teams.post({"type": "x", "team": "T1"})).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert (await teams.post({"type": "x", "team": "T2"})).status == 200
