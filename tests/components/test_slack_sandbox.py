"""Slack against the sandbox: installed by customers through the team's app, whose one URL serves all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import ApiKey, ConfigError, RateLimited, Unauthorized, UpstreamError
from halflap.components import slack
from halflap.model import Execution, StoredConnection
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from halflap_sandbox.slack.model import CLIENT_ID, CLIENT_SECRET, SIGNING_SECRET
from tests.polling import until
from tests.slack_app import SlackApp, slack_app
from tests.world import host_on, publish

CALLBACK = "https://product.example/slack"
PROJECT = """
from halflap import Config, Context, Integration, fifo, slack


class Settings(Config):
    slack: slack.Slack


integration = Integration("answers", config=Settings)


@integration.flow(
    trigger=slack.event(events=["message", "app_mention"]), order=fifo(by_key=True)
)
async def answered(ctx: Context[Settings], event: slack.Event) -> list[str]:
    await slack.post_message(
        ctx.config.slack, event.channel, f"{ctx.customer.name}: {event.text}", None, event.ts
    )
    return [ctx.customer.name, event.text]


@integration.flow(trigger=slack.interaction(type="command"))
async def deal(ctx: Context[Settings], sent: slack.Interaction) -> str:
    view = {"type": "modal", "callback_id": "deal", "private_metadata": sent.payload["text"]}
    return (await slack.open_view(ctx.config.slack, sent.trigger_id, view)).id


@integration.flow(trigger=slack.interaction(type="view"))
async def submitted(ctx: Context[Settings], sent: slack.Interaction) -> list[str]:
    return [sent.type, sent.payload["view"]["private_metadata"]]
"""


@pytest.fixture
async def app() -> AsyncIterator[SlackApp]:
    async with slack_app(waits=(0.0, 0.05, 0.05)) as found:
        yield found


# The workspace --------------------------------------------------------------------------------


async def test_messages_are_posted_changed_and_deleted(app: SlackApp) -> None:
    team = await app.team("initech")
    bot = await app.bot(team)
    await bot.test()
    found = await slack.list_channels(bot)
    [channel] = team["channels"]
    assert found == [(channel["id"], "#general")]
    posted = await slack.post_message(bot, "general", "hi", [{"type": "divider"}])
    assert posted.channel == channel["id"]
    await slack.update_message(bot, posted.channel, posted.ts, "hello")
    [message] = (await app.seen(team))["messages"]
    assert (message["text"], message["blocks"]) == ("hello", [{"type": "divider"}])
    for _ in range(2):  # one that is gone already is fine
        await slack.delete_message(bot, posted.channel, posted.ts)
    assert (await app.seen(team))["messages"] == []


async def test_people_are_found_and_views_shown(app: SlackApp) -> None:
    team = await app.team("initech")
    bot = await app.bot(team)
    ada = await slack.find_user(bot, "ada@initech.example")
    assert ada is not None
    assert await slack.get_user(bot, ada.id) == ada
    assert await slack.find_user(bot, "nobody@initech.example") is None
    with pytest.raises(UpstreamError, match="user_not_found"):
        await slack.get_user(bot, "U0")
    view: dict[str, Any] = {"type": "modal", "callback_id": "a"}
    home = await slack.publish_home(bot, ada.id, {**view, "type": "home"})
    changed = await slack.update_view(bot, home.id, view, home.hash)
    assert changed.hash != home.hash
    with pytest.raises(UpstreamError, match="hash_conflict"):
        await slack.update_view(bot, home.id, view, home.hash)
    with pytest.raises(UpstreamError, match="invalid_trigger_id"):
        await slack.open_view(bot, "trigger.old", view)


async def test_errors_say_what_to_do(app: SlackApp) -> None:
    team = await app.team("initech")
    bot = await app.bot(team)
    with pytest.raises(UpstreamError, match="channel_not_found") as missing:
        await slack.post_message(bot, "C0", "hi")
    assert (missing.value.retryable, missing.value.in_doubt) == (False, False)
    await app.post("/faults", {"rate_limit_per_s": 0.001})
    await slack.list_channels(bot)
    with pytest.raises(RateLimited) as limited:
        await slack.list_channels(bot)
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > timedelta(seconds=10)
    await app.post("/faults", {})
    bot.auth = ApiKey(key=SecretStr("xoxb-of-nobody"))
    with pytest.raises(Unauthorized, match="invalid_auth"):
        await slack.post_message(bot, "general", "hi")


# Through the team's app -----------------------------------------------------------------------


class World:
    """A server whose team has a Slack app, the sandbox, and customers who install it."""

    def __init__(self, host: Host, app: SlackApp, version: str) -> None:
        self.host, self.app, self.version = host, app, version

    async def begin(self) -> None:
        apps = self.host.operations.oauth_apps
        stored = await apps.put(
            "slack", CLIENT_ID, CLIENT_SECRET, CALLBACK, [self.app.url], SIGNING_SECRET
        )
        url = await apps.url(stored)
        assert url is not None
        assert (await self.app.post("/urls", {"events": url}))["verified"]

    async def connect(self, customer: str, team: dict[str, Any]) -> StoredConnection:
        """A customer's connection: made, and installed in a workspace in the browser."""
        connections = self.host.operations.connections
        owner = await self.host.store.catalogue.customers.add(customer)
        urls = {
            "authorize_url": f"{self.app.url}/oauth/v2/authorize",
            "token_url": f"{self.app.api}/oauth.v2.access",
        }
        values = {"base_url": self.app.api, "auth": {"kind": "oauth2_code", **urls}}
        stored = await connections.make(
            "slack", "slack", slack.Slack, values, customer=owner.id, test=True
        )
        begun = await connections.authorize(stored, None)
        state, code = await self.app.installed(begun.url, team)
        return await connections.authorized(state, code)

    async def customer(self, name: str, team: dict[str, Any]) -> StoredConnection:
        """A customer with an active instance."""
        stored = await self.connect(name, team)
        assert stored.customer is not None
        catalogue = self.host.store.catalogue
        made = await catalogue.instances.add(stored.customer, "answers", name, self.version)
        await catalogue.instances.set_revision(made.id, {}, {"slack": stored.id})
        await self.host.deployer.activate(made.id)
        settled = await self.host.deployer.settled(made.id)
        assert settled.state == "active", settled.error
        return stored

    async def ended(self, flow: str, number: int) -> list[Execution]:
        async with asyncio.timeout(20):
            while True:
                found = await self.host.store.journal.executions(Filter(flow=flow, limit=100))
                taken = [each for each in found if each.state == "succeeded"]
                if len(taken) >= number and all(each.ended_at for each in found):
                    return taken
                await asyncio.sleep(0.02)


