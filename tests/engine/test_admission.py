"""A request that is judged by its app: a step before the flow, recorded, tried again, and binding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from halflap import Component, Connection, DefinitionError, Ignore, Request
from halflap.api.operations.replay import EventEdit, ReplayRequest
from halflap.model import ENDED, Execution
from halflap.sdk import codec
from halflap.server.host import Host
from halflap.store.protocol import Filter
from tests.loopback import on_loopback
from tests.polling import DEADLINE
from tests.world import host_on, publish

DOOR = '''
from typing import Any

from halflap import Component, Config, Connection, Context, Ignore, Integration, Rejected, Request
from halflap import Unsigned


class Door(Connection):
    """An app that says who may come in."""

    base_url: str


component = Component("door", title="Door", connection=Door)


@component.trigger(verify=Unsigned("the app says who may come in"))
async def visit(request: Request) -> Any:
    """Somebody came."""
    return request.json()


@visit.admit
async def _(door: Door, request: Request) -> Ignore | None:
    said = await door.get("/guests/{name}", values={"name": request.json()["name"]})
    if said == "forged":
        raise Rejected("the name is not genuine")
    return None if said == "welcome" else Ignore(f"the door said {said}")


class Settings(Config):
    door: Door


integration = Integration("visits", config=Settings)


@integration.flow(trigger=visit)
async def greet(ctx: Context[Settings], event: Any) -> str:
    await ctx.sleep(0.01)
    return f"hello {event['name']}"
'''


class Gate(Connection):
    base_url: str


@asynccontextmanager
async def door(*answers: tuple[int, str]) -> AsyncIterator[tuple[str, list[str]]]:
    """An app that gives these answers in turn, and the last one ever after; and what it was asked."""
    asked: list[str] = []

    async def guest(request: web.Request) -> web.Response:
        asked.append(request.match_info["name"])
        status, said = answers[min(len(asked), len(answers)) - 1]
        return web.json_response(said, status=status)

    app = web.Application()
    app.router.add_get("/guests/{name}", guest)
    async with on_loopback(app) as url:
        yield url, asked


async def visited(host: Host, folder: Path, url: str, name: str) -> Execution:
    """An instance's execution of one visit, once it has ended."""
    folder.mkdir()
    (folder / "visits.py").write_text(DOOR)
    version = await publish(host, folder, "visits:integration")
    catalogue = host.store.catalogue
    customer = await catalogue.customers.add("Initech")
    made = await catalogue.connections.save(
        customer.id, "visits:Door", "door", {"base_url": url}, {}
    )
    instance = await catalogue.instances.add(customer.id, "visits", "visits", version.hash)
    await catalogue.instances.set_revision(instance.id, {}, {"door": made.id})
    await host.deployer.activate(instance.id)
    assert (await host.deployer.settled(instance.id)).error is None
    urls = await host.resolver.urls(instance.id)
    body = {"json": {"name": name}}
    async with aiohttp.ClientSession() as http, http.post(urls["greet"], **body) as answer:
        assert answer.status == 200  # accepted before anybody is asked
    async with asyncio.timeout(DEADLINE):
        while True:
            found = await host.store.journal.executions(Filter(instance=instance.id, flow="greet"))
            if found and found[0].state in ENDED:
                return found[0]
            await asyncio.sleep(0.02)


async def test_who_is_admitted_starts_the_flow_and_is_asked_for_once(tmp_path: Path) -> None:
    async with door((200, "welcome")) as (url, asked), host_on(tmp_path / "store") as (host, _):
        ended = await visited(host, tmp_path / "project", url, "Ada")
        assert (ended.state, codec.decode(ended.result or b"")) == ("succeeded", "hello Ada")
        steps = await host.store.journal.steps(ended.id)
        assert [each.title for each in steps][:2] == ["Admit what door sent", "Visit"]
        assert asked == ["Ada"]  # though the flow went on after a wait


async def test_an_app_that_is_away_is_asked_again(tmp_path: Path) -> None:
    answers = ((503, "later"), (200, "welcome"))
    async with door(*answers) as (url, asked), host_on(tmp_path / "store") as (host, _):
        ended = await visited(host, tmp_path / "project", url, "Ada")
        assert (ended.state, asked) == ("succeeded", ["Ada", "Ada"])


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        ("no", "ignored", "the door said no"),
        ("forged", "failed", "the name is not genuine"),
    ],
)
async def test_who_is_not_admitted_never_reaches_the_flow(
    tmp_path: Path, said: str, state: str, reason: str
) -> None:
    async with door((200, said)) as (url, _), host_on(tmp_path / "store") as (host, _):
        ended = await visited(host, tmp_path / "project", url, "Mallory")
        assert ended.state == state
        assert reason in (ended.reason or "")
        names = [each.name for each in await host.store.journal.steps(ended.id)]
        assert "admit" in names
        assert "door.visit" not in names


async def test_an_event_that_a_person_edited_is_asked_for_in_no_later_replay(
    tmp_path: Path,
) -> None:
    async with door((200, "welcome")) as (url, asked), host_on(tmp_path / "store") as (host, _):
        ended = await visited(host, tmp_path / "project", url, "Ada")
        executions = host.operations.executions
        for request in (
            ReplayRequest("start", "same", EventEdit(b'{"name": "Grace"}', by="ada")),
            ReplayRequest("start", "same"),
        ):
            started = await executions.replay(ended, request)
            outcome = await host.engine.outcome(started.execution, within=DEADLINE)
            assert outcome is not None
            assert codec.decode(outcome.result or b"") == "hello Grace"
            replayed = await host.store.journal.execution(started.execution)
            assert replayed is not None
            assert replayed.replay is not None
            assert replayed.replay.edited_by == "ada"
            ended = replayed
        assert asked == ["Ada"]


def test_what_admit_takes_is_checked_when_it_is_declared() -> None:
    component = Component("gate", connection=Gate)

    @component.trigger()
    async def came(request: Request, kind: str = "any") -> str:
        """Somebody came."""
        return request.text

    with pytest.raises(DefinitionError, match="'colour' is neither"):

        @came.admit
        async def _(gate: Gate, request: Request, colour: str) -> Ignore | None: ...
