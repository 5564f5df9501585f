"""Connections: accounts of apps. Plain fields in the open, every secret sealed in its place."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from halflap.errors import ConfigError, Conflict, StoreError
from halflap.model import ConnectionLimits, StoredConnection, new_id
from halflap.sdk import codec
from halflap.store.catalogue import addresses, customers
from halflap.store.catalogue.table import IdentifiedTable
from halflap.store.catalogue.writer import Refused, Wanted, marks, one
from halflap.store.job import JobTransaction, json_text

Status = Literal["untested", "working", "unauthorized"]

SELECT = """
SELECT id, customer, component, name, fields, secrets, generation, status, created_at, limits
FROM connections
"""
OWNED = "WHERE coalesce(customer, '') = ?"
SAVE = """
INSERT INTO connections
    (id, customer, component, name, fields, secrets, generation, status, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, fields = excluded.fields,
    secrets = excluded.secrets, generation = excluded.generation, status = excluded.status
"""
USERS = """
SELECT instances.name, revisions.number
FROM revisions JOIN instances ON instances.id = revisions.instance
WHERE revisions.connections LIKE ? AND instances.state <> 'disabled'
ORDER BY revisions.number = instances.revision DESC, instances.name, revisions.number DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ConnectionFilter:
    """The connections that are meant; what is None means all."""

    owners: tuple[str, ...] = ()
    """The customers (by id) whose they are, where some are named; an empty id is the team's."""
    component: str | None = None
    status: str | None = None
    q: str | None = None
    """A text that their name, or their customer's name or external id, contains; or one's id."""
    ids: tuple[str, ...] | None = None

    def wanted(self) -> Wanted:
        """Return the conditions, for the table `connections`."""
        return {
            f"id IN ({marks(self.ids or ())})": self.ids,
            f"coalesce(customer, '') IN ({marks(self.owners)})": self.owners or None,
            "component = ?": self.component,
            "status = ?": self.status,
            customers.NAMED_OF: customers.searched_of(self.q),
        }


def stored(row: Any) -> StoredConnection:
    """A row of `SELECT`, without its secrets."""
    return StoredConnection(
        id=row[0],
        customer=row[1],
        component=row[2],
        name=row[3],
        fields=codec.decode(row[4]),
        secret_names=tuple(sorted(msgspec.json.decode(row[5], type=dict[str, str]))),
        generation=row[6],
        status=row[7],
        created_at=row[8],
        limits=msgspec.json.decode(row[9], type=ConnectionLimits),
    )


class Connections(IdentifiedTable[StoredConnection]):
    """Saves, opens and removes connections."""

    _select = SELECT
    _lacking = "no connection has the id {!r}; see: halflap connections list"
    _read = staticmethod(stored)

    async def save(
        self,
        customer: str | None,
        component: str,
        name: str,
        fields: Mapping[str, object],
        secrets: Mapping[str, str],
        *,
        id: str | None = None,
        expect_generation: int | None = None,
        status: Status = "untested",
        account: str | None = None,
    ) -> StoredConnection:
        """Make a connection, or change the one of an `id`; all fields and secrets are replaced.

        A customer of None makes it the team's own, for every customer. The generation grows where
        a secret is another one; `Conflict` where it is not `expect_generation`, `ConfigError`
        where the name is taken. `account` is what was signed in to just now through the team's OAuth
        app, empty for another way in; None where nobody signed in.
        """
        now = self._clock()
        made = new_id("con", now=now)
        plain = codec.encode(dict(fields)).decode()

        def job(connection: JobTransaction) -> StoredConnection | Refused:
            old = None
            if id is not None:
                row = find(connection, id)
                if row is None:
                    return self.missing(id)
                old = stored(row)
                if (old.customer, old.component) != (customer, component):
                    return ConfigError(
                        f"connection {old.name!r} is {owner(old.customer)} to {old.component}; "
                        "make a new connection for another customer or component"
                    )
                if expect_generation is not None and old.generation != expect_generation:
                    return changed_since(old)
                envelopes, differs = self._sealed(old, read_envelopes(row[5]), secrets)
            else:
                if customer is not None and not one(
                    connection, "SELECT 1 FROM customers WHERE id = ?", customer
                ):
                    return customers.Customers.missing(customer)
                envelopes, differs = self._seal(customer, made, secrets), False
            taken = one(
                connection,
                f"SELECT id FROM connections {OWNED} AND name = ?",
                customer or "",
                name,
            )
            if taken is not None and taken[0] != id:
                return ConfigError(
                    f"a connection named {name!r} is there already ({taken[0]}); "
                    "choose another name, or change that one",
                    fields={"name": "is taken"},
                )
            row = (
                id or made,
                customer,
                component,
                name,
                plain,
                write_envelopes(envelopes),
                1 if old is None else old.generation + differs,
                status,
                now if old is None else old.created_at,
            )
            connection.execute(SAVE, row)
            if account is not None:
                sql = "UPDATE connections SET account = ? WHERE id = ?"
                connection.execute(sql, (account, row[0]))
            addresses.index_connection(connection, row[0], fields)
            return stored(find(connection, row[0]))

        return await self._writer.change(job)

    async def by_name(self, customer: str | None, name: str) -> StoredConnection | None:
        """A customer's connection (None: the team's own) by its name."""
        return await self._find(f"{OWNED} AND name = ?", customer or "", name)

    async def list(self, customer: str | None) -> Sequence[StoredConnection]:
        """A customer's connections (None: the team's own), by name."""
        return await self._all(f"{OWNED} ORDER BY name", customer or "")

    async def page(
        self, which: ConnectionFilter, *, after: str | None, limit: int
    ) -> Sequence[StoredConnection]:
        """Return so many of the connections that are meant, oldest first, of those after an id."""
        return await self._page({**which.wanted(), "id > ?": after}, "id", limit)

    async def number(self, which: ConnectionFilter) -> int:
        """Return how many connections are meant, up to `MOST_COUNTED`."""
        return await self._writer.number("connections", which.wanted())

    async def named(self, name: str) -> Sequence[StoredConnection]:
        """Return the connections of a name: the team's first, then customers'."""
        return await self._all("WHERE name = ? ORDER BY customer IS NOT NULL, id", name)

    async def open_secrets(self, connection: str) -> dict[str, str]:
        """A connection's secrets by field, in the clear; raises `NotFound`."""
        sql = "SELECT customer, secrets FROM connections WHERE id = ?"
        row = await self._writer.row(sql, connection)
        if row is None:
            raise self.missing(connection)
        customer, secrets = row
        return {
            field: self._vault.open(envelope, (customer or "", connection, field))
            for field, envelope in read_envelopes(secrets).items()
        }

    async def set_status(
        self, connection: str, status: Status, *, generation: int | None = None
    ) -> None:
        """Note what was learnt about a connection: it works, or the app refused it.

        With a `generation`, only where that is still its own: it may have been mended meanwhile.
        """

        def job(db: JobTransaction, found: StoredConnection) -> None:
            if generation in (None, found.generation):
                db.execute("UPDATE connections SET status = ? WHERE id = ?", (status, connection))

        await self._writer.change(self.job_of(connection, job))

    async def limit(self, connection: str, limits: ConnectionLimits) -> None:
        """Give a connection limits in the place of those that its type declares."""
        kept = json_text(limits)
        sql = "UPDATE connections SET limits = ? WHERE id = ?"
        await self._writer.change_by(sql, kept, connection, lacking=self.missing(connection))

    @asynccontextmanager
    async def refreshing(self, connection: str) -> AsyncGenerator[None]:
        """Let one task at a time refresh a connection, of whatever process; the others wait."""
        async with self._writer.holding(connection):
            yield

    async def refresh(
        self,
        connection: str,
        expected_generation: int,
        new_secrets: Mapping[str, str],
        fields: Mapping[str, object],
    ) -> StoredConnection | None:
        """Keep the credentials that an app just gave out, as the next generation, and as working.

        None where the connection changed since `expected_generation`: what is kept is newer.
        """
        plain = codec.encode(dict(fields)).decode()

        def job(db: JobTransaction, found: StoredConnection) -> StoredConnection | None:
            if found.generation != expected_generation:
                return None
            envelopes = write_envelopes(self._seal(found.customer, connection, new_secrets))
            db.execute(
                "UPDATE connections SET secrets = ?, fields = ?, generation = generation + 1,"
                " status = 'working' WHERE id = ?",
                (envelopes, plain, connection),
            )
            addresses.index_connection(db, connection, fields)
            return stored(find(db, connection))

        return await self._writer.change(self.job_of(connection, job))

    async def remove(self, connection: str) -> None:
        """Remove a connection that no instance needs.

        Raises `ConfigError`, naming the instance, while a revision of one that is not disabled
        names the connection: its executions may still read it.
        """

        def job(db: JobTransaction, found: StoredConnection) -> Refused | None:
            user = one(db, USERS, f'%:"{connection}"%')
            if user is not None:
                return ConfigError(
                    f"connection {found.name!r} is used by instance {user[0]!r} "
                    f"(revision {user[1]} of its config); disable that instance first"
                )
            db.execute("DELETE FROM addresses WHERE connection = ?", (connection,))
            db.execute("DELETE FROM connections WHERE id = ?", (connection,))
            return None

        await self._writer.change(self.job_of(connection, job))

    def _seal(
        self, customer: str | None, connection: str, secrets: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {
            field: self._vault.seal(secret, (customer or "", connection, field))
            for field, secret in secrets.items()
        }

    def _sealed(
        self, old: StoredConnection, kept: Mapping[str, bytes], secrets: Mapping[str, str]
    ) -> tuple[dict[str, bytes], bool]:
        """New envelopes where a secret is another one, and whether any is."""
        same = {
            field: kept[field]
            for field, secret in secrets.items()
            if field in kept and self._is(secret, kept[field], old, field)
        }
        fresh = {field: secret for field, secret in secrets.items() if field not in same}
        differs = bool(fresh) or len(same) < len(kept)
        return same | self._seal(old.customer, old.id, fresh), differs

    def _is(self, secret: str, envelope: bytes, old: StoredConnection, field: str) -> bool:
        try:
            return self._vault.open(envelope, (old.customer or "", old.id, field)) == secret
        except StoreError:  # it can no longer be opened: entering it again mends that
            return False


def find(connection: JobTransaction, id: str) -> Any:
    """A row of `SELECT`, or None."""
    return one(connection, f"{SELECT} WHERE id = ?", id)


def read_envelopes(text: str) -> dict[str, bytes]:
    """Sealed secrets by field, as they are kept."""
    kept = msgspec.json.decode(text, type=dict[str, str])
    return {field: base64.b64decode(each) for field, each in kept.items()}


def write_envelopes(envelopes: Mapping[str, bytes]) -> str:
    """Sealed secrets by field, to be kept."""
    return json_text({name: base64.b64encode(each).decode() for name, each in envelopes.items()})


def owner(customer: str | None) -> str:
    """Return the owner of a connection, in words."""
    return f"customer {customer}'s" if customer is not None else "the team's own"


def changed_since(old: StoredConnection) -> Conflict:
    """Says that a connection's secrets were changed in between."""
    return Conflict(
        f"connection {old.name!r} was changed since you read it (it is at generation "
        f"{old.generation}); read it again, then save",
        key=old.id,
    )