@pytest.fixture
async def world(app: SlackApp, tmp_path: Path) -> AsyncIterator[World]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "answers.py").write_text(PROJECT)
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, folder, "answers:integration")
        found = World(host, app, version.hash)
        await found.begin()
        yield found


async def test_one_app_serves_the_workspaces_of_all_customers(world: World, app: SlackApp) -> None:
    initech, globex = [await app.team(name) for name in ("initech", "globex")]
    for name, team in (("ada", initech), ("bob", globex), ("eve", globex)):
        await world.customer(name, team)
    await app.post(f"/teams/{initech['id']}/messages", {"text": "one"})
    await app.post(f"/teams/{globex['id']}/messages", {"text": "two"})
    found = await world.ended("answered", 3)
    told = sorted(codec.decode(each.result or b"null") for each in found)
    assert told == [["ada", "one"], ["bob", "two"], ["eve", "two"]]
    texts = sorted(each["text"] for each in (await app.seen(globex))["messages"])
    assert texts == ["bob: two", "eve: two", "two"]
    assert [each.key for each in found if each.key] == [each.key for each in found]


async def test_an_event_that_is_sent_again_is_one(world: World, app: SlackApp) -> None:
    team = await app.team("initech")
    await world.customer("ada", team)
    await app.post("/faults", {"duplicate_rate": 1})
    await app.post(f"/teams/{team['id']}/messages", {"text": "one"})

    async def sent_twice() -> Any:
        found = await app.look("/sent")
        return found if len(found) == 3 else None

    assert [each["status"] for each in await until(sent_twice, 10)] == [200] * 3
    assert len(await world.ended("answered", 1)) == 1


async def test_a_command_opens_a_view_and_its_submission_is_an_event(
    world: World, app: SlackApp
) -> None:
    team = await app.team("initech")
    await world.customer("ada", team)
    sent = await app.post(f"/teams/{team['id']}/commands", {"command": "/deal", "text": "won"})
    assert (sent["status"], sent["body"]) == (200, "")
    await world.ended("deal", 1)
    [view] = (await app.seen(team))["views"]
    payload = {"type": "view_submission", "view": view}
    assert (await app.post(f"/teams/{team['id']}/interactions", {"payload": payload}))["body"] == ""
    [done] = await world.ended("submitted", 1)
    assert codec.decode(done.result or b"") == ["view_submission", "won"]
    assert len(await world.ended("deal", 1)) == 1


async def test_a_workspace_that_somebody_only_names_is_not_theirs(
    world: World, app: SlackApp
) -> None:
    mine, other = await app.team("initech"), await app.team("globex")
    await world.customer("ada", mine)
    eve = await world.customer("eve", other)
    connections = world.host.operations.connections
    stolen = {"auth": {"kind": "oauth2_code", "team_id": mine["id"]}}
    with pytest.raises(ConfigError, match="is of workspace"):
        await connections.change(eve, None, stolen, test=True)
    await connections.change(eve, None, stolen, test=False)
    await app.post(f"/teams/{mine['id']}/messages", {"text": "one"})
    [found] = await world.ended("answered", 1)
    assert codec.decode(found.result or b"") == ["ada", "one"]


async def test_what_nobody_takes_waits_for_the_customer(world: World, app: SlackApp) -> None:
    team = await app.team("initech")
    await app.post(f"/teams/{team['id']}/messages", {"text": "early"})
    apps = world.host.operations.oauth_apps
    kept = await until(lambda: apps.unrouted.list("slack", before=None, limit=10), 10)
    assert kept[0].account == team["id"]
    await world.customer("ada", team)
    assert await apps.replay("slack", kept[0].id) == 3  # each of the flows looks at it
    await world.ended("answered", 1)
