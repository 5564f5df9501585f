"""The principal of a request: who sends it, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from halflap.api.rights import ALL, Right
from halflap.store.scope import CustomerScope

PrincipalKind = Literal["root", "user", "key", "customer", "unknown"]
"""`HALFLAP_TOKEN`, a person with a session, an API key, a customer's token; or somebody who signs in."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request: a person, a program, or somebody who acts for one customer."""

    kind: PrincipalKind
    id: str
    label: str
    rights: frozenset[Right]
    customer: str | None = None
    """The customer (by id) that it acts for; None for the whole tenant."""
    session: str | None = None
    """The session of a user."""
    user: str | None = None
    """The user (by id) who it is, or who made the key that it is."""

    @property
    def scope(self) -> CustomerScope:
        """The rows that it may see."""
        return CustomerScope(self.customer)


PRINCIPAL = "halflap.principal"
"""The key of a request's principal in its ASGI scope."""
OBJECTS = "halflap.objects"
"""The key of the ids of what a request is about, by their kinds."""

CUSTOMERS = "halflap.customers"
"""The key of the ids of the customers of whom a request showed something, where they are several."""

ACT = "halflap.act"
"""The key of what a request does, where it is audited as another act than its operation."""

AUDIT = "halflap.audit"
"""The key of what adds the entry of a request at once, ahead of its answer."""

ROOT = Principal("root", "root", "HALFLAP_TOKEN", ALL)
"""The holder of the team's own token."""

ANYBODY = Principal("unknown", "", "", frozenset())
"""The sender of a request that needs no principal."""


@dataclass(frozen=True, slots=True)
class HiddenPayloads:
    """The customers (by id) whose payloads are hidden from a principal."""

    all: bool = False
    private: frozenset[str] = field(default_factory=frozenset[str])

    def __contains__(self, customer: str | None) -> bool:
        """Return whether a customer's payloads are hidden; the team's own values (None) never are.

        What came in at a shared endpoint may be of any customer, so of a private one too.
        """
        if customer is None:
            return False
        shared = customer.startswith("$") and bool(self.private)
        return self.all or shared or customer in self.private
