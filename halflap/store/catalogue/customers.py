"""The team's customers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

from halflap.errors import ConfigError, NotFound
from halflap.model import DEVELOPMENT, Customer, new_id
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.writer import Refused, Wanted, containing, one
from halflap.store.job import JobTransaction
from halflap.store.rules.beginning import GONE

SELECT = "SELECT id, name, external_id, created_at, private FROM customers"
NAMED = """
id = ? OR lower(name) LIKE ? ESCAPE '!' OR lower(coalesce(external_id, '')) LIKE ? ESCAPE '!'
"""
NAMED_OF = f"""
id = ? OR lower(name) LIKE ? ESCAPE '!' OR customer IN (SELECT id FROM customers WHERE {NAMED})
"""
"""The same of what is a customer's, by its own name, too."""

ALIKE = "SELECT name FROM customers WHERE name LIKE ?"
ADD_DEVELOPMENT = """
INSERT INTO customers (id, name, external_id, created_at) VALUES (?, ?, NULL, ?)
ON CONFLICT (id) DO NOTHING
"""
OPEN = "DELETE FROM gates WHERE name = ? AND bit = ?"

EXTERNAL = "external:"
"""The prefix of a customer's id in the team's own product, where it stands for the customer."""


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """The customers that are meant; what is None means all."""

    q: str | None = None
    """A text that their name or external id contains, or their id."""
    private: bool | None = None
    external_id: str | None = None

    def wanted(self) -> Wanted:
        """Return the conditions, for the table `customers`."""
        return {
            NAMED: searched(self.q),
            "private = ?": None if self.private is None else int(self.private),
            "external_id = ?": self.external_id,
        }


ALL = CustomerFilter()


def read(row: Any) -> Customer:
    """Return the customer of a row."""
    id, name, external_id, created_at, private = row
    return Customer(id, name, external_id, created_at, bool(private))


class ChangedCustomer(TypedDict, total=False):
    """The fields of a customer that change."""

    name: str
    external_id: str | None
    private: bool


