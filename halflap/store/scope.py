"""The rows that a request may see: one customer's, or the whole tenant's; and the rule for each
table.

The engine works for everybody at once and is in no scope. The API is in one for each request, which
has to be said. The whole tenant's is the store as the engine has it. To a customer's, both kinds of
store hold whatever is asked of them: PostgreSQL by row-level security (postgres/guard.py), SQLite by
views that lie before the tables (guarding.py). What they hold is written here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CustomerScope:
    """A filter by customer (by id). `None` (explicit) selects all customers."""

    customer: str | None

    def __post_init__(self) -> None:
        if self.customer == "":
            raise ValueError("a customer's id is not empty; the whole tenant is None")


WHOLE = CustomerScope(None)
"""The whole tenant: for the team's own token."""

_EXECUTION = "EXISTS (SELECT 1 FROM executions WHERE executions.{key} = {table}.execution)"
_INSTANCE = "EXISTS (SELECT 1 FROM instances WHERE instances.id = {table}.instance)"

SEEN: Mapping[str, str] = MappingProxyType(
    {
        "customers": "id = {me}",
        # The team's connections are for every customer; nobody is in scope where nothing is set.
        "connections": "(customer = {me} OR (customer IS NULL AND {me} <> ''))",
        "instances": "customer = {me}",
        "revisions": "customer = {me}",
        "addresses": "customer = {me}",
        "endpoints": "customer = {me}",
        "subscriptions": "customer = {me}",
        "schedules": "customer = {me}",
        "listener_shards": "customer = {me}",
        "rejections": "EXISTS (SELECT 1 FROM endpoints WHERE endpoints.id = rejections.endpoint)",
        "counters": _INSTANCE,
        "outcomes": "customer = {me}",
        "versions": "{me} <> ''",
        "targets": "{me} <> ''",
        "executions": "customer = {me}",
        "letters": "customer = {me}",
        "history": "customer = {me}",
        "retentions": "(name = {me}"
        " OR EXISTS (SELECT 1 FROM instances WHERE instances.id = substr(retentions.name, 1, 30)))",
        "events": _EXECUTION,
        "steps": _EXECUTION,
        "logs": _EXECUTION,
        "attempts": _EXECUTION,
        "orders": _EXECUTION,
        "signals": _EXECUTION,
        "blobs": "substr(key, 1, length({me}) + 1) = {me} || '/'",
        "state": "({owner} = {me}"
        " OR EXISTS (SELECT 1 FROM instances WHERE instances.id = {owner}))",
        "gates": "(name = {me}"
        " OR EXISTS (SELECT 1 FROM instances WHERE instances.id = substr(gates.name, 1, 30)))",
        "limits": "customer = {me}",
        "throttles": "EXISTS (SELECT 1 FROM connections"
        " WHERE connections.id = throttles.connection AND connections.customer = {me})",
    }
)
"""By table, which of its rows a customer sees: `{me}` is its id, NULL or '' where none is set.

What is of an execution or an instance is seen where that is. `{owner}` is the id within a scope of
the state, `pairs:ins_…:name`. A table that is not here is not seen at all.
"""

MADE: Mapping[str, str] = MappingProxyType(
    {
        "connections": "customer = {me}",
        "instances": "customer = {me}",
        "revisions": "customer = {me}",
        "addresses": "customer = {me}",
    }
)
"""By table, which rows a customer makes, changes and removes; of all others, none."""


def rule(table: str, rules: Mapping[str, str], me: str, owner: str, key: str = "id") -> str:
    """Return the condition by which a table's rows are in scope, in a store's own words.

    `key` is the column of the executions by which the table names them.
    """
    return rules[table].format(table=table, me=me, owner=owner, key=key)
