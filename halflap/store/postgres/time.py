"""The database's time, without asking it each time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.model import Micros
from halflap.store.postgres.connecting import Connection

log = structlog.get_logger("halflap.store")

NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
SAMPLES = 3
LOOK_SECONDS = 60.0
MUCH: Micros = 1_000_000


class DatabaseClock:
    """The time of the database's host: its offset from this one's monotonic clock is measured.

    So the clocks of workers agree, and none jumps where somebody sets its host's.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - _monotonic()

    def __call__(self) -> Micros:
        return self._offset + _monotonic()

    def set(self, offset: Micros) -> None:
        """Take an offset that was measured."""
        self._offset = offset

    async def follow(
        self, connection: Callable[[], AbstractAsyncContextManager[Connection]]
    ) -> None:
        """Measure again every minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with connection() as each:
                    offset = await measure(each)
            except StoreError:
                continue
            if abs(offset - self._offset) > MUCH:
                log.warning("the database's clock was set", by=(offset - self._offset) / 1e6)
            self.set(offset)


async def measure(connection: Connection) -> Micros:
    """How far the database's time is ahead of the monotonic clock: the sample that took least."""
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
