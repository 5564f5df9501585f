"""Records what a flow does, step by step, and answers from the journal what was done before.

A *scope* is a run of steps in order: the flow itself, or one branch of `ctx.gather`. A step is
known by its scope, its name and its occurrence there. On the same version each scope's sequence
must be the one that was recorded, else the flow is not deterministic and its execution fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter

from halflap.engine.protocol import Turn
from halflap.errors import (
    Cancel,
    DefinitionError,
    Fenced,
    Nondeterminism,
    RateLimited,
    RetryLater,
    StepFailed,
    UpstreamError,
)
from halflap.model import MISSING, Failure, LogLine, Micros, Record, StateWrite, StepKind, to_datetime
from halflap.sdk import codec, running
from halflap.sdk.action import NEVER, Action, Retry
from halflap.sdk.context import ANY
from halflap.sdk.record import Seal, decode_value, encode_inputs, encode_value
from halflap.sdk.running import RunningStep, Suspended
from halflap.sdk.trigger import first_line

NAMESPACE = UUID("6f1c7a30-7d0e-4d5b-9a53-6b1f2c0b9d11")
MOST_LOG_LINES = 10_000

scope_now: ContextVar[Scope | None] = ContextVar("halflap.scope", default=None)


class Cancelled(BaseException):
    """Unwinds a flow whose execution somebody cancelled."""


@dataclass(slots=True)
class Scope:
    """A run of steps in order, in one task."""

    path: str
    task: asyncio.Task[Any] | None
    now: Micros
    recorded: list[str]
    position: int = 0
    occurrences: dict[str, int] = field(default_factory=dict[str, int])
    uuids: int = 0
    unwinding: bool = False

    def next_path(self, name: str) -> str:
        """The path of the next step of that name."""
        count = self.occurrences[name] = self.occurrences.get(name, 0) + 1
        return f"{self.path}{name}#{count}" if count > 1 else f"{self.path}{name}"


@dataclass(frozen=True, slots=True)
class Pause:
    """Why the execution leaves memory, and until when."""

    how: str
    at: Micros | None
    failure: Failure | None = None
    waiting_for: str = ""


class StepRecorder:
    """The `Recorder` of one attempt of one execution."""

    def __init__(
        self,
        turn: Turn,
        *,
        seal: Seal,
        unseal: Seal,
        chance: random.Random,
        perform: Callable[[Action[..., Any], Mapping[str, Any]], Awaitable[Any]] | None = None,
        strict: bool = True,
    ) -> None:
        self._turn = turn
        self._seal = seal
        self._unseal = unseal
        self._chance = chance
        self._perform = perform
        self._strict = strict
        self._history = {each.path: each for each in turn.history}
        self._by_scope: dict[str, list[str]] = {}
        for each in turn.history:
            self._by_scope.setdefault(scope_of(each.path), []).append(each.path)
        self._seq = max((each.seq for each in turn.history), default=-1) + 1
        self._pending: list[Record] = []
        self._logs: list[LogLine] = []
        self._logged = 0
        self._unsettled = 0
        self._writing: asyncio.Future[None] | None = None
        self.pauses: list[Pause] = []
        self.error_trace = ""

    # The flow's own scope -------------------------------------------------------------------

    def open(self) -> Scope:
        """Open the flow's scope in the current task."""
        scope = Scope("", asyncio.current_task(), self._turn.accepted_at, self._by_scope.get("", []))
        scope_now.set(scope)
        running.recorder.set(self)
        return scope

    def close(self, scope: Scope) -> None:
        """The flow returned: nothing that was recorded may be left over."""
        if self._strict and scope.position < len(scope.recorded):
            raise Nondeterminism(
                f"the flow ended before the step {scope.recorded[scope.position]!r} that its journal "
                "has; keep code between steps a function of the event, the config and earlier steps"
            )

    def left(self) -> tuple[Sequence[Record], Sequence[LogLine]]:
        """What has not been written yet: it rides along with the outcome."""
        records, logs = self._pending, self._logs
        self._pending, self._logs, self._unsettled = [], [], 0
        return records, logs

    # Recorder -------------------------------------------------------------------------------

    def now(self) -> datetime:
        return to_datetime(self._scope().now)

    def uuid(self) -> UUID:
        scope = self._scope()
        scope.uuids += 1
        return uuid5(NAMESPACE, f"{self._turn.start.root}/{scope.path}{scope.position}/{scope.uuids}")

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        scope = scope_now.get()
        if scope is not None and scope.position < len(scope.recorded):
            return  # this line was written by an earlier attempt
        self.write_log(level, message, fields, "")

    def write_log(self, level: str, message: str, fields: Mapping[str, Any], step: str) -> None:
        """Keep a log line; it is written with the next records."""
        self._logged += 1
        if self._logged > MOST_LOG_LINES:
            return
        if self._logged == MOST_LOG_LINES:
            level, message, fields = "warning", f"more than {MOST_LOG_LINES} lines: the rest is cut", {}
        try:
            encoded = encode_value(dict(fields), None, self._seal) if fields else b""
        except TypeError:
            encoded = codec.encode({name: repr(value) for name, value in fields.items()})
        self._logs.append(LogLine(self._turn.now(), level, str(message)[:10_000], encoded, step))  # pyright: ignore[reportArgumentType]

    async def call(self, action: Action[..., Any], arguments: Mapping[str, Any]) -> Any:
        scope = self._scope()
        path = scope.next_path(action.name)
        known = self._recall(scope, path)
        inputs = encode_inputs(action, arguments)
        adapter = None if action.shape.output is Any else action.shape.output_adapter
        if known is not None and known.inputs != inputs and known.inputs is not None:
            if self._strict:
                raise Nondeterminism(
                    f"the step {path!r} was recorded with other inputs: then "
                    f"{shortened(known.inputs)}, now {shortened(inputs)}. Keep code between steps "
                    "pure: ctx.now(), ctx.uuid() and @step are for what is not"
                )
            self._forget(scope)
            known = None
        if known is not None and known.status != "retrying":
            self._step_over(scope, known)
            return self._answer(known, adapter)
        if not action.pure:
            await self._settle()
        self._check(scope)
        tries = (known.tries if known is not None else 0) + 1
        started = self._turn.now()
        try:
            value = await self._run(action, arguments, path)
            result = encode_value(value, adapter, self._seal)
        except Exception as error:
            return self._failed(scope, action, path, inputs, started, tries, error, known)
        kind: StepKind = "action" if action.component else "step"
        record = Record(
            self._seq if known is None else known.seq,
            path,
            kind,
            action.name,
            action.title,
            "succeeded",
            started,
            self._turn.now(),
            inputs,
            result,
            None,
            tries,
            action.pure,
        )
        self._keep(scope, record)
        return self._answer(record, adapter)

    async def sleep(self, seconds: float) -> None:
        scope = self._scope()
        path = scope.next_path("sleep")
        known = self._recall(scope, path)
        if known is not None and known.status != "retrying":
            self._step_over(scope, known)
            return
        fresh = known is None
        if known is None:
            base = max(scope.now, self._turn.now())
            wake = base + int(max(seconds, 0) * 1_000_000)
            record = self._record(path, "sleep", "Sleep", base, result=str(wake).encode())
            record = replace(record, status="retrying")
            self._keep(scope, record)
            known = record
        wake = int(known.result or b"0")
        now = self._turn.now()
        if now < wake:
            self._pause(scope, Pause("sleep", wake))
        if fresh:
            scope.position -= 1  # the same record again, now ended
        self._keep(scope, replace(known, status="succeeded", ended_at=max(now, wake)))

    async def gather(
        self,
        items: list[Any],
        keys: list[str],
        do: Callable[[Any], Awaitable[Any]],
        limit: int,
    ) -> list[Any]:
        parent = self._scope()
        name = parent.next_path("gather")
        gate = asyncio.Semaphore(max(limit, 1))
        scopes: list[Scope] = []

        async def branch(item: Any, key: str) -> Any:
            path = f"{name}[{escaped(key)}]/"
            scope = Scope(path, asyncio.current_task(), parent.now, self._by_scope.get(path, []))
            scopes.append(scope)
            scope_now.set(scope)
            async with gate:
                result = await do(item)
                self.close(scope)
                return result

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(branch(i, k)) for i, k in zip(items, keys, strict=True)]
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        parent.now = max([parent.now, *(each.now for each in scopes)])
        errors = [each.exception() for each in tasks if not each.cancelled()]
        for kind in (Fenced, Cancelled, Suspended, BaseException):
            for error in errors:
                if isinstance(error, kind):
                    if isinstance(error, Suspended):
                        parent.unwinding = True
                    raise error
        return [each.result() for each in tasks]

    async def read_state(self, scope: str, key: str) -> Any:
        here = self._scope()
        path = here.next_path(f"state.get({escaped(key)})")
        known = self._recall(here, path)
        if known is None:
            await self._settle()
            self._check(here)
            started = self._turn.now()
            found = await self._turn.read_state(scope, key)
            known = self._record(path, "state", f"Read {key}", started, result=found or MISSING)
            self._keep(here, known)
        else:
            self._step_over(here, known)
        if known.result is None or known.result == MISSING:
            return ANY
        return decode_value(known.result, None, self._unseal)

    async def write_state(self, scope: str, key: str, value: Any, expect: Any) -> bool:
        here = self._scope()
        path = here.next_path(f"state.put({escaped(key)})")
        known = self._recall(here, path)
        if known is not None:
            self._step_over(here, known)
            return known.result == b"true"
        await self._settle()
        self._check(here)
        started = self._turn.now()
        encoded = None if value is ANY else encode_value(value, None, self._seal)
        expected = (
            None
            if expect is ANY
            else MISSING
            if expect is None
            else encode_value(expect, None, self._seal)
        )
        write = StateWrite(scope, key, encoded, expected)
        record = self._record(path, "state", f"Write {key}", started, inputs=encoded, result=b"true")
        pending, logs = self.left()
        done = await self._turn.commit([*pending, record], logs, write)
        if not done:
            record = replace(record, result=b"false")
            await self._turn.commit([*pending, record], logs)
        self._keep(here, record, durable=True)
        return done

    async def parse(self, name: str, title: str, read: Awaitable[Any]) -> Any:
        """Run the trigger's body as the execution's first record; what it reads is kept as the event."""
        scope = self._scope()
        path = scope.next_path("trigger")
        known = self._recall(scope, path)
        started = self._turn.now() if known is None else known.started_at
        value = await read
        if known is None:
            record = self._record(path, "trigger", title, started)
            self._keep(scope, replace(record, name=name, pure=True))
        else:
            self._step_over(scope, known)
        return value

    # Inside ---------------------------------------------------------------------------------

    def _scope(self) -> Scope:
        scope = scope_now.get()
        if scope is None or scope.task is not asyncio.current_task():
            raise DefinitionError(
                "a step was called from a task of its own; fan out by ctx.gather, which keeps each "
                "branch's steps apart (asyncio.gather, create_task and wait_for make tasks)"
            )
        if scope.unwinding:
            raise Suspended
        return scope

    def _recall(self, scope: Scope, path: str) -> Record | None:
        if scope.position >= len(scope.recorded):
            return None
        expected = scope.recorded[scope.position]
        if expected == path:
            return self._history[path]
        if self._strict:
            raise Nondeterminism(
                f"the flow came to the step {path!r} where its journal has {expected!r}. Keep code "
                "between steps a function of the event, the config and earlier steps"
            )
        self._forget(scope)
        return None

    def _forget(self, scope: Scope) -> None:
        for path in scope.recorded[scope.position :]:
            self._history.pop(path, None)
        del scope.recorded[scope.position :]

    def _step_over(self, scope: Scope, known: Record) -> None:
        scope.position += 1
        scope.now = max(scope.now, known.ended_at)

    def _answer(self, record: Record, adapter: TypeAdapter[Any] | None) -> Any:
        if record.status == "failed":
            failure = record.failure or Failure("StepFailed", "the step failed")
            raise StepFailed(
                f"{record.title} ({record.path}) failed: {failure.message}",
                step=record.path,
                error=failure.kind,
                status=failure.status,
            )
        return decode_value(record.result or b"null", adapter, self._unseal)

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
        ended = self._turn.now()
        return Record(
            self._seq, path, kind, name, title, "succeeded", started, ended, inputs, result
        )

    def _keep(self, scope: Scope, record: Record, *, durable: bool = False) -> None:
        if record.seq == self._seq:
            self._seq += 1
        if scope.position < len(scope.recorded):
            scope.position += 1
        else:
            scope.recorded.append(record.path)
            scope.position = len(scope.recorded)
        scope.now = max(scope.now, record.ended_at)
        if durable:
            return
        self._pending.append(record)
        if not record.pure:
            self._unsettled += 1

    async def _settle(self) -> None:
        """Return once every record that is not pure is on disk."""
        while self._unsettled:
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._write())
            await asyncio.shield(self._writing)

    async def _write(self) -> None:
        try:
            records, logs = self.left()
            await self._turn.commit(records, logs)
        finally:
            self._writing = None

    def _check(self, scope: Scope) -> None:
        if self._turn.cancelling is not None:
            scope.unwinding = True
            raise Cancelled
        if not self._turn.alive():
            raise Fenced(f"the lease on {self._turn.start.execution} has run out")

    async def _run(self, action: Action[..., Any], arguments: Mapping[str, Any], path: str) -> Any:
        inputs = {
            each.name: each.adapter.validate_python(arguments[each.name])
            for each in action.shape.inputs
            if each.name in arguments
        }
        given = {**arguments, **inputs}
        step = RunningStep(
            path,
            self._turn.start.root,
            log=lambda level, message, fields: self.write_log(level, message, fields, path),
        )
        recorder = running.recorder.set(None)
        current = running.step.set(step)
        try:
            limit = action.timeout.total_seconds() if action.timeout else None
            async with asyncio.timeout(limit) if limit else contextlib.nullcontext():
                value = await (
                    action.invoke(**given)
                    if self._perform is None
                    else self._perform(action, given)
                )
        finally:
            running.step.reset(current)
            running.recorder.reset(recorder)
        if action.shape.output is Any:
            return value
        try:
            return action.shape.output_adapter.validate_python(value)
        except ValueError as error:
            raise DefinitionError(
                f"{action.name} returned what its annotation does not say: {first_line(error)}",
                where=action.where,
            ) from error

    def _failed(
        self,
        scope: Scope,
        action: Action[..., Any],
        path: str,
        inputs: bytes,
        started: Micros,
        tries: int,
        error: Exception,
        known: Record | None,
    ) -> Any:
        if isinstance(error, Cancel | Fenced):
            raise error
        now = self._turn.now()
        failure = failure_of(error)
        record = Record(
            self._seq if known is None else known.seq,
            path,
            "action" if action.component else "step",
            action.name,
            action.title,
            "retrying",
            started,
            now,
            inputs,
            None,
            failure,
            tries,
        )
        match again(error, action.retry, tries, self._chance):
            case ("later", wait):
                self._keep(scope, replace(record, tries=tries - 1))
                self._pause(scope, Pause("later", now + wait, failure))
            case ("retry", wait):
                self._keep(scope, record)
                self._pause(scope, Pause("retry", now + wait, failure))
            case _:
                self._keep(scope, replace(record, status="failed"))
                raise StepFailed(
                    f"{action.title} ({path}) failed: {failure.message}",
                    step=path,
                    error=failure.kind,
                    status=failure.status,
                ) from error

    def _pause(self, scope: Scope, pause: Pause) -> None:
        self.pauses.append(pause)
        scope.unwinding = True
        raise Suspended


