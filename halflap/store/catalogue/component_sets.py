"""Component sets: a project's own components, which drafts may use before an integration has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from halflap.errors import ConfigError, Conflict
from halflap.model import ComponentSet, new_id
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.writer import Refused, one
from halflap.store.job import JobTransaction

SELECT = "SELECT id, name, number, hash, names, published_at, published_by FROM component_sets"
NEWEST = "WHERE name = ? ORDER BY number DESC LIMIT 1"

MOST_SETS = 200
"""The most component sets of a team."""
MOST_STORED = 256 << 20
"""The most bytes that they may have together."""
KEPT = 10
"""The newest sets of a name, which stay though no draft pins them."""
PRUNE = """
DELETE FROM component_sets WHERE name = ? AND number <= ?
AND NOT EXISTS (SELECT 1 FROM drafts WHERE drafts.components = component_sets.id)
"""
STORED = "SELECT count(*), coalesce(sum(length(bundle)), 0) FROM component_sets"


def read(row: Any) -> ComponentSet:
    """A row of `SELECT`."""
    id, name, number, hash, names, published_at, published_by = row
    return ComponentSet(id, name, number, hash, tuple(names.split()), published_at, published_by)


class ComponentSets(IdentifiedTable[ComponentSet]):
    """Stores component sets, and finds them. Nothing that runs depends on them."""

    _select = SELECT
    _lacking = "there is no component set {!r}; deploy one: halflap deploy --components"
    _read = staticmethod(read)

    async def publish(
        self, name: str, hash: str, bundle: bytes, components: bytes, names: Iterable[str], by: str
    ) -> ComponentSet:
        """Store a set as the next one of its name; where the newest is the same, that one is returned.

        components: the descriptions of the components, as those of a version's own are stored.
        Old ones of the name that no draft pins go; `ConfigError` where there is no room all the same.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> ComponentSet | Refused:
            newest = one(connection, f"{SELECT} {NEWEST}", name)
            if newest is not None and newest[3] == hash:
                return read(newest)
            number: int = 1 if newest is None else newest[2] + 1
            connection.execute(PRUNE, (name, number - KEPT))
            count, size = one(connection, STORED)
            if count >= MOST_SETS or size + len(bundle) > MOST_STORED:
                return ConfigError(
                    f"there are {count} component sets already, of {size / (1 << 20):.0f} MiB; delete "
                    "some that no draft pins: halflap component-sets list"
                )
            id = new_id("cset", now=now)
            row = (id, name, number, hash, bundle, components, " ".join(names), now, by)
            connection.execute(
                "INSERT INTO component_sets (id, name, number, hash, bundle, components, names,"
                " published_at, published_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            return read((id, name, number, hash, row[6], now, by))

        return await self._writer.change(job)

    async def remove(self, id: str) -> None:
        """Delete a set; raises `NotFound`, and `Conflict` where a draft pins it."""

        def job(connection: JobTransaction) -> Refused | None:
            pinning = one(connection, "SELECT count(*) FROM drafts WHERE components = ?", id)[0]
            if pinning:
                return Conflict(
                    f"{pinning} of the drafts use this component set; have them use another, or none"
                )
            gone = connection.execute("DELETE FROM component_sets WHERE id = ?", (id,)).rowcount
            return None if gone else self.missing(id)

        await self._writer.note(job)

    async def find(self, named: str) -> ComponentSet:
        """Return a set by its id, its hash, or as the newest of its name; raises `NotFound`."""
        for rest in ("WHERE id = ?", "WHERE hash = ? ORDER BY id DESC LIMIT 1", NEWEST):
            if found := await self._find(rest, named):
                return found
        raise self.missing(named)

    async def list(
        self, name: str | None = None, *, before: str | None = None, limit: int
    ) -> Sequence[ComponentSet]:
        """Return sets, all or those of a name, newest first."""
        return await self._page({"name = ?": name, "id < ?": before}, "id DESC", limit)

    async def bundle(self, id: str) -> bytes:
        """Return the bundle of a set."""
        return await self._part("bundle", id)

    async def components(self, id: str) -> bytes:
        """Return the descriptions of a set's components."""
        return await self._part("components", id)

    async def _part(self, column: str, id: str) -> bytes:
        sql = f"SELECT {column} FROM component_sets WHERE id = ?"
        if row := await self._writer.row(sql, id):
            return row[0]
        raise self.missing(id)
