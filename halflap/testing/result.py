"""The result of an execution, for a test to inspect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import SecretStr

from halflap.model import ExecutionState, Failure, LogLine, Outcome, Record
from halflap.sdk import codec
from halflap.sdk.action import Action, Call
from halflap.sdk.integration import Flow
from halflap.sdk.routing import Route
from halflap.sdk.schema import UNSET


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


# Calls of an execution: its actions, the flows that it called or started, the routes that it took

CALLS = ("action", "call", "start")


@dataclass(frozen=True, slots=True)
class Called:
    """A call as it was recorded: the action's or the flow's name, and what it was given, as JSON.

    Equals a `called(…)` that names it, with inputs that are the same.
    """

    name: str
    given: Any

    def __repr__(self) -> str:
        members = members_of(self).items()
        shown = [f"{name}={each!r}" for name, each in members]
        if not shown and self.given:
            shown = [repr(self.given)]
        return f"{self.name}({', '.join(shown)})"


class called:  # noqa: N801 (reads as a word in an assertion)
    """An expected call, to compare with `result.calls`: `called(acme.add_stock, item="anvil")`.

    Of an action the inputs, of a flow the members of its event; what is left out may be anything, at any
    depth, but a list is whole. Of a route, `event`, and whose it is:
    `called(posted, config={"team": "T1"})`.
    """

    def __init__(
        self, target: Action[..., Any] | Flow[Any, Any, Any] | str, /, **given: Any
    ) -> None:
        self.name = target if isinstance(target, str) else target.name
        self.given: Mapping[str, Any] = given

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Called):
            return NotImplemented
        return self.name == other.name and unlike(members_of(other), self.given) is None

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return repr(Called(self.name, dict(self.given)))


def members_of(call: Called) -> dict[str, Any]:
    """Return the inputs of a call, by name."""
    held: Any = call.given
    return cast("dict[str, Any]", held) if isinstance(held, dict) else {}


def unlike(held: Any, expected: Any) -> tuple[str | int, ...] | None:
    """Return where a recorded value is another than the expected one; None where it is the same.

    The members of an object that are not expected may be anything. An expected value may be a model,
    and a secret's its text.
    """
    if isinstance(held, SecretStr):
        return None if expected in (held, held.get_secret_value()) else ()
    if held == expected:
        return None
    wanted: Any = expected
    if not isinstance(expected, Mapping | list):
        wanted = codec.decode(codec.encode(expected))
    if isinstance(held, dict) and isinstance(wanted, Mapping):
        members = cast("dict[str, Any]", held)
        others = cast("Mapping[str, Any]", wanted).items()
        return _first((name, members.get(name, _NOTHING), each) for name, each in others)
    if isinstance(held, list) and isinstance(wanted, list):
        items, others = cast("list[Any]", held), cast("list[Any]", wanted)
        if len(items) == len(others):
            return _first((at, items[at], each) for at, each in enumerate(others))
    return None if held == wanted else ()


_NOTHING = object()


def _first(parts: Iterable[tuple[str | int, Any, Any]]) -> tuple[str | int, ...] | None:
    """Return where the first part is another than the expected one: its key, and where in it."""
    found = ((key, () if held is _NOTHING else unlike(held, each)) for key, held, each in parts)
    return next(((key, *inner) for key, inner in found if inner is not None), None)


def calls_in(
    records: Sequence[Record], given: Mapping[str, Sequence[tuple[str, Any]]]
) -> list[Called]:
    """The calls among an execution's records, in order; `given` are the inputs of its steps, by path."""
    return [
        Called(each.name, _whole(each, dict(given.get(each.path, ()))))
        for each in records
        if each.kind in CALLS and not each.name.startswith("result(")
    ]


def _whole(record: Record, given: Mapping[str, Any]) -> Any:
    """Return the inputs of a call, with the secrets that no record holds."""
    inputs = told(record.path, codec.decode(record.inputs or b"null"))
    secrets = {name: each for name, each in given.items() if isinstance(each, SecretStr)}
    return {**inputs, **secrets} if secrets else inputs


def told(path: str, inputs: Any) -> Any:
    """Return the inputs of a call; of a route, its owner and its flow, as the document writes it."""
    if "route(" not in path:
        return inputs
    route = Route.of(inputs)
    whose = {"customer": route.customer, "config": route.config, "instance": route.instance}
    event = {} if route.event is UNSET else {"event": route.event}
    return {**{name: each for name, each in whose.items() if each}, **event}
