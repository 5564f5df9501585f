"""A store that hangs is found out once, and is back once events can be accepted."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from halflap.store import pulse as room
from halflap.store.pulse import Pulse
from tests.journals import StandingClock, opened, postgres_url
from tests.polling import until

WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_class ON relation = pg_class.oid
WHERE NOT granted AND relname = 'executions' AND relnamespace = current_schema()::regnamespace
"""


@pytest.mark.usefixtures("unfiltered_logs")
async def test_a_store_is_away_while_a_table_that_events_need_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WRITE_SECONDS", 0.1)
    async with opened("postgresql", tmp_path, StandingClock()) as journal:
        pulse = Pulse(journal)
        locking = await psycopg.AsyncConnection.connect(postgres_url())
        looking = await psycopg.AsyncConnection.connect(postgres_url(), autocommit=True)

        async def is_waited_for() -> bool:
            found = await (await looking.execute(WAITING)).fetchone()
            return found is not None and found[0] > 0

        async with locking, looking:
            with capture_logs() as lines:
                await locking.execute("LOCK TABLE executions IN EXCLUSIVE MODE")
                with pytest.raises(TimeoutError):
                    await pulse.check()
                await until(is_waited_for)
                assert pulse.is_lost
                await locking.rollback()
                await until(lambda: not pulse.is_lost)
            monkeypatch.undo()
            await pulse.check()
        await pulse.close()
    assert [each["event"] for each in lines] == [
        "the store does not answer; events are refused until it does",
        "the store answers again",
    ]
