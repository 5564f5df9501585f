"""A store that hangs: hooks are answered 503 in time, readiness says so, and nothing is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from halflap.engine.bundle import pack
from halflap.gateway.app import STORE_SECONDS
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.faults.cluster import cluster
from tests.faults.sink import Sink
from tests.faults.test_store_away import PROJECT
from tests.many import KEYS
from tests.served import until

TOKEN = "the-token-of-these-tests"
SENDERS = 5
WITHIN = 10.0
"""What a sender is promised: an answer in so many seconds."""


class World:
    """A server on a store that can be made to hang."""

    def __init__(self, host: Host, hook: str, http: aiohttp.ClientSession) -> None:
        self.host = host
        self.http = http
        self._hook = hook

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.host.port}"

    async def send(self, n: int) -> tuple[int, str, float]:
        """Send an event: the status, Retry-After, and how long the answer took."""
        began = time.monotonic()
        async with self.http.post(self.url + self._hook, json={"n": n}) as answer:
            await answer.read()
            after = answer.headers.get("retry-after", "")
            return answer.status, after, time.monotonic() - began

    async def ready(self) -> tuple[int, Any]:
        async with self.http.get(self.url + "/readyz") as answer:
            return answer.status, await answer.json()

    async def alive(self) -> int:
        async with self.http.get(self.url + "/healthz") as answer:
            return answer.status


async def opened(folder: Path, sink: str, store: str) -> tuple[Host, str]:
    """A host with an active instance, and the path of its hook."""
    settings = Settings(
        dir=folder / "server",
        store=store,
        keys=KEYS,
        port=0,
        token=TOKEN,
        egress_allow=("127.0.0.1",),
        watchdog_seconds=0,
    )
    host = await Host.open(settings, probation=False)
    catalogue = host.store.catalogue
    source = folder / "project"
    source.mkdir()
    (source / "away.py").write_text(PROJECT)
    bundle = pack(source, "away:integration")
    await catalogue.versions.publish("away", bundle.hash, bundle.to_bytes())
    customer = await catalogue.customers.add("Initech")
    saved = await catalogue.connections.save(customer.id, "http", "sink", {"base_url": sink}, {})
    instance = await catalogue.instances.add(customer.id, "away", "away", bundle.hash)
    await catalogue.instances.set_revision(instance.id, {}, {"sink": saved.id})
    await catalogue.instances.move(instance.id, ["configured"], "active")
    endpoints = await catalogue.endpoints.ensure(instance.id, ["numbered"])
    await catalogue.endpoints.open_all(instance.id)
    return host, f"/hooks/{endpoints['numbered'].id}"


class Hang:
    """Makes a store hang, and lets it go on."""

    def __init__(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self.begin = begin
        self.end = end


def held_writer(host: Host) -> Hang:
    """A hang of a file: the thread that commits stands still, as in an fsync that does not return."""
    goes_on = threading.Event()
    return Hang(lambda: host.store.database.post(lambda _: goes_on.wait(60)), goes_on.set)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
async def hanging(
    request: pytest.FixtureRequest, tmp_path: Path, sink: Sink
) -> AsyncIterator[tuple[World, Hang]]:
    """A server, and what makes its store hang."""
    if request.param == "PostgreSQL":
        async with cluster() as database:
            async for world in serving(tmp_path, sink, database.url):
                yield world, Hang(database.freeze, database.thaw)
    else:
        async for world in serving(tmp_path, sink, ""):
            yield world, held_writer(world.host)


async def serving(folder: Path, sink: Sink, store: str) -> AsyncIterator[World]:
    host, hook = await opened(folder, sink.url, store)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(host.serve(ready=ready.set_result))
    await ready
    async with aiohttp.ClientSession() as http:
        yield World(host, hook, http)
    await host.stop(5)
    await running


async def test_hooks_are_refused_in_time_while_the_store_hangs(
    hanging: tuple[World, Hang], sink: Sink
) -> None:
    world, hang = hanging
    assert (await world.send(0))[0] < 300
    assert await world.ready() == (200, {"status": "ready", "missing": {}})
    hang.begin()
    try:
        answers = await asyncio.gather(*(world.send(n) for n in range(1, SENDERS)))
        status, found = await world.ready()
        assert (status, found["missing"]) == (503, {"store": "it does not answer"})
        answers += await asyncio.gather(*(world.send(n) for n in range(SENDERS, 2 * SENDERS)))
        assert await world.alive() == 200
    finally:
        hang.end()
    for status, after, took in answers:
        assert (status, after) == (503, "2")
        assert took < WITHIN

    async def accepts() -> bool:
        return (await world.send(2 * SENDERS))[0] < 300

    await until(accepts)
    await until(lambda: is_ready(world))
    await until(lambda: arrived(sink, {0, 2 * SENDERS}))


async def is_ready(world: World) -> bool:
    return (await world.ready())[0] == 200


async def arrived(sink: Sink, events: set[int]) -> bool:
    return events <= sink.arrived


async def test_a_control_without_a_deadline_answers_nobody(hanging: tuple[World, Hang]) -> None:
    world, hang = hanging
    world.host.gateway._store_seconds = 3600.0
    assert (await world.send(0))[0] < 300
    hang.begin()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(STORE_SECONDS + 2):
                await world.send(1)
    finally:
        hang.end()
