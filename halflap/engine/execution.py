"""An execution in memory: an actor that keeps its journal, its timers and who holds it.

Nothing of it is reached into from outside; it changes in answer to messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from halflap.engine.actor import Actor
from halflap.engine.clock import Timer
from halflap.engine.journal import CUT_SECONDS
from halflap.engine.message import (
    Adopt,
    Begin,
    CancelIt,
    Commit,
    Cut,
    Deliver,
    DismissIt,
    Due,
    Duplicate,
    Enter,
    Finish,
    ListScope,
    ListSignals,
    Lost,
    Pause,
    Quit,
    Read,
    Ready,
    Run,
    Send,
    Show,
    Tell,
    Unblock,
    Unpark,
    View,
    Worker,
    Write,
)
from halflap.engine.protocol import Again, Change, Ended
from halflap.engine.shared import Shared
from halflap.errors import Fenced
from halflap.model import (
    ENDED,
    PARKED,
    Execution,
    ExecutionState,
    Failure,
    LogLine,
    Micros,
    Outcome,
    Record,
    Sent,
    Signal,
    Start,
    StateWrite,
    child_signal,
)
from halflap.store.lineage import why_cancelled
from halflap.store.protocol import Attempt


class MemoryTurn:
    """An execution in a worker's hands; what it asks goes to the execution's actor."""

    def __init__(
        self, actor: ExecutionActor, shared: Shared, fence: int, attempt: int, accepted_at: Micros
    ) -> None:
        self.start: Start = actor.start
        self.attempt = attempt
        self.accepted_at = accepted_at
        self.history: Sequence[Record] = ()
        self.cancelling: str | None = None
        self.fence = fence
        self.lost = False
        self.cut = False
        self.actor = actor
        self._shared = shared

    def now(self) -> Micros:
        """The engine's time."""
        return self._shared.clock()

    def alive(self) -> bool:
        """Whether this worker still holds the execution, as far as it knows."""
        return not self.lost

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        """Keep records, together with writes to state (see `Turn`)."""
        try:
            commit = Commit(self.fence, tuple(records), tuple(logs), tuple(writes))
            return await self.actor.ask(commit)
        except Fenced:
            self.lost = True
            raise

    async def read_state(self, scope: str, key: str) -> bytes | None:
        """A value of the state."""
        return await self._shared.state.ask(Read(scope, key))

    async def list_state(self, scope: str) -> dict[str, bytes]:
        """Every key of a scope, with its value."""
        return await self._shared.state.ask(ListScope(scope))

    async def signals(self) -> Sequence[Signal]:
        """All that was sent to the execution, oldest first."""
        return await self.actor.ask(ListSignals())

    async def begin(self, start: Start) -> None:
        """Start a child."""
        await self._shared.start([start])

    async def outcome(self, execution: str) -> Outcome | None:
        """How a child ended."""
        return await self._shared.outcome(execution)


@dataclass(slots=True)
class _Life:
    """What an execution knows of itself."""

    accepted_at: Micros
    state: ExecutionState = "queued"
    attempt: int = 0
    fence: int = 0
    started_at: Micros | None = None
    ended_at: Micros | None = None
    due_at: Micros | None = None
    waiting_for: str = ""
    heard: int | None = None
    cancelling: str | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    duplicates: int = 0
    dismissed: bool = False


