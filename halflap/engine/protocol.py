"""The seam between durable execution and everything else.

An engine keeps executions and hands each, as a `Turn`, to a worker's `Handler`, at least once,
until the handler's `Verdict` ends it. It owns start, record, state, timers, signals, children,
cancel and order: one that ends tells its `parent` by the signal `child_signal`, and one that is
cancelled has its bound children cancelled. No verb shares a transaction with the catalogue. Both
implementations pass tests/conformance/test_engine.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from halflap.model import (
    ExecutionState,
    Failure,
    LogLine,
    Micros,
    Outcome,
    Paused,
    Record,
    Sent,
    Signal,
    Start,
    Started,
    StateWrite,
    frozen,
)


class Turn(Protocol):
    """An execution in a worker's hands: its event, its journal so far, and the right to add to it."""

    @property
    def start(self) -> Start: ...

    @property
    def attempt(self) -> int:
        """1 for the first."""
        ...

    @property
    def history(self) -> Sequence[Record]:
        """The journal of earlier attempts, in order."""
        ...

    @property
    def accepted_at(self) -> Micros: ...

    @property
    def cancelling(self) -> str | None:
        """Why the execution is to be cancelled, once somebody asked for it."""
        ...

    def now(self) -> Micros:
        """The engine's time."""
        ...

    def alive(self) -> bool:
        """Whether this worker still holds the execution, by its own monotonic clock."""
        ...

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        """Make records durable, together with writes to state.

        Every `expect` is compared with what stood before; False where one differs (nothing was
        written). Raises `Fenced` where the execution is no longer this worker's.
        """
        ...

    async def read_state(self, scope: str, key: str) -> bytes | None: ...

    async def list_state(self, scope: str) -> dict[str, bytes]:
        """Every key of a scope, with its value."""
        ...

    async def signals(self) -> Sequence[Signal]:
        """All that was sent to the execution until now, oldest first, taken or not."""
        ...

    async def begin(self, start: Start) -> None:
        """Start a child, durable on return; the same id twice is started once."""
        ...

    async def outcome(self, execution: str) -> Outcome | None:
        """How a child ended; None where it has not. Raises `NotFound` where it is no longer kept."""
        ...


@frozen
class Ended:
    """The execution ended; its last records, its writes to state and its outcome are one commit.

    What has an outcome cannot be refused, so its writes expect nothing.
    """

    outcome: Outcome
    records: Sequence[Record] = ()
    logs: Sequence[LogLine] = ()
    writes: Sequence[StateWrite] = ()

    def __post_init__(self) -> None:
        for each in self.writes:
            if each.expect is not None:
                raise ValueError(
                    f"the write to {each.key!r} expects a value, which an end cannot be refused for; "
                    "commit it before the end, or leave out `expect`"
                )


@frozen
class Again:
    """The execution leaves memory and is run again: at a time, at a signal, or when it is woken.

    `how` is the reason: `retry` (a step failed), `later` (not ready, or rate-limited), `sleep`,
    `signal`, `park` (a connection is to be mended). An execution with how `retry` or `later` is
    `queued`, else `waiting`. `waiting_for` says for people what it waits for; for what is parked it
    is `connection:<id>`. `heard` is how many signals the turn knew of: where more were sent, or are
    later, it is run at once. None: no signal wakes it.
    """

    how: Literal["retry", "later", "sleep", "signal", "park"]
    at: Micros | None
    records: Sequence[Record] = ()
    logs: Sequence[LogLine] = ()
    failure: Failure | None = None
    waiting_for: str = ""
    heard: int | None = None


Verdict = Ended | Again
Handler = Callable[[Turn], Awaitable[Verdict]]


@frozen
class Change:
    """Something that happened to an execution, for whoever follows along."""

    execution: str
    start: Start
    state: ExecutionState
    at: Micros
    outcome: Outcome | None = None
    attempt: int = 1


class Engine(Protocol):
    """Keeps executions, and hands them out until each has an outcome."""

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        """Accept executions in one transaction; durable on return. Idempotent by id and by dedupe key."""
        ...

    async def run(self, handler: Handler) -> None:
        """Hand turns to a handler until `stop`."""
        ...

    async def stop(self, grace: float) -> None:
        """Take no more; let running turns end for `grace` seconds, then cut them: they resume later."""
        ...

    async def cancel(self, execution: str, reason: str, grace: float | None = None) -> bool:
        """Cancel: at once where it is queued or waiting, at its next step where it runs.

        One that goes on running is cut after `grace` seconds. Once asked for, no other outcome
        stands. False where it has already ended; raises `NotFound` where there is none.
        """
        ...

    async def cancel_all(self, instance: str, reason: str) -> int:
        """Cancel every live execution of an instance; returns how many."""
        ...

    async def dismiss(self, execution: str) -> bool:
        """Take a failed execution off the dead letters; an order that it blocks goes on.

        False where it has not failed.
        """
        ...

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        """Send a signal; one that comes before the execution asks is kept.

        `once` names an answer that counts once: the second one is `known`, and not kept.
        """
        ...

    async def unpark(self, connection: str, limit: int) -> list[str]:
        """Let up to `limit` executions go on that are parked for a connection; returns which."""
        ...

    async def hold(self, instance: str) -> None:
        """Accept the instance's events, and let them wait."""
        ...

    async def release(self, instance: str) -> None:
        """Let the instance's executions run."""
        ...

    async def pause(self, what: str, by: str = "", reason: str = "") -> bool:
        """Let a customer, an instance or a flow (`<instance>/<flow>`) stand still.

        Its events are accepted and wait, what runs goes on. False where it stood still already.
        """
        ...

    async def resume(self, what: str) -> bool:
        """Let what was paused go on; False where it was not."""
        ...

    async def paused(self) -> list[Paused]:
        """All that stands still, in the order in which it was paused."""
        ...

    async def live(self, instance: str) -> int:
        """How many of the instance's executions have not ended."""
        ...

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        """How the execution ended, waiting up to `within` seconds; None where it has not."""
        ...

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Hear of every change; returns what stops it. Listeners must not block."""
        ...
