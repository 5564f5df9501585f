"""Work due before the store's clock was set back is due after it; what waits goes by the new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from halflap.model import Micros, Outcome, new_id
from halflap.store.postgres import time as database_time
from halflap.store.postgres.journal import PostgresJournal
from halflap.store.protocol import Journal, Release
from halflap.store.store import Store
from tests.journals import LEASE, StandingClock, claimed, in_postgres, new_start
from tests.simulation.shared import simulated_journal

HOUR: Micros = 3_600_000_000


async def accepted(journal: Journal, execution: str = "") -> str:
    begun = new_start(execution=execution)
    await journal.accept([begun], claim=0, lease=LEASE)
    return begun.execution


async def leave_some(journal: Journal, now: Micros) -> tuple[str, str]:
    """One that is queued, and one that sleeps for an hour."""
    sleeps = await accepted(journal)
    claim = (await claimed(journal))[sleeps]
    await journal.release(claim.lease, [], [], Release("sleep", now + HOUR))
    return await accepted(journal), sleeps


@pytest.mark.parametrize("kind", ["file", "simulated"])
async def test_a_claim_notices_that_the_clock_was_set_back(tmp_path: Path, kind: str) -> None:
    clock = StandingClock()
    store = await Store.open(tmp_path / "store", clock=clock) if kind == "file" else None
    journal: Journal = simulated_journal(clock) if store is None else store.journal
    try:
        queued, _ = await leave_some(journal, clock.now)
        await journal.claim(1, LEASE, probation=True)
        clock.now -= 2 * HOUR
        assert (await claimed(journal)).keys() == {queued}
        assert await journal.next_due() == clock.now + 3 * HOUR
    finally:
        if store is not None:
            await store.close()


async def test_a_look_at_the_databases_time_notices_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_postgres() as journal:
        assert isinstance(journal, PostgresJournal)
        database, clock = journal._database, journal._database.own_clock
        assert clock is not None
        queued, _ = await leave_some(journal, clock())
        now = "SELECT (extract(epoch FROM clock_timestamp() - interval '2h') * 1000000)::bigint"
        monkeypatch.setattr(database_time, "NOW", now)
        await clock.look(database.run)
        assert (await claimed(journal)).keys() == {queued}
        due = await journal.next_due()
        assert due is not None
        assert due > clock() + 2 * HOUR


async def test_what_ended_before_it_was_accepted_is_found_by_its_id() -> None:
    clock = StandingClock()
    async with in_postgres(clock) as journal:
        clock.now += 48 * HOUR
        execution = await accepted(journal, new_id("exe", now=clock.now))
        claim = (await claimed(journal))[execution]
        clock.now -= 48 * HOUR
        await journal.end(claim.lease, [], [], Outcome("succeeded"))
        clock.now += 47 * HOUR
        assert await journal.event(execution) is not None
        assert await accepted(journal, execution) == execution
        assert await claimed(journal) == {}
        found = await journal.execution(execution)
        assert found is not None
        assert found.ended_at == found.accepted_at
