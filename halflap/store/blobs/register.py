"""A register of blobs: noted in the store's database before they are written to the blob store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from halflap.model import Clock, Micros
from halflap.store.job import Database, JobTransaction, fetch, run_each

Part = Literal["event", "step", "log", "result"]

INSERT = "INSERT INTO blobs (key, execution, part, size, at) VALUES (?, ?, ?, ?, ?)"
PAGE = "SELECT key, execution, part, at FROM blobs WHERE key > ? ORDER BY key LIMIT ?"
WHOSE = "SELECT id, removed FROM known WHERE id IN ({marks})"
FORGET = "DELETE FROM blobs WHERE key = ?"
CUSTOMER = "SELECT customer FROM known WHERE id = ?"
REMOVED = "SELECT instance FROM known WHERE id = ? AND removed"
COUNT = "SELECT count(*) FROM blobs WHERE key >= ? AND key < ?"
OF_CUSTOMER = "SELECT key FROM blobs WHERE key >= ? AND key < ? LIMIT ?"


@dataclass(frozen=True, slots=True)
class Note:
    """A blob that is about to be written, and which part of which execution it is."""

    key: str
    execution: str
    part: Part
    size: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A blob that was noted at a time, and whether something refers to it; `None`: not yet, or never."""

    key: str
    at: Micros
    needed: bool | None


class Register:
    """Notes blobs, and finds those that nobody needs any more. On both kinds of store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, notes: Sequence[Note]) -> None:
        """Note blobs; on return that is on disk, and they may be written."""
        now = self._clock()
        rows = [(each.key, each.execution, each.part, each.size, now) for each in notes]
        await run_each(self._database, INSERT, rows)

    async def page(self, after: str, limit: int) -> list[Noted]:
        """The blobs that come after a key, with how the executions are that they belong to."""

        def job(connection: JobTransaction) -> list[Noted]:
            page = connection.execute(PAGE, (after, limit)).fetchall()
            ids = sorted({row[1] for row in page})
            removed: dict[str, bool] = {}
            if ids:
                whose = WHOSE.format(marks=", ".join("?" * len(ids)))
                removed = dict(connection.execute(whose, ids).fetchall())
            return [
                Noted(key, at, _needed(part, removed.get(execution)))
                for key, execution, part, at in page
            ]

        return await self._database.read(job)

    async def of_customer(self, customer: str, limit: int) -> list[str]:
        """Some of a customer's blobs."""
        return await self._keys(OF_CUSTOMER, f"{customer}/", f"{customer}0", limit)

    async def count(self, customer: str) -> int:
        """Return the number of a customer's blobs."""
        return (await fetch(self._database, COUNT, f"{customer}/", f"{customer}0"))[0][0]

    async def forget(self, keys: Sequence[str]) -> None:
        """Forget blobs that were removed."""
        await run_each(self._database, FORGET, [(each,) for each in keys])

    async def customer(self, execution: str) -> str | None:
        """Return the customer of an execution."""
        found = await self._keys(CUSTOMER, execution)
        return found[0] if found else None

    async def removed_of(self, execution: str) -> str | None:
        """Return the instance of an execution whose payload was removed; None of others."""
        found = await self._keys(REMOVED, execution)
        return found[0] if found else None

    async def _keys(self, sql: str, *values: object) -> list[str]:
        return [row[0] for row in await fetch(self._database, sql, *values)]


def _needed(part: Part, payload_removed: bool | None) -> bool | None:
    """Tell whether an execution refers to a blob; a result stays as long as the execution."""
    return None if payload_removed is None else part == "result" or not payload_removed
