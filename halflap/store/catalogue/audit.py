"""The audit log: who changed what, and who looked at a secret or a payload. It only grows.

The tables' triggers refuse whatever would change it, but for the removal of what is old enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from halflap.model import A_DAY, AuditEntry, Clock, Micros, new_id, random_bits
from halflap.store.act import Act, Statement
from halflap.store.catalogue.writer import CatalogueWriter, Wanted, conditions, marks
from halflap.store.job import JobTransaction, json_text

DAYS = 365
A_MS = 1_000
COLUMNS = "id, at, kind, actor, label, address, operation, customer, objects, status, changes"
INSERT = f"""
INSERT INTO audit ({COLUMNS}, kept_until) SELECT {", ".join("?" * 12)}
WHERE NOT EXISTS (SELECT 1 FROM audit WHERE id = ?)
"""
ABOUT = "INSERT INTO audit_objects (object, entry) VALUES (?, ?) ON CONFLICT DO NOTHING"
# The customers that an entry is about by what it did to many things: those of a bulk, say.
AS_FORMER = """
INSERT INTO audit_objects (object, entry) SELECT object, ? FROM audit_objects
WHERE entry = (SELECT MIN(entry) FROM audit_objects WHERE object = ?) AND substr(object, 1, 4) = 'cus_'
ON CONFLICT DO NOTHING
"""
ALSO_ABOUT = """
INSERT INTO audit_objects (object, entry) SELECT ?, entry FROM audit_objects WHERE object = ?
ON CONFLICT DO NOTHING
"""
CUSTOMERS = """
SELECT entry, object, many FROM (
    SELECT entry, object, COUNT(*) OVER (PARTITION BY entry) AS many,
        ROW_NUMBER() OVER (PARTITION BY entry ORDER BY object) AS place
    FROM audit_objects WHERE entry IN ({entries}) AND substr(object, 1, 4) = 'cus_'
) AS named WHERE place <= ? ORDER BY entry, place
"""
COMPLETE = """
UPDATE audit SET kind = ?, actor = ?, label = ?, operation = ?, customer = ?, objects = ?, status = ?,
    changes = ? WHERE id = ? AND status = 0
"""
NAMES = {
    "cus": "SELECT id, name FROM customers",
    "ins": "SELECT id, name FROM instances",
    "con": "SELECT id, name FROM connections",
    "usr": "SELECT id, email FROM users",
    "key": "SELECT id, name FROM keys",
    "tok": "SELECT id, label FROM tokens",
    "drf": "SELECT id, integration FROM drafts",
    "cset": "SELECT id, name FROM component_sets",
    "blk": "SELECT id, verb FROM bulks",
}
"""By the prefix of an id, what reads the name that people know it by."""
PRUNE = """
DELETE FROM {table} WHERE {of} IN
    (SELECT id FROM audit WHERE kept_until <= ? ORDER BY kept_until, id LIMIT ?)
