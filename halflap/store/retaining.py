"""Has an instance's executions kept for as long as is said, in both rooms of a store."""

from __future__ import annotations

from halflap.model import Instance, Retention
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.retentions import declared
from halflap.store.protocol import Journal


async def declare(
    catalogue: Catalogue, journal: Journal, instance: Instance, retention: Retention
) -> None:
    """Note what an instance's integration says, and have it hold; `ConfigError` if it cannot."""
    await say(catalogue, journal, declared(instance.id), retention, [instance])


async def say(
    catalogue: Catalogue,
    journal: Journal,
    name: str,
    retention: Retention,
    instances: list[Instance],
) -> None:
    """Note what was said under a name, and have it hold for the instances that it is about.

    `ConfigError`, with all as it was, where there would be one retention class too many.
    """
    before = await catalogue.retentions.get(name)
    await catalogue.retentions.put(name, retention)
    try:
        await _settle(catalogue, journal, instances)
    except BaseException:
        await catalogue.retentions.put(name, before)
        await _settle(catalogue, journal, instances)
        raise


async def _settle(catalogue: Catalogue, journal: Journal, instances: list[Instance]) -> None:
    for each in instances:
        await journal.retain(each.id, await catalogue.retentions.of(each.id, each.customer))
