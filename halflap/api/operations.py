"""What people do with customers, connections, instances and executions: one verb each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from halflap.errors import ConfigError, Conflict, DefinitionError, NotFound
from halflap.model import (
    Customer,
    Execution,
    Instance,
    Start,
    Started,
    StoredConnection,
    Version,
    new_id,
    wall_clock,
)
from halflap.sdk import registry
from halflap.sdk.config import check_config
from halflap.sdk.connection import Connection, Link
from halflap.sdk.egress import Egress
from halflap.sdk.integration import Integration
from halflap.sdk.secret import put_together, take_apart
from halflap.store.protocol import Filter
from halflap.store.store import Store


class Engine(Protocol):
    """What is asked of the engine."""

    async def start(self, starts: Sequence[Start]) -> list[Started]: ...
    async def cancel(self, execution: str, reason: str) -> bool: ...
    def follow(self, listener: Callable[[Any], None]) -> Callable[[], None]: ...


class Deployer(Protocol):
    """What is asked of the deployer."""

    async def activate(self, instance: str) -> Instance: ...
    async def upgrade(self, instance: str, version: str) -> Instance: ...
    async def disable(self, instance: str, *, drain: float = 30.0) -> Instance: ...
    async def remove(self, instance: str) -> None: ...
    async def settled(self, instance: str, within: float = 60.0) -> Instance: ...


class Library(Protocol):
    """What is asked of the loaded versions."""

    async def integration(self, version: str) -> Integration[Any]: ...
    async def check(self, bundle: bytes) -> tuple[str, Integration[Any]]: ...


class Resolver(Protocol):
    """What is asked of whoever knows URLs and egress."""

    egress: Egress

    async def urls(self, instance: str) -> dict[str, str]: ...


@dataclass(slots=True)
class Operations:
    """The verbs behind the API."""

    store: Store
    engine: Engine
    deployer: Deployer
    resolver: Resolver
    library: Library

    # Versions ---------------------------------------------------------------------------------

    async def publish(
        self, bundle: bytes, *, target: str | None, expect: str | None, note: str = "", force: bool = False
    ) -> Version:
        """Publish a bundle and point a target at it.

        `expect` is the version that the publisher last saw there: where the target has moved on,
        `Conflict`, unless `force`.
        """
        hash, integration = await self.library.check(bundle)
        versions = self.store.catalogue.versions
        if target is not None and not force:
            now = await versions.target(integration.name, target)
            if now is not None and now.hash not in (hash, expect):
                raise Conflict(
                    f"{target} has version {now.number} ({now.hash[:12]}) of {integration.name}, which "
                    "is not the one that you began from; look at the difference, then deploy again "
                    "with --overwrite",
                    key=now.hash,
                )
        version = await versions.publish(integration.name, hash, bundle, note)
        if target is not None:
            await versions.move_target(integration.name, target, hash, expect=None)
        return version

    # Connections ------------------------------------------------------------------------------

    async def save_connection(
        self,
        *,
        customer: str | None,
        kind: type[Connection],
        component: str,
        name: str,
        values: Mapping[str, Any],
        test: bool = True,
        id: str | None = None,
    ) -> StoredConnection:
        """Validate a connection, test it at the app, then save it; its secrets are sealed.

        `ConfigError` names the wrong fields; what the app says in the test is an `UpstreamError`.
        """
        connection = put_together(kind, values, {})
        connection._link = Link(name, id, self.resolver.egress)
        if test:
            await connection.test()
        fields, secrets = take_apart(connection)
        saved = await self.store.catalogue.connections.save(
            customer, component, name, fields, secrets, id=id
        )
        if test:
            await self.store.catalogue.connections.set_status(saved.id, "working")
        return await self.store.catalogue.connections.get(saved.id)

    async def test_connection(self, id: str, kind: type[Connection]) -> None:
        """Test a saved connection at the app, and note whether it works."""
        stored = await self.store.catalogue.connections.get(id)
        secrets = await self.store.catalogue.connections.open_secrets(id)
        connection = put_together(kind, stored.fields, secrets)
        connection._link = Link(stored.name, id, self.resolver.egress)
        await connection.test()
        await self.store.catalogue.connections.set_status(id, "working")

    # Instances --------------------------------------------------------------------------------

    async def configure(
        self,
        *,
        customer: str,
        integration: str,
        name: str,
        config: Mapping[str, Any],
        connections: Mapping[str, str],
        version: str | None = None,
        target: str = "dev",
    ) -> Instance:
        """Make an instance, or give one a new config revision; `ConfigError` names what is missing."""
        catalogue = self.store.catalogue
        owner = await catalogue.customers.get(customer)
        existing = await catalogue.instances.by_name(owner.id, name)
        if existing is not None:
            version = version or existing.version
        if version is None:
            found = await catalogue.versions.target(integration, target)
            found = found or await catalogue.versions.latest(integration)
            if found is None:
                raise NotFound(f"no version of {integration!r} is published; halflap deploy does that")
            version = found.hash
        definition = await self.library.integration(version)
        await check_config(definition, config, self._named(connections), owner.id, catalogue.connections)
        instance = existing or await catalogue.instances.add(owner.id, integration, name, version)
        await catalogue.instances.set_revision(instance.id, dict(config), dict(connections))
        return await catalogue.instances.get(instance.id)

    def _named(self, connections: Mapping[str, str]) -> Mapping[str, str]:
        return connections

    # Executions -------------------------------------------------------------------------------

    async def execution(self, id: str) -> Execution:
        """An execution by its id; an abbreviation that names just one will do."""
        found = await self.store.journal.execution(id)
        if found is None:
            raise NotFound(f"no execution {id}")
        return found

    async def replay(self, id: str, *, from_failed: bool, version: str | None) -> str:
        """Run an execution again: whole (a new root, so new idempotency keys), or from the failed step.

        From the failed step, the steps that succeeded are copied and the root stays. On the version
        that the instance has now unless `version` names another. Returns the new execution's id.
        """
        found = await self.execution(id)
        if found.state in ("queued", "running", "waiting"):
            raise ConfigError(f"{id} is {found.state}; it has not ended yet")
        event = await self.store.journal.event(id)
        if event is None:
            raise NotFound(f"the event of {id} is no longer kept; it cannot be replayed")
        instance = await self.store.catalogue.instances.get(found.flow.instance)
        copied = ()
        if from_failed:
            steps = await self.store.journal.steps(id)
            copied = tuple(each for each in steps if each.status == "succeeded")
        new = new_id("exe", now=wall_clock())
        flow = replace(
            found.flow,
            version=version or instance.version,
            revision=instance.revision,
        )
        start = Start(
            execution=new,
            flow=flow,
            event=event,
            root=found.root if from_failed else new,
            key=found.key,
            replay_of=id,
            copied=copied,
        )
        await self.engine.start([start])
        return new
