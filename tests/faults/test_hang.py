"""A store that hangs: hooks and the API answer 503 in time, readiness says so, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from halflap.engine.bundle import pack
from halflap.server import host as hosting
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.server.supervisor import PATIENCE
from halflap.store import pulse
from halflap.store.postgres.database import CONNECTIONS
from halflap.store.protocol import Filter
from tests.faults.cluster import cluster
from tests.faults.sink import Sink
from tests.faults.test_store_away import PROJECT
from tests.many import KEYS
from tests.polling import DEADLINE, until

TOKEN = "the-token-of-these-tests"
SENDERS = 5
WITHIN = 10.0
"""Seconds in which a sender is promised an answer."""
SHORT = 3.0
"""Seconds that a gateway waits for its store, where any number of them shows the same."""
STOPS = 1.5
"""A stop's bound, as much less than the patience as `STOP_SECONDS` is."""
LATE = 40.0
"""A stop's bound that is too late for the test, and early enough for the end of its fixture."""
AT_ONCE = 2.0
"""Seconds in which a refusal comes that waits for no store, on a machine that is busy."""


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

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str, str, float]:
        """Call the API: the status, its media type, Retry-After, and how long the answer took."""
        began = time.monotonic()
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with self.http.request(method, self.url + path, json=body, headers=headers) as answer:
            await answer.read()
            after = answer.headers.get("retry-after", "")
            return answer.status, answer.content_type, after, time.monotonic() - began

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
    gc.collect()  # what a control leaves open is said of it, not of the test after it


async def serving(folder: Path, sink: Sink, store: str) -> AsyncIterator[World]:
    host, hook = await opened(folder, sink.url, store)
    async with host.served(grace=5):
        async with aiohttp.ClientSession() as http:
            yield World(host, hook, http)
        async with asyncio.timeout(DEADLINE):
            await host.stop(5)


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
    if world.host.settings.store == "":  # else a write was under way, which goes on
        assert await world.host.store.journal.count(Filter(flow="numbered")) == {"succeeded": 2}


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
            async with asyncio.timeout(SHORT + 2):
                await world.send(1)
    finally:
        hang.end()


@pytest.mark.usefixtures("unfiltered_logs")
async def test_all_but_the_first_are_refused_at_once_and_the_log_says_so_once(
    hanging: tuple[World, Hang],
) -> None:
    world, hang = hanging
    world.host.gateway._store_seconds = SHORT
    unheard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    assert (await world.send(0))[0] < 300
    with capture_logs() as lines:
        hang.begin()
        try:
            assert (await world.send(1))[0] == 503
            took: list[float] = []
            end = time.monotonic() + SHORT + 2
            while time.monotonic() < end:
                status, _, seconds = await world.send(2)
                assert status == 503
                took.append(seconds)
                await asyncio.sleep(0.1)
            assert max(took) < AT_ONCE
            assert (await world.ready())[0] == 503
        finally:
            hang.end()
        await until(lambda: is_ready(world))
        assert (await world.send(3))[0] < 300
    events = [each["event"] for each in lines if each["log_level"] in ("info", "error")]
    assert [each for each in events if "answer" in each] == [
        "the store does not answer; events are refused until it does",
        "the store answers again",
    ]
    assert [each for each in lines if "exc_info" in each] == []
    assert unheard == []


@pytest.mark.parametrize("hanging", ["SQLite"], indirect=True)
async def test_a_control_that_does_not_remember_the_hang_has_each_hook_wait(
    hanging: tuple[World, Hang],
) -> None:
    world, hang = hanging
    world.host.gateway._pulse = None
    world.host.gateway._store_seconds = SHORT
    assert (await world.send(0))[0] < 300
    hang.begin()
    try:
        for n in (1, 2):
            status, _, took = await world.send(n)
            assert status == 503
            assert took > AT_ONCE
    finally:
        hang.end()


async def test_the_api_answers_in_time_while_the_store_hangs(hanging: tuple[World, Hang]) -> None:
    world, hang = hanging
    listed = await world.ask("GET", "/api/executions")
    assert listed[0] == 200
    hang.begin()
    try:
        reads = [world.ask("GET", "/api/executions") for _ in range(2 * CONNECTIONS)]
        wrote, *read = await asyncio.gather(
            world.ask("POST", "/api/customers", {"name": "Globex"}), *reads
        )
        reads = [world.ask("GET", "/api/customers") for _ in range(2)]
        read += await asyncio.gather(*reads)
        assert (await world.ask("GET", "/api/health"))[3] < AT_ONCE
    finally:
        hang.end()
    if world.host.settings.store == "":  # files are read by other threads
        assert {each[0] for each in read} == {200}
        read = []
    for status, media_type, after, took in (wrote, *read):
        assert (status, media_type, after) == (503, "application/problem+json", "2")
        assert took < WITHIN
    await until(lambda: is_ready(world))
    assert (await world.ask("GET", "/api/executions"))[0] == 200

    async def audited() -> bool:
        entries = await world.host.operations.catalogue.audit.list(operation="add_customer")
        return [each.status for each in entries] == [503]

    await until(audited)  # its answer did not wait for that


@pytest.mark.parametrize("hanging", ["PostgreSQL"], indirect=True)
async def test_a_control_whose_requests_doubt_no_store_waits_for_it(
    hanging: tuple[World, Hang], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "DOUBT_SECONDS", 3600.0)
    world, hang = hanging
    assert (await world.ask("GET", "/api/executions"))[0] == 200
    hang.begin()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SHORT + 2):
                await world.ask("POST", "/api/customers", {"name": "Globex"})
    finally:
        hang.end()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("unfiltered_logs")
@pytest.mark.parametrize("seconds", [STOPS, LATE], ids=["bounded", "control"])
async def test_a_server_whose_store_never_answers_again_stops_all_the_same(
    hanging: tuple[World, Hang], monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    shipped = hosting.STOP_SECONDS
    monkeypatch.setattr(hosting, "STOP_SECONDS", seconds)
    if seconds == LATE:
        monkeypatch.setattr("halflap.store.postgres.database.CLOSE_SECONDS", LATE)
    world, hang = hanging
    world.host.gateway._store_seconds = SHORT
    assert (await world.send(0))[0] < 300
    hang.begin()
    try:
        await asyncio.gather(world.send(1), return_exceptions=True)
        with capture_logs() as lines:
            stopping = asyncio.create_task(world.host.stop(1))
            patience = STOPS + PATIENCE - shipped
            ended, _ = await asyncio.wait([stopping], timeout=1 + patience)
    finally:
        hang.end()
    parts = {each["part"] for each in lines if "does not end" in each["event"]}
    if seconds == LATE:
        assert (ended, parts) == (set(), set())
    else:
        assert ended
        assert parts
        assert all(each.get("left", ["one"]) for each in lines)
