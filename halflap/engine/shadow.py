"""A shadow run: another version of a flow against an event that was, with the answers that it got.

Nothing is called and nothing is written. Every effect, every read of the state, every wait is
answered by the record of the same place (scope path, name, occurrence) in the original execution;
pure actions run. A step with other inputs gets the answer of then, and is told of; one that has no
record cannot be answered, so the run stops there. Time and chance are those of the original.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from halflap.engine.doing import Pause, Steps
from halflap.engine.executor import Executor, Work, request_of
from halflap.engine.protocol import Again, Ended, Verdict
from halflap.engine.recorder import StepRecorder
from halflap.engine.scope import StepScope
from halflap.errors import EgressRefused, FilterFailed, StoreError
from halflap.lowcode.observer import Tracer, current
from halflap.lowcode.outline.executed import Trace
from halflap.lowcode.rows import row_of_step
from halflap.model import (
    CALL,
    Failure,
    LogLine,
    Micros,
    Outcome,
    Record,
    Signal,
    Start,
    StateWrite,
)
from halflap.sdk import codec
from halflap.sdk.action import StepSpec
from halflap.sdk.declared import apply_filter, mark_of, marked
from halflap.sdk.egress import Egress

if TYPE_CHECKING:
    from halflap.lowcode.source import Path as Address

WAYS_OUT = frozenset(
    f"socket.{each}"
    for each in ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")
) | frozenset(
    {"subprocess.Popen"}
    | {f"os.{each}" for each in ("system", "exec", "fork", "forkpty", "posix_spawn", "spawn")}
)
Kind = Literal["inputs", "new", "missing", "result", "outcome", "error"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference: `then` and `now` are encoded values, or None where there is none."""

    kind: Kind
    step: str
    then: bytes | None
    now: bytes | None


@dataclass(frozen=True, slots=True)
class Original:
    """An execution that was: what came, what each step did, and how it ended."""

    start: Start
    accepted_at: Micros
    history: Sequence[Record]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The run of a version in the shadow of an execution. `stopped` says where it could not go on,
    and why.
    """

    execution: str
    differences: tuple[Difference, ...]
    stopped: str = ""

    @property
    def is_same(self) -> bool:
        """True if nothing is known to be different."""
        return not self.differences


_inside: ContextVar[bool] = ContextVar("halflap.shadow", default=False)


def hold_back(event: str, _: object) -> None:
    """An audit hook: what runs in a shadow run reaches no network past its connections, either."""
    if event in WAYS_OUT and _inside.get():
        raise EgressRefused(f"a shadow run calls nothing: {event} was refused")


@contextmanager
def calls_nothing() -> Generator[None]:
    """Hold back what runs within, where `hold_back` is an audit hook."""
    _inside.set(True)
    try:
        yield
    finally:
        _inside.set(False)


async def shadow(was: Original, work: Work) -> Shadowed:
    """Run a version's flow against an event that was, and say what would differ."""
    with calls_nothing():
        return await _shadow(was, work)


async def _shadow(was: Original, work: Work) -> Shadowed:
    seen = ShadowFindings({each.path: each for each in was.history})
    turn = ShadowTurn(was.start, was.accepted_at)
    if not takes(work, turn):
        seen.note("outcome", "", told(was.outcome), codec.encode({"state": "filtered"}))
        return Shadowed(was.start.execution, tuple(seen.differences))
    verdict = await run_shadow(turn, work, seen)
    if not seen.stopped:
        _compare(seen, was, verdict)
    return Shadowed(was.start.execution, tuple(seen.differences), seen.stopped)


async def run_shadow(turn: ShadowTurn, work: Work, seen: ShadowFindings) -> Verdict | None:
    """Run a flow against the records that `seen` has; `None` where it came to what has none."""

    async def resolve(_: object) -> Work:
        return work

    def recorder(turn: Any, **given: Any) -> StepRecorder:
        return StepRecorder(turn, steps=partial(ShadowSteps, seen), **given)

    chance = random.Random(turn.start.execution)  # noqa: S311 (repeatable on purpose)
    try:
        return await Executor(resolve, chance, recorder=recorder)(turn)
    except StoreError as error:
        seen.stopped = seen.stopped or error.message
        return None


def takes(work: Work, turn: ShadowTurn) -> bool:
    """Return whether the flow's filter takes the event.

    One that raises fails the execution, as it would at the gateway, but where it raises because not
    all of the event is stored.
    """
    flow, event = work.flow, turn.start.event
    if event.method == CALL or mark_of(event) is not None:
        return True
    try:
        return apply_filter(flow, request_of(turn, work.unseal))
    except FilterFailed as error:
        if flow.keep is None and event.large is None:
            turn.start = replace(turn.start, event=marked(event, flow, error))
        return True


def _compare(seen: ShadowFindings, was: Original, verdict: Ended | Again | None) -> None:
    for each in was.history:
        if each.path not in seen.met and not each.pure and each.kind != "trigger":
            seen.note("missing", each.path, each.inputs, None)
    then = was.outcome
    match verdict:
        case Ended(now):
            pass
        case Again(failure=failure):
            now = Outcome("failed", failure.text if failure else "", failure=failure)
        case None:
            return
    if now.state != then.state:
        kind: Kind = "error" if now.state == "failed" else "outcome"
        seen.note(kind, "", told(then), told(now))
    elif now.state == "failed" and kind_of(now.failure) != kind_of(then.failure):
        seen.note("error", "", told(then), told(now))
    elif now.state == "ignored" and now.reason != then.reason:
        seen.note("outcome", "", told(then), told(now))
    elif now.state == "succeeded" and not alike(then.result, now.result):
        seen.note("result", "", then.result, now.result)


