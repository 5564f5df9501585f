"""Types of connections: those of installed components, and those that lie in published versions."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from halflap.api.operations import finding
from halflap.engine.library import Library
from halflap.errors import ConfigError, DefinitionError, HalflapError, NotFound
from halflap.model import StoredConnection
from halflap.sdk import registry
from halflap.sdk.app_endpoint import AppEndpoint
from halflap.sdk.component import Component
from halflap.sdk.connection import Connection
from halflap.sdk.integration import Integration
from halflap.sdk.secret import put_together
from halflap.store.catalogue import Catalogue

PRIVATE = re.compile(r"^_halflap_[0-9a-f]+\.")
"""The prefix of the name of a version's module in this process."""
OURS = __name__.partition(".")[0]
"""The package of the built-in components, each of which is imported with its type."""

Kind = type[Connection]


@dataclass(slots=True)
class Kinds:
    """Finds the type of a connection, and what it is called where it is kept."""

    catalogue: Catalogue
    library: Library

    async def wanted(
        self, component: str | None, integration: str | None, field: str | None, version: str | None
    ) -> tuple[str, Kind]:
        """The name and the type that somebody asks for: an installed component's, or a field's.

        `ConfigError` where both or neither is asked for, `NotFound` where there is no such one.
        """
        if (component is None) == (integration is None) or (integration is None) != (field is None):
            raise ConfigError(
                "say which type of connection: `component`, or `integration` and `field`",
                fields={"component": "give this, or `integration` and `field`"},
            )
        if component is not None:
            return component, installed(component)
        assert integration is not None
        assert field is not None
        named = version or "newest"
        if version is None and (newest := await self.catalogue.versions.latest(integration)):
            named = newest.hash
        found = await finding.version(self.catalogue, integration, named)
        connections = (await self.library.integration(found.hash)).connections()
        if field not in connections:
            raise NotFound(
                f"version {found.number} of {integration} has no connection {field!r} in its "
                f"config; it has: {', '.join(connections) or 'none'}"
            )
        return name_of(connections[field]), connections[field]

    async def of(self, stored: StoredConnection) -> Kind:
        """The type of a stored connection, from wherever it is found; raises `NotFound`."""
        if ":" not in stored.component:
            return installed(stored.component)
        wrong: HalflapError | None = None
        async for kind in self._published(stored.component):
            try:
                secrets = await self.catalogue.connections.open_secrets(stored.id)
                put_together(kind, stored.fields, secrets)
            except ConfigError as error:
                wrong = error
            else:
                return kind
        raise wrong or NotFound(
            f"the type {stored.component} of connection {stored.name!r} is in no newest version and "
            "no target of any integration; deploy one whose config has it"
        )

    async def component_of(self, stored: StoredConnection) -> str:
        """Return the name of the component whose actions call the app of a stored connection."""
        if ":" not in stored.component:
            return stored.component
        kind = await self.named(stored.component)
        return "" if kind is None else kind._component

    async def get(self, component: str) -> Kind:
        """Return the connection type of a stored name; `NotFound` where nothing has it."""
        if ":" not in component:
            return installed(component)
        found = await self.named(component)
        if found is None:
            raise NotFound(f"the type {component} is in no newest version and no target")
        return found

    async def app_endpoint(self, component: str) -> AppEndpoint | None:
        """Return how a component's app sends events to one URL; None where it does not."""
        try:
            return (await self.get(component)).app_endpoint
        except (DefinitionError, NotFound):  # it is not installed here, or no longer published
            return None

    async def named(self, component: str) -> Kind | None:
        """Return the connection type `module:Class` of a version that matters now."""
        return await anext(self._published(component), None)

    async def _published(self, component: str) -> AsyncIterator[Kind]:
        """Yield the types of a name: of each integration's newest version, and those of its targets."""
        hashes: dict[str, None] = {}
        for integration in await self.catalogue.versions.integrations():
            newest = await self.catalogue.versions.latest(integration)
            targets = await self.catalogue.versions.targets(integration)
            for each in (newest, *targets.values()):
                if each is not None:
                    hashes[each.hash] = None
        for hash in hashes:
            loaded, _ = await self.load(hash)
            for kind in loaded.connections().values() if loaded is not None else ():
                if name_of(kind) == component:
                    yield kind

    async def load(self, hash: str) -> tuple[Integration[Any] | None, str | None]:
        """The integration of a version, or why it does not load here."""
        try:
            return await self.library.integration(hash), None
        except (DefinitionError, NotFound) as error:
            return None, error.message


def installed(component: str) -> Kind:
    """The connection type of an installed component; `NotFound` where it has none."""
    found = registry.component(component)
    if found.connection is None:
        raise NotFound(f"the component {component!r} has no connection; it needs none")
    return found.connection


def name_of(kind: Kind) -> str:
    """Return the stored name of a type: its component's where that is installed, else
    `module:Class`.
    """
    owner = component_of(kind)
    return owner.name if owner else f"{PRIVATE.sub('', kind.__module__)}:{kind.__qualname__}"


def is_of(stored: StoredConnection, path: str) -> bool:
    """Return whether a stored connection is of the type with this module and name, joined by a dot.

    A type that lies in a bundle is never one of an installed component, whatever their names are.
    """
    if ":" in stored.component:
        return PRIVATE.sub("", path) == stored.component.replace(":", ".")
    try:
        kind = installed(stored.component)
    except (DefinitionError, NotFound):  # it does not load here, or is not installed
        return False
    return path == f"{kind.__module__}.{kind.__qualname__}"


def title_of(kind: Kind) -> str:
    """Return what people call the app of a connection type."""
    owner = component_of(kind)
    return (
        owner.title if owner else (kind._component or kind.__name__).replace("_", " ").capitalize()
    )


def component_of(kind: Kind) -> Component | None:
    """Return the installed component whose connection a type is.

    None is imported that cannot be it: all of them would block the event loop for a second.
    """
    package = kind.__module__.partition(".")[0]
    for name, module in sorted(registry.modules().items()):
        shares = module.partition(".")[0] == package != OURS
        if module in sys.modules or shares:
            with suppress(DefinitionError):
                if (found := registry.component(name)).connection is kind:
                    return found
    return None
