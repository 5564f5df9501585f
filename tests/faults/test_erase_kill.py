"""An erasure is killed at any moment: nothing is half there, asking again ends it, others keep theirs."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halflap.errors import NotFound
from halflap.model import (
    CustomerLimits,
    Dedupe,
    Event,
    FlowKey,
    LogLine,
    Outcome,
    Record,
    Retention,
    Start,
    StateWrite,
    new_id,
)
from halflap.server.host import Host
from halflap.store.erasing import erased
from halflap.store.job import JobTransaction
from halflap.store.protocol import Filter
from halflap.store.reading import NUMBERED
from halflap.store.rules.beginning import GONE
from halflap.store.store import Store
from tests.cluster import fresh_url
from tests.faults.erasing import settings
from tests.zygote import PYTHON

LEASE = 600_000_000
COUNT = 20
MOST_KILLS = 8
CANARY = "canary-4711"
VERSION = "f" * 64
PARTS = ("events", "steps", "logs", "attempts", "signals")


@dataclass(frozen=True)
class Both:
    """A customer that is erased, another one beside it, and where they are."""

    folder: Path
    url: str
    ours: str
    others: Sequence[str]
    """The other one's executions."""


@asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[Host]:
    host = await Host.open(settings(folder, url), probation=False)
    try:
        yield host
    finally:
        await host.stop(0)


@pytest.fixture(params=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> Both:
    url = "" if request.param == "sqlite" else fresh_url()
    folder = tmp_path / "store"
    async with opened(folder, url) as host:
        ours, _ = await fill(host.store, f"Ours {CANARY}", CANARY)
        _, others = await fill(host.store, "Others", "somebody else's")
        return Both(folder, url, ours, others)


async def fill(store: Store, name: str, said: str) -> tuple[str, list[str]]:
    """A customer with executions of every kind, whose parts and payloads bear what was said."""
    catalogue, journal = store.catalogue, store.journal
    await catalogue.versions.publish("sync", VERSION, b"")
    customer = await catalogue.customers.add(name)
    connection = await catalogue.connections.save(
        customer.id, "app", said, {"a": said}, {"key": said}
    )
    instance = await catalogue.instances.add(customer.id, "sync", "sync", VERSION)
    await catalogue.instances.set_revision(instance.id, {"a": said}, {"app": connection.id})
    await catalogue.endpoints.ensure(instance.id, ["in"])
    await catalogue.retentions.put(customer.id, Retention(payload=7))
    await journal.set_limits(customer.id, CustomerLimits(backlog=500))
    await journal.write_state([StateWrite(f"instance:{instance.id}", "k", said.encode())])
    flow = FlowKey(customer.id, instance.id, "sync", "in", VERSION, 1)
    result = f'"{said}"'.encode()
    step = Record(1, "a#1", "action", "a", "", "succeeded", 1, 2, result, result)
    line = LogLine(1, "info", said, b"{}", "")
    ids: list[str] = []
    for number in range(COUNT):
        ids.append(id := new_id("exe", now=store.clock()))
        body = f'"{said}{"x" * 400 * (number % 2)}"'.encode()  # every other one is a blob
        event = Event("POST", "/", said, (), body, 1)
        start = Start(id, flow, event, id, dedupe=Dedupe(f"{said}{number}"))
        (accepted,) = await journal.accept([start], claim=int(number % 5 > 0), lease=LEASE)
        if accepted.claim is not None:
            state = "failed" if number % 5 == 1 else "succeeded"
            outcome = Outcome(state, said if state == "failed" else "", result)
            await journal.end(accepted.claim.lease, [step], [line], outcome)
    return customer.id, ids


async def whole(host: Host, execution: str) -> bool:
    """Return whether all of an execution is there."""
    journal = host.store.journal
    found = await journal.execution(execution)
    if found is None or await journal.event(execution) is None:
        return False
    return found.state == "queued" or bool(
        await journal.steps(execution) and await journal.logs(execution)
    )


async def bearing(host: Host, needle: str) -> set[str]:
    """The tables that have something in them, but for the note and the gate of one that was erased."""
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if host.store.hints is None
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )

    def has(row: tuple[Any, ...]) -> bool:
        values = [v if isinstance(v, bytes) else str(v).encode() for v in row]
        return any(needle.encode() in each for each in values)

    def job(connection: JobTransaction) -> set[str]:
        tables = [name for (name,) in connection.execute(names).fetchall()]
        return {
            table
            for table in tables
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()
            if has(row)
            and not str(row[0]).startswith("erased:")
            and not (table == "gates" and row[1] == GONE)
        }

    return await host.store.database.read(job)


