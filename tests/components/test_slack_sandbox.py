"""Slack against the sandbox: installed by customers through the team's app, whose one URL serves all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from halflap import ApiKey, ConfigError, RateLimited, Unauthorized, UpstreamError
from halflap.components import slack
from halflap.components.slack.socket import Links
from halflap.model import Execution, StoredConnection
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from halflap.testing.listeners import AcceptedLog, ListenerRun, check_listener
from halflap_sandbox.slack.model import APP_TOKEN, CLIENT_ID, CLIENT_SECRET, SIGNING_SECRET
from tests.executions import activated
from tests.polling import DEADLINE, until
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
    reply = await slack.post_message(bot, "general", "and?", thread_ts=posted.ts)
    thread = await slack.read_thread(bot, posted.channel, posted.ts)
    assert [(each.ts, each.text) for each in thread] == [(posted.ts, "hello"), (reply.ts, "and?")]
    assert await slack.read_thread(bot, posted.channel, posted.ts, most=1) == thread[:1]
    for _ in range(2):  # one that is there already is fine
        await slack.add_reaction(bot, posted.channel, posted.ts, "eyes")
    [ada] = team["users"]
    await slack.post_ephemeral(bot, posted.channel, ada["id"], "just you")
    await slack.delete_message(bot, reply.channel, reply.ts)
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
    assert await slack.list_users(bot) == [ada]
    assert await slack.open_conversation(bot, [ada.id]) == ada.id
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
        await activated(self.host, "answers", self.version, name, stored)
        return stored

    async def ended(self, flow: str, number: int) -> list[Execution]:
        async with asyncio.timeout(DEADLINE):
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

    assert [each["status"] for each in await until(sent_twice)] == [200] * 3
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
    kept = await until(lambda: apps.unrouted.list("slack", before=None, limit=10))
    assert kept[0].account == team["id"]
    await world.customer("ada", team)
    assert await apps.replay("slack", kept[0].id) == 1  # of its flows, the one that asked for it
    await world.ended("answered", 1)


# Socket Mode ----------------------------------------------------------------------------------


class Workspace:
    """The workspace as a listener's source: people write, and the app-level token is revoked."""

    def __init__(self, app: SlackApp, team: dict[str, Any]) -> None:
        self.app, self.team = app, team

    async def put(self, bodies: Sequence[bytes]) -> None:
        for each in bodies:
            await self.app.post(f"/teams/{self.team['id']}/messages", {"text": each.decode()})

    async def refuse(self, refuses: bool) -> None:
        await self.app.post("/app_token", {"token": None if refuses else APP_TOKEN})


def text_of(body: bytes) -> bytes:
    return codec.decode(body)["event"]["text"].encode()


async def test_socket_mode_loses_and_doubles_nothing() -> None:
    async with slack_app(waits=(0.05,) * 400) as app:
        team = await app.team("initech")
        bot = await app.bot(team)
        await bot.test()
        source = Workspace(app, team)
        log = await check_listener(
            slack.socket(["message"]), bot, source, ordered=False, unwrap=text_of, within=DEADLINE
        )
        assert log.acknowledged > 20
        await app.post("/app_token", {"token": None})
        with pytest.raises(Unauthorized, match="invalid_auth"):
            await bot.test()


async def test_a_refreshed_websocket_is_replaced_before_it_closes(app: SlackApp) -> None:
    team = await app.team("initech")
    source, log = Workspace(app, team), AcceptedLog()
    run = ListenerRun(slack.socket(), await app.bot(team), log)
    reading = asyncio.create_task(run.go_on())
    await run.listening.idle.wait()
    for number in range(4):
        assert await app.post("/sockets", {}) == {"refreshed": 1}
        await source.put([b"%d" % number])

        async def arrived(number: int = number) -> bool:
            return len(log.bodies) == number + 1

        await until(arrived)
    assert {each["retry"] for each in await app.look("/sent")} == {None}  # at the first try
    assert not reading.done()
    reading.cancel()
    await run.end()


async def test_socket_mode_that_is_switched_off_says_so(app: SlackApp) -> None:
    run = ListenerRun(slack.socket(), await app.bot(await app.team("initech")), AcceptedLog())
    reading = asyncio.create_task(run.go_on())
    await run.listening.idle.wait()
    with pytest.raises(AssertionError):  # nobody answers the challenge there
        await app.post("/urls", {"events": f"{app.url}/nowhere"})
    with pytest.raises(UpstreamError, match="switched off"):
        await asyncio.wait_for(reading, DEADLINE)
    await run.end()


SOCKET_PROJECT = """
from halflap import Config, Context, Integration, slack


class Settings(Config):
    slack: slack.Slack


integration = Integration("answers", config=Settings)


@integration.flow(trigger=slack.socket(events=["message"], connections=2))
async def heard(ctx: Context[Settings], event: slack.Event | slack.Interaction) -> list[str]:
    if isinstance(event, slack.Interaction):
        view = {"type": "modal", "callback_id": "deal"}
        return [event.type, (await slack.open_view(ctx.config.slack, event.trigger_id, view)).id]
    await slack.post_message(ctx.config.slack, event.channel, event.text, thread_ts=event.ts)
    return [event.type, event.text]
"""


async def test_an_app_without_a_url_hears_all_by_two_websockets(
    app: SlackApp, tmp_path: Path
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "answers.py").write_text(SOCKET_PROJECT)
    team = await app.team("initech")
    auth = {"kind": "api_key", "key": await app.token(team)}
    values = {"base_url": app.api, "auth": auth, "app_token": APP_TOKEN}
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, tmp_path / "project", "answers:integration")
        world = World(host, app, version.hash)
        owner = await host.store.catalogue.customers.add("ada")
        stored = await host.operations.connections.make(
            "slack", "slack", slack.Slack, values, customer=owner.id, test=True
        )
        await activated(host, "answers", version.hash, "ada", stored)

        async def ordered() -> bool:  # once its WebSockets are open
            sent = await app.post(f"/teams/{team['id']}/commands", {"command": "/deal"})
            return (sent["status"], sent["body"]) == (200, "")

        await until(ordered)

        async def open_sockets() -> bool:
            return await app.look("/sockets") == {"open": 2}

        await until(open_sockets)
        await app.post("/faults", {"duplicate_rate": 1})
        await app.post(f"/teams/{team['id']}/messages", {"text": "one"})
        await app.post(f"/teams/{team['id']}/messages", {"event": {"type": "team_join"}})
        found = await world.ended("heard", 2)
        results = sorted(codec.decode(each.result or b"")[0] for each in found)
        assert results == ["command", "message"]
    seen = await app.seen(team)
    assert sorted(each["text"] for each in seen["messages"]) == ["", "one", "one"]
    assert len(seen["views"]) == 1


async def test_a_peer_that_only_says_disconnect_has_four_connections_at_most() -> None:
    class Peer:
        opened = 0

        async def socket_url(self) -> str:
            return "wss://app.example"

        async def websocket(self, url: str) -> Any:
            self.opened += 1
            return self

        async def receive(self) -> bytes:
            await asyncio.sleep(0.001)
            return b'{"type": "disconnect", "reason": "refresh_requested"}'

        async def close(self) -> None:
            pass

    peer: Any = Peer()
    links = Links(peer)
    await links.open()
    for _ in range(50):
        for _, envelope in await links.read():
            await links.replace(envelope["reason"])
    await links.close()
    assert peer.opened == 4
