"""The result of an execution, for a test to inspect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halflap.model import ExecutionState, Failure, LogLine, Outcome, Record
from halflap.sdk import codec
from halflap.sdk.action import Action, Call
from halflap.sdk.routing import Route
from halflap.sdk.schema import UNSET
from halflap.testing.calls import Called


@dataclass(frozen=True, slots=True)
class Done:
    """One try of a step: the action and its validated inputs."""

    action: Action[..., Any]
    inputs: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step(Call):
    """A step as it was run; equals the `action.call(…)` with its inputs, defaults filled in.

    `key` is the idempotency key of its first request; `result` is plain data, decoded.
    """

    path: str = ""
    title: str = ""
    status: str = "succeeded"
    tries: int = 1
    key: str = ""
    result: Any = None
    failure: Failure | None = None
    definition: Action[..., Any] | None = field(default=None, repr=False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Call):
            return NotImplemented
        return self.action == other.action and self._whole(self) == self._whole(other)

    def __hash__(self) -> int:
        return hash((self.action, self.path))

    def _whole(self, call: Call) -> Any:
        given = dict(call.inputs)
        if self.definition is None:
            return given
        whole: dict[str, Any] = {}
        for each in self.definition.shape.inputs:
            value = given.get(each.name, UNSET if each.required else each.default)
            if value is not UNSET:
                try:
                    whole[each.name] = each.adapter.validate_python(value)
                except ValueError:
                    whole[each.name] = value
        return whole


@dataclass(frozen=True, slots=True)
class FlowLogLine:
    """A line that the flow logged."""

    level: str
    message: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an execution.

    `outcome` is None while it waits for what time does not bring. `steps` are its actions and
    `@step`s in order, `calls` its actions, and the flows that it called or routed to, as they are
    recorded; `records` is everything that its journal holds. `stored` is the flow's `ctx.state`
    afterwards, `shared` the state of `instance` and `integration`: hand them to the next run as
    `state=` and `shared=`.
    """

    execution: str
    outcome: Outcome | None
    state: ExecutionState
    attempts: int
    steps: Sequence[Step]
    calls: Sequence[Called]
    records: Sequence[Record]
    logs: Sequence[FlowLogLine]
    paired: dict[str, list[dict[str, str]]]
    stored: Mapping[str, Any]
    shared: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, int] = field(repr=False)
    unused: Sequence[str] = ()
    """The actions and flows that were stubbed, and never called."""

    @property
    def reason(self) -> str:
        """Why it ended as it did; empty where it succeeded."""
        return self.outcome.reason if self.outcome is not None else ""

    @property
    def result(self) -> Any:
        """The flow's return value, as plain data."""
        data = self.outcome.result if self.outcome is not None else None
        return None if data is None else codec.decode(data)

    @property
    def error(self) -> Failure | None:
        """The error that ended it."""
        return self.outcome.failure if self.outcome is not None else None

    @property
    def routes(self) -> list[Route]:
        """The routes of a pre-process flow, and their targets; a route's event is plain data."""
        return [
            Route.of(codec.decode(each.inputs or b"{}"))
            for each in self.records
            if each.kind == "start" and "route(" in each.path
        ]

    @property
    def answers(self) -> list[Any]:
        """The result of each step, as plain data, in order."""
        return [each.result for each in self.steps]

    def ran(self, action: Action[..., Any] | str) -> int:
        """Return the number of times that an action was run, every try counted."""
        return self.runs.get(action if isinstance(action, str) else action.name, 0)

    def raise_for_failure(self) -> None:
        """Raise an `AssertionError` unless the execution succeeded, or was ignored."""
        if self.state in ("succeeded", "ignored"):
            return
        trace = f"\n{self.error.trace}" if self.error is not None else ""
        raise AssertionError(
            f"the execution is {self.state}: {self.reason or 'nothing wakes it'}{trace}"
        )


def logged(line: LogLine) -> FlowLogLine:
    """A log line as a test sees it."""
    return FlowLogLine(line.level, line.message, codec.decode(line.fields) if line.fields else {})
