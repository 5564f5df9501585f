"""Do a step: recall it, or run, record, pause or fail it. The recorder's verbs share this."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NoReturn

from pydantic import TypeAdapter

from halflap.engine.failure import failure_of
from halflap.engine.ledger import Ledger
from halflap.engine.past import Past, due_of
from halflap.engine.protocol import Turn
from halflap.engine.retry import TryAgain, again, classified
from halflap.engine.scope import Scope, current
from halflap.engine.signals import Signals
from halflap.engine.step import Perform, line_of, step_failed
from halflap.engine.twoway import TwoWay
from halflap.errors import (
    Cancel,
    Fenced,
    Overruled,
    RateLimited,
    StoreError,
    Unauthorized,
    UpstreamError,
)
from halflap.model import (
    ONCE,
    SYSTEM,
    Failure,
    LogLine,
    Micros,
    Record,
    StateWrite,
    StepKind,
    frozen,
    scope_time,
)
from halflap.sdk.action import Retry
from halflap.sdk.gate import Away, Blocked, Parked
from halflap.sdk.pairs import RecordState, Writes
from halflap.sdk.record import Seal, Sealing, decode_value, encode_value, redacted_data
from halflap.sdk.redact import LEAST_IN_DATA, Redactor
from halflap.sdk.running import CallLog, RunningStep, Suspended
from halflap.store.rules.continuing import WORK

MOST_LOG_LINES = 10_000
MAY_BE_DONE = "it may have been carried out"


class Cancelled(BaseException):
    """Unwinds a flow whose execution somebody cancelled."""


@frozen
class Pause:
    """Why the execution leaves memory, and until when."""

    how: Literal["retry", "later", "sleep", "signal", "park"]
    at: Micros | None
    failure: Failure | None = None
    waiting_for: str = ""

    @property
    def hears(self) -> bool:
        """True if a signal ends it."""
        return self.how == "signal"


@frozen
class Doing:
    """A step's specification, as its record has it. `asked` is what it writes, where that is
    declared.

    adapter: of the result. as_json: the flow gets the result as the record holds it.
    """

    kind: StepKind
    name: str
    title: str
    retry: Retry
    pure: bool = False
    adapter: TypeAdapter[Any] | None = None
    writes: Writes | None = None
    asked: RecordState | None = None
    as_json: bool = False
    repeatable: bool = False

    @property
    def reader(self) -> TypeAdapter[Any] | None:
        """The adapter through which the flow gets the result."""
        return None if self.as_json else self.adapter


class Steps:
    """The steps of one attempt of one execution.

    `pauses` and `cancelled` say that the flow is being unwound, even where its author's code
    swallowed what unwinds it.
    """

    def __init__(
        self,
        turn: Turn,
        *,
        seal: Seal,
        unseal: Seal,
        chance: random.Random,
        perform: Perform | None = None,
    ) -> None:
        self._turn = turn
        self._seal = seal
        self._unseal = unseal
        self._chance = chance
        self._perform = perform
        self._ledger = Ledger(turn)
        self._redactor = seal.redactor if isinstance(seal, Sealing) else Redactor()
        self._past = Past(turn.history, self._without_secrets)
        self._signals = Signals(turn)
        self._own = set[str]()  # the children that tell this execution of their end
        self._read: dict[tuple[str, str], bytes] = {}
        self._logged = 0
        self._begun: dict[str, RunningStep] = {}
        self.two_way = TwoWay.of(turn)
        self.calls = CallLog()
        self.next_event: bytes | None = None
        """The event that the flow has handed over to the next of its chain."""
        self.pauses: list[Pause] = []
        self.cancelled = False
        self.woken_at: Micros = 0
        """When the last wait ended that this attempt saw the end of."""

    @property
    def heard(self) -> int:
        """The number of signals that the attempt knew of."""
        return self._signals.heard

    @property
    def has_worked(self) -> bool:
        """Return whether the execution did something, or waited for something."""
        return not self._past.kinds.isdisjoint(WORK)

    @property
    def taken(self) -> Mapping[str, int]:
        """Return how many signals of each name were taken."""
        return dict(self._signals.taken)

    # The flow's own scope -------------------------------------------------------------------

    def open(self) -> Scope:
        """Open the flow's scope in the current task."""
        start = self._turn.start
        began = scope_time(start.root, start.replay, start.event, self._turn.accepted_at)
        scope = self._past.whole(began, asyncio.current_task())
        current.set(scope)
        return scope

    def close(self, scope: Scope) -> None:
        """The scope ended well: nothing that it recorded may be left over."""
        self._past.close(scope)

    async def left(
        self, scope: Scope | None = None
    ) -> tuple[Sequence[Record], Sequence[LogLine], Sequence[StateWrite]]:
        """Return the unwritten records: they go with the verdict. With the flow's scope, all it
        logged.
        """
        if scope is not None:
            self._ledger.keep_lines(scope.lines)
        return await self._ledger.left()

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep a line of the flow: it is written with the scope's next record, so never twice."""
        scope = current.get()
        if scope is None:
            self._ledger.keep_lines(self._line(level, message, fields, ""))
        elif not scope.replaying:
            scope.lines += self._line(level, message, fields, "")

    async def _do(
        self,
        scope: Scope,
        path: str,
        doing: Doing,
        inputs: bytes,
        run: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Do something as the step at `path`, or answer from the journal."""
        inputs = self._without_secrets(inputs)
        known = self._past.recall(scope, path, inputs)
        if known is not None and known.status != "retrying":
            self._past.pass_by(scope, known)
            if doing.asked is not None and doing.writes is not None and known.failure is None:
                self.two_way.recalled(doing.asked, doing.writes, known)
            return self._answer(known, doing.reader)
        if known is not None and (at := due_of(known)) > self._turn.now():
            self._past.pass_by(scope, known)  # another branch of a gather was due before it
            self._pause(scope, Pause("retry", at, known.failure))
        if not doing.pure:
            asked = doing.asked
            await self._ledger.settle(
                ()
                if asked is None
                else await self.two_way.before(asked, path, again=known is not None)
            )
        self._check(scope)
        started = self._turn.now()
        failure: Failure | None = None
        result: bytes | None = None
        try:
            result = encode_value(await run(), doing.adapter, self._seal)
        except (Fenced, StoreError):
            raise
        except Exception as caught:
            step = self._begun.get(path)
            in_doubt = step is not None and step.in_doubt and not doing.repeatable
            undone = surely_undone(caught, step)
            repeated = known is not None and step is not None and step.keyed
            learnt = await self._learnt(caught, path)
            error = classified(learnt, caught, doing.retry, repeated=repeated)
            failure = failure_of(caught, doing.name)
            if in_doubt and isinstance(error, Away):
                error = caught  # it may have been carried out, so it is not done again
            elif (
                isinstance(error, Away) and step is not None and step.once and not doing.repeatable
            ):
                error.waiting_for += ONCE
            if in_doubt:
                told = MAY_BE_DONE in failure.message
                message = failure.message if told else f"{failure.message}; {MAY_BE_DONE}"
                failure = replace(failure, message=message, in_doubt=True)
        else:
            error, in_doubt, undone = None, False, False
            self._begun.pop(path, None)
        record = Record(
            self._past.next_seq() if known is None else known.seq,
            path,
            doing.kind,
            doing.name,
            doing.title,
            "succeeded" if failure is None else "failed",
            started if known is None else known.started_at,
            self._turn.now(),
            inputs,
            result,
            failure,
            1 if known is None else known.tries + 1,
            doing.pure,
        )
        if error is not None:
            self._failed(scope, doing, record, error, in_doubt, undone)
        writes: Sequence[StateWrite] = ()
        if doing.asked is not None and doing.writes is not None:
            writes = await self.two_way.after(doing.asked, doing.writes, record)
        self._keep(scope, record, writes)
        return self._answer(record, doing.reader)

    async def _learnt(self, error: Exception, path: str) -> Exception:
        """Return the error that a step's error means, once the gate of its connection has seen it."""
        step = self._begun.pop(path, None)
        gate = None if step is None else step.through
        if gate is None or not isinstance(error, UpstreamError):
            return error
        ours = self._turn.start.flow.flow.startswith(SYSTEM)
        match error:
            case Away() if ours:  # somebody waits for the deployment, and is told at once
                return UpstreamError(error.message)
            case Blocked() | Away():
                return error
            case RateLimited():
                return await gate.limited(error)
            case Unauthorized() if ours:
                return Unauthorized(error.message)
            case Parked():
                return error
            case UpstreamError() if not isinstance(error, Unauthorized):
                return error if ours else gate.away(error) or error
            case _:
                judged = await gate.refused()
                if judged == "park":
                    return Parked(error.message, waiting_for=gate.waits_for)
                error.retryable = judged == "again"
                return error

    def _keep(self, scope: Scope, record: Record, writes: Sequence[StateWrite] = ()) -> None:
        self._ledger.keep(record, writes)
        if scope.lines:
            self._ledger.keep_lines(scope.lines)
            scope.lines = []
        self._past.pass_by(scope, record)

    def _record(
        self,
        path: str,
        kind: StepKind,
        title: str,
        started: Micros,
        *,
        inputs: bytes | None = None,
        result: bytes | None = None,
    ) -> Record:
        name = path.rsplit("/", 1)[-1].partition("#")[0]
        return Record(
            self._past.next_seq(),
            path,
            kind,
            name,
            title,
            "succeeded",
            started,
            self._turn.now(),
            inputs,
            result,
        )

    def _answer(self, record: Record, adapter: TypeAdapter[Any] | None) -> Any:
        if record.status == "failed":
            if record.failure is not None and record.failure.kind == "Cancel":
                raise Cancel(record.failure.message)
            if record.failure is not None and record.failure.kind == "Overruled":
                raise Overruled(record.failure.message)
            raise step_failed(record)
        return decode_value(record.result or b"null", adapter, self._unseal)

    def _check(self, scope: Scope) -> None:
        if self._turn.cancelling is not None:
            self.cancelled = scope.unwinding = True
            raise Cancelled
        if not self._turn.alive():
            raise Fenced(f"the lease on {self._turn.start.execution} has run out")

    def _without_secrets(self, inputs: bytes) -> bytes:
        """Return inputs as they are recorded."""
        return redacted_data(inputs, self._redactor)

    def _handed_on(self, event: bytes) -> bytes:
        """Return an event for another execution without the secrets in it."""
        return redacted_data(event, self._redactor, LEAST_IN_DATA)

    def _step(self, path: str) -> RunningStep:
        def log(level: str, message: str, fields: Mapping[str, Any]) -> None:
            self._ledger.keep_lines(self._line(level, message, fields, path))

        self._begun[path] = step = RunningStep(
            path, self._turn.start.root, log=log, sent=self._redactor.add_sent
        )
        return step

    def _failed(
        self,
        scope: Scope,
        doing: Doing,
        record: Record,
        error: Exception,
        in_doubt: bool,
        undone: bool,
    ) -> NoReturn:
        """Keep a failed try, and pause until the next one; or fail, where there is none."""
        if isinstance(error, Cancel):  # a record too: the flow may catch it and go on
            assert record.failure is not None
            self._keep(scope, replace(record, failure=replace(record.failure, kind="Cancel")))
            raise error
        if isinstance(error, Overruled) and doing.asked is not None:
            gone = self.two_way.refused(doing.asked, record.path, error, undone=undone)
            self._keep(scope, record, gone)
            raise error
        elapsed = record.ended_at - record.started_at
        decided = again(error, doing.retry, record.tries, elapsed, self._chance, in_doubt=in_doubt)
        if decided is None:
            asked = doing.asked
            gone = (
                ()
                if asked is None
                else self.two_way.refused(asked, record.path, error, undone=undone)
            )
            self._keep(scope, record, gone)
            raise step_failed(record) from error
        spent = record.tries - (decided.how != "retry")
        at = record.ended_at + decided.wait
        until = None if decided == TryAgain("park", 0) else at
        if decided.how == "park":
            at = record.ended_at  # so that it is tried as soon as it is let go
        waiting = replace(record, status="retrying", tries=spent, result=str(at).encode())
        asked = doing.asked
        tried = () if asked is None else self.two_way.tried(asked, record.path, undone=undone)
        self._keep(scope, waiting, tried)
        waits_for: str = getattr(error, "waiting_for", "")
        self._pause(scope, Pause(decided.how, until, record.failure, waits_for))

    def _pause(self, scope: Scope, pause: Pause) -> NoReturn:
        self.pauses.append(pause)
        scope.unwinding = True
        raise Suspended

    def _line(
        self, level: str, message: str, fields: Mapping[str, Any], step: str
    ) -> list[LogLine]:
        self._logged += 1
        if self._logged > MOST_LOG_LINES:
            return []
        if self._logged == MOST_LOG_LINES:
            level, fields = "warning", {}
            message = f"more than {MOST_LOG_LINES} lines: the rest is cut"
        message = self._redactor.text(str(message))
        return [line_of(self._turn.now(), level, message, fields, step, self._seal)]


def surely_undone(caught: Exception, step: RunningStep | None) -> bool:
    """Return whether a try that failed surely changed nothing at the app."""
    if step is not None and step.effects:
        return False
    sent = isinstance(caught, UpstreamError) and caught.in_doubt
    return isinstance(caught, UpstreamError | ValueError | Overruled) and not sent
