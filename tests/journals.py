"""Journals for tests to use: in SQLite's file and memory, and in PostgreSQL, emptied after each."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from halflap.model import Clock, Event, FlowKey, Micros, Start, new_id
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.postgres.migrate import migrate
from halflap.store.postgres.schema import MIGRATIONS
from halflap.store.protocol import CancelResult, Claim, Journal
from halflap.store.store import Store
from tests.cluster import kept_sessions, ordinary_url
from tests.simulation.shared import simulated_journal

SECOND: Micros = 1_000_000
LEASE: Micros = 30 * SECOND
FLOW = FlowKey("cus_a", "ins_a", "shop", "orders", "v1", 3)
EMPTY = """
DELETE FROM executions; DELETE FROM letters; DELETE FROM history; DELETE FROM events;
DELETE FROM steps; DELETE FROM logs; DELETE FROM attempts; DELETE FROM signals;
DELETE FROM dedupe; DELETE FROM state; DELETE FROM orders; DELETE FROM gates;
DELETE FROM limits;
DELETE FROM throttles; DELETE FROM callers;
DELETE FROM listener_shards; DELETE FROM listener_owners
"""

ON_EVERY_STORE = pytest.mark.parametrize(
    "journal", ["file", "memory", "blobs", "postgresql", "simulated"], indirect=True
)
"""For conformance tests of what threads, a blob store or simulated transactions could do otherwise:
shared commits, payloads. All other SQL is that of `memory` or of `postgresql`.
"""


def new_start(flow: FlowKey = FLOW, body: bytes = b"{}", **more: Any) -> Start:
    """An execution to accept, of an event without much in it."""
    execution = more.pop("execution", "") or new_id("exe")
    event = Event("POST", "", "", (), body, 1)
    return Start(execution, flow, event, **{"root": execution, **more})


async def begun(journal: Journal, start: Start) -> Claim:
    """Accept an execution, which is claimed at once."""
    (answer,) = await journal.accept([start], claim=1, lease=LEASE)
    assert answer.claim is not None
    return answer.claim


async def claimed(journal: Journal) -> dict[str, Claim]:
    """Claim all that may be claimed now, on probation or not; return the claims by execution."""
    found = await journal.claim(100, LEASE) + await journal.claim(100, LEASE, probation=True)
    return {each.start.execution: each for each in found}


async def cancel_one(
    journal: Journal, execution: str, reason: str, cut_at: Micros = 0
) -> CancelResult:
    """Cancel one execution; what became of that."""
    return (await journal.cancel_many([execution], reason, cut_at))[execution]


class StandingClock:
    """A clock that stands still until a test moves it; far from the machine's own time."""

    def __init__(self) -> None:
        self.now: Micros = 4_000_000_000 * SECOND

    def __call__(self) -> Micros:
        return self.now

    def move(self, by: Micros) -> None:
        self.now += by


_templates: list[Path] = []


async def new_store(folder: Path) -> Path:
    """A folder with an empty store and its key; copied, as a migration takes ten times as long."""
    if not _templates:
        template = Path(tempfile.mkdtemp(prefix="halflap-store-"))
        atexit.register(shutil.rmtree, template, ignore_errors=True)
        await (await Store.open(template / "store")).close()
        _templates.append(template / "store")
    shutil.copytree(_templates[0], folder)
    return folder


@functools.cache
def postgres_url() -> str:
    """The URL of a schema that has the tables, the same for all tests of a process."""
    url = ordinary_url()
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection, MIGRATIONS, clock=lambda: 0)
    return url


@asynccontextmanager
async def opened(kind: str, folder: Path, clock: Clock) -> AsyncGenerator[Journal]:
    """A journal of a kind: `file`, `memory` or `postgresql`; `blobs` is a file with nearly all
    payloads in a blob store, `simulated` what the simulation takes for PostgreSQL.
    """
    if kind == "simulated":
        yield simulated_journal(clock)
        return
    if kind == "postgresql":
        async with in_postgres(clock) as journal:
            yield journal
        return
    if kind == "file":
        store = await Store.open(await new_store(folder / "store"), clock=clock)
    elif kind == "blobs":
        store = await Store.open(await new_store(folder / "store"), clock=clock, over=3)
    else:
        store = await Store.memory(clock=clock)
    try:
        yield store.journal
    finally:
        await store.close()


@asynccontextmanager
async def in_postgres(clock: Clock | None = None) -> AsyncGenerator[Journal]:
    """A journal in PostgreSQL."""
    with kept_sessions():
        database = await PostgresDatabase.open(postgres_url(), clock=clock)
        try:
            yield PostgresJournal(database)
        finally:
            await database.run(lambda c: c.execute(EMPTY, prepare=False))
            await database.close()
