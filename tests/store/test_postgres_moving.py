"""A store is moved from its file to PostgreSQL: all of it, once, whatever ends the move."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from halflap.errors import StoreError, StoreLocked
from halflap.model import (
    Dedupe,
    Event,
    Failure,
    FlowKey,
    LogLine,
    Order,
    Outcome,
    Record,
    Retention,
    Start,
    StateWrite,
    new_id,
    wall_clock,
)
from halflap.store.postgres.moving import Moved, move
from halflap.store.protocol import Filter, Release
from halflap.store.retention import DAY
from halflap.store.store import FILE, MOVED, MOVING, Store
from halflap.store.vault import Vault
from tests.cluster import ordinary_url
from tests.journals import cancel_one
from tests.zygote import PYTHON

ROOT = Path(__file__).parents[2]
LEASE = 30_000_000
BODY = b'{"id": "\x00\xff"}'


def start(customer: str, name: str = "orders", **changes: Any) -> Start:
    execution = new_id("exe")
    flow = FlowKey(customer, f"ins_of_{customer}", "shop", name, "hash-1", 1)
    headers = (("x-twice", "1"), ("x-twice", "2"))
    event = Event("POST", "/a", "b=1", headers, BODY, 12, url="https://x.example/", part=2)
    given: dict[str, Any] = {"root": execution, "key": "order\x007", **changes}
    return Start(execution, flow, event, **given)


def record(path: str, status: Any = "succeeded", seq: int = 1) -> Record:
    failure = (
        Failure("Boom", "no\x00t so", "a.py:1", 500, "trace") if status != "succeeded" else None
    )
    return Record(
        seq, path, "action", "acme.save", "Save", status, 10, 20, b"{}", b'"ok"', failure, 2, False
    )


LINE = LogLine(15, "info", "hello \x00", b'{"a":1}', "acme.save#1")
FAILURE = Failure("Boom", "not so")


async def fill(store: Store) -> list[str]:
    """Executions in every state that there is, and something in every table."""
    catalogue, journal = store.catalogue, store.journal
    ada = await catalogue.customers.add("Ada", "7")
    await catalogue.versions.publish("shop", "hash-1", b"bundle\x00", "a note")
    await catalogue.versions.move_target("shop", "live", "hash-1", expect=None)
    await catalogue.connections.save(ada.id, "acme", "Acme", {"url": "u"}, {"key": "s3cret"})
    instance = await catalogue.instances.add(ada.id, "shop", "shop", "hash-1")
    await catalogue.instances.set_revision(instance.id, {"a": 1}, {})
    ends = await catalogue.endpoints.ensure(instance.id, ["orders"])
    await catalogue.instances.note_tick(instance.id, "orders", 99)
    catalogue.counters.count(instance.id, "orders", "filtered")
    await catalogue.settled()
    assert ends
    outcomes: list[Outcome] = [
        Outcome("succeeded", result=b'"done"'),
        Outcome("ignored", "echo: ours"),
        Outcome("failed", "Boom", failure=FAILURE),
        Outcome("failed", "Boom", failure=FAILURE),
        Outcome("cancelled", "by hand"),
        Outcome("failed", "Boom", failure=FAILURE),
    ]
    made: list[str] = []
    for each in outcomes:
        (answer,) = await journal.accept([start(ada.id)], claim=1, lease=LEASE)
        assert answer.claim is not None
        later = Release("retry", 0, failure=FAILURE)
        await journal.release(answer.claim.lease, [record("a#1", "retrying")], [LINE], later)
        (claim,) = await journal.claim(1, LEASE)
        writes = [StateWrite("flow:x", f"key\x00{each.state}", b"1")]
        await journal.end(claim.lease, [record("a#1"), record("b#1", seq=2)], [LINE], each, writes)
        made.append(answer.execution)
    await journal.dismiss(made[3])
    for how in (
        Release("sleep", 4_000_000_000_000_000),
        Release("signal", None, "the signal approved", heard=1),
        Release("retry", 4_000_000_000_000_000, failure=FAILURE),
    ):
        begun = start(ada.id, dedupe=Dedupe(how.how), order=Order("order", how.how))
        (answer,) = await journal.accept([begun], claim=1, lease=LEASE)
        assert answer.claim is not None
        await journal.release(answer.claim.lease, [record("a#1")], [LINE], how)
        behind = start(ada.id, order=Order("order", how.how))
        await journal.accept([behind], claim=0, lease=LEASE)
        await journal.signal(begun.execution, "other", b"yes")
        made += [begun.execution, behind.execution]
    queued = start(ada.id, replay_of=made[2], copied=(record("c#1", seq=-1),))
    running = start(ada.id)
    await journal.accept([running], claim=1, lease=LEASE)
    await journal.accept([queued], claim=0, lease=LEASE)
    await journal.hold("ins_held")
    held = start("cus_held")
    held = Start(held.execution, FlowKey(ada.id, "ins_held", "shop", "f", "v", 1), held.event, "r")
    await journal.accept([held], claim=0, lease=LEASE)
    return [*made, running.execution, queued.execution, held.execution]


async def told(store: Store, executions: list[str]) -> dict[str, Any]:
    """All that a store says of what is in it."""
    journal, catalogue = store.journal, store.catalogue
    customers = await catalogue.customers.list()
    (connection,) = await catalogue.connections.list(customers[0].id)
    (instance,) = await catalogue.instances.list()
    found: dict[str, Any] = {
        "customers": customers,
        "connections": connection,
        "secrets": await catalogue.connections.open_secrets(connection.id),
        "instances": instance,
        "revision": await catalogue.instances.revision(instance.id, instance.revision),
        "endpoints": await catalogue.endpoints.of_instance(instance.id),
        "counters": await catalogue.counters.of(instance.id),
        "tick": await catalogue.instances.last_tick(instance.id, "orders"),
        "bundle": await catalogue.versions.bundle("hash-1"),
        "targets": await catalogue.versions.targets("shop"),
        "listed": [each.id for each in await journal.executions(Filter(limit=100))],
        "letters": [each.id for each in await journal.executions(Filter(dead_letters=True))],
        "counts": await journal.count(Filter()),
        "state": await journal.list_state("flow:x"),
        "due": await journal.next_due(),
    }
    for each in executions:
        found[each] = (
            await journal.execution(each),
            await journal.event(each),
            await journal.steps(each),
            [line for _, line in await journal.logs(each)],
            await journal.attempts(each),
            await journal.signals(each),
            await journal.waits_for(each),
        )
    return found


def vault_of(directory: Path) -> Vault:
    return Vault.from_file(directory / "halflap.key")


@asynccontextmanager
async def opened(directory: Path, url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, vault=vault_of(directory))
    yield store
    await store.close()


@pytest.fixture
async def filled(tmp_path: Path) -> tuple[list[str], dict[str, Any]]:
    store = await Store.open(tmp_path)
    executions = await fill(store)
    await store.journal.void()
    before = await told(store, executions)
    await store.close()
    return executions, before


def moved(directory: Path, url: str, heard: Callable[[int, int], object] | None = None) -> Any:
    return move(directory, url, None, heard or (lambda done, total: None))


async def test_all_of_a_store_is_there_afterwards(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    executions, before = filled
    url, heard = ordinary_url(), list[tuple[int, int]]()
    found: Moved = await moved(tmp_path, url, lambda *each: heard.append(each))
    assert heard == [(len(executions), len(executions))]
    assert found.rows["executions"] == len(executions)
    async with opened(tmp_path, url) as store:
        assert await told(store, executions) == before
        # and it goes on: the order's next ones wait, duplicates are known, all the rest runs
        again = start(executions[6], dedupe=Dedupe("sleep"))
        again = Start(
            again.execution, before[executions[6]][0].flow, again.event, "r", again.dedupe
        )
        (answer,) = await store.journal.accept([again], claim=0, lease=LEASE)
        assert answer.duplicate_of == executions[6]
        claims = await store.journal.claim(10, LEASE)
        claims += await store.journal.claim(10, LEASE, probation=True)
        assert {each.start.execution for each in claims} == set(executions[-3:-1])
        await cancel_one(store.journal, executions[6], "enough")
        (claim,) = await store.journal.claim(10, LEASE)
        assert claim.start.execution == executions[7]
        assert [each.id for each in await store.journal.executions(Filter(dead_letters=True))] == [
            executions[5]
        ]
        fresh = start(claim.start.flow.customer, order=Order("order", "signal"))
        await store.journal.accept([fresh], claim=1, lease=LEASE)
        assert await store.journal.waits_for(fresh.execution) == executions[8]


async def test_no_server_opens_the_file_from_then_on(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    url = ordinary_url()
    await moved(tmp_path, url)
    assert not (tmp_path / FILE).exists()
    with pytest.raises(StoreError, match="was moved to PostgreSQL; name that in HALFLAP_STORE"):
        await Store.open(tmp_path)
    with pytest.raises(StoreError, match=r"no store to move \(it was moved already"):
        await moved(tmp_path, url)
    (tmp_path / MOVED).rename(tmp_path / FILE)
    store = await Store.open(tmp_path)  # as it says: the way back
    await store.journal.accept([start("cus_late")], claim=0, lease=LEASE)
    await store.close()
    with pytest.raises(StoreError, match="there is a store already"):  # it has gone on since
        await moved(tmp_path, url)


async def test_a_store_that_a_server_has_open_is_not_moved(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    store = await Store.open(tmp_path)
    with pytest.raises(StoreLocked):
        await moved(tmp_path, ordinary_url())
    await store.close()


async def test_a_database_with_another_store_is_left_alone(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    url = ordinary_url()
    async with opened(tmp_path, url) as store:
        await store.catalogue.customers.add("Somebody")
    with pytest.raises(StoreError, match="there is a store already"):
        await moved(tmp_path, url)
    await (await Store.open(tmp_path)).close()  # the file is as it was


async def test_what_is_not_copied_or_has_no_place_is_noticed(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    url = ordinary_url()
    with sqlite3.connect(tmp_path / FILE) as file:  # a step of no execution: nothing takes it along
        file.execute("UPDATE steps SET execution = -1 WHERE rowid = 1")
    with pytest.raises(StoreError, match=r"steps: .* rows are in the file, and .* were copied"):
        await moved(tmp_path, url)
    await (await Store.open(tmp_path)).close()
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("ALTER TABLE executions ADD COLUMN colour TEXT")
    with pytest.raises(StoreError, match="PostgreSQL's table has no colour; nothing was moved"):
        await moved(tmp_path, url)


async def test_a_move_that_is_killed_is_gone_on_with(
    tmp_path: Path, filled: tuple[list[str], dict[str, Any]]
):
    executions, before = filled
    url = ordinary_url()
    command = [PYTHON, "-m", "tests.store.killed_move", str(tmp_path), url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for moment in ("copied", "committed"):
        process = await asyncio.create_subprocess_exec(*command, moment, env=environment, cwd=ROOT)
        assert await process.wait() == -signal.SIGKILL
        assert not (tmp_path / FILE).exists()
        with pytest.raises(StoreError, match="is being moved to PostgreSQL; run"):
            await Store.open(tmp_path)
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT count(*) FROM letters").fetchone()
        assert found == (0 if moment == "copied" else 1,)
    found = await moved(tmp_path, url)
    assert found.again
    assert (tmp_path / MOVED).exists()
    assert not (tmp_path / MOVING).exists()
    async with opened(tmp_path, url) as store:
        assert await told(store, executions) == before


async def test_executions_without_payload_move_as_they_are(tmp_path: Path):
    past = wall_clock() - 4 * DAY
    store = await Store.open(tmp_path, clock=lambda: past)
    executions = list[str]()
    await store.catalogue.retentions.put("ins_1", Retention(payload=2))
    for instance in ("ins_1", "ins_2"):
        begun = start("cus_1")
        id = new_id("exe", now=past)
        begun = replace(begun, execution=id, root=id, flow=replace(begun.flow, instance=instance))
        (answer,) = await store.journal.accept([begun], claim=1, lease=LEASE)
        assert answer.claim is not None
        await store.journal.end(answer.claim.lease, [record("a#1")], [LINE], Outcome("succeeded"))
        executions.append(begun.execution)
    await store.close()
    store = await Store.open(tmp_path)
    await pruned(store)
    before = await told_parts(store, executions)
    assert [each.payload_removed for each, *_ in before] == [True, False]
    await store.close()
    url = ordinary_url()
    await moved(tmp_path, url)
    async with opened(tmp_path, url) as store:
        assert await told_parts(store, executions) == before
        assert await store.catalogue.retentions.get("ins_1") == Retention(payload=2)
        slots = "SELECT count(*) FROM history_other"
        found = await store.database.read(lambda c: c.execute(slots).fetchone())
        assert found == (0,)
        await store.catalogue.retentions.put("ins_2", Retention(payload=1))
        await pruned(store)
        assert [each.payload_removed for each, *_ in await told_parts(store, executions)] == [
            True,
            True,
        ]


async def pruned(store: Store) -> None:
    store.catalogue.retentions.default = Retention(30)
    while await store.journal.prune(await store.catalogue.retentions.rules(), 10):
        pass


async def told_parts(store: Store, executions: list[str]) -> list[Any]:
    """All that a store says of executions."""
    journal = store.journal
    return [
        (
            await journal.execution(each),
            await journal.event(each),
            await journal.steps(each),
            [line for _, line in await journal.logs(each)],
        )
        for each in executions
    ]
