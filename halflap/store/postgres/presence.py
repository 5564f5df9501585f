"""A register of the processes that have the store open, and the code that they run: a row each,
kept fresh.

So a migration's `after` waits until no process is left that needs what it removes. One that was
away for so long that it counts as gone ends itself where its code is too old by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.model import Clock, Micros, Process
from halflap.store.identity import Identity
from halflap.store.migrate import Migration, code_version, compare, in_order, read_history
from halflap.store.postgres.connecting import Connection
from halflap.store.postgres.database import PostgresDatabase
from halflap.store.postgres.jobs import JobLink
from halflap.store.postgres.migrate import alone

log = structlog.get_logger("halflap.store")

BEAT_SECONDS = 5.0
GONE: Micros = 30_000_000
"""The silence after which a process counts as gone."""
FORGOTTEN: Micros = 600_000_000

COLUMNS = "id, role, worker, host, pid, version, migration, started_at, seen_at"
ENTER = f"""
INSERT INTO processes ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
"""
NAMED = "SELECT FROM processes WHERE worker = %s AND id <> ALL(%s) AND seen_at > %s"
BEAT = "UPDATE processes SET seen_at = %s WHERE id = %s"
NEWEST = "SELECT coalesce(max(number), 0) FROM migrations WHERE phase = 'after'"
LEAVE = "DELETE FROM processes WHERE id = ANY(%s)"
FORGET = "DELETE FROM processes WHERE seen_at < %s"
LIST = f"SELECT {COLUMNS} FROM processes WHERE seen_at > %s ORDER BY started_at, id"


class Presence:
    """This process among those that have the store open. Use `Presence.enter`."""

    def __init__(
        self, database: PostgresDatabase, identity: Identity, known: int, clock: Clock
    ) -> None:
        self.identity = identity
        self.on_failure: Callable[[BaseException], object] | None = None
        self._database = database
        self._known = known
        self._clock = clock
        now = clock()
        self._row = (
            *(identity.id, identity.role, identity.worker, identity.host, identity.pid),
            *(code_version(), known, now),
        )
        self._beating: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Keep the row fresh from now on."""
        self._beating = asyncio.create_task(self._beat(), name="presence")

    async def list(self) -> Sequence[Process]:
        """The processes that have the store open now."""
        found = await self._database.fetch(LIST, (self._clock() - GONE,))
        return [Process(*row) for row in found]

    async def close(self) -> None:
        """Say that this process is gone."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            self._beating = None
            with contextlib.suppress(StoreError):
                await self._database.run(lambda c: c.execute(LEAVE, ([self.identity.id],)))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                newest = await self._database.run(self._enter)
            except StoreError as error:
                log.warning("the other processes do not hear of this one", error=str(error))
                continue
            if newest > self._known:
                self._outdated(newest)

    async def _enter(self, connection: Connection) -> int:
        """Say that this process is there; returns the newest migration that was finished."""
        now = self._clock()
        beat = await connection.execute(BEAT, (now, self.identity.id))
        if not beat.rowcount:  # it was away for so long that it was forgotten
            await connection.execute(ENTER, (*self._row, now))
        row = await (await connection.execute(NEWEST)).fetchone()
        return row[0] if row else 0

    def _outdated(self, newest: int) -> None:
        error = StoreError(
            f"the store has migration {newest} now, this code knows {self._known}; install the "
            "Halflap that the other processes run, and start again."
        )
        log.error("this process ends", error=error.message)
        if self.on_failure is not None:
            self.on_failure(error)


def enter(
    connection: psycopg.Connection[Any],
    identity: Identity,
    migrations: Sequence[Migration],
    clock: Clock,
) -> Identity:
    """Note a process that opens the store; with a new name, where another has its own.

    Nobody finishes a migration meanwhile. Raises `StoreError` where the store is too new by now.
    """
    with alone(connection):
        compare(in_order(migrations), read_history(JobLink(connection)))
        now = clock()
        ours = [identity.id, *identity.before]
        if connection.execute(NAMED, (identity.worker, ours, now - GONE)).fetchone() is not None:
            identity = Identity(identity.role, id=identity.id)
        connection.execute(FORGET, (now - FORGOTTEN,))
        connection.execute(LEAVE, (list(identity.before),))
        row = (identity.id, identity.role, identity.worker, identity.host, identity.pid)
        about = (code_version(), len(migrations), now, now)
        connection.execute(ENTER, (*row, *about))
    return identity


def present(connection: psycopg.Connection[Any], now: Micros) -> list[Process]:
    """The processes that have the store open, by a connection of one's own."""
    return [Process(*row) for row in connection.execute(LIST, (now - GONE,)).fetchall()]
