"""The history's days in PostgreSQL: there before the first row of a day is."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import psycopg
import pytest

from halflap.model import Event, FlowKey, Retention, Start, new_id
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.examination import examine
from halflap.store.postgres.history import ONE
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.postgres.migrate import migrate
from halflap.store.postgres.partitions import ATTACH, CREATE, Partitions
from halflap.store.postgres.schema import MIGRATIONS
from halflap.store.postgres.slots import OF_A_DAY, SlotPartition
from halflap.store.retention import DAY
from tests.cluster import started
from tests.journals import in_postgres, postgres_url


async def test_nobody_goes_on_before_the_day_is_there():
    database = await PostgresDatabase.open(postgres_url())
    partitions, day = Partitions(database), 90_000
    first = asyncio.create_task(partitions.make(day * DAY))
    await asyncio.sleep(0)
    await partitions.make(day * DAY)  # while the first one makes it
    found = await database.fetch("SELECT to_regclass(%s)::text", (f"history_{day * OF_A_DAY}",))
    await first
    await database.close()
    assert found == [(f"history_{day * OF_A_DAY}",)]


async def test_what_ended_into_a_table_that_was_made_meanwhile_is_looked_for_again() -> None:
    async with in_postgres() as journal:
        assert isinstance(journal, PostgresJournal)
        id = new_id("exe")
        flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
        event = Event("POST", "", "", (), b"{}", 1)
        await journal.accept([Start(id, flow, event, id)], claim=0, lease=30_000_000)
        looks, fetch = 0, journal._database.fetch

        async def late(sql: str, values: Any = ()) -> list[Any]:
            nonlocal looks
            looks += 1
            return await fetch(sql, values) if looks % 2 == 0 else []

        journal._database.fetch = late
        assert await journal.execution(id) is not None
        assert await journal.event(id) == event
        assert looks == 4


def locks(url: str, kept: Retention) -> tuple[str, str]:
    """Return the doctor's finding about the room for locks."""
    [found] = [each for each in examine(url, None, kept=kept) if each.name == "locks"]
    return found.state, found.mend


def test_the_doctor_says_where_there_will_be_no_room_for_locks():
    url = postgres_url()  # of a server with 64 × 200
    assert locks(url, Retention(60)) == ("ok", "")
    state, mend = locks(url, Retention(3_650))
    assert state == "warn"
    assert "max_locks_per_transaction to 1024" in mend


def test_a_server_that_it_warns_of_is_too_small():
    days = 60
    url = started("max_connections=25", "max_locks_per_transaction=17")
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection, MIGRATIONS, clock=lambda: 0)
        assert locks(url, Retention(2))[0] == "ok"
        assert locks(url, Retention(days))[0] == "warn"
        for day in range(days):
            leaf = SlotPartition(day * OF_A_DAY)
            connection.execute((CREATE + ATTACH).format(leaf=leaf).encode())
    with contextlib.ExitStack() as looking:

        def look(times: int) -> None:
            for _ in range(times):
                connection = looking.enter_context(psycopg.connect(url))
                connection.execute(ONE.encode(), {"id": "exe_1", "since": 0})

        with pytest.raises(psycopg.errors.OutOfMemory):
            look(20)
