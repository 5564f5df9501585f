"""Lay executions over the outlines of their flows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halflap.api.operations.versions import VersionOperations
from halflap.engine.resolver import Resolver
from halflap.errors import HalflapError, NotFound
from halflap.model import Execution
from halflap.store.protocol import Journal

if TYPE_CHECKING:
    from halflap.lowcode.outline import FlowOutline
    from halflap.lowcode.outline.executed import Executed, Trace


@dataclass(slots=True)
class Tracing:
    """Finds which part of a flow's text an execution came to, and which made each of its records."""

    versions: VersionOperations
    journal: Journal
    resolver: Resolver

    async def outline(self, execution: Execution) -> tuple[FlowOutline, Executed, Trace]:
        """Return the outline of an execution's flow, how it went through it, and where it stands.

        The trace is empty for a flow in Python, and where the execution's event is not stored any more.
        """
        from halflap.lowcode.outline.executed import Trace, executed

        key = execution.flow
        found = (await self.versions.outline(key.version)).flows
        flow = next((each for each in found if each.name == key.flow), None)
        if flow is None:
            raise NotFound(f"the text of {key.integration} has no flow {key.flow!r} to be drawn")
        records = await self.journal.steps(execution.id)
        event = None if execution.payload_removed else await self.journal.event(execution.id)
        trace, stopped = None, ""
        if event is not None and event.large is None:
            try:
                trace = await self.resolver.trace(execution, event, records)
                if trace is not None and execution.state != "failed":
                    trace = replace(trace, failed=())
            except HalflapError as error:
                stopped = error.message
        return flow, executed(flow, records, trace), trace or Trace(stopped=stopped)
