"""The facts that running a flow needs of the store, read before anything of the flow is run.

They are plain data: a server sends a child process those of its suspects up front. What may change
while a flow runs, a `FactSource` is asked for: a connection's credentials, where a route leads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from halflap.model import Customer, FlowKey, Instance, OAuthApp, StoredConnection
from halflap.store.catalogue.subscriptions import StoredSubscription


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """A stored connection with its secrets, and the team's own OAuth app for its component."""

    stored: StoredConnection
    secrets: dict[str, str] = field(repr=False)
    app: OAuthApp | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """An instance's config of one revision: its values, and the accounts of its connections."""

    values: dict[str, Any]
    accounts: dict[str, StoredAccount]


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """The facts of one flow; of a shared endpoint's flow, there are none but its key.

    endpoints, shared: ids of endpoints by flow. secrets: what signs for endpoints, by flow.
    """

    key: FlowKey
    customer: Customer | None = None
    instance: Instance | None = None
    endpoints: dict[str, str] = field(default_factory=dict[str, str])
    shared: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    subscriptions: Sequence[StoredSubscription] = ()


@dataclass(frozen=True, slots=True)
class Learnt:
    """The fate of the credentials of a generation: new ones in their place, or refused for good."""

    generation: int
    secrets: dict[str, str] | None = field(default=None, repr=False)
    fields: dict[str, Any] = field(default_factory=dict[str, Any])


class FactSource(Protocol):
    """Answers what is asked as flows run: the store of a server, the parent of a child process."""

    async def revision(self, instance: str, number: int) -> Revision:
        """Return an instance's config of one revision; raise `NotFound`."""
        ...

    async def hold(self, lock: str, connection: str) -> StoredAccount:
        """Wait for a lock, which one task of all processes has at a time; return the account."""
        ...

    async def let_go(
        self, lock: str, connection: str, learnt: Learnt | None = None
    ) -> StoredAccount:
        """Store what was learnt, and release the lock; return the account as it is then."""
        ...

    async def routed(self, key: FlowKey, name: str, whose: Mapping[str, str]) -> FlowKey:
        """Return the flow to which a route of another leads; raise `Unrouted`."""
        ...

    async def deployment(self, instance: str) -> str | None:
        """Return the execution that deploys an instance, or did so last."""
        ...

    async def subscriptions(self, instance: str) -> Sequence[StoredSubscription]: ...

    async def keep(self, instance: str, flow: str, made: StoredSubscription | None) -> None:
        """Store the subscription of a flow, or why it was left behind; None forgets it."""
        ...


@dataclass(slots=True)
class Held:
    """An account while its lock is held, and what is learnt of it."""

    account: StoredAccount
    learnt: Learnt | None = None


@asynccontextmanager
async def holding(source: FactSource, connection: str, lock: str = "") -> AsyncGenerator[Held]:
    """Hold the lock of a connection; from the end of the block on, `account` is as it is then."""
    lock = lock or connection
    held = Held(await source.hold(lock, connection))
    try:
        yield held
    finally:
        held.account = await source.let_go(lock, connection, held.learnt)
