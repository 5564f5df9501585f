"""The listeners of an event type: flows of integrations that are in use, and receivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halflap.engine.library import Library
from halflap.errors import DefinitionError, NotFound
from halflap.model import RECEIVERS, Instance
from halflap.sdk.event_type import takes
from halflap.store.catalogue import Catalogue

MOST_LOOKED_AT = 5_000
"""The most receivers whose types are looked at."""
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ListeningFlow:
    """A flow of a version in use; `by_config`: the config of each instance says which types it takes."""

    integration: str
    title: str
    version: str
    flow: str
    instances: int
    by_config: bool


@dataclass(frozen=True, slots=True)
class EventListeners:
    """The listeners of a type: `receivers` are the oldest of `receiver_count`."""

    flows: Sequence[ListeningFlow]
    receivers: Sequence[tuple[Instance, Sequence[str]]]
    receiver_count: int


async def listeners_of(type: str, catalogue: Catalogue, library: Library) -> EventListeners:
    """Return the flows and the receivers, of all customers, that take events of a type."""
    flows: list[ListeningFlow] = []
    for integration, version, name, count in await catalogue.endpoints.open_by_flow():
        if integration == RECEIVERS:
            continue
        try:
            loaded = await library.integration(version)
        except (NotFound, DefinitionError):
            continue
        flow = loaded.flows.get(name)
        if flow is None or flow.trigger.declaration.app_events is None:
            continue
        by_config = bool(flow.trigger.references)
        if by_config or takes(flow.trigger.declaration.app_events, type):
            flows.append(ListeningFlow(integration, loaded.title, version, name, count, by_config))
    configs = await catalogue.instances.configs(RECEIVERS, MOST_LOOKED_AT)
    taking = {id: config["types"] for id, config in configs if takes(config["types"], type)}
    found = await catalogue.instances.some(list(taking)[:MOST_SHOWN])
    shown = [(found[id], types) for id, types in taking.items() if id in found]
    return EventListeners(flows, shown, len(taking))
