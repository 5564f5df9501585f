"""The health of instances: how their executions went, and whether apps still have their webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halflap.api.operations.connections import explained
from halflap.engine.deployment import at_app
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.errors import HalflapError
from halflap.model import Clock, Instance, Micros
from halflap.sdk.integration import Integration
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.subscriptions import StoredSubscription
from halflap.store.protocol import Filter, Journal

DAY: Micros = 86_400_000_000
MOST_FAILED = 1_001


@dataclass(frozen=True, slots=True)
class ExecutionHealth:
    """The executions of an instance in numbers; `failed` is None where too many would be looked at."""

    instance: str
    failed: int | None
    backlog: int
    last_ok: Micros | None
    last_failed: Micros | None


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """An answer of the app about a subscription.

    `exists` is null where the app could not be asked (`because` says why), or its component cannot ask.
    """

    flow: str
    remote_id: str
    exists: bool | None
    because: str


@dataclass(slots=True)
class Healths:
    """Looks at instances."""

    catalogue: Catalogue
    journal: Journal
    library: Library
    resolver: Resolver
    clock: Clock

    async def of(self, instance: Instance) -> ExecutionHealth:
        """Return how the executions of an instance went: four reads, each of few rows."""
        failed = Filter(instance=instance.id, states=("failed",), limit=1)
        recent = replace(failed, since=self.clock() - DAY)
        return ExecutionHealth(
            instance.id,
            failed=await self.journal.count_listed(recent, MOST_FAILED, examine=MOST_FAILED),
            backlog=await self.journal.live(instance.id),
            last_ok=await self._last(replace(failed, states=("succeeded",))),
            last_failed=await self._last(failed),
        )

    async def _last(self, which: Filter) -> Micros | None:
        page = await self.journal.page(which)
        return page.executions[0].ended_at if page.executions else None

    async def renewal_errors(self, made: Sequence[StoredSubscription]) -> Mapping[str, str]:
        """Return, by flow, why the last renewal of a subscription failed."""
        renewals = {each.renewal: each.flow for each in made if each.renewal is not None}
        if not renewals:
            return {}
        found = await self.journal.executions(Filter(ids=tuple(renewals), limit=len(renewals)))
        return {renewals[each.id]: each.reason or "" for each in found if each.state == "failed"}

    async def check(self, instance: Instance) -> list[SubscriptionCheck]:
        """Ask the apps for each subscription of an instance, as its config says now."""
        subscriptions = await self.catalogue.subscriptions.list(instance.id)
        if not subscriptions:
            return []
        definition = await self.library.integration(instance.version)
        return [await self._checked(definition, instance, each) for each in subscriptions]

    async def _checked(
        self, definition: Integration[Any], instance: Instance, made: StoredSubscription
    ) -> SubscriptionCheck:
        def unknown(because: str) -> SubscriptionCheck:
            return SubscriptionCheck(made.flow, made.remote_id, None, because)

        subscription, flow = at_app(made), definition.flows.get(made.flow)
        if subscription is None:
            return unknown("the app never answered as it was made")
        if flow is None:
            return unknown("the version that the instance has is without this flow")
        if "exists" not in flow.trigger.trigger.hooks:
            return unknown(f"{flow.trigger.name} cannot ask its app")
        try:
            config = await self.resolver.config(definition, instance.id, instance.revision)
            connection = getattr(config, definition.connection_for(flow) or "", None)
            if connection is None:
                return unknown("its config has no connection to ask with")
            async with explained(connection):
                found = await flow.trigger.resolved(config).exists(connection, subscription)
        except HalflapError as error:
            return unknown(error.message)
        return SubscriptionCheck(made.flow, made.remote_id, found, "")
