"""Executions that end their process are set aside; nobody else is hurt."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from halflap.model import Event, FlowKey, Start, new_id
from halflap.server.host import Host
from halflap.server.settings import Settings
from tests.loopback import on_loopback
from tests.polling import DEADLINE, until
from tests.served import Served, served
from tests.world import publish

POISON = ("exit", "loop")
PROJECT = '''
import os
import time

from halflap import Config, Context, Integration, http, step, webhook


class Settings(Config):
    sink: http.Http


integration = Integration("poison", config=Settings)


@step
async def die(how: str) -> str:
    match how:
        case "exit":
            os._exit(1)
        case "loop":
            while True:
                time.sleep(1)
        case "raise":
            raise ValueError("always")
        case "memory":
            bytearray(10 * 1024**3)
    return how


@integration.flow(trigger=webhook.request())
async def work(ctx: Context[Settings], event: dict) -> str:
    """Two effects, and what an event asks for between them."""
    await http.post(ctx.config.sink, f"/{event['name']}/first")
    how = await die(event["how"])
    ctx.log.info(f"survived {chr(0xD800)}", how=how)
    await http.post(ctx.config.sink, f"/{event['name']}/second")
    return how
'''


class Sink:
    """An app that notes every effect by its idempotency key, and holds those of `slow` for a moment."""

    def __init__(self) -> None:
        self.effects: defaultdict[str, list[str]] = defaultdict(list)
        self.url = ""
        self.hold = asyncio.Event()
        self.hold.set()
        self.held = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.effects[request.path].append(request.headers["Idempotency-Key"])
        if request.path.startswith("/innocent"):
            await asyncio.sleep(0.2)  # so that poison meets it in flight
            self.held += 1
            await self.hold.wait()
            self.held -= 1
        return web.json_response({})

    def called(self, path: str) -> Callable[[], Awaitable[bool]]:
        """Return a function that says whether there was such an effect, for `until`."""

        async def look() -> bool:
            return path in self.effects

        return look


@asynccontextmanager
async def sink_app() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.answer)
    async with on_loopback(app) as sink.url:
        yield sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with sink_app() as sink:
        yield sink


async def prepare(
    directory: Path, sink: Sink, events: dict[str, str]
) -> tuple[dict[str, str], str]:
    """A store with an active instance and a queued execution per event; also the instance's hook."""
    project = directory / "project"
    project.mkdir()
    (project / "poison.py").write_text(PROJECT)
    host = await Host.open(Settings(dir=directory / "store"))
    catalogue = host.store.catalogue
    version = await publish(host, project, "poison:integration")
    customer = await catalogue.customers.add("Initech")
    connection = await catalogue.connections.save(
        customer.id, "http", "sink", {"base_url": sink.url}, {}
    )
    instance = await catalogue.instances.add(customer.id, "poison", "poison", version.hash)
    revision = await catalogue.instances.set_revision(instance.id, {}, {"sink": connection.id})
    await catalogue.instances.move(instance.id, ["configured"], "active")
    endpoints = await catalogue.endpoints.ensure(instance.id, ["work"])
    await catalogue.endpoints.open_all(instance.id)
    flow = FlowKey(customer.id, instance.id, "poison", "work", version.hash, revision)
    starts: list[Start] = []
    for name, how in events.items():
        body = f'{{"name": "{name}", "how": "{how}"}}'.encode()
        headers = (("content-type", "application/json"),)
        event = Event("POST", "", "", headers, body, host.clock())
        id = new_id("exe")
        starts.append(Start(id, flow, event, root=id))
    await host.store.journal.accept(starts, claim=0, lease=1)
    await host.store.close()
    ids = dict(zip(events, (each.execution for each in starts), strict=True))
    return ids, f"/hooks/{endpoints['work'].id}"


async def crashes(directory: Path, execution: str) -> int:
    """Count how often an execution's process ended."""
    host = await Host.open(Settings(dir=directory / "store"))
    await host.store.journal.void()  # the last one may not have been noted yet
    found = await host.store.journal.attempts(execution)
    await host.store.close()
    return len([each for each in found if each.how == "crashed"])


async def test_what_ends_its_process_is_set_aside_and_nobody_else_is_hurt(
    tmp_path: Path, sink: Sink
) -> None:
    events = {f"innocent{n}": "" for n in range(4)} | {each: each for each in POISON}
    events |= {"raise": "raise", "memory": "memory"}
    ids, hook = await prepare(tmp_path, sink, events)
    limits = {"watchdog_seconds": 2.0, "memory": 4 * 1024**3}
    async with served(tmp_path / "store", **limits) as server:
        await server.started(2)  # the poison has ended the first
        late = await server.ended(await server.post(hook, {"name": "late", "how": ""}))
        waiting = [await server.get(f"/executions/{ids[each]}") for each in POISON]
        assert late["state"] == "succeeded"
        assert any(each["state"] not in ("failed",) for each in waiting)

        found = {name: await server.ended(id) for name, id in ids.items()}
        for name in (each for each in events if each.startswith("innocent")):
            assert found[name]["state"] == "succeeded"
        for name in POISON:
            assert found[name]["state"] == "failed"
            assert found[name]["reason"] == "set aside: it ended its process three times"
        assert found["raise"]["state"] == "failed"
        assert "ValueError" in str(found["raise"]["failure"])
        assert found["memory"]["state"] == "failed"
        assert "MemoryError" in str(found["memory"]["failure"])
        dead = await server.get("/executions?dead_letters=true")
        assert {ids[each] for each in POISON} <= {each["id"] for each in dead["items"]}
        starts = len(server.ports)

        replayed = await replay(server, ids["exit"])
        assert (await server.ended(replayed))["reason"].startswith("set aside")
        assert len(server.ports) == starts  # it never ran in the server itself
    for name in events:
        first, second = sink.effects[f"/{name}/first"], sink.effects[f"/{name}/second"]
        assert len(set(first)) == (2 if name == "exit" else 1)  # a replay is an effect of its own
        assert len(set(second)) == (1 if name.startswith("innocent") else 0)
    assert await crashes(tmp_path, replayed) == 3  # all of them alone
    assert starts < len(POISON) * 3  # most of it was borne by children


