"""The messages that the actors of the engine in memory send each other: frozen values."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from halflap.engine.protocol import Again, Ended
from halflap.model import (
    Dedupe,
    Execution,
    LogLine,
    Micros,
    Order,
    Outcome,
    Paused,
    Record,
    Signal,
    StateWrite,
)
from halflap.store.protocol import Attempt

if TYPE_CHECKING:
    from halflap.engine.execution import ExecutionActor, MemoryTurn


@dataclass(frozen=True, slots=True)
class Take:
    """Take a dedupe key, or hear who has it."""

    flow: tuple[str, str]
    dedupe: Dedupe
    execution: str


@dataclass(frozen=True, slots=True)
class Read:
    """Read a key of the state."""

    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class ListScope:
    """Read every key of a scope of the state."""

    scope: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write to the state: all of it, or nothing where one conflicts."""

    writes: tuple[StateWrite, ...]


@dataclass(frozen=True, slots=True)
class Enter:
    """Take the last place in an order; the answer is how it ends at once, where it does."""

    execution: ExecutionActor
    order: Order


@dataclass(frozen=True, slots=True)
class Run:
    """May this execution run now? If so, it does."""

    execution: ExecutionActor


@dataclass(frozen=True, slots=True)
class Pause:
    """This execution runs no more, and keeps its place in its order; is it due at once?"""

    execution: ExecutionActor
    due: bool


@dataclass(frozen=True, slots=True)
class Quit:
    """This execution has ended: its order goes on without it, unless it failed and blocks."""

    execution: ExecutionActor
    failed: bool


@dataclass(frozen=True, slots=True)
class Unblock:
    """This execution was dismissed: an order that it blocks goes on."""

    execution: str


@dataclass(frozen=True, slots=True)
class DismissIt:
    """You are no dead letter any more; the answer is whether you were one."""


@dataclass(frozen=True, slots=True)
class Move:
    """Put the executions of one order among those of another."""

    old: tuple[str, str]
    new: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold an instance's executions back."""

    instance: str


@dataclass(frozen=True, slots=True)
class Free:
    """Let an instance's executions run."""

    instance: str


@dataclass(frozen=True, slots=True)
class StandStill:
    """Pause a customer, an instance or a flow; False where it was paused already."""

    paused: Paused


@dataclass(frozen=True, slots=True)
class GoOn:
    """Let what was paused go on; False where it was not."""

    what: str


@dataclass(frozen=True, slots=True)
class ListPaused:
    """All that is paused."""


@dataclass(frozen=True, slots=True)
class Ready:
    """An execution may be handed out, as far as it or its order is concerned."""

    execution: ExecutionActor


@dataclass(frozen=True, slots=True)
class Join:
    """A worker takes turns from now on."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Leave:
    """A worker takes no more turns."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Begin:
    """An execution was accepted: run it when the gate lets it."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give your turn to this worker."""

    worker: Worker


@dataclass(frozen=True, slots=True)
class Commit:
    """Keep these records."""

    fence: int
    records: tuple[Record, ...]
    logs: tuple[LogLine, ...]
    writes: tuple[StateWrite, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The handler's verdict."""

    fence: int
    verdict: Ended | Again


@dataclass(frozen=True, slots=True)
class Lost:
    """A turn ended without a verdict: its worker crashed, or was drained."""

    fence: int | None
    how: str


@dataclass(frozen=True, slots=True)
class Due:
    """Time has come; `number` names the timer."""

    number: int


@dataclass(frozen=True, slots=True)
class CancelIt:
    """Cancel, at once or at the next step; what runs on is cut at a time."""

    reason: str
    cut_at: Micros = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """It is time that a cancelled turn ends; `late`, that it is ended whatever its code does."""

    fence: int
    late: bool


@dataclass(frozen=True, slots=True)
class Unpark:
    """Go on, where you are parked for this connection; say whether you were."""

    connection: str


@dataclass(frozen=True, slots=True)
class Send:
    """A signal from outside; `once` names an answer that counts once."""

    signal: Signal
    once: str | None = None


@dataclass(frozen=True, slots=True)
class Adopt:
    """A child has begun, which is to be cancelled with its parent."""

    child: str


@dataclass(frozen=True, slots=True)
class ListSignals:
    """Answer with all signals that were sent, oldest first."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A delivery of the same event came again."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Resolve the future with the outcome, now or when there is one."""

    waiter: asyncio.Future[Outcome]


@dataclass(frozen=True, slots=True)
class Show:
    """Answer with a `View`."""


@dataclass(frozen=True, slots=True)
class View:
    """An execution as it is now, for tests and support."""

    execution: Execution
    history: tuple[Record, ...]
    logs: tuple[LogLine, ...]
    attempts: tuple[Attempt, ...]


class Worker(Protocol):
    """Runs turns; `take` must not block."""

    def take(self, turn: MemoryTurn) -> None: ...

    def cut(self, turn: MemoryTurn) -> None:
        """Cancel the task that runs a turn."""
        ...
