"""Runs flows of drafts: on the real engine, with effects that are pinned, recorded, made up, or real.

What runs is what a test of a document runs. An action answers its pin, else what it answered in the
execution that is run again, else a sample of what it returns. Pure actions and code run. As the
development instance, actions without a pin are called.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

from halflap import lowcode
from halflap.engine.bundle import seal
from halflap.engine.clock import ManualClock
from halflap.engine.integration import components_of
from halflap.engine.loader import load, unload
from halflap.errors import DefinitionError, HalflapError
from halflap.lowcode import Components, SourceText
from halflap.lowcode.assist.analysis import analyse
from halflap.lowcode.assist.queries import sample_of, shown_event
from halflap.lowcode.frame import SCOPE, Frame, LoopLeft, Stopped, plain, scope_of
from halflap.lowcode.kinds.run import PlacedStep, Steps
from halflap.lowcode.lint.declared import DeclaredEvents
from halflap.lowcode.lint.shapes import Shapes, output_schema
from halflap.lowcode.observer import TracedStep
from halflap.lowcode.rows import RowTracer, StepRun, failure_of_step, row_of_step, shown_data
from halflap.lowcode.source import Path, mapping_of, value_at
from halflap.lowcode.template import ExpressionHost
from halflap.model import to_micros
from halflap.sdk import codec, redact
from halflap.sdk.action import Action
from halflap.sdk.connection import Connection
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.record import decode_value, encode_inputs, redacted_data
from halflap.sdk.redact import LEAST_IN_DATA
from halflap.sdk.schema import Config
from halflap.testing.development import DevelopmentInstance, called, final
from halflap.testing.document import answer_of
from halflap.testing.fixture import Fixture, answered, fixture_of, make_fixture, shown
from halflap.testing.instance import TestInstance, held, scopes_of
from halflap.testing.result import Result
from halflap.testing.runner import (
    GivenTrigger,
    execute,
    judged,
    make_request,
    payloads,
    request_with,
    start_of,
)
from halflap.testing.sample import sample_fields
from halflap.testing.stub import MISSING, Stubs, with_function

MOST_SHOWN = 16 * 1024
"""The most characters of a value in a row, until a run has sent `MOST_SENT`."""
MOST_SENT = 4 << 20
MOST_RUNS = 5_000
"""The most rows that are sent of a run."""
MOST_EVENTS = 100
"""The most executions of a run whose events are sent."""
EXCERPT = 200

Given = Mapping[str, Any]
Notify = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Pin:
    """An answer that a person has chosen for a step; stale where the step was edited since."""

    value: Any
    stale: bool = False


@dataclass(frozen=True, slots=True)
class OpenedText:
    """A draft's document with what it names."""

    source: SourceText
    components: Components
    integration: Integration[Any]
    tracer: RowTracer


class StepCatcher(RowTracer):
    """Traces a run of one step, which is caught as its flow is compiled."""

    def __init__(self, notify: Callable[[StepRun], None], wanted: Path) -> None:
        super().__init__(notify)
        self._wanted = wanted
        self.caught: TracedStep | None = None

    def steps(self, path: Path, steps: Sequence[PlacedStep]) -> Steps:
        """Return a list of steps; the wanted one is kept, too."""
        for each in steps:
            if each.path == self._wanted:
                self.caught = TracedStep(each, self)
        return super().steps(path, steps)


