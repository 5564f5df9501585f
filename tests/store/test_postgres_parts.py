"""Work in parts stays in parts, whatever the planner believes the table to hold."""

from __future__ import annotations

import psycopg
import pytest

from halflap.model import FlowKey, Start
from halflap.store.gates import HELD_AT_ONCE
from halflap.store.postgres.gates import MOVING, HoldGate
from halflap.store.postgres.journal import PostgresJournal
from tests.journals import LEASE, in_postgres, new_start, postgres_url


def start(instance: str) -> Start:
    return new_start(FlowKey("cus_1", instance, "shop", "orders", "v1", 1))


@pytest.mark.parametrize("known", [0, 1, 2])
async def test_a_part_is_no_more_than_that_where_the_figures_are_of_an_empty_table(
    known: int,
) -> None:
    async with in_postgres() as journal:
        assert isinstance(journal, PostgresJournal)
        await journal.accept([start("ins_other") for _ in range(known)], claim=0, lease=LEASE)
        with psycopg.connect(postgres_url(), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE executions")
        some = [start("ins_big") for _ in range(HELD_AT_ONCE + 500)]
        await journal.accept(some, claim=0, lease=LEASE)
        gate = HoldGate("ins_big", MOVING)
        database = journal._database
        assert await database.write(gate.hold)
        row = await database.fetch("SELECT count(*) FROM executions WHERE held <> 0")
        assert row[0][0] == HELD_AT_ONCE
        assert await database.write(gate.let_go)
