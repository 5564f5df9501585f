"""Retention of executions: what customers and instances set, and what holds for them."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.model import Instance, Retention
from halflap.store.catalogue.retentions import Retentions


@dataclass(frozen=True, slots=True)
class Retaining:
    """Sets and shows retentions."""

    retentions: Retentions

    @property
    def default(self) -> Retention:
        """The server's retention."""
        return self.retentions.default

    async def of(self, id: str) -> Retention:
        """Return what a customer or an instance sets itself."""
        return await self.retentions.get(id)

    async def holds(self, instance: Instance) -> Retention:
        """Return what holds for an instance, all levels together."""
        return (await self.retentions.rules()).of(instance.id, instance.customer)

    async def put(self, id: str, retention: Retention) -> None:
        """Set the retention of a customer or an instance; it holds for what has ended before, too."""
        await self.retentions.put(id, retention)
