"""GitHub against the sandbox: records, webhooks and what they missed, an app that customers installed."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import github as pygithub
import pytest
from aiohttp import web
from pydantic import SecretStr

from halflap import ConfigError, Endpoint, RateLimited, Subscription, Unauthorized, UpstreamError
from halflap.components import github
from halflap.engine.deployment import CATCH_UP
from halflap.model import Instance, StoredConnection, to_micros
from halflap.server.host import Host
from halflap.store.protocol import Filter
from halflap.testing.quality import check_webhook
from halflap_sandbox.github.model import CLIENT_ID, CLIENT_SECRET, WEBHOOK_SECRET
from tests.executions import activated, ended, returned
from tests.github_app import GitHubApp, github_app
from tests.loopback import on_loopback
from tests.polling import until
from tests.world import host_on, publish

CALLBACK = "https://product.example/github"
PROJECT = """
from halflap import Config, Context, Integration, github


class Settings(Config):
    github: github.GitHub


integration = Integration("triage", config=Settings)


@integration.flow(trigger=github.event(events=["issues"]))
async def own(ctx: Context[Settings], event: github.Event) -> list[str]:
    return [event.repository, event.issue.title]


@integration.flow(trigger=github.app_event(events=["issues"]))
async def installed(ctx: Context[Settings], event: github.Event) -> list[str]:
    number, repository = event.issue.number, event.repository
    await github.comment(ctx.config.github, number, "I am on it.", repository=repository)
    return [ctx.customer.name, event.repository, event.issue.title]