def again(
    error: Exception, retry: Retry, tries: int, chance: random.Random
) -> tuple[str, Micros] | None:
    """Whether, how and when a failed step is tried again; the wait is in microseconds."""
    match error:
        case RetryLater(after=after):
            return "later", micros(after.total_seconds())
        case RateLimited(retry_after=after):
            seconds = (after or retry.wait(max(tries, 1), chance)).total_seconds()
            return "later", micros(seconds)
        case UpstreamError(retryable=False):
            return None
        case UpstreamError() | TimeoutError() | ConnectionError():
            if tries >= retry.attempts or retry is NEVER:
                return None
            return "retry", micros(retry.wait(tries, chance).total_seconds())
        case _:
            return None


def micros(seconds: float) -> Micros:
    return int(seconds * 1_000_000)


def failure_of(error: BaseException) -> Failure:
    """An exception as it is recorded: with its place in the author's code, and without our frames."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "/halflap/engine/" not in frame.filename and "/halflap/sdk/" not in frame.filename
    ]
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    trace = "".join(traceback.format_list(frames))[-4_000:]
    status = getattr(error, "status", None)
    return Failure(
        kind=getattr(error, "error", "") or type(error).__name__,
        message=(first_line(error) or type(error).__name__)[:2_000],
        where=where,
        status=status if isinstance(status, int) else None,
        trace=trace,
    )


def scope_of(path: str) -> str:
    """The scope of a step's path: all up to its last slash."""
    return path[: path.rfind("/") + 1]


def escaped(key: str) -> str:
    """A key as it may stand in a path."""
    return key.replace("%", "%25").replace("/", "%2F").replace("[", "%5B").replace("]", "%5D")[:200]


def shortened(data: bytes) -> str:
    """The beginning of a value, for a message."""
    text = data.decode(errors="replace")
    return text if len(text) <= 200 else text[:197] + "…"