class ExecutionActor(Actor):
    """One execution: its journal, its timers, its signals, and who holds it."""

    def __init__(self, start: Start, shared: Shared) -> None:
        super().__init__()
        self.start = start
        self._shared = shared
        self._life = _Life(accepted_at=shared.clock())
        self._history = {each.path: each for each in start.copied}
        self._logs: list[LogLine] = []
        self._attempts: list[Attempt] = []
        self._signals: list[Signal] = []
        self._once: set[str] = set()
        self._children: list[str] = []
        self._waiters: list[asyncio.Future[Outcome]] = []
        self._turn: MemoryTurn | None = None
        self._worker: Worker | None = None
        self._timer: Timer | None = None
        self._timers = 0

    async def receive(self, message: Any) -> Any:
        """Handle one message."""
        match message:
            case Commit(fence, records, logs, writes):
                return await self._commit(fence, records, logs, writes)
            case Finish(fence, verdict):
                await self._finish(fence, verdict)
            case Begin():
                return await self._begin()
            case Deliver(worker):
                await self._deliver(worker)
            case Due(number):
                if number == self._timers and self._life.state in ("queued", "waiting"):
                    self._ready()
            case Lost(fence, how):
                self._lose(fence, how)
            case CancelIt(reason, cut_at):
                return self._cancel(reason, cut_at)
            case Cut(fence, late):
                self._cut(fence, late)
            case Send(signal, once):
                return self._hear(signal, once)
            case Adopt(child):
                self._adopt(child)
            case ListSignals():
                return list(self._signals)
            case Unpark(connection):
                return self._unpark(connection)
            case DismissIt():
                return self._dismiss()
            case Duplicate():
                self._life.duplicates += 1
            case Tell(waiter):
                self._waiters.append(waiter)
                self._resolve()
            case Show():
                return self._view()
            case _:
                raise TypeError(f"an execution knows no {message!r}")
        return None

    async def _begin(self) -> bool:
        """Whether it is to run."""
        if self.start.parent is not None and self.start.bound:
            self._shared.post(self.start.parent, Adopt(self.start.execution))
        if self._life.state in ENDED:  # it was cancelled meanwhile
            return False
        outcome: Outcome | None = None
        if self.start.order is not None:
            outcome = await self._shared.orders.ask(Enter(self, self.start.order))
        self._announce()
        if outcome is not None:
            self._end(outcome)
            return False
        self._ready()
        return True

    def _ready(self) -> None:
        """Ask for a turn: of the order first, which asks the gate."""
        keeper = self._shared.gate if self.start.order is None else self._shared.orders
        keeper.tell(Ready(self))

    async def _commit(
        self,
        fence: int,
        records: tuple[Record, ...],
        logs: tuple[LogLine, ...],
        writes: tuple[StateWrite, ...],
    ) -> bool:
        self._check(fence)
        if writes and not await self._shared.state.ask(Write(writes)):
            return False
        self._keep(records, logs)
        return True

    async def _finish(self, fence: int, verdict: Ended | Again) -> None:
        self._check(fence)
        if isinstance(verdict, Ended) and verdict.writes:
            await self._shared.state.ask(Write(tuple(verdict.writes)))
        self._keep(verdict.records, verdict.logs)
        self._turn, life = None, self._life
        match verdict:
            case Ended(outcome):
                if life.cancelling is not None and outcome.state != "cancelled":
                    outcome = Outcome("cancelled", life.cancelling, failure=outcome.failure)
                self._end(outcome)
            case Again(how, at, _, _, failure, waiting_for, heard):
                self._pause(at)
                self._note(how, failure)
                life.state = "waiting" if how in ("sleep", "signal", "park") else "queued"
                life.failure, life.waiting_for, life.heard = failure, waiting_for, heard
                self._announce()
                if life.cancelling is not None:
                    self._end(Outcome("cancelled", life.cancelling))
                else:
                    self._wait_until(at)
                    self._wake()

    def _check(self, fence: int) -> None:
        if self._turn is None or fence != self._life.fence:
            raise Fenced(f"{self.start.execution} was given to another worker")

    def _keep(self, records: Sequence[Record], logs: Sequence[LogLine]) -> None:
        for each in records:
            known = self._history.get(each.path)
            if known is None or known.seq < 0:
                self._history[each.path] = each
            elif known.status == "retrying":
                self._history[each.path] = replace(
                    each, seq=known.seq, started_at=known.started_at, pure=known.pure
                )
        self._logs += logs

    def _pause(self, until: Micros | None) -> None:
        if self.start.order is not None:
            due = until is not None and until <= self._shared.clock()
            self._shared.orders.tell(Pause(self, due))

    async def _deliver(self, worker: Worker) -> None:
        life = self._life
        if life.state not in ("queued", "waiting"):
            return
        if self.start.order is not None and not await self._shared.orders.ask(Run(self)):
            return
        life.state = "running"
        life.attempt += 1
        life.fence += 1
        life.started_at = life.started_at or self._shared.clock()
        life.due_at, life.heard, life.waiting_for = None, None, ""
        turn = MemoryTurn(self, self._shared, life.fence, life.attempt, life.accepted_at)
        turn.history = self._records()
        turn.cancelling = life.cancelling
        self._turn, self._worker = turn, worker
        self._announce()
        worker.take(turn)

    def _lose(self, fence: int | None, how: str) -> None:
        if self._turn is None or fence not in (None, self._life.fence):
            return
        cut, self._turn = self._turn.cut, None
        if cut:
            self._end(Outcome("cancelled", self._life.cancelling or "cancelled"))
            return
        self._pause(self._shared.clock())
        self._life.fence += 1
        self._life.state = "queued"
        self._note(how, None)
        self._announce()
        self._wait_until(self._shared.clock())

    def _cancel(self, reason: str, cut_at: Micros) -> bool:
        life = self._life
        if life.state in ENDED:
            return False
        if self._turn is not None:
            life.cancelling = self._turn.cancelling = reason
            self._cut_at(cut_at, late=False)
        else:
            self._end(Outcome("cancelled", reason))
        return True

    def _dismiss(self) -> bool:
        if self._life.state != "failed":
            return False
        self._life.dismissed = True
        self._shared.orders.tell(Unblock(self.start.execution))
        return True

    def _cut_at(self, at: Micros, *, late: bool) -> None:
        cut = Cut(self._life.fence, late)
        self._stop_timer()
        self._timer = self._shared.timers.set(at, lambda: self.tell(cut))

    def _cut(self, fence: int, late: bool) -> None:
        """A cancelled turn has had its time: cancel its task, then end it without."""
        if self._turn is None or self._worker is None or fence != self._life.fence:
            return
        if late:
            self._turn.lost = True
            self._lose(fence, "cancelled")
            return
        self._turn.cut = True
        self._worker.cut(self._turn)
        self._cut_at(self._shared.clock() + round(CUT_SECONDS * 1e6), late=True)

    def _unpark(self, connection: str) -> bool:
        life = self._life
        if life.state != "waiting" or life.waiting_for != PARKED + connection:
            return False
        life.state, life.waiting_for = "queued", ""
        self._wait_until(self._shared.clock())
        return True

    def _end(self, outcome: Outcome) -> None:
        life = self._life
        life.state, life.outcome, life.failure = outcome.state, outcome, outcome.failure
        life.ended_at, life.due_at, life.waiting_for = self._shared.clock(), None, ""
        self._stop_timer()
        if self.start.order is not None:
            self._shared.orders.tell(Quit(self, outcome.state == "failed"))
        self._announce()
        self._resolve()
        self._tell_family()

    def _wait_until(self, at: Micros | None) -> None:
        self._stop_timer()
        self._life.due_at = at
        if at is None:
            return
        due = Due(self._timers)
        if at <= self._shared.clock():
            self.tell(due)
        else:
            self._timer = self._shared.timers.set(at, lambda: self.tell(due))

    def _stop_timer(self) -> None:
        self._timers += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _adopt(self, child: str) -> None:
        self._children.append(child)
        if self._life.state == "cancelled":
            self._cancel_children()

    def _cancel_children(self) -> None:
        why = why_cancelled(self.start.execution)
        for each in self._children:
            self._shared.post(each, CancelIt(why))
        self._children.clear()

    def _tell_family(self) -> None:
        """Tell the parent of the end, and bound children of a cancelled one of theirs."""
        if self.start.parent is not None:
            name = child_signal(self.start.execution)
            self._shared.post(self.start.parent, Send(Signal(name, b""), name))
        if self._life.state == "cancelled":
            self._cancel_children()

    def _hear(self, signal: Signal, once: str | None) -> Sent:
        """Keep a signal, unless it has come too late or is an answer that was given before."""
        if self._life.state in ENDED:
            return "over"
        if once is not None:
            if once in self._once:
                return "known"
            self._once.add(once)
        self._signals.append(signal)
        self._wake()
        return "sent"

    def _wake(self) -> None:
        """Run now where a signal came since the execution began to wait for one."""
        life = self._life
        waits = life.state in ("queued", "waiting") and life.heard is not None
        if waits and len(self._signals) > (life.heard or 0):
            life.heard = None
            self._wait_until(self._shared.clock())

    def _resolve(self) -> None:
        if self._life.outcome is None:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(self._life.outcome)
        self._waiters.clear()

    def _note(self, how: str, failure: Failure | None) -> None:
        began = self._attempts[-1].ended_at if self._attempts else self._life.started_at or 0
        attempt = Attempt(self._life.attempt, began, self._shared.clock(), how, failure)
        self._attempts.append(attempt)

    def _announce(self) -> None:
        life = self._life
        now, attempt = self._shared.clock(), max(life.attempt, 1)
        change = Change(self.start.execution, self.start, life.state, now, life.outcome, attempt)
        self._shared.announce(change)

    def _records(self) -> tuple[Record, ...]:
        return tuple(sorted(self._history.values(), key=lambda each: each.seq))

    def _view(self) -> View:
        life, start = self._life, self.start
        outcome = life.outcome
        execution = Execution(
            id=start.execution,
            flow=start.flow,
            state=life.state,
            attempt=life.attempt,
            root=start.root,
            replay_of=start.replay_of,
            replay=start.replay,
            key=start.key,
            accepted_at=life.accepted_at,
            started_at=life.started_at,
            ended_at=life.ended_at,
            due_at=life.due_at,
            reason=outcome.reason if outcome else "",
            failure=life.failure,
            result=outcome.result if outcome else None,
            duplicates=life.duplicates,
            waiting_for=life.waiting_for,
            dismissed=life.dismissed,
            order=start.order,
            parent=start.parent,
        )
        return View(execution, self._records(), tuple(self._logs), tuple(self._attempts))
