"""The history's days in PostgreSQL: there before the first row of a day is."""

from __future__ import annotations

import asyncio

from halflap.store.classes import DAY
from halflap.store.postgres.database import Database
from halflap.store.postgres.partitions import Partitions
from halflap.store.postgres.slots import CLASSES
from tests.journals import postgres_url


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