async def faults(both: Both) -> tuple[list[str], bool]:
    """Return what is wrong in a store that an eraser was at, once a server has started there.

    And whether the customer is still there.
    """
    wrong: list[str] = []
    async with opened(both.folder, both.url) as host:
        await host.operations.erasure.resume()
        await host.deployer.resume()
        wrong += [f"{each} is not whole" for each in both.others if not await whole(host, each)]
        for each in await host.store.journal.executions(Filter(customer=both.ours)):
            if not await whole(host, each.id):
                wrong.append(f"{each.id} is not whole")
        there = await is_there(host, both.ours)
        if not there and (known := await bearing(host, both.ours)):
            wrong.append(f"{known} have something of a customer that nobody can ask for any more")
        past = host.store.hints is not None
        if count := await host.store.database.read(lambda c: orphans(c, past)):
            wrong.append(f"{count} parts have no row")
    return wrong, there


async def is_there(host: Host, customer: str) -> bool:
    try:
        await host.store.catalogue.customers.get(customer)
    except NotFound:
        return False
    return True


def orphans(connection: JobTransaction, past: bool) -> int:
    """Count the parts that belong to no execution; `past`: what has ended is in tables of its own."""
    rows = ("executions", "letters", "history") if past else ("executions",)
    count = 0
    for part in PARTS:
        key = "number" if part in NUMBERED and not past else "id"
        ids = " UNION ".join(f"SELECT {key} FROM {each}" for each in rows)
        sql = f"SELECT count(*) FROM {part} WHERE execution NOT IN ({ids})"
        count += connection.execute(sql).fetchone()[0]
    return count


class Killer:
    """Has erasers run, and kills them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def kill(self, both: Both, after: float | None, *, customer_first: bool = False) -> str:
        """Let one run, for so long after it began; returns what it said last."""
        asked = (str(both.folder), both.url, both.ours, customer_first, after)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return (await asyncio.to_thread(self._process.stdout.readline)).strip()


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with subprocess.Popen(
        [PYTHON, "-m", "tests.faults.erasing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Killer(process)


async def test_an_erasure_that_is_killed_is_ended_by_asking_again(
    both: Both, killer: Killer
) -> None:
    async with opened(both.folder, both.url) as host:
        assert {"customers", "instances"} < await bearing(host, both.ours)
        assert len(await bearing(host, CANARY)) > 5
    chance = random.Random(4711)
    kills, there = 0, True
    while there:
        kills += 1
        after = chance.uniform(0.0, 0.002 * (kills - 2)) if kills < MOST_KILLS else None
        if kills <= 2:  # on a busy machine it would else have ended before it is killed
            after = 0.0
        said = await killer.kill(both, after)
        assert said in ("begins", "done")
        wrong, there = await faults(both)
        assert wrong == []
    assert kills > 2
    async with opened(both.folder, both.url) as host:
        assert await bearing(host, both.ours) == set()
        assert await bearing(host, CANARY) == set()
        note = (await erased(host.store.database))[both.ours]
        assert note["counts"]["executions"] == COUNT
        assert note["at"] >= note["begun_at"]
    files = [each for each in both.folder.rglob("*") if each.is_file()]
    assert [each.name for each in files if CANARY.encode() in each.read_bytes()] == []


async def test_one_that_removes_the_customer_first_is_found_out(both: Both, killer: Killer) -> None:
    assert await killer.kill(both, None, customer_first=True) == "between"
    wrong, _ = await faults(both)
    assert "nobody can ask for" in str(wrong)
