"""Steps that wait: for a time, for a signal. Meanwhile the execution is in no memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from halflap.engine.doing import Pause, Steps
from halflap.engine.scope import Scope, current_scope, escaped
from halflap.errors import InvalidEvent, TimedOut
from halflap.model import Failure, Record
from halflap.sdk.record import decode_value
from halflap.sdk.trigger import first_line


class Waits(Steps):
    """The verbs of the `Recorder` that wait."""

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