async def replay(server: Served, execution: str) -> str:
    """Replay an execution whole; returns the new one's id."""
    return await server.post(f"/api/executions/{execution}/replay", {"from": "start"})


async def test_hundreds_of_innocents_of_a_killed_server_resume_together(
    tmp_path: Path, sink: Sink
) -> None:
    events = {f"innocent{n}": "" for n in range(200)}
    ids, _ = await prepare(tmp_path, sink, events)
    async with served(tmp_path / "store") as server:

        async def under_way() -> bool:
            return len(sink.effects) >= 160

        await until(under_way)
        health = await server.get("/health")
        assert health["status"] == "ok"
        sink.hold.clear()
        await until(
            lambda: sink.held
        )  # so there is an effect that cannot be recorded before the kill
        await kill_server(server)
        sink.hold.set()
        await server.started(2)
        twice = 0
        for name, id in ids.items():
            found = await server.ended(id)
            assert found["state"] == "succeeded"
            first, die, second = found["steps"][1:]
            marked = [each["path"] for each in (first, die, second) if each["cut_attempt"]]
            assert len(marked) <= 1
            for each, path in ((first, "first"), (second, "second")):
                if len(sink.effects[f"/{name}/{path}"]) > 1:
                    assert marked == [each["path"]]
                    twice += 1
        assert twice
        assert len(server.ports) == 2
    for effects in sink.effects.values():
        assert len(set(effects)) == 1
        assert len(effects) <= 2


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Host]:
    """A host in this process, on a store of which everything that is queued is on probation."""
    settings = Settings(dir=directory / "store", port=0, egress_allow=("127.0.0.1",))
    host = await Host.open(settings)
    await host.store.journal.claim(1_000, 1)  # their process ends here: `serve` finds them running
    async with host.served(grace=0):
        yield host


async def test_a_child_hears_of_a_cancellation(tmp_path: Path, sink: Sink) -> None:
    ids, _ = await prepare(tmp_path, sink, {"innocent": ""})
    sink.hold.clear()
    async with serving(tmp_path) as host:
        await until(sink.called("/innocent/first"))
        assert await host.engine.cancel(ids["innocent"], "not wanted")
        assert host.probation is not None
        (group,) = host.probation._groups.values()

        async def told() -> bool:
            return ids["innocent"] in group.cancelled

        await until(told)
        sink.hold.set()
        outcome = await host.engine.outcome(ids["innocent"], DEADLINE)
    assert outcome is not None
    assert (outcome.state, outcome.reason) == ("cancelled", "not wanted")
    assert "/innocent/second" not in sink.effects


async def test_what_a_child_runs_is_cut_where_it_does_not_end(tmp_path: Path, sink: Sink) -> None:
    """A call that hangs is cancelled in the child; a loop that blocks it is ended with it."""
    ids, _ = await prepare(tmp_path, sink, {"innocent": "", "blocks": "loop"})
    sink.hold.clear()
    async with serving(tmp_path) as host:
        await until(sink.called("/innocent/first"))
        await until(sink.called("/blocks/first"))
        for each in ids.values():
            assert await host.engine.cancel(each, "not wanted", grace=0)
        for each in ids.values():
            outcome = await host.engine.outcome(each, DEADLINE)
            assert outcome is not None
            assert (outcome.state, outcome.reason) == ("cancelled", "not wanted")
        sink.hold.set()
    assert {"/innocent/second", "/blocks/second"}.isdisjoint(sink.effects)


async def test_what_a_child_logs_and_records_is_in_the_journal(tmp_path: Path, sink: Sink) -> None:
    ids, _ = await prepare(tmp_path, sink, {"innocent": ""})
    async with serving(tmp_path) as host:
        outcome = await host.engine.outcome(ids["innocent"], DEADLINE)
        assert outcome is not None
        assert outcome.state == "succeeded"
        journal = host.store.journal
        steps = await journal.steps(ids["innocent"])
        assert [each.status for each in steps] == ["succeeded"] * 4
        lines = await journal.logs(ids["innocent"])
        assert [line.message for _, line in lines] == ["survived \\ud800"]


async def test_a_stopping_server_waits_for_no_suspect(tmp_path: Path, sink: Sink) -> None:
    ids, _ = await prepare(tmp_path, sink, {"innocent": ""})
    sink.hold.clear()
    async with serving(tmp_path) as host:
        await until(sink.called("/innocent/first"))
        assert host.engine.running == 1
        assert host.engine.running_ids() == []
    sink.hold.set()
    async with serving(tmp_path) as host:  # one that was stopped in good order resumes
        outcome = await host.engine.outcome(ids["innocent"], DEADLINE)
    assert outcome is not None
    assert outcome.state == "succeeded"
    assert len(set(sink.effects["/innocent/first"])) == 1


async def kill_server(server: Served) -> None:
    """Kill the server with SIGKILL, as the kernel would."""
    os.kill(server.pids[-1], signal.SIGKILL)
