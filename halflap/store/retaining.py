"""Has executions kept for as long as is said, in both rooms of a store."""

from __future__ import annotations

from halflap.model import Instance, Retention
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.retentions import declared
from halflap.store.protocol import Journal


async def declare(
    catalogue: Catalogue, journal: Journal, instance: Instance, retention: Retention
) -> None:
    """Have hold what an instance's integration says; `ConfigError` if it cannot."""
    await _say(catalogue, journal, declared(instance.id), retention, instance)


async def say_of_instance(
    catalogue: Catalogue, journal: Journal, instance: Instance, retention: Retention
) -> None:
    """Have hold what an instance says; `ConfigError` if it cannot."""
    await _say(catalogue, journal, instance.id, retention, instance)


async def say_of_customer(
    catalogue: Catalogue, journal: Journal, customer: str, retention: Retention
) -> None:
    """Have hold what a customer says, for all its instances or none; `ConfigError` if it cannot."""
    await _say(catalogue, journal, customer, retention, None)


async def _say(
    catalogue: Catalogue,
    journal: Journal,
    name: str,
    retention: Retention,
    instance: Instance | None,
) -> None:
    """Have something hold that is said under a name: for an instance, or all of the customer.

    The journal goes first: it may refuse, and nothing is to be taken back then. Where a process
    ends between the two, what was asked for holds and is not shown; asking again mends that.
    """
    async with catalogue.retentions.turn():
        instances = (
            await catalogue.instances.list(customer=name) if instance is None else [instance]
        )
        said = {name: retention}
        holds = {e.id: await catalogue.retentions.of(e.id, e.customer, said) for e in instances}
        await journal.retain(holds)
        await catalogue.retentions.put(name, retention)
