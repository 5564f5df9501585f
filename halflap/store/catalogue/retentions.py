"""Retentions that customers, instances and integrations set."""

from __future__ import annotations

from halflap.model import Retention
from halflap.store.catalogue.precondition import expected
from halflap.store.catalogue.writer import CatalogueWriter
from halflap.store.job import JobTransaction
from halflap.store.retention import RetentionRules, declared, decode, encode

PUT = """
INSERT INTO retentions (name, kept) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET kept = excluded.kept
"""
DELETE = "DELETE FROM retentions WHERE name = ?"
ALL = "SELECT name, kept FROM retentions"


class Retentions:
    """The retentions of a store by name (see `RetentionRules`); `default` is the server's."""

    def __init__(self, writer: CatalogueWriter) -> None:
        self._writer = writer
        self.default = Retention()

    async def rules(self) -> RetentionRules:
        """Return all of them."""
        rows = await self._writer.rows(ALL)
        return RetentionRules(self.default, {name: decode(kept) for name, kept in rows})

    async def get(self, name: str) -> Retention:
        """Return what is set under a name."""
        row = await self._writer.row(f"{ALL} WHERE name = ?", name)
        return Retention() if row is None else decode(row[1])

    async def put(self, name: str, retention: Retention) -> None:
        """Set a retention under a name, in place of the one before."""
        wanted = expected.get()
        is_edited = wanted is not None and wanted.id == name
        if not is_edited and await self.get(name) == retention:
            return

        def job(connection: JobTransaction) -> None:
            if retention == Retention():
                connection.execute(DELETE, (name,))
            else:
                connection.execute(PUT, (name, encode(retention)))

        await (self._writer.change if is_edited else self._writer.note)(job)

    async def forget(self, id: str) -> None:
        """Delete what a customer or an instance set, once it is removed."""
        await self.put(id, Retention())
        await self.put(declared(id), Retention())
