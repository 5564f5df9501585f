"""Lay executions over the outlines of their flows, and say what each step of a document gave."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from halflap.api.operations.turns import TurnQueue
from halflap.api.operations.versions import VersionOperations
from halflap.engine.resolver import Resolver
from halflap.errors import HalflapError, NotFound
from halflap.model import Execution, Record, is_earlier
from halflap.store.protocol import Journal

if TYPE_CHECKING:
    from halflap.lowcode.observer import Tracer
    from halflap.lowcode.outline import FlowOutline
    from halflap.lowcode.outline.executed import Executed, Trace
    from halflap.lowcode.rows import StepRun

AT_ONCE = 2
"""The number of executions that are traced side by side, in threads."""
IN_PYTHON = "the flow is written in Python: it has no document whose steps these could be"
GONE = "its event is not stored any more"


@dataclass(frozen=True, slots=True)
class ExecutionRows:
    """The rows of an execution, in the order in which its steps began.

    file: the document; None where there is none. stopped: why there are no more rows. records: of its
    journal, by path.
    """

    file: str | None
    rows: Sequence[StepRun]
    stopped: str
    records: Mapping[str, Record]

    def took(self) -> Mapping[StepRun, int]:
        """Return of each row that recorded something, or has one within, from first to last how long."""
        spans: dict[StepRun, tuple[int, int]] = {}
        for row in self.rows:
            for each in (self.records[path] for path in row.steps if path in self.records):
                around: StepRun | None = row
                while around is not None:
                    began, ended = spans.get(around, (each.started_at, each.ended_at))
                    spans[around] = min(began, each.started_at), max(ended, each.ended_at)
                    around = around.within
        return {row: ended - began for row, (began, ended) in spans.items()}


@dataclass(slots=True)
class Tracing:
    """Finds which part of a flow's text an execution came to, and which made each of its records."""

    versions: VersionOperations
    journal: Journal
    resolver: Resolver
    caller: Hashable
    turns: TurnQueue = field(default_factory=lambda: TurnQueue(AT_ONCE))

    async def outline(self, execution: Execution) -> tuple[FlowOutline, Executed, Trace]:
        """Return the outline of an execution's flow, how it went through it, and where it stands.

        The trace is empty for a flow in Python, and where the execution's event is not stored any more.
        """
        from halflap.lowcode.observer import Tracer
        from halflap.lowcode.outline.executed import Trace, executed

        key = execution.flow
        found = (await self.versions.outline(key.version)).flows
        flow = next((each for each in found if each.name == key.flow), None)
        if flow is None:
            raise NotFound(f"the text of {key.integration} has no flow {key.flow!r} to be drawn")
        records = await self._steps(execution)
        trace, stopped = await self._traced(execution, records, Tracer())
        if trace is not None and execution.state != "failed":
            trace = replace(trace, failed=())
        return flow, executed(flow, records, trace), trace or Trace(stopped=stopped)

    async def rows(self, execution: Execution) -> ExecutionRows:
        """Return what each step of an execution's document gave, once for each item of a loop.

        The flow is run once more for it, against its records alone: nothing is called or written.
        """
        from halflap.lowcode.rows import RowTracer

        entry, _ = await self.versions.files(execution.flow.version)
        records = await self._steps(execution)
        by_path = {each.path: each for each in records}
        if ":" in entry:
            return ExecutionRows(None, (), IN_PYTHON, by_path)
        tracer = RowTracer()
        trace, stopped = await self._traced(execution, records, tracer)
        _tell_states(tracer.rows, by_path)
        if trace is None:
            return ExecutionRows(entry, (), stopped or GONE, by_path)
        return ExecutionRows(entry, tracer.rows, trace.stopped, by_path)

    async def _steps(self, execution: Execution) -> Sequence[Record]:
        """Return the steps of an execution, without those that say how it was tried before a replay."""
        return [each for each in await self.journal.steps(execution.id) if not is_earlier(each)]

    async def _traced(
        self, execution: Execution, records: Sequence[Record], tracer: Tracer
    ) -> tuple[Trace | None, str]:
        """Return the trace of an execution; without one, why there is none, as far as that is known."""
        event = None if execution.payload_removed else await self.journal.event(execution.id)
        if event is None or event.large is not None:
            return None, ""
        try:
            async with self.turns.of(self.caller):
                return await self.resolver.trace(execution, event, records, tracer), ""
        except HalflapError as error:
            return None, error.message


def _tell_states(rows: Iterable[StepRun], records: Mapping[str, Record]) -> None:
    """Tell of each row what its records say: a failure that was ignored, a try that is to come."""
    from halflap.lowcode.outline.executed import state_of

    for row in rows:
        own = [records[path] for path in row.steps if path in records]
        if own and (state := state_of(own[-1])) in ("failed", "retrying", "waiting"):
            row.state = "failed" if state == "failed" else "waiting"
