"""The history's days in PostgreSQL: there before the first row of a day is."""

from __future__ import annotations

import asyncio
from typing import Any

from halflap.model import Event, FlowKey, Start, new_id
from halflap.store.classes import DAY
from halflap.store.postgres.database import Database
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.slots import CLASSES
from tests.journals import in_postgres, postgres_url


async def test_nobody_goes_on_before_the_day_is_there():
    database = await Database.open(postgres_url())
    partitions, day = Partitions(database), 90_000
    first = asyncio.create_task(partitions.make(day * DAY))
    await asyncio.sleep(0)
    await partitions.make(day * DAY)  # while the first one makes it
    found = await database.fetch("SELECT to_regclass(%s)::text", (f"history_{day * CLASSES}",))
    await first
    await database.close()
    assert found == [(f"history_{day * CLASSES}",)]


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
