"""For how long things are kept: what customers and instances say, and what holds for them."""

from __future__ import annotations

from dataclasses import dataclass

from halflap.model import Instance, Retention
from halflap.store.retaining import say_of_customer, say_of_instance
from halflap.store.store import Store


@dataclass(frozen=True, slots=True)
class Retaining:
    """Sets and shows retentions."""

    store: Store

    async def of(self, id: str) -> Retention:
        """What a customer or an instance says itself."""
        return await self.store.catalogue.retentions.get(id)

    async def holds(self, instance: Instance) -> Retention:
        """What holds for an instance, all things said."""
        said = await self.store.catalogue.retentions.of(instance.id, instance.customer)
        return said.over(self.store.journal.default_retention)

    async def of_instance(self, instance: Instance, retention: Retention) -> None:
        """Keep what ends of an instance from now on for so long."""
        await say_of_instance(self.store.catalogue, self.store.journal, instance, retention)

    async def of_customer(self, customer: str, retention: Retention) -> None:
        """Keep what ends of a customer's instances from now on for so long, where they say nothing."""
        await say_of_customer(self.store.catalogue, self.store.journal, customer, retention)
