"""Do a step: recall it, or run, record, pause or fail it. All verbs of the recorder do it here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NoReturn

from pydantic import TypeAdapter

from halflap.engine.failure import failure_of
from halflap.engine.gate import seen_by
from halflap.engine.ledger import Ledger
from halflap.engine.past import Past, due_of, shortened
from halflap.engine.protocol import Turn
from halflap.engine.retry import TryAgain, again, classified
from halflap.engine.scope import StepScope, current, current_scope
from halflap.engine.step import line_of, step_failed
from halflap.engine.twoway import TwoWay
from halflap.errors import (
    Cancel,
    DefinitionError,
    Fenced,
    InputsRefused,
    Nondeterminism,
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
    frozen,
    scope_time,
)
from halflap.sdk.action import StepSpec
from halflap.sdk.gate import Away, Blocked, Gate
from halflap.sdk.record import (
    Sealing,
    Unsealing,
    encode_value,
    recall_value,
    record_value,
    redact_data,
)
from halflap.sdk.redact import LEAST_IN_DATA
from halflap.sdk.running import RunningStep, Suspended
from halflap.store.rules.continuing import WORK

MOST_LOG_LINES = 10_000
MAY_BE_DONE = "it may have been carried out"
OTHERWISE = (
    "the step {!r} {} with other inputs: then {}, now {}. Look at the app; then replay on the version "
    "that it ran on (`version: same`), or do it all the same (`repeat: true`)"
)
LEFT_BEHIND = (
    "{}, which the replayed execution did, is not on the way that the flow takes now: what it did stays "
    "done. Where it took something back, that is not done again; a replay from the start does all anew"
)


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
class StepResult:
    """The result of doing a step: its record, and the writes to state that are one commit with it.

    conditional: the writes expect values; where one conflicts, the record's result is `false`.
    pause: the flow goes no further now. error: what is raised in the flow once the record is kept.
    """

    record: Record
    writes: Sequence[StateWrite] = ()
    conditional: bool = False
    pause: Pause | None = None
    error: BaseException | None = None


NEW = -(2**62)
"""The number of a record that has none yet."""
Again = Literal["never", "go on", "afresh"]
Do = Callable[[StepScope, Record], Awaitable[StepResult]]
"""Does a step, from its record as it begins, or as an earlier attempt left it."""


Run = Callable[[RunningStep], Awaitable[Any]]
"""Does what a step records, and returns its result."""


class Steps:
    """The steps of one attempt of one execution.

    `pauses` and `cancelled` say that the flow is being unwound, even where its author's code
    swallowed what unwinds it.
    """

    def __init__(
        self,
        turn: Turn,
        *,
        seal: Sealing,
        unseal: Unsealing,
        chance: random.Random,
    ) -> None:
        self.turn = turn
        self.seal = seal
        self.unseal = unseal
        self.chance = chance
        self.ledger = Ledger(turn)
        self._redactor = seal.redactor
        self.past = Past(turn.history, seal.redactor, turn.accepted_at)
        self._logged = 0
        self.pauses: list[Pause] = []
        self.cancelled = False
        self.next_event: bytes | None = None
        """The event that the flow has handed over to the next of its chain."""
        self.failed_branches: set[str] = set()
        """The steps of whose failures branches ended."""

    @cached_property
    def two_way(self) -> TwoWay:
        """The two-way side of the execution: few flows have one."""
        return TwoWay.of(self.turn)

    def found_by(self) -> Mapping[str, str]:
        """Return what support finds the execution by."""
        return self.turn.start.found_by()

    @property
    def has_worked(self) -> bool:
        """Return whether the execution did something, or waited for something."""
        return not self.past.kinds.isdisjoint(WORK)

    # The flow's own scope -------------------------------------------------------------------

    def open(self) -> StepScope:
        """Open the flow's scope in the current task."""
        start = self.turn.start
        began = scope_time(start.root, start.replay, start.event, self.turn.accepted_at)
        scope = self.past.whole(began)
        scope.enter()
        return scope

    def close(self, scope: StepScope) -> None:
        """The scope ended well: nothing that it recorded may be left over, and of what the flow copied
        support is told.
        """
        self.past.close(scope)
        if scope.parent is not None:  # a branch: others may come to what it did not
            return
        for each in self.past.left_behind():
            name = each.name if each.title == each.name else f"{each.title} ({each.name})"
            self.ledger.keep_lines(self._line("warning", LEFT_BEHIND.format(name), {}, ""))

    async def left(
        self, scope: StepScope | None = None
    ) -> tuple[Sequence[Record], Sequence[LogLine], Sequence[StateWrite]]:
        """Return the unwritten records: they go with the verdict. With the flow's scope, all it
        logged.
        """
        if scope is not None:
            self.ledger.keep_lines(scope.lines)
        return await self.ledger.left()

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep a line of the flow: it is written with the scope's next record, so never twice."""
        scope = current.get()
        if scope is None:
            self.ledger.keep_lines(self._line(level, message, fields, ""))
        elif not scope.replaying:
            scope.lines += self._line(level, message, fields, "")

    # A step ---------------------------------------------------------------------------------

    async def take(
        self,
        name: str,
        spec: StepSpec,
        do: Do,
        *,
        inputs: bytes | None = None,
        compares: bool = True,
        again: Again = "never",
    ) -> Record:
        """Return the record of the scope's next step of a name: the journal's, or of doing it now.

        The journal's has to have the same `inputs`, unless they are not to be compared. `again` says
        what becomes of one that has not ended: the flow goes on with it, or does it afresh.
        """
        scope = current_scope()
        path = scope.next_path(name)
        known = self.recall(scope, path, spec, inputs if compares else None)
        if known is not None and (again == "never" or known.status != "retrying"):
            self.past.pass_by(scope, known)
            return known
        self.check(scope)
        if known is not None and again == "go on":
            begun = known
        else:
            seq, status = (NEW, "succeeded") if known is None else (known.seq, known.status)
            name, now = spec.name_at(path), self.turn.now()
            begun = Record(
                seq, path, spec.kind, name, spec.title, status, now, now, inputs, pure=spec.pure
            )
        found = await do(scope, begun)
        record = found.record
        if record.seq == NEW:
            record = replace(record, seq=self.past.next_seq())
        if not found.conditional:
            return self.end(scope, record, found)
        self.ledger.keep_lines(scope.lines)
        scope.lines = []
        if not await self.ledger.write(record, found.writes):
            record = replace(record, result=b"false")
        self.past.pass_by(scope, record)
        return record

    def note(self, scope: StepScope, name: str, spec: StepSpec, started: Micros) -> None:
        """Record a step of a name that has just been done, unless the journal has it."""
        path = scope.next_path(name)
        known = self.recall(scope, path, spec, None)
        if known is not None:
            self.past.pass_by(scope, known)
            return
        self.check(scope)
        now, seq = self.turn.now(), self.past.next_seq()
        record = Record(
            seq, path, spec.kind, spec.name, spec.title, "succeeded", started, now, pure=spec.pure
        )
        self.keep(scope, record)

    def keep(self, scope: StepScope, record: Record, writes: Sequence[StateWrite] = ()) -> None:
        """Keep the record of a step that was done, with the scope's lines; then go on behind it."""
        self.ledger.keep(record, writes)
        if scope.lines:
            self.ledger.keep_lines(scope.lines)
            scope.lines = []
        self.past.pass_by(scope, record)

    def end(self, scope: StepScope, record: Record, found: StepResult) -> Record:
        """Keep the record of what a step came to, then return it, pause the flow or raise its error."""
        self.keep(scope, record, found.writes)
        if found.pause is not None:
            self.pause(scope, found.pause)
        if found.error is not None:
            raise found.error
        return record

    def ended(self, begun: Record, result: bytes | None = None) -> Record:
        """Return the record of a step that ended well just now."""
        return replace(begun, status="succeeded", ended_at=self.turn.now(), result=result)

    async def settled(self, scope: StepScope, writes: Sequence[StateWrite] = ()) -> None:
        """Return once all that an effect may follow is on disk, with `writes`, and it may be made."""
        await self.ledger.settle(writes)
        self.check(scope)

    def recall(
        self, scope: StepScope, path: str, spec: StepSpec, inputs: bytes | None
    ) -> Record | None:
        """Return the record of the step that the flow came to; None where it is new.

        An effect that was made with other inputs is refused, unless it may be made again.
        """
        known = self.past.recall(scope, path, inputs)
        if not self.past.has_copies or known is not None or inputs is None or spec.pure:
            return known
        known = self.past.bring(scope, path, spec.kind, spec.name_at(path), inputs)
        was = None if known else self.past.otherwise(path, inputs)
        how = self.turn.start.replay
        may_differ = spec.repeatable or (how is not None and (how.repeat or how.edited))
        if was is not None and not may_differ:
            self.refuse_otherwise(path, "was carried out", was, inputs)
        for each in (self.past.displaced(path, inputs), known):
            if each is not None:
                self.ledger.keep(each)
        return known

    def refuse_otherwise(self, path: str, how: str, was: bytes, now: bytes) -> NoReturn:
        """Refuse to do what was done, or may have been, with other inputs than then."""
        raise Nondeterminism(OTHERWISE.format(path, how, shortened(was), shortened(now)))

    async def do(
        self,
        scope: StepScope,
        path: str,
        spec: StepSpec,
        inputs: bytes,
        run: Run,
    ) -> Any:
        """Run something as the step at `path`, or answer from the journal."""
        given = await self.without_secrets(inputs)
        known = self.recall(scope, path, spec, given)
        if known is None or known.status == "retrying":
            known = await self._attempt(scope, path, spec, known, given, run)
        else:
            self.past.pass_by(scope, known)
            if known.failure is None and spec.asked is not None and spec.writes is not None:
                self.two_way.recalled(spec.asked, spec.writes, known)
        return await self.answer(known, spec.reader)

    async def _attempt(
        self,
        scope: StepScope,
        path: str,
        spec: StepSpec,
        known: Record | None,
        inputs: bytes,
        run: Run,
    ) -> Record:
        """Try a step, again where it is `known`; return its record, which is kept."""
        if known is not None or spec.pure or spec.asked is not None:
            self.check(scope)  # else once what is due is on disk
        if known is not None and (at := due_of(known)) > self.turn.now():
            self.past.pass_by(scope, known)  # another branch of a gather was due before it
            self.pause(scope, Pause("retry", at, known.failure))
        writes: Sequence[StateWrite] = ()
        if not spec.pure:
            if spec.asked is not None:
                writes = await self.two_way.before(spec.asked, path, again=known is not None)
            await self.settled(scope, writes)
        step = self.step(path)
        started = self.turn.now() if known is None else known.started_at
        error: Exception | None = None
        cut: asyncio.CancelledError | None = None
        failure: Failure | None = None
        result: bytes | None = None
        in_doubt = undone = False
        try:
            value = await run(step)
            try:
                result = await record_value(value, spec.adapter, self.seal)
            except asyncio.CancelledError as caught:  # what was done is kept
                cut, result = caught, encode_value(value, spec.adapter, self.seal)
        except (Fenced, StoreError):
            raise
        except Exception as caught:
            in_doubt = may_be_done(caught, step) and not spec.settles_doubts
            undone = surely_undone(caught, step)
            repeated = known is not None and step.keyed
            learnt = await self._learnt(caught, step.through)
            error = classified(learnt, caught, spec.retry, repeated=repeated)
            failure = failure_of(caught, spec.name)
            if in_doubt and isinstance(error, Away):
                error = caught  # it may have been carried out, so it is not done again
            elif isinstance(error, Away) and step.once and not spec.settles_doubts:
                error.waiting_for += ONCE
            if in_doubt:
                told = MAY_BE_DONE in failure.message
                message = failure.message if told else f"{failure.message}; {MAY_BE_DONE}"
                failure = replace(failure, message=message, in_doubt=True)
        record = Record(
            self.past.next_seq() if known is None else known.seq,
            path,
            spec.kind,
            spec.name,
            spec.title,
            "succeeded" if failure is None else "failed",
            started,
            self.turn.now(),
            inputs,
            result,
            failure,
            1 if known is None else known.tries + 1,
            spec.pure,
        )
        if error is not None:
            found = self._failed(spec, record, error, in_doubt, undone)
            return self.end(scope, found.record, found)
        writes = ()
        if spec.asked is not None and spec.writes is not None:
            writes = await self.two_way.after(spec.asked, spec.writes, record)
        self.keep(scope, record, writes)
        if cut is not None:
            raise cut
        return record

    async def _learnt(self, error: Exception, gate: Gate | None) -> Exception:
        """Return the error that a step's error means, once the gate of its connection has seen it."""
        if gate is None or not isinstance(error, UpstreamError):
            return error
        if self.turn.start.flow.flow.startswith(SYSTEM):
            match error:
                case Away():  # somebody waits for the deployment, and is told at once
                    return UpstreamError(error.message)
                case Blocked():
                    return error
                case RateLimited():
                    return await gate.limited(error)
                case Unauthorized():
                    return Unauthorized(error.message)
                case _:
                    return error
        return await seen_by(gate, error)

    def answer(self, record: Record, adapter: TypeAdapter[Any] | None) -> Awaitable[Any]:
        """Return a step's result to the flow, or raise its failure."""
        if record.status == "failed":
            if record.failure is not None and record.failure.kind == "Cancel":
                raise Cancel(record.failure.message)
            if record.failure is not None and record.failure.kind == "Overruled":
                raise Overruled(record.failure.message)
            raise step_failed(record)
        return recall_value(record.result or b"null", adapter, self.unseal)

    def check(self, scope: StepScope) -> None:
        """Raise `Cancelled` or `Fenced` where nothing more may be done."""
        if self.turn.cancelling is not None:
            self.cancelled = scope.unwinding = True
            raise Cancelled
        if not self.turn.alive():
            raise Fenced(f"the lease on {self.turn.start.execution} has run out")

    def without_secrets(self, inputs: bytes) -> Awaitable[bytes]:
        """Return inputs as they are recorded."""
        return redact_data(inputs, self._redactor)

    def handed_on(self, event: bytes) -> Awaitable[bytes]:
        """Return an event for another execution without the secrets in it."""
        return redact_data(event, self._redactor, LEAST_IN_DATA)

    def step(self, path: str) -> RunningStep:
        """Return the step at a path, for the requests that it makes."""

        def log(level: str, message: str, fields: Mapping[str, Any]) -> None:
            self.ledger.keep_lines(self._line(level, message, fields, path))

        return RunningStep(path, self.turn.start.root, log=log, sent=self._redactor.add_sent)

    def _failed(
        self, spec: StepSpec, record: Record, error: Exception, in_doubt: bool, undone: bool
    ) -> StepResult:
        """Decide on a failed try: a pause until the next one, or a failure."""
        asked, path, tries = spec.asked, record.path, record.tries
        if isinstance(error, Cancel):  # a record too: the flow may catch it and go on
            assert record.failure is not None
            return StepResult(
                replace(record, failure=replace(record.failure, kind="Cancel")), error=error
            )
        if isinstance(error, Overruled) and asked is not None:
            gone = self.two_way.refused(asked, path, error, undone=undone)
            return StepResult(record, gone, error=error)
        elapsed = record.ended_at - record.started_at
        decided = again(error, spec.retry, tries, elapsed, self.chance, in_doubt=in_doubt)
        if decided is None:
            gone = () if asked is None else self.two_way.refused(asked, path, error, undone=undone)
            failed = step_failed(record)
            failed.__cause__ = error
            place = self.turn.start.flow.instance
            if asked is not None and (lost := self.two_way.lost(asked, error, place)):
                self.ledger.keep_lines(self._line("warning", lost, {}, path))
            return StepResult(record, gone, error=failed)
        at = record.ended_at + decided.wait
        until = None if decided == TryAgain("park", 0) else at
        if decided.how == "park":
            at = record.ended_at  # so that it is tried as soon as it is let go
        spent = tries - (decided.how != "retry")
        waiting = replace(record, status="retrying", tries=spent, result=str(at).encode())
        tried = () if asked is None else self.two_way.tried(asked, path, undone=undone)
        waits_for: str = getattr(error, "waiting_for", "")
        return StepResult(
            waiting, tried, pause=Pause(decided.how, until, record.failure, waits_for)
        )

    def pause(self, scope: StepScope, pause: Pause) -> NoReturn:
        """Unwind the flow, which leaves memory for a reason."""
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
        return [line_of(self.turn.now(), level, message, fields, step, self.seal)]


def may_be_done(caught: Exception, step: RunningStep) -> bool:
    """Return whether a try that failed may have been carried out, and must not be repeated for that.

    An app may say so by an answer of its own: then its component raises an error that is in doubt.
    """
    told = isinstance(caught, UpstreamError) and caught.status is not None and caught.in_doubt
    return step.in_doubt or (told and step.once)


def surely_undone(caught: Exception, step: RunningStep) -> bool:
    """Return whether a try that failed surely changed nothing at the app."""
    if step.effects:
        return False
    sent = isinstance(caught, UpstreamError) and caught.in_doubt
    kinds = UpstreamError | DefinitionError | InputsRefused | ValueError | Overruled
    return isinstance(caught, kinds) and not sent
