"""Event types of the team's own product, each version with its schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from halflap.errors import ConfigError, Conflict, NotFound
from halflap.model import EventType
from halflap.sdk import codec
from halflap.sdk.event_type import breaking_changes
from halflap.store.catalogue.table import CatalogueTable
from halflap.store.catalogue.writer import Refused, conditions, one
from halflap.store.job import JobTransaction

MOST_TYPES = 2_000
"""The most event types that are declared, each version counted."""
SHOWN = 5

COLUMNS = "name, version, schema, title, description, example, changed_at"
SELECT = f"SELECT {COLUMNS} FROM event_types"
PUT = f"""
INSERT INTO event_types ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name, version) DO UPDATE SET schema = excluded.schema, title = excluded.title,
    description = excluded.description, example = excluded.example,
    changed_at = excluded.changed_at
"""


def read(row: Any) -> EventType:
    """Return a type that was stored."""
    name, version, schema, title, description, example, at = row
    schema, example = (codec.decode(text.encode()) for text in (schema, example))
    return EventType(name, version, schema, title, description, example, at)


class EventTypeCatalogue(CatalogueTable[EventType]):
    """Stores event types, and finds them. An event names one, and its flows may be given none else."""

    _select = SELECT
    _read = staticmethod(read)

    async def put(self, types: Sequence[EventType]) -> list[EventType]:
        """Declare types, all or none; what says the same, or less than is known, changes nothing.

        Raises `Conflict` where a version's schema would change so that somebody notices: another
        version says that this is meant.
        """
        now = self._clock()

        def job(connection: JobTransaction) -> list[EventType] | Refused:
            declared: list[EventType] = []
            fresh = 0
            for each in types:
                row = one(
                    connection, f"{SELECT} WHERE name = ? AND version = ?", each.name, each.version
                )
                before = None if row is None else read(row)
                broken = [] if before is None else breaking_changes(before.schema, each.schema)
                if before is not None and broken and is_older(each, before):
                    declared.append(before)
                    continue
                if broken:
                    return Conflict(
                        f"{each.name} has another schema in version {each.version}: "
                        f"{'; '.join(broken[:SHOWN])}. Declare this as version {each.version + 1}"
                    )
                is_same = before is not None and row_of(before, 0) == row_of(each, 0)
                declared.append(
                    before if before is not None and is_same else replace(each, changed_at=now)
                )
                fresh += before is None
            if one(connection, "SELECT count(*) FROM event_types")[0] + fresh > MOST_TYPES:
                return ConfigError(
                    f"there would be more than {MOST_TYPES:,} event types; remove some"
                )
            for each in declared:
                connection.execute(PUT, row_of(each, each.changed_at))
            return declared

        return await self._writer.change(job)

    async def list(self) -> Sequence[EventType]:
        """Return the newest version of each type, by name."""
        newest = (
            "version = (SELECT max(version) FROM event_types AS o WHERE o.name = event_types.name)"
        )
        return await self._all(f"WHERE {newest} ORDER BY name")

    async def versions(self) -> Sequence[EventType]:
        """Return every version of each type, by name, the newest first."""
        return await self._all("ORDER BY name, version DESC")

    async def get(self, name: str, version: int | None = None) -> EventType:
        """Return a version of a type, or its newest; raises `NotFound`."""
        where, values = conditions({"name = ?": name, "version = ?": version})
        which = "" if version is None else f" in version {version}"
        lacking = NotFound(
            f"there is no event type {name!r}{which}; declare it before you publish it"
        )
        return await self._get(lacking, f"{where} ORDER BY version DESC LIMIT 1", *values)

    async def remove(self, name: str) -> None:
        """Remove a type with all its versions; raises `NotFound`."""

        def job(connection: JobTransaction) -> Refused | None:
            gone = connection.execute("DELETE FROM event_types WHERE name = ?", (name,)).rowcount
            connection.execute("DELETE FROM counters WHERE instance = '' AND flow = ?", (name,))
            return None if gone else NotFound(f"there is no event type {name!r}")

        await self._writer.change(job)


def is_older(each: EventType, before: EventType) -> bool:
    """Return whether a type is what a former release of the product declares: the known one has more."""
    return not breaking_changes(each.schema, before.schema)


def row_of(each: EventType, at: int) -> tuple[Any, ...]:
    """Return a type as it is stored."""
    schema, example = (codec.encode(value).decode() for value in (each.schema, each.example))
    return (each.name, each.version, schema, each.title, each.description, example, at)
