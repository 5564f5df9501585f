"""Values between the engine and the handler that runs an execution: a turn, and its verdict.

The engine hands each execution, as a `Turn`, to a `Handler`, at least once, until the handler's
`Verdict` ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from halflap.model import (
    Clock,
    Continuation,
    Failure,
    LogLine,
    Micros,
    Outcome,
    Record,
    Signal,
    Start,
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

    @property
    def now(self) -> Clock:
        """The engine's time."""
        ...

    def alive(self) -> bool:
        """Return whether this worker still holds the execution, by its own monotonic clock."""
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

    async def begin(self, start: Start) -> str | None:
        """Start a child, durable on return; the same id twice is started once.

        Returns its id, or that of a replay which stands for it, as it runs already or ended well. None
        where its customer has too much queued: nothing was started.
        """
        ...

    async def outcome(self, execution: str) -> Outcome | None:
        """Return the outcome of a child; None where it has not ended. Raise `NotFound` where it is
        no longer stored.
        """
        ...


@frozen
class Ended:
    """The execution ended; its last records, its writes to state and its outcome are one commit.

    What has an outcome cannot be refused, so its writes expect nothing. `next` is accepted with it.
    """

    outcome: Outcome
    records: Sequence[Record] = ()
    logs: Sequence[LogLine] = ()
    writes: Sequence[StateWrite] = ()
    next: Continuation | None = None

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

LONGEST_REASON = 1_000
"""The most characters that the reason of an outcome may have."""
Handler = Callable[[Turn], Awaitable[Verdict]]
