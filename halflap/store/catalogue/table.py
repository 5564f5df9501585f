"""The nouns of the catalogue: what each is made of, and how its rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from halflap.errors import HalflapError, NotFound
from halflap.model import Clock, Micros
from halflap.store.catalogue.writer import CatalogueWriter, Refused, Wanted, conditions, one
from halflap.store.job import JobTransaction
from halflap.store.vault import Vault

V = TypeVar("V")
T = TypeVar("T")


class CatalogueNoun:
    """A noun of the catalogue, with its way into the database, the keys of its secrets, and the time."""

    def __init__(self, writer: CatalogueWriter, vault: Vault, clock: Clock) -> None:
        self._writer = writer
        self._vault = vault
        self._clock = clock

    def _signers(
        self, place: tuple[str, ...], secret: bytes, former: bytes | None, until: Micros
    ) -> tuple[str, ...]:
        """Return the secrets that may sign: the one sealed for a place, and until a time the former."""
        sealed = [secret, former] if former is not None and until > self._clock() else [secret]
        return tuple(self._vault.open(each, place) for each in sealed)


class CatalogueTable(CatalogueNoun, Generic[V]):
    """A noun whose rows are values: the SELECT of its rows, and what makes a value of one.

    `_lacking` is the message about an id that none has.
    """

    _select: str
    _read: Callable[[Any], V]
    _lacking: str

    @classmethod
    def missing(cls, id: str) -> NotFound:
        """Return the error for an id that none has."""
        return NotFound(cls._lacking.format(id))

    async def _find(self, rest: str, *values: object) -> V | None:
        """Return the first value, by the rest of the SELECT; None where there is none."""
        row = await self._writer.row(f"{self._select} {rest}", *values)
        return None if row is None else self._read(row)

    async def _get(self, lacking: HalflapError, rest: str, *values: object) -> V:
        """Return the first value, as `_find`; raise the error where there is none."""
        found = await self._find(rest, *values)
        if found is None:
            raise lacking
        return found

    async def _all(self, rest: str = "", *values: object) -> list[V]:
        """Return all values, by the rest of the SELECT."""
        return [
            self._read(row) for row in await self._writer.rows(f"{self._select} {rest}", values)
        ]

    async def _page(self, wanted: Wanted, order: str, limit: int | None = None) -> list[V]:
        """Return the values that meet the conditions, in an order: all of them, or so many."""
        where, values = conditions(wanted)
        most = "" if limit is None else f"LIMIT {limit:d}"
        return await self._all(f"{where} ORDER BY {order} {most}", *values)


class IdentifiedTable(CatalogueTable[V]):
    """A noun whose rows have ids."""

    @classmethod
    def job_of(
        cls, id: str, job: Callable[[JobTransaction, V], T | Refused]
    ) -> Callable[[JobTransaction], T | Refused]:
        """Return a job that is done with the value of an id, and refuses where there is none."""

        def whole(connection: JobTransaction) -> T | Refused:
            row = one(connection, f"{cls._select} WHERE id = ?", id)
            return cls.missing(id) if row is None else job(connection, cls._read(row))

        return whole

    async def get(self, id: str, /) -> V:
        """Return the value of an id; raises `NotFound`."""
        return await self._get(self.missing(id), "WHERE id = ?", id)

    async def some(self, ids: Iterable[str]) -> dict[str, V]:
        """Return those of these ids that are there."""
        rows = await self._writer.among(f"{self._select} WHERE id IN", ids)
        return {row[0]: self._read(row) for row in rows}
