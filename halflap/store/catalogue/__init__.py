"""The catalogue: what people make. Customers, versions, connections, instances, endpoints.

One class a noun, gathered by `Catalogue`. Every verb is one transaction. What is refused is said
with `ConfigError`, what is missing with `NotFound`, and a lost compare-and-set with a result.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from halflap.model import Clock
from halflap.store.catalogue.answers import StoredAnswers
from halflap.store.catalogue.audit import AuditLog
from halflap.store.catalogue.bulks import Bulks
from halflap.store.catalogue.component_sets import ComponentSets
from halflap.store.catalogue.connections import Connections
from halflap.store.catalogue.customers import Customers
from halflap.store.catalogue.drafts import DraftPins, Drafts
from halflap.store.catalogue.endpoints import Endpoints
from halflap.store.catalogue.envelopes import Envelopes
from halflap.store.catalogue.event_types import EventTypeCatalogue
from halflap.store.catalogue.instances import Instances
from halflap.store.catalogue.keys import AccessKeys
from halflap.store.catalogue.notes import Counters, Rejections
from halflap.store.catalogue.oauth_apps import OAuthApps
from halflap.store.catalogue.outcomes import OutcomeCounts
from halflap.store.catalogue.precondition import TAGGED, Tagged, tag_of
from halflap.store.catalogue.retentions import Retentions
from halflap.store.catalogue.sessions import SignInAttempts, UserSessions
from halflap.store.catalogue.shared import SharedEndpoints
from halflap.store.catalogue.subscriptions import StoredSubscription, Subscriptions
from halflap.store.catalogue.tokens import TokenCatalogue
from halflap.store.catalogue.unrouted import UnroutedEvents
from halflap.store.catalogue.users import Users
from halflap.store.catalogue.versions import Versions
from halflap.store.catalogue.writer import CatalogueWriter
from halflap.store.scope import CustomerScope
from halflap.store.vault import Vault

__all__ = ["Catalogue", "StoredSubscription"]


Moving = Literal["instances", "connections", "bulks"]
MOVING: dict[Moving, str] = {
    "instances": "SELECT id, customer, state, version, revision, error, changed_at FROM instances",
    "connections": "SELECT id, customer, status, generation, name, fields, limits FROM connections",
    "bulks": "SELECT id, NULL, state, done, refused FROM bulks ORDER BY id DESC LIMIT 100",
}


class Catalogue:
    """All that people make, noun by noun: `catalogue.instances.get(...)`."""

    def __init__(self, writer: CatalogueWriter, vault: Vault, clock: Clock) -> None:
        self._writer = writer
        self._vault = vault
        self._clock = clock
        self.customers = Customers(writer, vault, clock)
        self.versions = Versions(writer, vault, clock)
        self.drafts = Drafts(writer, vault, clock)
        self.component_sets = ComponentSets(writer, vault, clock)
        self.pins = DraftPins(writer, vault, clock)
        self.connections = Connections(writer, vault, clock)
        self.oauth_apps = OAuthApps(writer, vault, clock)
        self.unrouted = UnroutedEvents(writer, vault, clock)
        self.event_types = EventTypeCatalogue(writer, vault, clock)
        self.instances = Instances(writer, vault, clock)
        self.endpoints = Endpoints(writer, vault, clock)
        self.shared = SharedEndpoints(writer, vault, clock)
        self.subscriptions = Subscriptions(writer, vault, clock)
        self.retentions = Retentions(writer)
        self.bulks = Bulks(writer, vault, clock)
        self.outcomes = OutcomeCounts(writer, vault, clock)
        self.tokens = TokenCatalogue(writer, vault, clock)
        self.users = Users(writer, vault, clock)
        self.sessions = UserSessions(writer, vault, clock)
        self.attempts = SignInAttempts(writer, vault, clock)
        self.keys = AccessKeys(writer, vault, clock)
        self.audit = AuditLog(writer, clock)
        self.answers = StoredAnswers(writer, vault, clock)
        self.envelopes = Envelopes(writer, vault, clock)
        self.rejections = Rejections(writer.database)
        self.counters = Counters(writer.database)

    def holding(self, name: str) -> AbstractAsyncContextManager[None]:
        """Have a name to oneself among all processes, in whatever scope they are."""
        return self._writer.holding(name)

    def within(self, scope: CustomerScope) -> Catalogue:
        """This catalogue for whoever is in a scope: what is out of it is not there."""
        found = Catalogue(self._writer.within(scope), self._vault, self._clock)
        found.rejections = self.rejections.within(scope)
        found.counters = self.counters.within(scope)
        return found

    @property
    def changed(self) -> int:
        """Grows with every write that a cache may depend on, whichever process writes.

        Note the number before reading, and keep what was read under it: at another number it is
        stale.
        """
        return self._writer.changed

    async def seen(self, what: Moving) -> dict[str, tuple[Any, ...]]:
        """Return, by id, the customer and the state of what people look at, and what else changes."""
        return {id: tuple(row) for id, *row in await self._writer.rows(MOVING[what])}

    async def tag(self, what: Tagged, id: str) -> str:
        """Return the tag of an object; empty where it is not there. Read the object after it."""
        rows = await self._writer.rows(TAGGED[what], (id,))
        return tag_of(rows[0]) if rows else ""

    def on_change(self, call: Callable[[], object]) -> Callable[[], None]:
        """Have something called after every write that a cache may depend on; it must not block.

        Returns what ends that.
        """
        self._writer.on_change.append(call)
        return lambda: self._writer.on_change.remove(call)

    def alone(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Do something in one process at a time: yields whether the name is ours meanwhile.

        It is free again at the end of the block, and where the process ends.
        """
        return self._writer.trying(name)

    async def holds(self, name: str) -> bool:
        """Return whether a name that `alone` gave is still ours: it is lost with the store's
        connection.
        """
        return await self._writer.holds(name)

    async def settled(self) -> None:
        """Wait until what was noted (rejections, counts) is written."""
        await self.rejections.settled()
        await self.counters.settled()

    async def close(self) -> None:
        """Write what was noted, and look for no more changes."""
        await self.settled()
        await self._writer.close()