"""


def ordered_bits(micros: int, count: int, chance: int) -> int:
    """Return bits for an id that sorts by the microsecond, and by a count within it."""
    return micros << 62 | min(count, 0xFFFF) << 46 | chance & 0x3FFF_FFFF_FFFF


class AuditLog:
    """Adds to the audit log, reads it, and removes what was kept for `days`."""

    def __init__(self, writer: CatalogueWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self.days = DAYS
        self._last: tuple[Micros, int] = (0, 0)

    def entry(self, **values: Any) -> AuditEntry:
        """Return an entry of now; ids sort as this process returned them, also within a microsecond."""
        at, count = self._last
        now = self._clock()
        count = count + 1 if now == at else 0
        self._last = now, count
        chance = ordered_bits(now % A_MS, count, random_bits())
        return AuditEntry(id=new_id("aud", now=now, chance=chance), at=now, **values)

    def begin(self, entry: Callable[[], AuditEntry]) -> Act:
        """Return the act of a request whose entry, as far as it is known, is written with its change."""
        return Act(lambda: self._statements(entry()))

    async def add(self, entry: AuditEntry) -> None:
        """Add an entry, or complete the one of its id; it is on disk once this returns."""

        def job(connection: JobTransaction) -> None:
            about = (entry.kind, entry.actor, entry.label, entry.operation, entry.customer)
            values = (*about, json_text(entry.objects), entry.status, json_text(entry.changes))
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
            json_text(entry.objects),
            entry.status,
            json_text(entry.changes),
            entry.at + self.days * A_DAY,
        )
        about = dict.fromkeys((*entry.objects.values(), *entry.customers))
        bulks = [each for each in about if each.startswith("blk_")]
        return [
            (INSERT, (*row, entry.id)),
            *((ABOUT, (each, entry.id)) for each in about),
            *((AS_FORMER, (entry.id, each)) for each in bulks),
        ]

    async def add_customers(self, object: str, customers: Iterable[str]) -> None:
        """Have what was done with an object, a bulk, say, found under these customers, too."""
        rows = [(each, object) for each in sorted(set(customers))]

        def job(connection: JobTransaction) -> None:
            connection.executemany(ALSO_ABOUT, rows)

        await self._writer.note(job)

    async def customers(
        self, entries: Sequence[str], most: int
    ) -> dict[str, tuple[int, list[str]]]:
        """Return by entry (id) how many customers it is about, and the ids of so many of them."""
        found: dict[str, tuple[int, list[str]]] = {}
        if entries:
            sql = CUSTOMERS.format(entries=marks(entries))
            for entry, customer, many in await self._writer.rows(sql, (*entries, most)):
                found.setdefault(entry, (many, []))[1].append(customer)
        return found

    async def list(
        self,
        *,
        actor: str | None = None,
        operation: str | None = None,
        on: str | None = None,
        customer: str | None = None,
        since: Micros | None = None,
        until: Micros | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[AuditEntry]:
        """Return entries, newest first: of an actor (by id or label), on an object (by id).

        Those of a customer are its own, and those about several customers of which it is one.
        """
        # Ids sort by their time.
        wanted: Wanted = {
            "actor = ? OR label = ?": None if actor is None else (actor, actor),
            "operation = ?": operation or None,
            "at >= ?": since,
            "at < ?": until,
        }
        bounds: dict[str, str | None] = {
            "{id} < ?": before or None,
            "{id} >= ?": None if since is None else new_id("aud", now=since, chance=0),
            "{id} <= ?": None if until is None else new_id("aud", now=until + A_MS, chance=0),
        }
        ways: list[tuple[Wanted, list[str]]] = [(wanted, [on] if on else [])]
        if customer:
            ways = [
                ({**wanted, "customer = ?": customer}, [on] if on else []),
                (wanted, [on, customer] if on else [customer]),
            ]
        found: dict[str, AuditEntry] = {}
        for conditions_of, objects in ways:
            for each in await self._list(conditions_of, bounds, objects, limit):
                found[each.id] = each
        return sorted(found.values(), key=lambda each: each.id, reverse=True)[:limit]

    async def _list(
        self, wanted: Wanted, bounds: Mapping[str, str | None], objects: Sequence[str], limit: int
    ) -> Sequence[AuditEntry]:
        """Return the newest entries that meet all conditions and are about all of some objects."""
        # CROSS has SQLite look at the object's entries first, in their order.
        table, id = ("audit_objects CROSS JOIN audit", "entry") if objects else ("audit", "id")
        also = (
            "EXISTS (SELECT 1 FROM audit_objects AS also WHERE also.object = ? AND also.entry = id)"
        )
        where, values = conditions(
            {
                **wanted,
                **{name.format(id=id): value for name, value in bounds.items()},
                f"audit_objects.object = ? AND id = {id}": objects[0] if objects else None,
                also: objects[1] if len(objects) > 1 else None,
            }
        )
        rows = await self._writer.rows(
            f"SELECT {COLUMNS} FROM {table} {where} ORDER BY {id} DESC LIMIT {limit:d}",
            values,
        )
        return [_read(each) for each in rows]

    async def names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the names of what is there of some ids, of any kind in the catalogue."""
        sorts: dict[str, list[str]] = {}
        for each in ids:
            sorts.setdefault(each.partition("_")[0], []).append(each)
        found: dict[str, str] = {}
        for sort, some in sorts.items():
            if sql := NAMES.get(sort):
                found |= dict(await self._writer.among(f"{sql} WHERE id IN", some))
        return {id: name for id, name in found.items() if name}

    async def prune(self, most: int) -> bool:
        """Remove some of what was kept for long enough; returns whether there may be more."""
        now = self._clock()

        def job(connection: JobTransaction) -> int:
            connection.execute(PRUNE.format(table="audit_objects", of="entry"), (now, most))
            return connection.execute(PRUNE.format(table="audit", of="id"), (now, most)).rowcount

        return await self._writer.note(job) == most


def _read(row: Any) -> AuditEntry:
    objects, status, changes = row[8:]
    return AuditEntry(
        *row[:8],
        objects=msgspec.json.decode(objects),
        status=status,
        changes=msgspec.json.decode(changes),
    )