class Customers(IdentifiedTable[Customer]):
    """Adds, finds and removes customers."""

    _select = SELECT
    _lacking = "no customer has the id or the name {!r}; see: halflap customers list"
    _read = staticmethod(read)

    async def add(self, name: str, external_id: str | None = None) -> Customer:
        """Add a customer; `external_id` is its id in the team's own product.

        Raises `ConfigError` where the name or the external id is taken, or where that looks like one of
        our ids, by which a customer is named, too.
        """
        now = self._clock()
        customer = Customer(new_id("cus", now=now), name, external_id, now)

        def job(connection: JobTransaction) -> Customer | Refused:
            refusal = refused(connection, customer)
            if refusal is not None:
                return refusal
            connection.execute(
                "INSERT INTO customers (id, name, external_id, created_at) VALUES (?, ?, ?, ?)",
                (customer.id, name, external_id, now),
            )
            return customer

        return await self._writer.change(job)

    async def development(self) -> Customer:
        """Return the customer that has the development instances; on first use it is added."""
        now = self._clock()

        def job(connection: JobTransaction) -> None:
            names = {row[0] for row in connection.execute(ALIKE, ("Development%",))}
            free = (f"Development {number}" for number in range(2, len(names) + 3))
            name = next(each for each in ("Development", *free) if each not in names)
            connection.execute(ADD_DEVELOPMENT, (DEVELOPMENT, name, now))
            connection.execute(OPEN, (DEVELOPMENT, GONE))  # of an erased one, which had the same id

        try:
            return await self.get(DEVELOPMENT)
        except NotFound:
            await self._writer.change(job)
            return await self.get(DEVELOPMENT)

    async def get(self, customer: str, /) -> Customer:
        """The customer of an id or a name (an id goes first); raises `NotFound`.

        One that begins with `external:` has the rest as its id in the team's own product.
        """
        if customer.startswith(EXTERNAL):
            found = await self.by_external_id(customer.removeprefix(EXTERNAL))
        else:
            rest = "WHERE id = ? OR name = ? ORDER BY id <> ? LIMIT 1"
            found = await self._find(rest, customer, customer, customer)
        if found is None:
            raise self.missing(customer)
        return found

    async def by_external_id(self, external_id: str) -> Customer | None:
        """The customer that the team's own product knows by an id."""
        return await self._find("WHERE external_id = ?", external_id)

    async def list(
        self,
        which: CustomerFilter = ALL,
        *,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Customer]:
        """Return customers by name: all that are meant, or so many of those after a name."""
        return await self._page({**which.wanted(), "name > ?": after}, "name", limit)

    async def number(self, which: CustomerFilter) -> int:
        """Return how many customers are meant, up to `MOST_COUNTED`."""
        return await self._writer.number("customers", which.wanted())

    async def names(self, customers: Iterable[str]) -> dict[str, str]:
        """Return the names of those of these ids that are there."""
        return dict(
            await self._writer.among("SELECT id, name FROM customers WHERE id IN", customers)
        )

    async def change(self, customer: str, **changed: Unpack[ChangedCustomer]) -> None:
        """Change a customer (by id); raises `NotFound`, `ConfigError` as `add` does."""

        def job(connection: JobTransaction, found: Customer) -> Refused | None:
            wanted = replace(found, **changed)
            refusal = refused(connection, wanted)
            if refusal is None:
                connection.execute(
                    "UPDATE customers SET name = ?, external_id = ?, private = ? WHERE id = ?",
                    (wanted.name, wanted.external_id, int(wanted.private), customer),
                )
            return refusal

        await self._writer.change(self.job_of(customer, job))

    async def private(self) -> frozenset[str]:
        """Return the ids of the customers whose payloads are private."""
        rows = await self._writer.rows("SELECT id FROM customers WHERE private = 1")
        return frozenset(id for (id,) in rows)

    async def remove(self, customer: str) -> None:
        """Remove a customer (by id) that has nothing left.

        Raises `ConfigError` while it has instances or connections, and names them.
        """

        def job(connection: JobTransaction, found: Customer) -> Refused | None:
            for table, noun in (("instances", "instance"), ("connections", "connection")):
                names = [
                    row[0]
                    for row in connection.execute(
                        f"SELECT name FROM {table} WHERE customer = ? ORDER BY name",
                        (customer,),
                    )
                ]
                if names:
                    return ConfigError(
                        f"customer {found.name!r} still has {counted(names, noun)}; remove them first"
                    )
            connection.execute("DELETE FROM customers WHERE id = ?", (customer,))
            return None

        await self._writer.change(self.job_of(customer, job))


def refused(connection: JobTransaction, wanted: Customer) -> ConfigError | None:
    """Return the refusal of a customer whose name or external id is taken, or is like an id of ours."""
    external_id = wanted.external_id
    if external_id is not None and external_id.startswith("cus_"):
        return ConfigError(
            f"the external id {external_id!r} looks like the id of another customer; ids that begin "
            "with cus_ are made here",
            fields={"external_id": "begins with cus_"},
        )
    others = "FROM customers WHERE id <> ? AND"
    taken = one(connection, f"SELECT id {others} name = ?", wanted.id, wanted.name)
    if taken is not None:
        return ConfigError(
            f"a customer named {wanted.name!r} is there already ({taken[0]}); choose another name",
            fields={"name": "is taken"},
        )
    taken = one(connection, f"SELECT name {others} external_id = ?", wanted.id, external_id)
    if taken is not None:
        return ConfigError(
            f"customer {taken[0]!r} has the external id {external_id!r} already; "
            "use that customer, or another external id",
            fields={"external_id": "is taken"},
        )
    return None


def searched(q: str | None) -> tuple[str, str, str] | None:
    """Return the values of `NAMED` for what is searched for."""
    return None if not q else (q, containing(q), containing(q))


def searched_of(q: str | None) -> tuple[str, ...] | None:
    """Return the values of `NAMED_OF` for what is searched for."""
    found = searched(q)
    return None if found is None else (*found[:2], *found)


def counted(names: Sequence[str], noun: str) -> str:
    """`2 instances (a, b)`, the first few by name."""
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''} ({shown})"
