"""The audit log: who changed what, and who looked at a secret or a payload. It only grows.

The tables' triggers refuse whatever would change it, but for the removal of what is old enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from halflap.model import A_DAY, AuditEntry, Clock, new_id
from halflap.store.catalogue.writer import CatalogueWriter
from halflap.store.job import JobTransaction

DAYS = 365
COLUMNS = "id, at, kind, actor, label, address, operation, customer, objects, status, changes"
INSERT = f"INSERT INTO audit ({COLUMNS}, kept_until) VALUES ({', '.join('?' * 12)})"  # noqa: S608
PRUNE = """
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE kept_until <= ? ORDER BY kept_until LIMIT ?)
"""


class AuditLog:
    """Adds to the audit log, reads it, and removes what was kept for `days`."""

    def __init__(self, writer: CatalogueWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self.days = DAYS

    def entry(self, **values: Any) -> AuditEntry:
        """Return an entry of now."""
        now = self._clock()
        return AuditEntry(id=new_id("aud", now=now), at=now, **values)

    async def add(self, entry: AuditEntry) -> None:
        """Add an entry; it is on disk once this returns."""
        row = (
            entry.id,
            entry.at,
            entry.kind,
            entry.actor,
            entry.label,
            entry.address,
            entry.operation,
            entry.customer,
            _written(entry.objects),
            entry.status,
            _written(entry.changes),
            entry.at + self.days * A_DAY,
        )
        await self._writer.note(lambda c: c.execute(INSERT, row).rowcount)

    async def list(
        self,
        *,
        actor: str | None = None,
        operation: str | None = None,
        on: str | None = None,
        customer: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first: of an actor (by id or label), on an object (by id)."""
        wanted = {
            "(actor = ? OR label = ?)": None if actor is None else (actor, actor),
            "operation = ?": operation and (operation,),
            "customer = ?": customer and (customer,),
            "id < ?": before and (before,),
            # An object's id stands in quotes.
            "objects LIKE ? ESCAPE '!'": on and (f"%{_like(_written(on))}%",),
        }
        given = {sql: values for sql, values in wanted.items() if values}
        where = f"WHERE {' AND '.join(given)}" if given else ""
        rows = await self._writer.rows(
            f"SELECT {COLUMNS} FROM audit {where} ORDER BY id DESC LIMIT {limit:d}",  # noqa: S608
            tuple(each for values in given.values() for each in values),
        )
        return [_read(each) for each in rows]

    async def prune(self, most: int) -> bool:
        """Remove some of what was kept for long enough; returns whether there may be more."""
        now = self._clock()

        def job(connection: JobTransaction) -> int:
            return connection.execute(PRUNE, (now, most)).rowcount

        return await self._writer.note(job) == most


def _written(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _like(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _read(row: Any) -> AuditEntry:
    objects, status, changes = row[8:]
    return AuditEntry(
        *row[:8],
        objects=msgspec.json.decode(objects),
        status=status,
        changes=msgspec.json.decode(changes),
    )
