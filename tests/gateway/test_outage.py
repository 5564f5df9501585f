"""An outage of the store: the log has a line as it begins and as it ends, and not one an event."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from halflap.gateway.app import QUIET_SECONDS, Outage
from tests.polling import LoopTime


@pytest.mark.usefixtures("unfiltered_logs")
async def test_refused_events_are_counted_until_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = LoopTime(stands=True)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", time)
    outage = Outage()
    with capture_logs() as lines:
        for _ in range(1_000):
            outage.note("ep_1", "the disk is full")
        await time.move(QUIET_SECONDS + 1)
        await time.move(QUIET_SECONDS + 1)
        await time.move(QUIET_SECONDS + 1)
        outage.note("ep_2", "the disk is full")
    told = [(each["log_level"], each.get("events")) for each in lines]
    assert told == [("error", None), ("error", 999), ("info", None), ("error", None)]
    assert lines[-1]["endpoint"] == "ep_2"
