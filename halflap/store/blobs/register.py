"""Which blobs there are: noted in the store's database before they are written to the blob store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from halflap.model import Clock, Micros
from halflap.store.job import Connection, Database

Part = Literal["event", "step", "log", "result"]

INSERT = "INSERT INTO blobs (key, execution, part, size, at) VALUES (?, ?, ?, ?, ?)"
STRAY = """
SELECT key FROM blobs WHERE at < ?
    AND NOT EXISTS (SELECT 1 FROM known WHERE known.id = blobs.execution) LIMIT ?
"""
FORGET = "DELETE FROM blobs WHERE key = ?"
CUSTOMER = "SELECT customer FROM known WHERE id = ?"
COUNT = "SELECT count(*) FROM blobs WHERE key >= ? AND key < ?"
OF_CUSTOMER = "SELECT key FROM blobs WHERE key >= ? AND key < ? LIMIT ?"


@dataclass(frozen=True, slots=True)
class Note:
    """A blob that is about to be written, and which part of which execution it is."""

    key: str
    execution: str
    part: Part
    size: int


class Register:
    """Notes blobs, and finds those that nobody needs any more. On both kinds of store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, notes: Sequence[Note]) -> None:
        """Note blobs; on return that is on disk, and they may be written."""
        now = self._clock()
        rows = [(each.key, each.execution, each.part, each.size, now) for each in notes]

        def job(connection: Connection) -> None:
            connection.executemany(INSERT, rows)

        await self._database.write(job)

    async def stray(self, before: Micros, limit: int) -> list[str]:
        """Blobs that were noted before a time, and whose execution is not (or no longer) there."""
        return await self._keys(STRAY, before, limit)

    async def of_customer(self, customer: str, limit: int) -> list[str]:
        """Some of a customer's blobs."""
        return await self._keys(OF_CUSTOMER, f"{customer}/", f"{customer}0", limit)

    async def count(self, customer: str) -> int:
        """How many blobs a customer has."""

        def job(connection: Connection) -> int:
            return connection.execute(COUNT, (f"{customer}/", f"{customer}0")).fetchone()[0]

        return await self._database.read(job)

    async def forget(self, keys: Sequence[str]) -> None:
        """Forget blobs that were removed."""

        def job(connection: Connection) -> None:
            connection.executemany(FORGET, [(each,) for each in keys])

        await self._database.write(job)

    async def customer(self, execution: str) -> str | None:
        """Whose an execution is."""
        found = await self._keys(CUSTOMER, execution)
        return found[0] if found else None

    async def _keys(self, sql: str, *values: object) -> list[str]:
        def job(connection: Connection) -> list[str]:
            return [row[0] for row in connection.execute(sql, values)]

        return await self._database.read(job)
