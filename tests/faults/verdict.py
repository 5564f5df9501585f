"""The conditions at the end of a fault run: nothing lost, nothing without an outcome."""

from __future__ import annotations

import os
import random
from functools import partial

from tests.faults import checker
from tests.faults.process import ServerProcess
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.polling import until

SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(10**6)))
"""The seed of all chance in a run; it is printed, and given by FAULT_SEED to see a run again."""

SECONDS = float(os.environ.get("FAULT_SECONDS", "3600"))
"""Seconds that the longest runs of the soak take; the others are as much shorter."""
SHARE = min(SECONDS / 3600, 1.0)


def lost(history: History, sink: Sink) -> int:
    """Count the acknowledged events that were not delivered."""
    return len(history.acknowledged - sink.arrived)


async def all_ended(server: ServerProcess, within: float = 60.0) -> None:
    """Wait until every execution has an outcome, then stop the server in good order.

    Fails where none ends for `within` seconds, however many are left. A request that waited for the
    database may be accepted as it stops, its sender long gone: the next server has to run it.
    """

    def fewer(than: int) -> bool:
        return checker.live(server.place, None) < than

    while True:
        while left := checker.live(server.place, None):
            await until(partial(fewer, left), within, lambda: "still running")
        assert await server.stop() == 0
        if checker.live(server.place, None) == 0:
            return
        await server.start()


def check(server: ServerProcess, history: History, sink: Sink) -> None:
    """Nothing lost, nothing invented, nothing without an outcome, no repeat under another key."""
    rows = checker.executions(server.place)
    assert lost(history, sink) == 0
    assert history.executions <= rows.keys()
    others = [row for row in rows.values() if row.state != "succeeded"]
    assert others == [], others
    assert sink.arrived <= history.acknowledged | history.unknown
    assert sink.keys_changed == 0
    assert checker.problems(server.place) == []


def figures(history: History, sink: Sink) -> dict[str, int]:
    """Return the figures that tell how a run went."""
    return {
        "acknowledged": len(history.acknowledged),
        "lost": lost(history, sink),
        "repeated": sink.duplicates,
    }
