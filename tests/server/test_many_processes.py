"""Gateways and workers, each a real process, on one PostgreSQL store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.commands import run
from tests.loopback import on_loopback
from tests.many import Many, many
from tests.polling import DEADLINE, until

SOON = 1.0
"""Far less than the polls that stand behind the hints, far more than a hint takes."""


class Sink:
    """Where the flows deliver; what comes to /deploying may be held back."""

    def __init__(self) -> None:
        self.url = ""
        self.arrived: list[tuple[str, int]] = []
        self.deploys = asyncio.Event()
        self.may_deploy = asyncio.Event()
        self.may_deploy.set()

    async def take(self, request: web.Request) -> web.Response:
        if request.path == "/deploying":
            self.deploys.set()
            await self.may_deploy.wait()
        else:
            self.arrived.append((request.path, (await request.json())["n"]))
        return web.json_response({})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", sink.take)
    async with on_loopback(app) as sink.url:
        yield sink
        sink.may_deploy.set()


@pytest.fixture
async def world(tmp_path: Path, sink: Sink) -> AsyncIterator[Many]:
    async with many(tmp_path, sink.url) as world:
        await world.publish()
        yield world


@pytest.mark.parametrize("role", ["gateway", "worker"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["HALFLAP_STORE", "halflap serve"]),
        (
            {"HALFLAP_STORE": "postgresql://127.0.0.1:9/none"},
            ["HALFLAP_PUBLIC_URL", "every process"],
        ),
    ],
    ids=["a store in a file", "no address of all"],
)
async def test_a_part_of_many_refuses(
    tmp_path: Path, role: str, given: dict[str, str], said: list[str]
) -> None:
    code, _, heard = await run(tmp_path, role, "--dir", str(tmp_path / "store"), **given)
    assert code == 1
    assert all(each in heard for each in said), heard
    assert not (tmp_path / "store").exists()


async def test_a_worker_runs_at_once_what_a_gateway_accepts_or_once_one_runs(
    world: Many, sink: Sink
) -> None:
    gateway = await world.run("gateway")
    worker = await world.run("worker")
    assert "url" not in worker.told
    instance = await world.activate(gateway)
    assert instance["state"] == "active", instance
    async with world.http.post(world.hook(gateway, "ask"), json={"n": 7}) as answer:
        assert answer.status == 200, await answer.text()
        assert await answer.json() == {"n": 7, "pid": worker.pid}
    times = []
    for n in range(20):
        began = time.monotonic()
        async with world.http.post(world.hook(gateway, "ask"), json={"n": n}) as answer:
            assert (await answer.json())["n"] == n
        times.append(time.monotonic() - began)
    assert sorted(times)[10] < SOON, times
    execution = await world.send(gateway, "numbered", 1)
    assert (await world.ended(gateway, execution))["state"] == "succeeded"

    assert await worker.stop() == 0
    execution = await world.send(gateway, "numbered", 2)
    assert (await world.execution(gateway, execution))["state"] == "queued"
    await worker.start()
    assert (await world.ended(gateway, execution))["state"] == "succeeded"
    assert sink.arrived == [("/", 1), ("/", 2)]

    # It answers what it has as it is stopped, and ends the connection that is idle.
    async with aiohttp.ClientSession() as http:
        async with http.post(world.hook(gateway, "numbered"), json={"n": 3}) as answer:
            assert answer.status == 200
        assert await gateway.stop() == 0
    assert "Traceback" not in gateway.said(), gateway.said()


async def test_one_gateway_follows_what_workers_do_and_other_gateways_accept(world: Many) -> None:
    first, second = await world.run("gateway"), await world.run("gateway")
    await world.run("worker")
    await world.activate(first)
    headers = {"Authorization": f"Bearer {(await first_token(world))}"}
    heard: list[Any] = []
    async with world.http.get(
        f"{first.url}/api/stream?topics=executions&instance={world.instance}", headers=headers
    ) as stream:
        await stream.content.readline()

        async def read() -> None:
            async for line in stream.content:
                if line.startswith(b"data: "):
                    heard.append(json.loads(line[6:]))

        reading = asyncio.create_task(read())
        await until(lambda: heard_of(world, second, heard))
        sent = await world.send(second, "numbered", 5)

        async def all_of_it() -> bool:
            states = [each["state"] for each in heard if each["execution"] == sent]
            return states == ["queued", "running", "succeeded"]

        await until(all_of_it)
        reading.cancel()


async def test_a_gateway_tells_of_the_steps_that_a_worker_records(world: Many) -> None:
    gateway = await world.run("gateway")
    await world.run("worker")
    await world.activate(gateway)
    headers = {"Authorization": f"Bearer {(await first_token(world))}"}
    held = f"/api/instances/{world.instance}"
    await world.call(gateway, "POST", f"{held}/pause", {})
    sent = await world.send(gateway, "numbered", 1)
    path = f"{gateway.url}/api/stream?topics=steps:{sent}"
    async with world.http.get(path, headers=headers) as stream, asyncio.timeout(DEADLINE):
        await stream.content.readline()
        await world.call(gateway, "POST", f"{held}/resume", {})
        steps = dict[str, str]()
        state = ""
        while state != "succeeded":
            line = await stream.content.readline()
            if line.startswith(b"data: "):
                told = json.loads(line[6:])
                assert told["execution"] == sent
                steps |= {each["path"]: each["status"] for each in told.get("steps", [])}
                state = told.get("state", state)
    assert steps["http.post"] == "succeeded"


async def heard_of(world: Many, gateway: Any, heard: list[Any]) -> bool:
    """Send an event to another gateway, and return whether one is heard of by now."""
    await world.send(gateway, "numbered", 0)
    return bool(heard)


async def first_token(world: Many) -> str:
    return world.environment()["HALFLAP_TOKEN"]


async def test_cancelling_at_a_gateway_reaches_the_worker_that_runs_it(
    world: Many, sink: Sink
) -> None:
    gateway = await world.run("gateway")
    # It neither ends by itself, nor is it told as its lease is renewed.
    worker = await world.run("worker", PAUSE="600", HALFLAP_LEASE_SECONDS="3000")
    await world.activate(gateway)
    execution = await world.send(gateway, "slow", 3)

    async def begun() -> bool:
        return ("/begun", 3) in sink.arrived

    await until(begun)
    assert (await world.execution(gateway, execution))["state"] == "running"
    how = {"reason": "no more", "grace": 0.5}
    await world.call(gateway, "POST", f"/api/executions/{execution}/cancel", how)
    found = await world.ended(gateway, execution)
    assert found["state"] == "cancelled"
    assert ("/", 3) not in sink.arrived
    assert worker.runs


async def test_a_move_goes_on_when_the_gateway_that_began_it_and_the_worker_die(
    world: Many, sink: Sink
) -> None:
    gateway = await world.run("gateway")
    first = await world.run("worker", HALFLAP_LEASE_SECONDS="2")
    sink.may_deploy.clear()
    await world.activate(gateway, wait=0)
    async with asyncio.timeout(DEADLINE):
        await sink.deploys.wait()
    await gateway.kill()
    await first.kill()
    sink.may_deploy.set()
    await world.run("worker", HALFLAP_LEASE_SECONDS="2")
    other = await world.run("gateway")

    async def active() -> bool:
        found = await world.call(other, "GET", f"/api/instances/{world.instance}")
        assert found["state"] in ("activating", "active"), found
        return found["state"] == "active"

    await until(active)
    await world.call(other, "POST", f"/api/instances/{world.instance}/disable?wait=30")
    found = await world.call(other, "GET", f"/api/instances/{world.instance}")
    assert found["state"] == "disabled", found


async def test_only_a_dead_workers_executions_go_to_others_once_its_lease_has_run_out(
    world: Many, sink: Sink
) -> None:
    lease = {"HALFLAP_LEASE_SECONDS": "3", "HALFLAP_ROOM": "1"}
    gateway = await world.run("gateway")
    await world.run("worker", "helper", **lease)
    await world.activate(gateway)
    (helper,) = (each for each in world.processes if each.folder.name == "helper")
    assert await helper.stop() == 0
    dying = await world.run("worker", PAUSE="600", **lease)
    lost = await world.send(gateway, "slow", 1)
    await until(lambda: has(sink, ("/begun", 1)))
    longer = {**lease, "HALFLAP_LEASE_SECONDS": "6"}  # on a busy machine it is renewed late
    living = await world.run("worker", PAUSE="8", **longer)
    kept = await world.send(gateway, "slow", 2)
    await until(lambda: has(sink, ("/begun", 2)))
    await dying.kill()
    found = await world.ended(gateway, lost, 60)
    assert found["state"] == "succeeded"
    assert found["attempt"] == 2
    other = await world.ended(gateway, kept, 60)
    assert (other["state"], other["attempt"]) == ("succeeded", 1)
    assert living.runs


async def has(sink: Sink, what: tuple[str, int]) -> bool:
    return what in sink.arrived
