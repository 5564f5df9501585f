"""Records what a flow does, step by step, and answers from the journal what was done before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NoReturn
from uuid import UUID, uuid5

from pydantic import TypeAdapter

from halflap.engine.failure import failure_of
from halflap.engine.ledger import Ledger
from halflap.engine.past import Past, due_of
from halflap.engine.protocol import Turn
from halflap.engine.retry import again
from halflap.engine.scope import Scope, current, current_scope, escaped
from halflap.engine.step import Perform, line_of, run_action, step_failed
from halflap.errors import Cancel, Fenced, StoreError
from halflap.model import (
    MISSING,
    Failure,
    LogLine,
    Micros,
    Record,
    StateWrite,
    StepKind,
    to_datetime,
)
from halflap.sdk.action import Action
from halflap.sdk.context import ANY
from halflap.sdk.record import Seal, decode_value, encode_inputs, encode_value
from halflap.sdk.running import RunningStep, Suspended

NAMESPACE = UUID("6f1c7a30-7d0e-4d5b-9a53-6b1f2c0b9d11")
MOST_LOG_LINES = 10_000


class Cancelled(BaseException):
    """Unwinds a flow whose execution somebody cancelled."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why the execution leaves memory, and until when."""

    how: Literal["retry", "later", "sleep", "signal"]
    at: Micros | None
    failure: Failure | None = None
    waiting_for: str = ""


