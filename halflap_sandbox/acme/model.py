"""The data: workspaces, and in each its accounts, contacts, opportunities, stock and more."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from halflap_sandbox.acme.effects import Effects

Json = dict[str, Any]
EventName = Literal[
    "account.created",
    "account.updated",
    "contact.changed",
    "opportunity.created",
    "opportunity.updated",
    "stock.changed",
    "activity.created",
]


def new_id(prefix: str) -> str:
    """Make an id that nothing else has, such as `acc_3f…`."""
    return f"{prefix}_{secrets.token_hex(10)}"


def timestamp(seconds: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC."""
    at = datetime.fromtimestamp(seconds, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row, which the API shows as it is."""

    def json(self) -> Json:
        """Give the row as the API shows it."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Row):
    """A row of a table: it has an id, and may stand for another system's record."""

    id: str
    external_id: str | None
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Record):
    """A company that the workspace sells to."""

    name: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact(Record):
    """A person, most often at an account."""

    name: str
    email: str | None
    account_id: str | None
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity(Record):
    """A sale in the making: so many seats at such a price."""

    name: str
    stage: str
    seats: int
    price: Decimal
    account_id: str | None
    updated_at: str

    def json(self) -> Json:
        """Give the record as the API shows it; the price is a string, so that it stays exact."""
        return {**Record.json(self), "price": f"{self.price:f}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity(Record):
    """Something that happened, as a ticket or a note."""

    kind: str
    title: str
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock(Row):
    """The quantity of an item."""

    item: str
    quantity: int
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Row):
    """A URL that is called when something changes."""

    id: str
    event: str
    url: str
    secret: str
    created_at: str

    def json(self) -> Json:
        """Give the webhook as the API shows it: without its secret."""
        shown = Row.json(self)
        del shown["secret"]
        return shown


R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """Records in the order in which they were created, found by id or by external id."""

    def __init__(self) -> None:
        self._rows: dict[str, R] = {}
        self._by_external_id: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[R]:
        return iter(self._rows.values())

    def get(self, id: str) -> R | None:
        """Find a record by its id."""
        return self._rows.get(id)

    def put(self, record: R) -> None:
        """Add a record, or put it in the place of the one with its id."""
        known = self._rows.get(record.id)
        if known is not None and known.external_id != record.external_id:
            self._forget_external_id(known)
        self._rows[record.id] = record
        if record.external_id is not None:
            self._by_external_id.setdefault(record.external_id, {})[record.id] = None

    def remove(self, record: R) -> None:
        """Delete a record."""
        del self._rows[record.id]
        self._forget_external_id(record)

    def page(self, start: int, count: int, external_id: str | None) -> list[R]:
        """List `count` records from the `start`th on, all or those with an external id."""
        if external_id is None:
            return list(islice(self._rows.values(), start, start + count))
        found = self._by_external_id.get(external_id, {})
        return [self._rows[each] for each in islice(found, start, start + count)]

    def newest(self, count: int) -> list[R]:
        """List the last `count` records, the newest first."""
        return list(islice(reversed(self._rows.values()), count))

    def _forget_external_id(self, record: R) -> None:
        if record.external_id is not None:
            ids = self._by_external_id[record.external_id]
            del ids[record.id]
            if not ids:
                del self._by_external_id[record.external_id]


class Workspace:
    """One customer's data, behind one API key."""

    def __init__(self, *, name: str, api_key: str, idempotency: bool, kept: int) -> None:
        self.id = new_id("wks")
        self.name = name
        self.api_key = api_key
        self.effects = Effects(kept=kept, replays=idempotency)
        self.accounts: Table[Account] = Table()
        self.contacts: Table[Contact] = Table()
        self.opportunities: Table[Opportunity] = Table()
        self.activities: Table[Activity] = Table()
        self.stock: dict[str, Stock] = {}
        self.webhooks: dict[str, Webhook] = {}

    def json(self) -> Json:
        """Give the workspace as the sandbox lists it."""
        return {
            "id": self.id,
            "name": self.name,
            "api_key": self.api_key,
            "idempotency": self.effects.replays,
            "counts": {
                "accounts": len(self.accounts),
                "contacts": len(self.contacts),
                "opportunities": len(self.opportunities),
                "stock": len(self.stock),
                "activities": len(self.activities),
                "webhooks": len(self.webhooks),
            },
        }


class World:
    """Every workspace, by id and by API key."""

    def __init__(self, *, clock: Callable[[], float], kept: int) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self._by_key: dict[str, Workspace] = {}
        self._clock = clock
        self._kept = kept

    def now(self) -> str:
        """Tell the time by Acme's clock, as ISO 8601."""
        return timestamp(self._clock())

    def create(
        self, name: str, *, api_key: str | None = None, idempotency: bool = True
    ) -> Workspace | None:
        """Create a workspace, or None where another has that API key."""
        api_key = api_key or f"acme_{secrets.token_urlsafe(24)}"
        if api_key in self._by_key:
            return None
        made = Workspace(name=name, api_key=api_key, idempotency=idempotency, kept=self._kept)
        self.workspaces[made.id] = self._by_key[api_key] = made
        return made

    def remove(self, workspace: Workspace) -> None:
        """Delete a workspace; its API key opens nothing any more."""
        del self.workspaces[workspace.id], self._by_key[workspace.api_key]

    def by_key(self, api_key: str) -> Workspace | None:
        """Find the workspace that an API key opens."""
        return self._by_key.get(api_key)
