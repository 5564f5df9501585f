"""Steps that wait: for a time, a signal, a child. Meanwhile the execution is in no memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from pydantic import TypeAdapter

from halflap.engine.branches import Branches
from halflap.engine.doing import Pause
from halflap.engine.lineage import Siblings, child_of, is_child, is_lifecycle
from halflap.engine.scope import Scope, current_scope, escaped
from halflap.errors import DefinitionError, InvalidEvent, NotFound, TimedOut
from halflap.model import Failure, Micros, Outcome, Record, Start, child_signal
from halflap.sdk.codec import encode
from halflap.sdk.record import decode_value
from halflap.sdk.running import Suspended
from halflap.sdk.trigger import first_line
from halflap.store.rules.cause import cause_text

ASK_AGAIN: Micros = 30_000_000
FULL = "its customer's limit: too many executions are queued to start another"


class Waits(Branches):
    """The verbs of the `Recorder` that wait."""

    siblings: Siblings = {}

    async def start(self, flow: str, event: bytes, *, bound: bool) -> str:
        """See `Context.start`."""
        scope = current_scope()
        path = scope.next_path(f"start({escaped(flow)})")
        inputs, event = self._without_secrets(event), self._handed_on(event)
        known = self._past.recall(scope, path, inputs)
        if known is None or known.status == "retrying":  # a replay starts a failed child again
            started = self._turn.now()
            child = await self._begin(scope, path, flow, event, bound=bound)
            title = f"Start {self.siblings[flow].title}"
            seq = self._past.next_seq() if known is None else known.seq  # it stays in its place
            known = self._record(path, "start", title, started, inputs=inputs, result=encode(child))
            known = replace(known, seq=seq, name=flow)
            self._keep(scope, known)
        else:
            self._past.pass_by(scope, known)
        child = str(decode_value(known.result or b'""', None, self._unseal))
        if is_child(child, self._turn.start.execution, path):
            self._own.add(child)
        return child

    async def accept(self, start: Start) -> None:
        """Start an execution that is no child of this one; the same id twice starts it once."""
        await self._turn.begin(start)

    async def call_flow(self, flow: str, event: bytes, adapter: TypeAdapter[Any] | None) -> Any:
        """See `Context.call`."""
        self._refuse_to_wait(flow)
        scope = current_scope()
        path = scope.next_path(f"call({escaped(flow)})")
        inputs, event = self._without_secrets(event), self._handed_on(event)
        known = self._past.recall(scope, path, inputs)
        if known is None:
            started = self._turn.now()
            child = await self._begin(scope, path, flow, event, bound=True)
            title = f"Call {self.siblings[flow].title}"
            known = self._record(path, "call", title, started, inputs=inputs, result=encode(child))
            known = replace(known, name=flow, status="retrying")
        if known.status == "retrying":
            self._own.add(str(decode_value(known.result or b'""', None, self._unseal)))
        return await self._ended(scope, known, adapter)

    async def result(self, flow: str, child: str, adapter: TypeAdapter[Any] | None) -> Any:
        """See `Child.result`."""
        self._refuse_to_wait(flow)
        scope = current_scope()
        path = scope.next_path(f"result({escaped(flow)})")
        known = self._past.recall(scope, path)
        if known is None:
            title = f"Wait for {self.siblings[flow].title}"
            now = self._turn.now()
            known = self._record(path, "call", title, now, result=encode(child))
            known = replace(known, name=flow, status="retrying")
        return await self._ended(scope, known, adapter)

    def _refuse_to_wait(self, flow: str) -> None:
        if is_lifecycle(self._turn.start.flow):
            raise DefinitionError(
                f"a deploy or teardown flow cannot wait for {flow}: no other flow runs before it has "
                "ended; ctx.start it, and leave its result to it"
            )

    async def _begin(self, scope: Scope, path: str, flow: str, event: bytes, *, bound: bool) -> str:
        await self._ledger.settle()
        self._check(scope)
        start = child_of(self._turn.start, path, scope.now, self.siblings[flow], event, bound=bound)
        await self._start_child(scope, start)
        return start.execution

    async def _start_child(self, scope: Scope, start: Start) -> None:
        """Start an execution; while its customer has too much queued, leave memory first."""
        if not await self._turn.begin(start):
            seconds = 2 ** min(self._turn.attempt, 6) * (0.5 + self._chance.random())
            at = self._turn.now() + round(seconds * 1_000_000)
            self._pause(scope, Pause("later", at, Failure("Blocked", FULL), FULL))

    async def _ended(self, scope: Scope, known: Record, adapter: TypeAdapter[Any] | None) -> Any:
        """Return the result of the child of a `call`, once it has ended; until then its id is
        stored.
        """
        if known.status == "retrying":
            self._check(scope)
            child = str(decode_value(known.result or b'""', None, self._unseal))
            outcome = await self._outcome_of(scope, known, child)
            known = of_outcome(replace(known, ended_at=self._turn.now()), child, outcome)
            self.woken_at = max(self.woken_at, known.ended_at)
            self._keep(scope, known)
        else:
            self._past.pass_by(scope, known)
        if known.status == "succeeded" and known.result == b"null":
            return None
        return self._answer(known, adapter)

    async def _outcome_of(self, scope: Scope, pending: Record, child: str) -> Outcome:
        said = f"the execution {child}"
        # A replay may have been handed another execution's child, which tells that one.
        if child in self._own and not await self._signals.has(child_signal(child)):
            self._keep(scope, pending)
            self._pause(scope, Pause("signal", None, waiting_for=said))
        try:
            outcome = await self._turn.outcome(child)
        except NotFound:
            return Outcome("failed", "it is no longer kept")
        if outcome is None:
            self._keep(scope, pending)
            self._pause(scope, Pause("later", self._turn.now() + ASK_AGAIN, waiting_for=said))
        return outcome

    async def sleep(self, seconds: float) -> None:
        """Pause until it is time; the time is fixed by the first attempt."""
        scope = current_scope()
        path = scope.next_path("sleep")
        known = self._past.recall(scope, path)
        if known is not None and known.status != "retrying":
            self._past.pass_by(scope, known)
            return
        self._check(scope)
        now = self._turn.now()
        if known is None:
            wake = max(scope.now, now) + int(max(seconds, 0) * 1_000_000)
            known = self._record(path, "sleep", "Sleep", now, result=str(wake).encode())
        else:
            wake = int(known.result or b"0")
        if now < wake:
            self._keep(scope, replace(known, status="retrying"))
            self._pause(scope, Pause("sleep", wake))
        self._keep(scope, replace(known, status="succeeded", ended_at=max(now, wake)))

    async def continue_with(self, event: bytes) -> NoReturn:
        """See `Context.continue_with`."""
        scope = current_scope()
        if scope.parent is not None:
            raise DefinitionError(
                "ctx.continue_with ends the flow, and was called in a branch of ctx.gather, beside "
                "which others run; await ctx.gather first, then continue as the flow's last statement"
            )
        self._check(scope)
        self.next_event = self._handed_on(event)
        scope.unwinding = True
        raise Suspended

    def question(self, name: str) -> str:
        """See `Recorder.question`."""
        scope = current_scope()
        step = f"wait_for({escaped(name)})"
        return f"{scope.path}{step}#{scope.occurrences.get(step, 0) + 1}"

    async def wait_for(
        self, name: str, timeout: float | None, adapter: TypeAdapter[Any] | None
    ) -> Any:
        """See `Context.wait_for`."""
        scope = current_scope()
        path = scope.next_path(f"wait_for({escaped(name)})")
        known = self._past.recall(scope, path)
        if known is None or known.status == "retrying":
            known = await self._awaited(scope, path, name, f"Wait for {name}", timeout, known)
            self.woken_at = max(self.woken_at, known.ended_at)
            self._keep(scope, known)
        else:
            self._past.pass_by(scope, known)
        if known.status == "failed":
            raise TimedOut(known.failure.message if known.failure else None, name=name)
        try:
            return decode_value(known.result or b"null", adapter, self._unseal)
        except ValueError as error:
            raise InvalidEvent(
                f"the signal {name!r} is not what the flow waits for: {first_line(error)}"
            ) from error

    async def _awaited(
        self,
        scope: Scope,
        path: str,
        name: str,
        title: str,
        timeout: float | None,
        known: Record | None,
    ) -> Record:
        """The record of a signal that has come, or of the end of the time for it; else a pause.

        The time is fixed by the first attempt. While it is waited for, the record's result is when.
        """
        self._check(scope)
        payload = await self._signals.take(name)
        now = self._turn.now()
        if known is None:
            known = replace(self._record(path, "signal", title, now), name=name)
            if timeout is not None:
                until = max(scope.now, now) + int(max(timeout, 0) * 1_000_000)
                known = replace(known, result=str(until).encode())
        if payload is not None:
            return replace(known, status="succeeded", ended_at=now, result=payload)
        until = None if known.result is None else int(known.result)
        if until is None or now < until:
            self._keep(scope, replace(known, status="retrying"))
            self._pause(scope, Pause("signal", until, waiting_for=f"the signal {name}"))
        failure = Failure("TimedOut", f"no signal {name!r} came in time")
        return replace(
            known, status="failed", ended_at=max(now, until), result=None, failure=failure
        )


def of_outcome(record: Record, child: str, outcome: Outcome) -> Record:
    """The record of a child that has ended; what it did not do well is the step's failure."""
    if outcome.state in ("succeeded", "ignored"):
        return replace(record, status="succeeded", result=outcome.result or b"null")
    kind = outcome.failure.kind if outcome.failure is not None else outcome.state.capitalize()
    status = outcome.failure.status if outcome.failure is not None else None
    cause = "" if outcome.failure is None else cause_text(outcome.failure)
    # The child's id is no part of the reason, so that failures of one cause read alike.
    reason = outcome.reason if outcome.state == "failed" else f"{outcome.state}: {outcome.reason}"
    failure = Failure(kind, reason, where=child, status=status, cause=cause)
    return replace(record, status="failed", result=None, failure=failure)