class StepRecorder:
    """The `Recorder` of one attempt of one execution.

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
        self._past = Past(turn.history)
        self._read: dict[tuple[str, str], bytes] = {}
        self._logged = 0
        self.pauses: list[Pause] = []
        self.cancelled = False

    # The flow's own scope -------------------------------------------------------------------

    def open(self) -> Scope:
        """Open the flow's scope in the current task."""
        scope = self._past.whole(self._turn.accepted_at, asyncio.current_task())
        current.set(scope)
        return scope

    def close(self, scope: Scope) -> None:
        """The scope ended well: nothing that it recorded may be left over."""
        self._past.close(scope)

    async def left(self, scope: Scope | None = None) -> tuple[Sequence[Record], Sequence[LogLine]]:
        """What has not been written: it goes with the verdict. With the flow's scope, all it logged."""
        if scope is not None:
            self._ledger.keep_lines(scope.lines)
        return await self._ledger.left()

    # Recorder -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """See `Context.now`."""
        return to_datetime(current_scope().now)

    def uuid(self) -> UUID:
        """See `Context.uuid`."""
        scope = current_scope()
        scope.uuids += 1
        place = f"{scope.path}{scope.position}/{scope.uuids}"
        return uuid5(NAMESPACE, f"{self._turn.start.root}/{place}")

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Keep a line of the flow: it is written with the scope's next record, so never twice."""
        scope = current.get()
        if scope is None:
            self._ledger.keep_lines(self._line(level, message, fields, ""))
        elif not scope.replaying:
            scope.lines += self._line(level, message, fields, "")

    async def call(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Run an action as a step, or answer from the journal."""
        scope = current_scope()
        path = scope.next_path(action.name)
        inputs = encode_inputs(action, arguments)
        known = self._past.recall(scope, path, inputs)
        adapter = None if action.shape.output is Any else action.shape.output_adapter
        if known is not None and known.status != "retrying":
            self._past.pass_by(scope, known)
            return self._answer(known, adapter)
        if known is not None and (at := due_of(known)) > self._turn.now():
            self._past.pass_by(scope, known)  # another branch of a gather was due before it
            self._pause(scope, Pause("retry", at, known.failure))
        if not action.pure:
            await self._ledger.settle()
        self._check(scope)
        started = self._turn.now()
        failure: Failure | None = None
        result: bytes | None = None
        try:
            value = await run_action(action, arguments, self._step(path), self._perform)
            result = encode_value(value, adapter, self._seal)
        except (Fenced, StoreError):
            raise
        except Exception as caught:
            error, failure = caught, failure_of(caught)
        else:
            error = None
        record = Record(
            self._past.next_seq() if known is None else known.seq,
            path,
            "action" if action.component else "step",
            action.name,
            action.title,
            "succeeded" if failure is None else "failed",
            started if known is None else known.started_at,
            self._turn.now(),
            inputs,
            result,
            failure,
            1 if known is None else known.tries + 1,
            action.pure,
        )
        if error is not None:
            self._failed(scope, action, record, error)
        self._keep(scope, record)
        return self._answer(record, adapter)

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

    async def gather(
        self,
        items: list[Any],
        keys: list[str],
        do: Callable[[Any], Awaitable[Any]],
        limit: int,
    ) -> list[Any]:
        """Run a branch for each item, in a scope of its own."""
        parent = current_scope()
        name = parent.next_path("gather")
        gate = asyncio.Semaphore(max(limit, 1))
        scopes = [self._past.branch(parent, f"{name}[{escaped(key)}]/") for key in keys]

        async def branch(item: Any, scope: Scope) -> Any:
            scope.task = asyncio.current_task()
            current.set(scope)
            async with gate:
                result = await do(item)
                self._past.close(scope)
                return result

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(branch(i, s)) for i, s in zip(items, scopes, strict=True)]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        for each in scopes:
            parent.now = max(parent.now, each.now)
            parent.lines += each.lines
        errors = [each.exception() for each in tasks if not each.cancelled()]
        for error in errors:
            if isinstance(error, Fenced | StoreError):
                raise error
        if any(each.unwinding for each in scopes):
            parent.unwinding = True
            raise Cancelled if self.cancelled else Suspended
        for error in errors:
            if error is not None:
                raise error
        return [each.result() for each in tasks]

    async def read_state(self, scope: str, key: str) -> Any:
        """See `State.get`; `ANY` where there is no value."""
        here = current_scope()
        path = here.next_path(f"state.get({escaped(key)})")
        known = self._past.recall(here, path)
        if known is None:
            await self._ledger.settle()
            self._check(here)
            started = self._turn.now()
            found = await self._turn.read_state(scope, key)
            known = self._record(path, "state", f"Read {key}", started, result=found or MISSING)
            self._keep(here, known)
        else:
            self._past.pass_by(here, known)
        if known.result is None or known.result == MISSING:
            return ANY
        self._read[scope, key] = known.result
        return decode_value(known.result, None, self._unseal)

    async def write_state(self, scope: str, key: str, value: Any, expect: Any) -> bool:
        """See `State.put`; `ANY` as the value deletes."""
        here = current_scope()
        path = here.next_path(f"state.put({escaped(key)})")
        encoded = None if value is ANY else encode_value(value, None, self._seal)
        sealed = encoded is not None and b'"$secret"' in encoded  # never twice the same bytes
        known = self._past.recall(here, path, None if sealed else encoded)
        if known is not None:
            self._past.pass_by(here, known)
            return known.result == b"true"
        self._check(here)
        started = self._turn.now()
        record = self._record(
            path, "state", f"Write {key}", started, inputs=encoded, result=b"true"
        )
        change = StateWrite(scope, key, encoded, self._expected(scope, key, expect))
        self._ledger.keep_lines(here.lines)
        here.lines = []
        done = await self._ledger.write(record, [change])
        self._past.pass_by(here, record)
        return done

    async def parse(self, name: str, title: str, read: Awaitable[Any]) -> Any:
        """Run the trigger's body as the first record; the event itself is what is kept of it."""
        scope = current_scope()
        path = scope.next_path("trigger")
        known = self._past.recall(scope, path)
        started = self._turn.now()
        value = await read
        if known is None:
            record = Record(
                self._past.next_seq(),
                path,
                "trigger",
                name,
                title,
                "succeeded",
                started,
                self._turn.now(),
                pure=True,
            )
            self._keep(scope, record)
        else:
            self._past.pass_by(scope, known)
        return value

    # Inside ---------------------------------------------------------------------------------

    def _keep(self, scope: Scope, record: Record) -> None:
        self._ledger.keep(record)
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
            raise step_failed(record)
        return decode_value(record.result or b"null", adapter, self._unseal)

    def _check(self, scope: Scope) -> None:
        if self._turn.cancelling is not None:
            self.cancelled = scope.unwinding = True
            raise Cancelled
        if not self._turn.alive():
            raise Fenced(f"the lease on {self._turn.start.execution} has run out")

    def _step(self, path: str) -> RunningStep:
        def log(level: str, message: str, fields: Mapping[str, Any]) -> None:
            self._ledger.keep_lines(self._line(level, message, fields, path))

        return RunningStep(path, self._turn.start.root, log=log)

    def _failed(
        self, scope: Scope, action: Action[..., Any], record: Record, error: Exception
    ) -> NoReturn:
        """Keep a failed try, and pause until the next one; or fail, where there is none."""
        if isinstance(error, Cancel):  # a record too: the flow may catch it and go on
            assert record.failure is not None
            self._keep(scope, replace(record, failure=replace(record.failure, kind="Cancel")))
            raise error
        elapsed = record.ended_at - record.started_at
        decided = again(error, action.retry, record.tries, elapsed, self._chance)
        if decided is None:
            self._keep(scope, record)
            raise step_failed(record) from error
        spent = record.tries - (decided.how == "later")
        at = record.ended_at + decided.wait
        waiting = replace(record, status="retrying", tries=spent, result=str(at).encode())
        self._keep(scope, waiting)
        self._pause(scope, Pause(decided.how, at, record.failure))

    def _pause(self, scope: Scope, pause: Pause) -> NoReturn:
        self.pauses.append(pause)
        scope.unwinding = True
        raise Suspended

    def _expected(self, scope: str, key: str, expect: Any) -> bytes | None:
        if expect is ANY:
            return None
        if expect is None:
            return MISSING
        # What was read may be written in other bytes: a secret always, `1e-7` as `1E-7`.
        read = self._read.get((scope, key))
        if read is not None and decode_value(read, None, self._unseal) == expect:
            return read
        return encode_value(expect, None, self._seal)

    def _line(
        self, level: str, message: str, fields: Mapping[str, Any], step: str
    ) -> list[LogLine]:
        self._logged += 1
        if self._logged > MOST_LOG_LINES:
            return []
        if self._logged == MOST_LOG_LINES:
            level, fields = "warning", {}
            message = f"more than {MOST_LOG_LINES} lines: the rest is cut"
        return [line_of(self._turn.now(), level, message, fields, step, self._seal)]
