"""The catalogue: what people make. Customers, versions, connections, instances, endpoints.

One class a noun, gathered by `Catalogue`. Every verb is one transaction. What is refused is said
with `ConfigError`, what is missing with `NotFound`, and a lost compare-and-set with a result.
"""

from __future__ import annotations

from collections.abc import Callable

from halflap.model import Clock
from halflap.store.catalogue.connections import Connections
from halflap.store.catalogue.customers import Customers
from halflap.store.catalogue.endpoints import Endpoints
from halflap.store.catalogue.instances import Instances
from halflap.store.catalogue.notes import Counters, Rejections
from halflap.store.catalogue.subscriptions import StoredSubscription, Subscriptions
from halflap.store.catalogue.versions import Versions
from halflap.store.catalogue.writer import Writer
from halflap.store.sqlite import Database
from halflap.store.vault import Vault

__all__ = ["Catalogue", "StoredSubscription"]


class Catalogue:
    """All that people make, noun by noun: `catalogue.instances.get(...)`."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._writer = Writer(database)
        self.customers = Customers(self._writer, clock)
        self.versions = Versions(self._writer, clock)
        self.connections = Connections(self._writer, vault, clock)
        self.instances = Instances(self._writer, clock)
        self.endpoints = Endpoints(self._writer, vault, clock)
        self.subscriptions = Subscriptions(self._writer, vault, clock)
        self.rejections = Rejections(database)
        self.counters = Counters(database)

    @property
    def changed(self) -> int:
        """Grows with every write that a cache may depend on.

        Note the number before reading, and keep what was read under it: at another number it is
        stale.
        """
        return self._writer.changed

    def on_change(self, call: Callable[[], object]) -> None:
        """Have something called after every write that a cache may depend on; it must not block."""
        self._writer.on_change = call

    async def settled(self) -> None:
        """Wait until what was noted (rejections, counts) is written."""
        await self.rejections.settled()
        await self.counters.settled()
