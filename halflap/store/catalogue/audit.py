"""The audit log: who changed what, and who looked at a secret or a payload. It only grows.

The tables' triggers refuse whatever would change it, but for the removal of what is old enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from halflap.model import A_DAY, AuditEntry, Clock, new_id
from halflap.store.act import Act, Statement
from halflap.store.catalogue.writer import CatalogueWriter, conditions
from halflap.store.job import JobTransaction

DAYS = 365
COLUMNS = "id, at, kind, actor, label, address, operation, customer, objects, status, changes"
INSERT = f"""
INSERT INTO audit ({COLUMNS}, kept_until) SELECT {", ".join("?" * 12)}
WHERE NOT EXISTS (SELECT 1 FROM audit WHERE id = ?)
"""  # noqa: S608
ABOUT = "INSERT INTO audit_objects (object, entry) VALUES (?, ?) ON CONFLICT DO NOTHING"
COMPLETE = """
UPDATE audit SET kind = ?, actor = ?, label = ?, operation = ?, customer = ?, objects = ?, status = ?,
    changes = ? WHERE id = ? AND status = 0
"""
PRUNE = """
DELETE FROM {table} WHERE {of} IN
    (SELECT id FROM audit WHERE kept_until <= ? ORDER BY kept_until, id LIMIT ?)
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

    def begin(self, entry: Callable[[], AuditEntry]) -> Act:
        """Return the act of a request whose entry, as far as it is known, is written with its change."""
        return Act(lambda: self._statements(entry()))

    async def add(self, entry: AuditEntry) -> None:
        """Add an entry, or complete the one of its id; it is on disk once this returns."""

        def job(connection: JobTransaction) -> None:
            about = (entry.kind, entry.actor, entry.label, entry.operation, entry.customer)
            values = (*about, _written(entry.objects), entry.status, _written(entry.changes))
            connection.execute(COMPLETE, (*values, entry.id))
            for sql, row in self._statements(entry):
                connection.execute(sql, row)

        await self._writer.note(job)

    def _statements(self, entry: AuditEntry) -> list[Statement]:
        """Return what adds an entry where there is none of its id, and what it is about."""
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
        objects = dict.fromkeys(entry.objects.values())
        return [(INSERT, (*row, entry.id)), *((ABOUT, (each, entry.id)) for each in objects)]

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
        # CROSS has SQLite look at the object's entries first, in their order.
        table, id = ("audit_objects CROSS JOIN audit", "entry") if on else ("audit", "id")
        wanted = {
            "actor = ? OR label = ?": None if actor is None else (actor, actor),
            "operation = ?": operation or None,
            "customer = ?": customer or None,
            f"{id} < ?": before or None,
            f"object = ? AND id = {id}": on or None,
        }
        where, values = conditions(wanted)
        rows = await self._writer.rows(
            f"SELECT {COLUMNS} FROM {table} {where} ORDER BY {id} DESC LIMIT {limit:d}",  # noqa: S608
            values,
        )
        return [_read(each) for each in rows]

    async def prune(self, most: int) -> bool:
        """Remove some of what was kept for long enough; returns whether there may be more."""
        now = self._clock()

        def job(connection: JobTransaction) -> int:
            connection.execute(PRUNE.format(table="audit_objects", of="entry"), (now, most))
            return connection.execute(PRUNE.format(table="audit", of="id"), (now, most)).rowcount

        return await self._writer.note(job) == most


def _written(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _read(row: Any) -> AuditEntry:
    objects, status, changes = row[8:]
    return AuditEntry(
        *row[:8],
        objects=msgspec.json.decode(objects),
        status=status,
        changes=msgspec.json.decode(changes),
    )
