"""A bulk replay on a server that is killed again and again: each execution once, none left out."""

import asyncio
import contextlib
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from halflap.model import Event, FlowKey, Outcome, Start, new_id
from halflap.server.host import Host
from halflap.server.settings import Settings
from halflap.store.protocol import Filter
from tests import served
from tests.conftest import Note
from tests.faults.conftest import Store
from tests.faults.server import KEYS
from tests.polling import until
from tests.served import TOKEN
from tests.world import publish
from tests.zygote import PYTHON

PROJECT = """
from typing import Any

from halflap import Context, Config, Integration, step, webhook

integration = Integration("books", config=Config)


@step
async def book(id: int) -> int:
    return id


@integration.flow(trigger=webhook.request())
async def incoming(ctx: Context[Config], event: Any) -> int:
    return await book(event["id"])
"""
LEASE = 30_000_000
BULK_LEASE = 1.0
"""Seconds until the next server goes on with a killed one's bulk, so that each is killed as it does."""
FEW = 200


def settings_of(directory: Path, store: Store) -> dict[str, Any]:
    """Return the settings of a server, on either store."""
    told = {"dir": str(directory / "store"), "port": 0}
    return {**told, "store": store.url, "keys": KEYS} if store.url else told


async def opened(directory: Path, store: Store) -> Host:
    """A server's rooms, in this process."""
    given = settings_of(directory, store)
    return await Host.open(Settings(**{**given, "dir": Path(given["dir"])}, token=TOKEN))


async def prepare(directory: Path, store: Store, count: int) -> list[str]:
    """A store with so many failed executions of an active instance, oldest first."""
    project = directory / "project"
    project.mkdir()
    (project / "books.py").write_text(PROJECT)
    host = await opened(directory, store)
    running = asyncio.create_task(host.engine.run(host.executor))
    try:
        version = await publish(host, project, "books:integration")
        customer = await host.store.catalogue.customers.add("Initech")
        instance = await host.operations.instances.add(customer.id, "books", {}, {})
        await host.deployer.activate(instance.id)
        await host.deployer.settled(instance.id)
        key = FlowKey(customer.id, instance.id, "books", "incoming", version.hash, 1)
        ids: list[str] = []
        journal = host.store.journal
        for first in range(0, count, 500):
            starts: list[Start] = []
            for number in range(first, min(first + 500, count)):
                id = new_id("exe")
                event = Event("POST", "", "", (), b'{"id": %d}' % number, 1)
                starts.append(Start(id, key, event, id))
            answers = await journal.accept(starts, claim=len(starts), lease=LEASE)
            claims = [each.claim for each in answers if each.claim is not None]
            down = Outcome("failed", "the app is down")
            await asyncio.gather(*[journal.end(e.lease, (), (), down) for e in claims])
            ids += [each.execution for each in starts]
    finally:
        await host.stop(1)
        await running
    return ids


class Killable:
    """A server in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/api"

    @classmethod
    async def start(cls, directory: Path, store: Store) -> "Killable":
        settings = json.dumps({**settings_of(directory, store), "bulk_lease": BULK_LEASE})
        process = await asyncio.create_subprocess_exec(
            PYTHON, served.__file__, settings, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"ready "):
            assert line, "the server ended before it listened"
        return cls(process, int(line.split()[1]))

    async def ended(self, within: float) -> None:
        """Let it work for a moment, unless it ends by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self.process.wait()

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            assert response.status < 300, await response.text()
            return await response.json()


@pytest.mark.parametrize("count", [FEW, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_a_bulk_replay_survives_kills_and_replays_each_once(
    tmp_path: Path, store: Store, note: Note, count: int
) -> None:
    ids = await prepare(tmp_path, store, count)
    server = await Killable.start(tmp_path, store)
    rate = count / 5  # so slowly that three kills come before its end
    begun = await server.call("POST", "/bulks", {"where": {"state": "failed"}, "rate": rate})
    assert begun["total"] == count
    chance = random.Random(count)
    kills = 3 if count == FEW else 6
    for _ in range(kills):  # nothing is asked meanwhile: a busy machine would be late with its kill
        await server.ended(within=chance.uniform(0, 0.6))  # somewhere in a page, or between two
        await server.kill()
        server = await Killable.start(tmp_path, store)

    async def look() -> Any:
        return await server.call("GET", f"/bulks/{begun['id']}")

    async def over() -> Any:
        found = await look()
        return found if found["state"] != "running" else None

    assert (await look())["state"] == "running", "it was not killed at work"
    bulk = await until(over, 300)
    await server.kill()

    host = await opened(tmp_path, store)
    try:
        journal = host.store.journal
        replays: Counter[str] = Counter()
        after, roots = "", dict[str, str]()
        while page := await journal.executions(Filter(after=after, limit=1_000)):
            after = page[-1].id
            for each in page:
                if each.replay_of is not None:
                    replays[each.replay_of] += 1
                    roots[each.replay_of] = each.root
                    assert each.replay is not None
                    assert each.replay.bulk == begun["id"]
        assert replays == Counter(ids)
        assert (bulk["state"], bulk["done"], bulk["refused"]) == ("succeeded", count, 0)
        twice = replays.total() - len(replays)
        note(
            f"bulk replay{store.name}{', long' if count > FEW else ''}",
            faults=kills,
            executions=count,
            lost=0,
            repeated=twice,
        )
        one = chance.choice(ids)
        [again] = await journal.executions(Filter(replay_of=one))
        assert await journal.event(again.id) == await journal.event(one)
    finally:
        await host.stop(0)