def kind_of(failure: Failure | None) -> str:
    """Return the kind of an error."""
    return "" if failure is None else failure.kind


def told(outcome: Outcome) -> bytes:
    """An outcome in short, as a value."""
    found = {"state": outcome.state, "reason": outcome.reason}
    if outcome.failure is not None:
        found |= {"error": outcome.failure.kind, "where": outcome.failure.where}
    return codec.encode(found)


def alike(then: bytes | None, now: bytes | None) -> bool:
    """Return whether two encoded values are the same value."""
    if then == now:
        return True
    if not then or not now:
        return False
    try:
        return codec.decode(then) == codec.decode(now)
    except ValueError:
        return False


@dataclass(slots=True)
class ShadowFindings:
    """The findings of a shadow run so far.

    recalls_pure: pure steps are answered from their records, too. places: by the path of a record, the
    address of the document's step that came to it.
    """

    then: Mapping[str, Record]
    recalls_pure: bool = False
    places: dict[str, Address] = field(default_factory=dict[str, "Address"])
    met: set[str] = field(default_factory=set[str])
    differences: list[Difference] = field(default_factory=list[Difference])
    stopped: str = ""

    def note(self, kind: Kind, step: str, then: bytes | None, now: bytes | None) -> None:
        """Note a difference."""
        self.differences.append(Difference(kind, step, then, now))


class ShadowTurn:
    """An execution that was, in hands that write nothing."""

    attempt = 1
    cancelling: str | None = None
    history: Sequence[Record] = ()

    def __init__(self, start: Start, accepted_at: Micros) -> None:
        self.start = start
        self.accepted_at = accepted_at

    def now(self) -> Micros:
        """When the original was accepted; later times come from its records."""
        return self.accepted_at

    def alive(self) -> bool:
        """Always."""
        return True

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        """Write nothing."""
        return True

    async def read_state(self, scope: str, key: str) -> bytes | None:
        """Nothing is read but what was recorded."""
        raise StoreError(f"it reads the state {key!r}, of which there is no record")

    async def list_state(self, scope: str) -> dict[str, bytes]:
        """Nothing is read but what was recorded."""
        raise StoreError("it lists the state, of which there is no record")

    async def begin(self, start: Start) -> str | None:
        """No child is started but what was recorded."""
        raise StoreError("it starts another flow, of which there is no record")

    async def outcome(self, execution: str) -> Outcome | None:
        """No child is asked but what was recorded."""
        raise StoreError(f"it asks for the outcome of {execution}, of which there is no record")

    async def signals(self) -> Sequence[Signal]:
        """Nothing is heard but what was recorded."""
        return ()


class ShadowSteps(Steps):
    """Answers steps from the original's records, whatever order the flow comes to them in."""

    def __init__(self, seen: ShadowFindings, turn: ShadowTurn, **given: Any) -> None:
        super().__init__(turn, **given)
        self._seen = seen

    def recall(
        self, scope: StepScope, path: str, spec: StepSpec, inputs: bytes | None
    ) -> Record | None:
        """Return the record of the step that the flow came to; without one, the run stops."""
        known, seen = self._seen.then.get(path), self._seen
        seen.met.add(path)
        seen.places[path] = current.get()
        if (row := row_of_step.get()) is not None:
            row.steps.append(path)
        if path == "trigger":
            return known
        if spec.pure and not seen.recalls_pure:
            return None
        if known is None:
            seen.note("new", path, None, inputs)
            self._stop(scope, f"{path} is new: there is no answer to it")
        if inputs is not None and known.inputs is not None and not alike(known.inputs, inputs):
            seen.note("inputs", path, known.inputs, inputs)
        if known.status == "retrying":
            self._stop(scope, f"{path} had no answer then, either")
        return known

    def keep(self, scope: StepScope, record: Record, writes: Sequence[StateWrite] = ()) -> None:
        """Compare a pure step's result with what it was."""
        then = self._seen.then.get(record.path)
        if record.pure and then is not None and not alike(then.result, record.result):
            self._seen.note("result", record.path, then.result, record.result)
        super().keep(scope, record, writes)

    def close(self, scope: StepScope) -> None:
        """Add what was left out as the last difference."""

    def _stop(self, scope: StepScope, why: str) -> NoReturn:
        """Go no further: what follows depends on an answer that nobody has."""
        self._seen.stopped = self._seen.stopped or why
        self.pause(scope, Pause("signal", None))


class NoEgress(Egress):
    """Lets nothing out."""

    async def request(self, method: str, url: str, **_: Any) -> Any:
        """Refuse."""
        raise EgressRefused(f"a shadow run calls nothing: {method} was refused")

    def stream(self, method: str, url: str, **_: Any) -> Any:
        """Refuse."""
        raise EgressRefused(f"a shadow run calls nothing: {method} was refused")


# Tracing: which step of its document made each record -----------------------------------------


async def trace(
    start: Start, accepted_at: Micros, history: Sequence[Record], work: Work, tracer: Tracer
) -> Trace:
    """Run a flow that `tracer` watches against what its execution recorded.

    No step is done: each is answered by its record, and the run ends at the first that has none.
    """
    seen = ShadowFindings({each.path: each for each in history}, recalls_pure=True)
    current.set(())
    verdict = await run_shadow(ShadowTurn(start, accepted_at), work, seen)
    at = next(reversed(seen.places.values()), None) if seen.stopped else None
    fails = isinstance(verdict, Again) or (
        verdict is not None and verdict.outcome.state == "failed"
    )
    return Trace(
        seen.places,
        dict(tracer.runs),
        dict(tracer.ended),
        tuple(tracer.routes),
        at or None,
        seen.stopped,
        tracer.failed if fails and not seen.stopped else (),
    )
