"""Halflap with faults, for the controls of fault runs: `faulty.py FAULT,… ARGUMENTS OF HALFLAP`.

early: its gateways say that events are accepted, and only then accept them.
keyless: its ticks have no dedupe keys. leading: each of its processes takes itself for the one that
leads. host-time: on PostgreSQL, it goes by its own host's clock. hoarding: it keeps what comes in,
leaves files open, and prunes nothing.
No faults, but for clocks that are set: with settable its host's clock is as far ahead as the file at
CLOCK says, in seconds; with database-time, the database's. watchful: it asks for the database's time
each second, and prunes as often.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from halflap.cli import main
from halflap.model import Dedupe, new_id


def early() -> None:
    from halflap.server.host import Host
    from tests.faults.server import EarlyIntake

    whole = Host.__init__

    def broken(self: Host, *given: Any, **more: Any) -> None:
        whole(self, *given, **more)
        gateway: Any = self.gateway
        gateway._engine = EarlyIntake(self.engine)

    setattr(Host, "__init__", broken)  # noqa: B010


def keyless() -> None:
    from halflap.engine import scheduler

    setattr(scheduler, "Dedupe", lambda key: Dedupe(new_id("any")))  # noqa: B010


def leading() -> None:
    from halflap.store.catalogue import Catalogue

    @asynccontextmanager
    async def alone(self: Catalogue, name: str) -> AsyncIterator[bool]:
        yield True

    async def holds(self: Catalogue, name: str) -> bool:
        return True

    setattr(Catalogue, "alone", alone)  # noqa: B010
    setattr(Catalogue, "holds", holds)  # noqa: B010


def host_time() -> None:
    from halflap.store.postgres.time import DatabaseClock

    setattr(DatabaseClock, "__call__", lambda self: time.time_ns() // 1000)  # noqa: B010


def ahead() -> float:
    return float(Path(os.environ["CLOCK"]).read_text())


def settable() -> None:
    real = time.time_ns

    def now() -> int:
        return real() + round(ahead() * 1e9)

    setattr(time, "time_ns", now)  # noqa: B010
    setattr(time, "time", lambda: now() / 1e9)  # noqa: B010


def database_time() -> None:
    from halflap.store.postgres import database, time

    real = time.measure

    async def measure(connection: Any) -> int:
        return await real(connection) + round(ahead() * 1e6)

    database.measure = time.measure = measure


def watchful() -> None:
    from halflap.engine import pruner
    from halflap.store.postgres import time

    time.LOOK_SECONDS = 1.0
    pruner.REST_SECONDS = 1.0


def hoarding() -> None:
    from halflap.engine.journal import JournalEngine
    from halflap.engine.pruner import Pruner

    whole, kept = JournalEngine.start, list[Any]()

    async def start(self: JournalEngine, starts: Any) -> Any:
        kept.append((b"x" * 400_000 * len(starts), open(os.devnull)))  # noqa: SIM115, ASYNC230
        return await whole(self, starts)

    async def run(self: Pruner) -> None:
        await self._stopped.wait()

    setattr(JournalEngine, "start", start)  # noqa: B010
    setattr(Pruner, "run", run)  # noqa: B010


FAULTS: dict[str, Callable[[], None]] = {
    "early": early,
    "keyless": keyless,
    "leading": leading,
    "host-time": host_time,
    "hoarding": hoarding,
    "settable": settable,
    "database-time": database_time,
    "watchful": watchful,
}

if __name__ == "__main__":
    for each in sys.argv.pop(1).split(","):
        FAULTS[each]()
    main()
