"""Preconditions: a change is made only if its object is still as whoever asks has read it.

What an object is read as has a tag. The first change of a request compares it in its own transaction,
so of two that read the same, one wins. Who reads an object's tag has to read the object after it: a
change in between then makes a tag that no longer fits, and never one that fits what was not read.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from halflap.errors import Conflict
from halflap.store.job import JobTransaction

Tagged = Literal["customer", "connection", "instance", "endpoint"]
RETENTION = "(SELECT kept FROM retentions WHERE retentions.name = {}.id)"
TAGGED: dict[Tagged, str] = {
    "customer": f"""
SELECT name, external_id, private, concurrency, rate, burst, backlog, {RETENTION.format("customers")}
FROM customers LEFT JOIN limits ON limits.customer = customers.id WHERE customers.id = ?
""",
    "connection": "SELECT name, fields, generation, limits FROM connections WHERE id = ?",
    "instance": f"""
SELECT name, version, revision, state, {RETENTION.format("instances")},
    (SELECT max(former_until) FROM endpoints WHERE endpoints.instance = instances.id)
FROM instances WHERE id = ?
""",
    "endpoint": "SELECT version, former_until FROM shared_endpoints WHERE id = ?",
}
"""By kind, the SQL for what people edit of an object: neither its traffic nor what became of it."""
LOCK = "UPDATE customers SET private = private WHERE id = ?"
"""Has one change of a customer wait for another: its limits are not the catalogue's."""


class Stale(Conflict):
    """The object was changed since it was read; `current` is what it is now."""

    def __init__(self, what: Tagged, id: str) -> None:
        super().__init__(
            f"the {what} was changed since you read it; look at what it is now, then decide again",
            key=id,
        )
        self.what: Tagged = what
        self.id = id


@dataclass(slots=True)
class Precondition:
    """The tags of which an object has to have one as it is changed; None where any will do."""

    tags: frozenset[str]
    what: Tagged | None = None
    id: str = ""

    def check(self, connection: JobTransaction) -> Stale | None:
        """Return the refusal of a change, in its transaction; an object that is gone is not stale."""
        what, id = self.what, self.id
        if what is None:
            return None
        if what == "customer":
            connection.execute(LOCK, (id,))
        row = connection.execute(TAGGED[what], (id,)).fetchone()
        return None if row is None or tag_of(row) in self.tags else Stale(what, id)


expected: ContextVar[Precondition | None] = ContextVar("expected", default=None)
"""The precondition of the next change of this request; a change that was made has spent it."""


def tag_of(row: Any) -> str:
    """Return the tag of a row of `TAGGED`."""
    return hashlib.sha256(repr(tuple(row)).encode()).hexdigest()[:24]