class DraftAnswers(Stubs):
    """Answers the steps of a draft's run: by its pin, as it was recorded, by a sample."""

    def __init__(
        self,
        source: SourceText,
        pins: Mapping[Path, Pin],
        fixture: Fixture | None,
        rows: RunRows,
        *,
        real: bool = False,
    ) -> None:
        super().__init__({}, {}, networked=real)
        self._source = source
        self._rows = rows
        self._pins = pins
        self._real = real
        self._steps = [] if fixture is None else list(fixture.steps)
        self._children = [] if fixture is None else list(fixture.children)

    async def perform(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Answer a step, and note in its row from where."""
        row = row_of_step.get() or StepRun((), (), "")
        self._note(action, arguments)
        own = action.component or action.name == "code"
        row.inputs = inputs_of(action, arguments) if own else row.inputs
        try:
            return await self._found(action, arguments, row)
        except Exception as error:
            row.failure = failure_of_step(error)
            if row.source == "real" and action.component and not action.pure:
                raise final(error) from error
            raise

    async def _found(
        self, action: Action[..., Any], arguments: Mapping[str, Any], row: StepRun
    ) -> Any:
        pin = self._pins.get(row.path)
        node = mapping_of(value_at(self._source.data, row.path))
        if pin is not None and (action.component == "" or "action" in node):
            row.source, row.stale = "pin", pin.stale
            return typed(action, raised(answer_of(pin.value)))
        if action.pure or not action.component:
            row.source = "real"
            return await action.invoke(**arguments)
        if self._real:
            row.source = "real"
            return await called(action, arguments)
        given = shown(codec.decode(encode_inputs(action, arguments)))
        recorded = self._recorded(action, given)
        if recorded is not None:
            row.source, row.stale = "recorded", recorded.get("inputs", {}) != given
            return typed(action, answered(recorded))
        row.source = "sample"
        return sampled(action, mapping_of(node.get("answers")))

    def _recorded(self, action: Action[..., Any], given: Mapping[str, Any]) -> Given | None:
        """Take what the action answered then: to these inputs, else in its turn, if it did not fail."""
        same = [each for each in self._steps if each["action"] == action.name]
        found = next((each for each in same if each.get("inputs", {}) == given), None)
        found = found or next((each for each in same if "error" not in each), None)
        if found is not None:
            self._steps.remove(found)
        return found

    def flow(self, flow: Flow[Any, Any, Any]) -> Flow[Any, Any, Any]:
        """Return a flow that is called: it ends as it did then, as often as it was called then."""
        begun = self._rows.noting(flow)

        async def answer(ctx: Any, event: Any) -> Any:
            same = [each for each in self._children if each["flow"] == flow.name]
            if not same:
                return await begun.function(ctx, event)
            self._children.remove(same[0])
            return answered(same[0])

        return with_function(flow, answer)


def inputs_of(action: Action[..., Any], arguments: Mapping[str, Any]) -> bytes:
    """Return the inputs of an action as a row shows them: without secrets."""
    data, redactor = encode_inputs(action, arguments), redact.current.get()
    return data if redactor is None else redacted_data(data, redactor, LEAST_IN_DATA)


def raised(answer: Any) -> Any:
    """Raise an answer that is an error; return any other."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def typed(action: Action[..., Any], value: Any) -> Any:
    """Return an answer as what the action returns; secrets in it are those that are hidden."""
    try:
        data = codec.encode(value)
        return decode_value(data, action.shape.output_adapter, lambda envelope: envelope)
    except (ValueError, TypeError) as error:
        raise DefinitionError(
            f"this is not what {action.name} returns: pin another answer ({error})"
        ) from error


def sampled(action: Action[..., Any], answers: Mapping[str, Any]) -> Any:
    """Make up an answer: as the step declares it, else of the type that the action returns."""
    if "sample" in answers:
        return typed(action, answers["sample"])
    schema = answers.get("schema") or output_schema(action.shape)
    try:
        return typed(action, sample_of(schema))
    except DefinitionError:
        raise DefinitionError(
            f"no answer of {action.name} can be made up: pin one at this step"
        ) from None


class RunRows:
    """Tells of each row of a run once, and again where its state changes."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify
        self._sent: dict[tuple[str, Path, tuple[int, ...]], StepRun] = {}
        self._executions: dict[str, int] = {}
        self._most = MOST_SENT
        self.is_cut = False
        self.events: list[dict[str, Any]] = []
        """Of each execution, the event as its steps see it."""

    def noting(self, flow: Flow[Any, Any, Any]) -> Flow[Any, Any, Any]:
        """Return a flow whose event is noted as it begins."""

        async def function(ctx: Any, event: Any) -> Any:
            number = self._executions.setdefault(ctx.execution, len(self._executions))
            if len(self.events) < MOST_EVENTS and all(
                e["execution"] != number for e in self.events
            ):
                value = self._excerpt(shown_data(plain(event)))
                self.events.append({"flow": flow.name, "execution": number, "event": value})
            return await flow.function(ctx, event)

        return with_function(flow, function)

    def begin(self, execution: str) -> None:
        """Count the flow's own execution as the first."""
        self._executions[execution] = 0

    def row(self, row: StepRun) -> None:
        """Tell of a row."""
        key = (row.execution, row.path, row.item)
        before = self._sent.get(key)
        if before is not None and before.state == row.state:
            return  # another attempt, which found it done
        if before is None and len(self._sent) >= MOST_RUNS:
            self.is_cut = True
            return
        if before is not None:
            row.source, row.inputs = row.source or before.source, row.inputs or before.inputs
            row.stale |= before.stale
        self._sent[key] = row
        number = self._executions.setdefault(row.execution, len(self._executions))
        self._notify(
            {
                "path": row.path,
                "item": row.item,
                "execution": number,
                "state": row.state,
                "inputs": self._excerpt(row.inputs),
                "gave": self._excerpt(row.gave),
                "error": row.failure and {"kind": row.failure[0], "message": row.failure[1]},
                "took_ms": round(row.seconds * 1_000, 3),
                "source": row.source,
                "stale": row.stale,
            }
        )

    def _excerpt(self, data: bytes | None) -> dict[str, Any] | None:
        if data is None:
            return None
        most = MOST_SHOWN if self._most > 0 else EXCERPT
        text = data[: 4 * most].decode(errors="ignore")
        shown = text[:most]
        self._most -= len(shown)
        return {"text": shown, "size": len(data), "cut": len(shown) < len(text)}


async def run_flow(given: Given, notify: Notify) -> dict[str, Any]:
    """Run a flow of a draft, tell of its rows as they end, and return how it ended."""
    rows = RunRows(notify)
    only = tuple(given["only"]) if "only" in given else None
    tracer = RowTracer(rows.row) if only is None else StepCatcher(rows.row, only)
    with folder_of(given) as folder:
        source = lowcode.read(given["text"], given["file"])
        integration = lowcode.build(source, folder.components, tracer)
        opened = OpenedText(source, folder.components, integration, tracer)
        flow = integration.flows.get(given["flow"])
        if flow is None:
            has = ", ".join(integration.flows)
            raise DefinitionError(f"there is no flow {given['flow']!r}; there are: {has}")
        development = given.get("development")
        if development is None:
            return await _run(opened, flow, given, rows)
        own: Given = given.get("config") or {}
        made = DevelopmentInstance(integration, development, own, shared=flow.is_shared)
        try:
            return await _run(opened, flow, given, rows, made)
        finally:
            await made.close()


@dataclass(frozen=True, slots=True)
class DraftFolder:
    """The folder of what lies beside a draft's document, with the components of its own."""

    path: Folder
    components: Components


@contextmanager
def folder_of(given: Given) -> Generator[DraftFolder]:
    """Unpack what lies beside a draft's document in its base, until it is done with."""
    files = {path: text.encode("latin-1") for path, text in given["files"].items()}
    with tempfile.TemporaryDirectory(prefix="halflap-run-", dir=given.get("folder")) as place:
        if not files:
            yield DraftFolder(Folder(place), Components())
            return
        bundle = seal(given["file"], {**files, given["file"]: given["text"].encode()})
        try:
            loaded = load(bundle, Folder(place))
            yield DraftFolder(loaded.folder, components_of(bundle, loaded))
        finally:
            unload(bundle.hash)


async def _run(
    opened: OpenedText,
    flow: Flow[Any, Any, Any],
    given: Given,
    rows: RunRows,
    development: DevelopmentInstance | None = None,
) -> dict[str, Any]:
    integration = opened.integration
    recorded = given.get("recorded")
    fixture = None if recorded is None else fixture_of(make_fixture(recorded["detail"]))
    now = fixture.now if fixture is not None and fixture.now else to_micros(datetime.now(UTC))
    clock = ManualClock(now)
    pins = {tuple(each["path"]): Pin(each["value"], each["stale"]) for each in given["pins"]}
    made = development or instance_of(opened, flow, given, fixture)
    flow = flow.resolved(made.config)
    request, event = event_of(opened, flow, given, fixture, clock)
    # Real calls have keys of their own: to the app they are none of the execution's.
    root = fixture.root if fixture is not None and development is None else None
    start = start_of(flow, integration, request, root=root)
    rows.begin(start.execution)
    state, shared_state, paired = (
        ({}, {}, {})
        if fixture is None
        else (fixture.state, fixture.shared, fixture.pairs_of(integration))
    )
    kept = held(scopes_of(flow, integration), state, shared_state, paired, made.seal)
    if "only" in given:
        taken = alone(opened, flow, given)
    else:
        taken, start = judged(rows.noting(flow), event, request, start)
    if event is not MISSING:
        taken = copy.copy(taken)
        taken.trigger = GivenTrigger(flow.trigger, event)
    answers = fixture if development is None else None
    work = DraftAnswers(opened.source, pins, answers, rows, real=development is not None)
    sent = [*(fixture.sent() if fixture else ()), *payloads(given.get("signals") or {})]
    result = await execute(taken, start, made, work, kept, clock, sent)
    return outcome_of(opened, result, rows) | {"config": told_config(made.config)}


def alone(opened: OpenedText, flow: Flow[Any, Any, Any], given: Given) -> Flow[Any, Any, Any]:
    """Return a flow of one step, which sees the names that are given, and made-up ones beside them."""
    path, tracer = tuple(given["only"]), opened.tracer
    caught = tracer.caught if isinstance(tracer, StepCatcher) else None
    if caught is None:
        raise DefinitionError(f"the flow {flow.name!r} has no step at {list(path)}")
    source = opened.source
    scope: dict[str, Any] = given.get("scope") or {}
    seen = analyse(source.text, source.file, Shapes(opened.components)).names_at(path)
    made_up = {name: sample_of(each.schema) for name, each in seen.items() if name not in SCOPE}
    usual = scope_of(set(SCOPE), opened.integration.flows, ())

    async def function(ctx: Any, event: Any) -> Any:
        frame = Frame(ctx, {**made_up, **usual(ctx, event), **scope}, ExpressionHost(ctx))
        for at in given.get("item") or [0] * path.count("do"):
            frame = frame.inner((), at)
        try:
            await caught.run(frame)
        except Stopped as stopped:
            return stopped.value
        except LoopLeft:
            return None
        return None

    return with_function(flow, function)


def instance_of(
    opened: OpenedText, flow: Flow[Any, Any, Any], given: Given, fixture: Fixture | None
) -> TestInstance:
    """Return the instance that a draft's flow runs as; what its config leaves out is made up."""
    integration = opened.integration
    recorded: dict[str, Any] = given.get("recorded") or {}
    answers: dict[str, Any] | None = None
    if not flow.is_shared:
        kind: type[Config] = integration.config
        told: dict[str, Any] = {**(recorded.get("config") or {}), **(given.get("config") or {})}
        answers = {name: each for name, each in told.items() if name in kind.model_fields}
        skip = {**answers, **integration.connections()}
        answers = {**sample_fields(kind, skip=skip), **answers}
    customer, instance = recorded.get("customer"), recorded.get("instance")
    return TestInstance(
        integration,
        answers,
        None if customer is None else CustomerInfo(**customer),
        {},
        None,
        {} if fixture is None else fixture.records,
        instance=None if instance is None else InstanceInfo(**instance),
    )


def event_of(
    opened: OpenedText,
    flow: Flow[Any, Any, Any],
    given: Given,
    fixture: Fixture | None,
    clock: ManualClock,
) -> tuple[Any, Any]:
    """Return the request that a run begins with, and the typed event where that is made up."""
    if fixture is not None:
        return fixture.request(), MISSING
    if "event" in given:
        parts = dict(given.get("request") or {})
        if parts:
            return make_request(given["event"], received_at=None, **parts), MISSING
        return request_with(flow, given["event"], {}, clock), MISSING
    declared = DeclaredEvents.read(given.get("declared", "null").encode())
    schema = event_schema(opened, flow.name, declared)
    request = request_with(flow, None, {}, clock)
    event = shown_event(opened.source.data, ("flows", flow.name))
    if flow.trigger.declaration.ticks is not None or (schema is None and event is None):
        return (request if request.body else request_with(flow, {}, {}, clock)), MISSING
    return request, sample_of(schema) if event is None else event


def event_schema(opened: OpenedText, flow: str, declared: DeclaredEvents | None = None) -> Any:
    """Return the schema of a flow's event; None where it is not known."""
    source = opened.source
    shapes = Shapes(opened.components, declared=declared)
    names = analyse(source.text, source.file, shapes).names_at(("flows", flow, "steps", 0))
    known = names.get("event")
    return None if known is None else known.schema


def told_config(config: Config | None) -> str | None:
    """Return the plain values of a config that are no defaults, as JSON in a text."""
    if config is None:
        return None
    told: dict[str, Any] = {}
    for name, info in type(config).model_fields.items():
        value = getattr(config, name)
        usual = None if info.is_required() else info.get_default(call_default_factory=True)
        if value is not None and value != usual and not isinstance(value, Connection):
            told[name] = value
    return codec.encode(told).decode()


def outcome_of(opened: OpenedText, result: Result, rows: RunRows) -> dict[str, Any]:
    """Return how a run ended, with the place of its failure in the document."""
    failure, tracer = result.error, opened.tracer
    is_failed = result.state == "failed"
    return {
        "state": result.state,
        "reason": result.reason,
        "result": None if result.result is None else codec.encode(result.result).decode(),
        "failure": failure and {"kind": failure.kind, "message": failure.message},
        "where": failure.where if failure else "",
        "path": tracer.failed if is_failed and tracer.failed else None,
        "logs": [{"level": each.level, "message": each.message} for each in result.logs[:500]],
        "cut": rows.is_cut or tracer.is_cut,
        "events": rows.events,
    }


def refusal(error: HalflapError) -> dict[str, Any]:
    """Return how a run ended that could not begin."""
    where = getattr(error, "where", None) or ""
    return {
        "state": "refused",
        "reason": error.message,
        "result": None,
        "failure": {"kind": type(error).__name__, "message": error.message},
        "where": where,
        "path": None,
        "logs": [],
        "cut": False,
        "events": [],
        "config": None,
    }
