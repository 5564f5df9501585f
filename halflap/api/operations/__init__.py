"""Operations on customers, connections, instances and executions: one verb each.

Nothing here knows HTTP: the routes translate, and the CLI calls the same routes in its process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from halflap.api.operations.activity import Activity
from halflap.api.operations.app_events import AppEvents, FanOut
from halflap.api.operations.bulks import BulkOperations
from halflap.api.operations.config import Configs
from halflap.api.operations.connections import ConnectionOperations, SigningIn
from halflap.api.operations.development import DevelopmentOperations
from halflap.api.operations.draft_runs import DraftRuns
from halflap.api.operations.drafts import DraftOperations, OpenDrafts
from halflap.api.operations.erasure import Erasure
from halflap.api.operations.executions import Executions
from halflap.api.operations.following import Following
from halflap.api.operations.health import Healths
from halflap.api.operations.instances import InstanceOperations
from halflap.api.operations.kinds import Kinds
from halflap.api.operations.linting import Linting
from halflap.api.operations.oauth_apps import Redeliver, TeamApps
from halflap.api.operations.offers import OfferOperations
from halflap.api.operations.pairs import Paired
from halflap.api.operations.pauses import Pauses
from halflap.api.operations.people import People
from halflap.api.operations.receivers import ReceiverOperations
from halflap.api.operations.sandboxes import Sandboxes
from halflap.api.operations.shared import SharedEndpointOperations
from halflap.api.operations.sources import Sources
from halflap.api.operations.stats import Stats
from halflap.api.operations.tracing import Tracing
from halflap.api.operations.upgrades import Upgrades
from halflap.api.operations.versions import VersionOperations
from halflap.api.principal import ROOT, HiddenPayloads, Principal
from halflap.engine.deployer import Deployer
from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.model import CustomerLimits
from halflap.store.store import Store, StoreView

__all__ = ["Operations"]


class Operations:
    """The verbs behind the API, by noun: `operations.instances.activate(...)`.

    In no scope, for what a server does by itself; `within` one, for whoever asks.
    """

    def __init__(
        self,
        store: Store,
        engine: JournalEngine,
        deployer: Deployer,
        resolver: Resolver,
        library: Library,
        redeliver: Redeliver,
        fan_out: FanOut,
        *,
        of: Operations | None = None,
        view: StoreView | None = None,
        principal: Principal = ROOT,
        sandboxes: Sequence[str] = (),
    ) -> None:
        """`of` and `view` are `within`'s: whose these are, and what they see of the store.

        `redeliver` hands an event of an app's endpoint to the gateway again, `fan_out` events of the
        team's own product; `sandboxes` are the addresses at which sandbox apps are looked for.
        """
        self.principal = principal
        self.store = store
        self.engine = engine
        self.deployer = deployer
        self.resolver = resolver
        self.library = library
        self.scope = None if view is None else view.scope
        self.catalogue = store.catalogue if view is None else view.catalogue
        self.journal = store.journal if view is None else view.journal
        catalogue, journal, clock = self.catalogue, self.journal, store.clock
        self.offers = OfferOperations(catalogue, self.customer)
        self.sources = Sources(catalogue, resolver, library, self.offers, self.customer)
        kinds, configs = Kinds(catalogue, library), Configs(catalogue, self.sources)
        self.draft_runs = DraftRuns() if of is None else of.draft_runs
        self.versions = VersionOperations(catalogue, library, kinds, self.draft_runs, principal.id)
        self.linting = Linting() if of is None else Linting(of.linting.turns, of.linting.workers)
        self.following = Following(engine, store.catalogue) if of is None else of.following
        opened = OpenDrafts() if of is None else of.drafts.open
        self.drafts = DraftOperations(
            catalogue.drafts,
            catalogue.component_sets,
            self.versions,
            self.linting,
            self.draft_runs,
            clock,
            principal,
            opened,
            self.following.nudge,
        )
        self.pins = catalogue.pins
        signing_in = SigningIn(clock) if of is None else of.connections.signing_in
        self.connections = ConnectionOperations(
            catalogue,
            resolver,
            kinds,
            signing_in,
            deployer.retry_left,
            self.customer,
            principal.session,
        )
        self.instances = InstanceOperations(
            catalogue, library, deployer, resolver, configs, self.offers
        )
        self.healths = Healths(catalogue, journal, library, resolver, clock)
        self.pairs = Paired(journal, library)
        self.pauses = Pauses(engine, library)
        self.development = DevelopmentOperations(
            catalogue,
            journal,
            self.instances,
            self.drafts,
            self.draft_runs,
            kinds,
            self.pauses,
            resolver,
            self.sources,
            engine.backlog,
            clock,
        )
        self.shared = SharedEndpointOperations(catalogue, resolver)
        self.executions = Executions(
            catalogue, journal, engine, library, configs, clock, self.offers
        )
        self.activity = Activity(catalogue, self.executions, library, resolver, clock)
        self.tracing = Tracing(self.versions, journal, resolver, principal.id)
        if of is not None:
            self.tracing.turns = of.tracing.turns
        changed = asyncio.Event() if of is None else of.bulks.changed
        begun = set[str]() if of is None else of.bulks.begun
        upgrades = Upgrades(catalogue, self.instances)
        self.stats = Stats(catalogue.outcomes, journal, store.catalogue.outcomes, clock)
        self.bulks = BulkOperations(
            catalogue, journal, self.executions, upgrades, clock, self.stats, changed, begun
        )
        # So many searches of payloads read at one time.
        self.searching = asyncio.Semaphore(2) if of is None else of.searching
        self.erasure = Erasure(store, deployer)
        self.retentions = store.catalogue.retentions
        # A token is looked up before it is known whose it is, so no scope reaches to them.
        self.tokens = store.catalogue.tokens
        self.people = People(store.catalogue, store.vault) if of is None else of.people
        self.redeliver = redeliver
        self.oauth_apps = TeamApps(
            store.catalogue.oauth_apps,
            store.catalogue.unrouted,
            kinds,
            resolver.builder.url,
            self.redeliver,
        )
        self.fan_out = fan_out
        self.app_events = (
            AppEvents(store.catalogue, fan_out, clock) if of is None else of.app_events
        )
        egress = resolver.egress
        self.receivers = ReceiverOperations(
            catalogue,
            store.catalogue,
            journal,
            self.instances,
            deployer,
            self.app_events,
            self.bulks if of is None else of.bulks,
            egress,
            clock,
        )
        self.sandboxes = Sandboxes(egress, sandboxes) if of is None else of.sandboxes

    def within(self, principal: Principal) -> Operations:
        """These for a principal: what is not in its scope cannot be found, so nor changed."""
        return Operations(
            self.store,
            self.engine,
            self.deployer,
            self.resolver,
            self.library,
            self.redeliver,
            self.fan_out,
            of=self,
            view=self.store.within(principal.scope),
            principal=principal,
        )

    @property
    def customer(self) -> str | None:
        """The customer that is acted for (its id); None for the whole tenant."""
        return None if self.scope is None else self.scope.customer

    def acting(self, said: str) -> str:
        """Return the name of who acts: of a user or a key its own, else the one that was said."""
        return self.principal.label if self.principal.kind in ("user", "key") else said

    async def hidden_payloads(self) -> HiddenPayloads:
        """Return the customers whose payloads are hidden from who acts."""
        rights = self.principal.rights
        if "private_payloads" in rights and "payloads" in rights:
            return HiddenPayloads()
        if "payloads" not in rights:
            return HiddenPayloads(all=True)
        return HiddenPayloads(private=await self.catalogue.customers.private())

    async def limit(self, customer: str, limits: CustomerLimits) -> None:
        """Give a customer (by id) limits of its own; what is None is the default."""
        await self.journal.set_limits(customer, limits)
        self.engine.backlog.forget(customer)
        self.engine.nudge()

    def stop(self) -> None:
        """End the streams that clients follow, so that the server can stop."""
        self.following.stop()
