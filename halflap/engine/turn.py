"""A turn: an execution that this process claimed, in the hands of the handler that runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from halflap.engine.clock import Timer
from halflap.errors import Fenced
from halflap.model import (
    Clock,
    LogLine,
    Micros,
    Monotonic,
    Outcome,
    Record,
    Signal,
    Start,
    StateWrite,
)
from halflap.store.history import outcome_at_end
from halflap.store.protocol import Claim, Journal, Written

LEASE: Micros = 30_000_000


class JournalTurn:
    """A claimed execution; what it commits carries its lease's fence."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        monotonic: Monotonic,
        lease: Micros,
        begin: Callable[[Start, Start], Awaitable[str | None]],
        recorded: Callable[[Start, Sequence[Record], Sequence[LogLine]], None],
        claim: Claim,
        claimed_at: float,
    ) -> None:
        self._journal = journal
        self._begin = begin
        self._recorded = recorded
        self._lease = lease / 1e6
        self._monotonic = monotonic
        self.now = clock
        self.claim = claim
        self.start, self.attempt, self.history = claim.start, claim.attempt, claim.history
        self.cancelling = claim.cancelling
        self.accepted_at = claim.accepted_at
        self.lost = False
        self.begun = self.interrupted = False
        self.until = claimed_at + self._lease
        """When the lease ends, in monotonic seconds."""

    def alive(self) -> bool:
        return not self.lost and self._monotonic() < self.until

    def prolong(self, renewed_at: float) -> None:
        """The lease was renewed by a request sent at `renewed_at` (monotonic seconds)."""
        self.until = renewed_at + self._lease

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        written = await self._journal.commit(self.claim.lease, records, logs, writes)
        if written is Written.FENCED:
            self.lost = True
            raise Fenced(f"{self.start.execution} was given to another worker")
        if written is Written.CONFLICT:
            return False
        self._recorded(self.start, records, logs)
        return True

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._journal.read_state(scope, key)

    async def list_state(self, scope: str) -> dict[str, bytes]:
        return await self._journal.list_state(scope)

    async def signals(self) -> Sequence[Signal]:
        return await self._journal.signals(self.start.execution)

    async def begin(self, start: Start) -> str | None:
        return await self._begin(start, self.start)

    async def outcome(self, execution: str) -> Outcome | None:
        return await outcome_at_end(self._journal, execution)


@dataclass(slots=True, eq=False)
class Running:
    """A turn and the task that runs it; `apart`, where it takes no room of the others.

    `timer` runs where it is to be cancelled; `cut` says that its time for that is over.
    `counts` says that it is a part of its customer's share of the room.
    """

    turn: JournalTurn
    task: asyncio.Task[None]
    apart: bool
    timer: Timer | None = None
    cut: bool = False
    counts: bool = False

    def interrupt(self) -> None:
        """Cancel its task; one that has not begun sees it then, since it would do nothing else."""
        self.turn.interrupted = True
        if self.turn.begun:
            self.task.cancel()