"""


@pytest.fixture
async def app() -> AsyncIterator[GitHubApp]:
    async with github_app() as found:
        yield found


async def test_issues_pull_requests_and_files_go_their_way(app: GitHubApp) -> None:
    await app.account("ada")
    ada = app.person("ada")
    await ada.test()
    assert await github.list_repositories(ada) == [("ada/hello", "ada/hello")]
    made = [await github.create_issue(ada, f"Issue {n}", labels=["bug"]) for n in range(105)]
    assert [each.number for each in await github.list_issues(ada, labels=["bug"], most=200)] == [
        each.number for each in reversed(made)
    ]
    assert len(await github.list_issues(ada, most=1)) == 1
    assert await github.list_issues(ada, labels=["bug", "new"]) == []
    assert await github.list_issues(ada, since=datetime.now(UTC) + timedelta(days=1)) == []
    await github.update_issue(ada, 1, state="closed")
    assert (await github.get_issue(ada, 1)).state == "closed"
    assert (await github.comment(ada, 1, "Done")).body == "Done"
    with pytest.raises(UpstreamError, match="404"):
        await github.comment(ada, 1, "Done", repository="ada/none")

    readme = await github.get_file(ada, "README.md")
    assert readme is not None
    await ada.post("/repos/ada/hello/git/refs", json={"ref": "refs/heads/fix", "sha": readme.sha})
    written = await github.write_file(ada, "docs/a b.md", "größe\n", "Say it", branch="fix")
    there = await github.get_file(ada, "docs/a b.md", ref="fix")
    assert there == github.Content(path="docs/a b.md", sha=written.sha, text="größe\n")
    with pytest.raises(UpstreamError) as stale:
        await github.write_file(ada, "README.md", "x", "Again", branch="fix", sha=written.sha)
    assert stale.value.status == 409
    pull = await github.create_pull_request(ada, "Fix", "fix", "main")
    assert await github.list_pull_requests(ada, head="ada:fix") == [pull]
    assert await github.get_pull_request(ada, pull.number) == pull
    assert pull.number not in [each.number for each in await github.list_issues(ada, most=200)]
    assert await github.get_file(ada, "docs/a b.md") is None
    assert (await github.update_pull_request(ada, pull.number, title="Fix it")).title == "Fix it"
    assert (await github.review_pull_request(ada, pull.number, "APPROVE")).state == "APPROVED"
    with pytest.raises(UpstreamError, match="409"):
        await github.merge_pull_request(ada, pull.number, sha="another")
    await github.merge_pull_request(ada, pull.number, sha=pull.head.sha)
    merged = await github.get_file(ada, "docs/a b.md")
    assert merged is not None
    assert (merged.text, merged.sha) == ("größe\n", written.sha)
    await github.delete_file(ada, merged.path, merged.sha, "Away with it")
    assert await github.get_file(ada, "docs/a b.md") is None


def work_as_a_stranger(url: str) -> None:
    """Use the sandbox as a program does that PyGithub is made for."""

    def client(auth: Any) -> pygithub.Github:
        quiet = {"seconds_between_requests": None, "seconds_between_writes": None, "retry": None}
        return pygithub.Github(base_url=url, auth=auth, **quiet)

    with client(pygithub.Auth.Token("ghp_ada")) as ada:
        assert ada.get_user().login == "ada"
        repository = ada.get_repo("ada/hello")
        assert [each.full_name for each in ada.get_user().get_repos()] == ["ada/hello"]
        made = [repository.create_issue(f"Issue {n}", "Body", labels=["bug"]) for n in range(35)]
        open_issues = repository.get_issues(state="open", labels=["bug"])
        assert [each.number for each in open_issues] == [each.number for each in reversed(made)]
        issue = repository.get_issue(made[0].number)
        issue.create_comment("Seen")
        issue.edit(state="closed", title="Done")
        assert [each.body for each in issue.get_comments()] == ["Seen"]
        assert (issue.state, repository.get_issue(issue.number).title) == ("closed", "Done")
        head = repository.get_branch("main").commit.sha
        repository.create_git_ref("refs/heads/fix", head)
        repository.create_file("docs/a.md", "Say it", "größe\n", branch="fix")
        found = repository.get_contents("docs/a.md", ref="fix")
        assert not isinstance(found, list)
        assert found.decoded_content.decode() == "größe\n"
        repository.update_file(found.path, "Again", "größer\n", found.sha, branch="fix")
        pull = repository.create_pull(base="main", head="fix", title="Fix", body="")
        pull.create_review(body="Fine", event="APPROVE")
        assert pull.merge(sha=pull.head.sha).merged
        assert repository.get_pull(pull.number).merged
        hook = repository.create_hook("web", {"url": "https://x.example/hook"}, ["issues"], True)
        hook.edit("web", hook.config, ["push"], active=False)
        [kept] = repository.get_hooks()
        assert (kept.id, kept.events, kept.active) == (hook.id, ["push"], False)
        kept.delete()
        assert not list(repository.get_hooks())
        with pytest.raises(pygithub.UnknownObjectException):
            ada.get_repo("ada/none")
    with (
        client(pygithub.Auth.Token("ghp_eve")) as eve,
        pytest.raises(pygithub.BadCredentialsException),
    ):
        _ = eve.get_user().login


async def test_a_strangers_client_works_with_the_sandbox(app: GitHubApp) -> None:
    await app.account("ada")
    await to_thread(work_as_a_stranger, app.url)


async def test_errors_say_what_to_do(app: GitHubApp) -> None:
    await app.account("ada")
    await app.account("bob")
    with pytest.raises(UpstreamError) as other:
        await github.get_issue(app.person("ada"), 1, repository="bob/hello")
    assert other.value.status == 404
    with pytest.raises(Unauthorized):
        await app.person("eve", "ada/hello").test()
    await app.post("/faults", {"rate_limit_per_s": 0.001})
    await app.person("ada").test()
    with pytest.raises(RateLimited) as limited:  # by 403, as GitHub does
        await app.person("ada").test()
    assert limited.value.retry_after is not None
    assert limited.value.retry_after > timedelta(seconds=10)


class Receiver:
    """A receiver of webhooks that may be down."""

    def __init__(self) -> None:
        self.status = 200
        self.heard: list[tuple[str, str, int]] = []

    async def take(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.heard.append((headers["X-GitHub-Event"], headers["X-GitHub-Delivery"], self.status))
        return web.Response(status=self.status)

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/hook", self.take)
        return made


async def test_what_a_receiver_missed_is_sent_again_under_its_id(app: GitHubApp) -> None:
    await app.account("ada")
    receiver, ada = Receiver(), app.person("ada")
    trigger = github.event(["issues"])
    began = datetime.now(UTC)
    async with on_loopback(receiver.app()) as url:
        endpoint = Endpoint(f"{url}/hook", SecretStr("whsec_c2VjcmV0"), "activity")
        made = await github.event(["push"]).subscribe(ada, endpoint)
        assert await trigger.subscribe(ada, endpoint, made) == made  # now of other events
        assert await trigger.exists(ada, made)
        receiver.status = 503
        await github.create_issue(ada, "While it is down")
        await until(lambda: settled(app, 2))
        receiver.status = 200
        await github.create_issue(ada, "While it is up")
        await until(lambda: settled(app, 3))
        for _ in range(2):  # what has arrived is not sent again
            assert [each async for each in trigger.catch_up(ada, began, made)] == []
            await until(lambda: settled(app, 4))
        [down] = [id for name, id, status in receiver.heard if status == 503]
        assert [id for *_, id, status in receiver.heard if status == 200].count(down) == 1
        await trigger.unsubscribe(ada, made)
        assert not await trigger.exists(ada, made)
        with pytest.raises(UpstreamError) as gone:
            await trigger.unsubscribe(ada, Subscription(made.id, data=made.data))
        assert gone.value.status == 404


async def settled(app: GitHubApp, count: int) -> bool:
    """Return whether so many deliveries were made, and each was answered."""
    found = await app.deliveries()
    return len(found) == count and all(each["status_code"] for each in found)


async def test_a_webhook_is_made_once_kept_and_removed(app: GitHubApp) -> None:
    await app.account("ada")
    ada = app.person("ada")
    stranger = {"config": {"url": "https://others.example/hook"}, "events": ["push"]}
    await ada.post("/repos/ada/hello/hooks", json=stranger)

    async def there() -> set[str]:
        return {str(each["id"]) for each in await ada.get("/repos/ada/hello/hooks")}

    changed = github.event(["push"])
    await check_webhook(github.event(["issues"]), ada, there, changed=changed)


# An app that customers install ----------------------------------------------------------------


async def test_the_apps_key_acts_as_an_installation_and_asks_for_what_was_missed(
    app: GitHubApp,
) -> None:
    acme = await app.account("ada", install=True)
    other = await app.account("bob", install=True)
    bot = app.app(acme["installation"], repository="ada/hello")
    await bot.test()
    assert await github.list_repositories(bot) == [("ada/hello", "ada/hello")]
    with pytest.raises(UpstreamError):
        await github.get_issue(bot, 1, repository="bob/hello")
    receiver, began = Receiver(), datetime.now(UTC)
    async with on_loopback(receiver.app()) as url:
        await app.post("/app", {"url": f"{url}/hook"})
        receiver.status = 500
        for login in ("ada", "bob"):
            await app.post(f"/repos/{login}/hello/issues", {})
        await until(lambda: settled(app, 3))
        receiver.status = 200
        assert await github.redeliver_app_events(bot, began) == 1
        await until(lambda: settled(app, 4))
        assert await github.redeliver_app_events(bot, began) == 0
    with pytest.raises(ConfigError, match="with its key"):
        await github.redeliver_app_events(app.person("ada"), began)
    stranger = app.app(other["installation"] + 999)
    with pytest.raises(Unauthorized, match="another one"):
        await stranger.test()


class World:
    """A server whose team has a GitHub App, the sandbox's, and customers who installed it."""

    def __init__(self, host: Host, app: GitHubApp, version: str) -> None:
        self.host, self.app, self.version = host, app, version

    async def connect(
        self, customer: str, login: str, repository: str, account: str = "", api: str = ""
    ) -> StoredConnection:
        """A customer's connection, signed in to in the browser by a person."""
        connections = self.host.operations.connections
        owner = await self.host.store.catalogue.customers.add(customer)
        auth = {
            "kind": "oauth2_code",
            "authorize_url": f"{self.app.url}/login/oauth/authorize",
            "token_url": f"{self.app.url}/login/oauth/access_token",
            "api_url": api or self.app.url,
            "account": account,
        }
        values = {"base_url": self.app.url, "auth": auth, "repository": repository}
        kind = github.GitHub
        stored = await connections.make(
            "github", "github", kind, values, customer=owner.id, test=True
        )
        begun = await connections.authorize(stored, None)
        state, code = await self.app.signed_in(begun.url, login)
        return await connections.authorized(state, code)

    async def activate(self, stored: StoredConnection) -> Instance:
        return await activated(self.host, "triage", self.version, "triage", stored)

    async def ended(self, flow: str, number: int) -> list[Any]:
        return returned(await ended(self.host, number, flow=flow))


