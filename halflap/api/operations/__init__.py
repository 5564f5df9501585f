"""What people do with customers, connections, instances and executions: one verb each.

Nothing here knows HTTP: the routes translate, and the CLI calls the same routes in its process.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from halflap.api.operations.bulks import Bulks
from halflap.api.operations.config import Configs
from halflap.api.operations.connections import Connections
from halflap.api.operations.erasure import Erasure
from halflap.api.operations.executions import Executions
from halflap.api.operations.following import Following
from halflap.api.operations.instances import Instances
from halflap.api.operations.kinds import Kinds
from halflap.api.operations.needs import Backlog, Deployer, Engine, Library, Resolver
from halflap.api.operations.pairs import Paired
from halflap.api.operations.pauses import Pauses
from halflap.api.operations.versions import Versions
from halflap.model import CustomerLimits
from halflap.store.store import Store

__all__ = ["Operations"]


@dataclass(slots=True)
class Operations:
    """The verbs behind the API, by noun: `operations.instances.activate(...)`."""

    store: Store
    engine: Engine
    deployer: Deployer
    resolver: Resolver
    library: Library
    backlog: Backlog | None = None
    versions: Versions = field(init=False)
    connections: Connections = field(init=False)
    instances: Instances = field(init=False)
    pairs: Paired = field(init=False)
    pauses: Pauses = field(init=False)
    executions: Executions = field(init=False)
    bulks: Bulks = field(init=False)
    following: Following = field(init=False)
    erasure: Erasure = field(init=False)

    def __post_init__(self) -> None:
        catalogue, clock = self.store.catalogue, self.store.clock
        kinds, configs = Kinds(catalogue, self.library), Configs(catalogue)
        self.versions = Versions(catalogue, self.library, kinds)
        self.connections = Connections(catalogue, self.resolver, kinds, clock)
        self.instances = Instances(catalogue, self.library, self.deployer, self.resolver, configs)
        self.pairs = Paired(self.store.journal, self.library)
        self.pauses = Pauses(self.engine, self.library)
        self.executions = Executions(
            catalogue, self.store.journal, self.engine, self.library, configs, clock
        )
        self.bulks = Bulks(catalogue, self.store.journal, self.executions, clock)
        self.following = Following(self.engine)
        self.erasure = Erasure(self.store, self.deployer)

    async def limit(self, customer: str, limits: CustomerLimits) -> None:
        """Give a customer (by id) limits of its own; what is None is the default."""
        await self.store.journal.set_limits(customer, limits)
        if self.backlog is not None:
            self.backlog.forget(customer)
        self.engine.nudge()

    def stop(self) -> None:
        """End the streams that clients follow, so that the server can stop."""
        self.following.stop()
