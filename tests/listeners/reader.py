"""Servers that read a source and are killed at a step of that, and what they have accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.process import ServerProcess

SCRIPT = Path(__file__).parent / "server.py"
POINTS = ("opened", "read", "accepted", "acknowledged")
"""The steps at which `server.py` can be told to die."""
AT_POINTS = pytest.mark.parametrize(
    "points", [POINTS[1:3], pytest.param(POINTS, marks=pytest.mark.soak)], ids=["few", "all"]
)
"""The middle two of them in a commit: with what was read in hand, and with it accepted."""


@asynccontextmanager
async def reader(
    folder: Path, source: str, *flags: str, store: str = "", log: Path | None = None
) -> AsyncIterator[ServerProcess]:
    """A server that reads a source; it may end by itself before it says that it is there."""
    process = ServerProcess(folder, source, *flags, store=store, script=SCRIPT, log=log)
    try:
        try:
            await process.start()
        except AssertionError:  # it died before its instance was active
            await process.ended()
        yield process
    finally:
        await process.clean_up()


def accepted(place: Path | str, *flows: str) -> Counter[int]:
    """The numbers that became executions of flows which ended, and how often each did."""
    rows = [row for flow in flows for row in checker.executions(place, flow).values()]
    assert all(row.state == "succeeded" for row in rows if row.state not in checker.LIVE)
    return Counter(int(row.result) for row in rows if row.result)