@pytest.fixture
async def world(app: GitHubApp, tmp_path: Path) -> AsyncIterator[World]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "triage.py").write_text(PROJECT)
    async with host_on(tmp_path / "store") as (host, _):
        version = await publish(host, folder, "triage:integration")
        apps = host.operations.oauth_apps
        stored = await apps.put(
            "github", CLIENT_ID, CLIENT_SECRET, CALLBACK, [app.url], WEBHOOK_SECRET
        )
        await app.post("/app", {"url": await apps.url(stored)})
        yield World(host, app, version.hash)


async def test_one_app_serves_all_installations(world: World, app: GitHubApp) -> None:
    await app.account("ada", install=True)
    await app.account("bob")
    await app.account("initech", install=True, owner="bob", members=["eve"])
    await app.account("eve")
    await world.activate(await world.connect("Ada", "ada", "ada/hello"))
    await world.activate(await world.connect("Initech", "bob", "initech/hello"))
    await app.post("/repos/ada/hello/issues", {"title": "one"})
    await app.post("/repos/initech/hello/issues", {"title": "two"})
    await app.post("/repos/initech/hello/events", {"event": "star", "payload": {}})
    found = await world.ended("installed", 2)
    assert sorted(found) == [["Ada", "ada/hello", "one"], ["Initech", "initech/hello", "two"]]
    assert sorted(await world.ended("own", 2)) == [["ada/hello", "one"], ["initech/hello", "two"]]

    async def all_answered() -> bool:
        return all(each["status_code"] for each in await app.deliveries())

    await until(all_answered)
    assert {each["status_code"] for each in await app.deliveries()} == {200}


