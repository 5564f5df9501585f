"""Find what happened and what comes: lines that authors' code logged, and the ticks of schedules."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from halflap.api.operations.executions import Executions
from halflap.engine.library import Library
from halflap.engine.resolver import Resolver
from halflap.engine.twoway import without_values
from halflap.errors import HalflapError
from halflap.model import Clock, Execution, Instance, LogLine, Micros, to_datetime, to_micros
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Filter

MOST_READ = 500
"""Executions whose lines are read for one page."""
MOST_LINES = 1_000
"""Lines of one execution that are looked at: the first ones."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A scheduled flow: when it last fired, and when it does next, or why that is not known."""

    instance: Instance
    flow: str
    last: Micros
    next: Micros | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """A line, with its number in the execution that logged it."""

    execution: Execution
    number: int
    line: LogLine


@dataclass(slots=True)
class Activity:
    """Reads schedules and log lines over all executions."""

    catalogue: Catalogue
    executions: Executions
    library: Library
    resolver: Resolver
    clock: Clock

    async def schedules(
        self,
        customer: str | None,
        instance: str | None,
        integration: str | None,
        after: str | None,
        limit: int,
    ) -> tuple[list[Tick], str | None]:
        """Return scheduled flows, and the `after` of the next page."""
        place = None
        if after is not None:
            id, _, flow = after.partition(".")
            place = (id, flow)
        rows = await self.catalogue.instances.scheduled(
            customer, instance, integration, place, limit
        )
        instances = await self.catalogue.instances.some({each[0] for each in rows})
        ticks = [
            await self._tick(instances[id], flow, last)
            for id, flow, last in rows
            if id in instances
        ]
        return ticks, ".".join(rows[-1][:2]) if len(rows) == limit else None

    async def _tick(self, instance: Instance, flow: str, last: Micros) -> Tick:
        if instance.state != "active":
            return Tick(instance, flow, last, None, f"its instance is {instance.state}")
        try:
            integration = await self.library.integration(instance.version)
            if flow not in integration.flows:
                return Tick(instance, flow, last, None, "its version has this flow no more")
            builder = self.resolver.builder
            author = integration.flows[flow]
            found = await builder.flow_of(integration, author, instance.id, instance.revision)
        except HalflapError as error:
            return Tick(instance, flow, last, None, error.message)
        ticks = found.trigger.declaration.ticks
        if ticks is None:
            return Tick(instance, flow, last, None, "its config has no schedule for it")
        at = ticks(to_datetime(self.clock()))
        return Tick(instance, flow, last, None if at is None else to_micros(at))

    async def logs(
        self,
        which: Filter,
        levels: Sequence[str],
        text: str,
        before: str | None,
        limit: int,
        hidden: Container[str],
    ) -> tuple[list[Logged], str | None]:
        """Return lines of the newest executions, each execution's newest first, and the next `before`.

        Of the customers in `hidden` the text is compared with what is shown alone. A page ends with an
        execution: where that has many lines, it is longer than `limit`. It may have fewer, even none,
        while there are more: the lines of so many executions are read for one page.
        """
        found: list[Logged] = []
        page = replace(which, limit=min(which.limit, MOST_READ))
        for _ in range(max(1, MOST_READ // page.limit)):
            executions, next = await self.executions.list(page, before)
            for each in executions:
                lines = await self.executions.logs(each, 0, MOST_LINES)
                shown = without_values if each.flow.customer in hidden else str
                found += [
                    Logged(each, number, line)
                    for number, line in reversed(lines)
                    if (not levels or line.level in levels)
                    and text in f"{shown(line.message)}\n{line.step}".lower()
                ]
                if len(found) >= limit:
                    return found, each.id
            if next is None:
                return found, None
            before = next
        return found, before
