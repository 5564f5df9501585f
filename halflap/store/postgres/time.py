"""The database's time, without asking it each time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.model import Micros
from halflap.store.postgres.connecting import Connection

Run = Callable[[Callable[[Connection], Awaitable[Micros]]], Awaitable[Micros]]
"""A database's way to run a job on a connection."""

log = structlog.get_logger("halflap.store")

NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
SAMPLES = 3
LOOK_SECONDS = 10.0
"""Seconds between measurements: processes disagree about the time from when it was set until then.
"""
MUCH: Micros = 1_000_000
TWICE = 2
"""The number of notices that the clock was set back: a write may be under way that bears the old
time.
"""


class DatabaseClock:
    """The time of the database's host: its offset from this one's monotonic clock is measured.

    So the clocks of workers agree, and none jumps where somebody sets its host's.
    """

    def __init__(self) -> None:
        self.on_set_back: Callable[[Micros], Awaitable[None]] | None = None
        """Called with the time before, where the database's clock was set back."""
        self._before: Micros = 0
        self._owed = 0
        self._offset = time.time_ns() // 1000 - _monotonic()

    def __call__(self) -> Micros:
        return self._offset + _monotonic()

    def set(self, offset: Micros) -> None:
        """Take an offset that was measured."""
        self._offset = offset

    async def follow(self, run: Run) -> None:
        """Measure again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(StoreError):
                await self.look(run)

    async def look(self, run: Run) -> None:
        """Measure once."""
        offset = await run(measure)
        before, by = self(), offset - self._offset
        self.set(offset)
        if abs(by) > MUCH:
            log.warning("the database's clock was set", by=by / 1e6)
        if by < -MUCH:
            self._before = before
            self._owed = TWICE
        if self._owed and self.on_set_back is not None:
            await self.on_set_back(self._before)
            self._owed -= 1


async def measure(connection: Connection) -> Micros:
    """Return how far the database's time is ahead of the monotonic clock: by the sample that took
    least.
    """
    best: tuple[int, Micros] | None = None
    for _ in range(SAMPLES):
        sent = _monotonic()
        row = await (await connection.execute(NOW)).fetchone()
        took = _monotonic() - sent
        if row is None:
            raise psycopg.InternalError("the database did not say what time it is")
        sample = (took, row[0] - sent - took // 2)
        best = min(best, sample) if best else sample
    assert best is not None
    return best[1]


def _monotonic() -> Micros:
    return time.monotonic_ns() // 1000