async def test_who_does_not_own_an_installation_does_not_get_its_events(
    world: World, app: GitHubApp
) -> None:
    await app.account("bob")
    await app.account("initech", install=True, owner="bob", members=["eve"])
    await app.account("eve")
    for account in ("", "initech"):
        with pytest.raises(ConfigError, match="not installed in"):
            await world.connect(f"Eve {account}", "eve", "initech/hello", account)


async def test_whose_installation_it_is_only_github_says(world: World, app: GitHubApp) -> None:
    await app.account("eve", install=True)
    liar = app.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ConfigError, match="none of the origins"):
        await world.connect("Eve", "eve", "eve/hello", api=liar)
    for number, own in enumerate(("/eve/hello/raw/claims.json?x=", "?x=", "#", "/")):
        with pytest.raises(ConfigError, match=r"auth\.api_url has another path"):
            await world.connect(f"Eve {number}", "eve", "eve/hello", api=app.url + own)


async def test_what_failed_is_asked_for_again_while_the_instance_is_active(
    world: World, app: GitHubApp
) -> None:
    await app.account("ada", install=True)
    instance = await world.activate(await world.connect("Ada", "ada", "ada/hello"))
    [hook] = await app.person("ada").get("/repos/ada/hello/hooks")
    there = {"config": {"url": f"{app.url}/nowhere"}}  # as though the server was away
    await app.person("ada").patch(f"/repos/ada/hello/hooks/{hook['id']}", json=there)
    await app.post("/repos/ada/hello/issues", {"title": "missed"})
    await world.ended("installed", 1)

    async def failed() -> bool:
        found = [e for e in await app.deliveries() if e["hook"] == hook["id"]]
        return [each["status_code"] for each in found] == [200, 404]

    await until(failed)
    await app.person("ada").patch(
        f"/repos/ada/hello/hooks/{hook['id']}", json={"config": {"url": hook["config"]["url"]}}
    )
    assert await world.host.store.journal.executions(Filter(flow=CATCH_UP)) == []
    before = to_micros(datetime.now(UTC) - timedelta(hours=2))
    mark = world.host.store.catalogue.instances.note_tick
    await mark(instance.id, f"{CATCH_UP}/own", before, back=True)
    world.host.scheduler.seen = -1
    assert await world.ended("own", 1) == [["ada/hello", "missed"]]
    assert await world.ended(CATCH_UP, 1) == [{"events": 0}]
    scheduled = await world.host.store.catalogue.instances.scheduled(None, None, None, None, 10)
    assert scheduled == []
