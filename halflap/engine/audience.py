"""The audience: who follows what executions do, and who waits for an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from halflap.engine.protocol import LONGEST_REASON
from halflap.engine.relay import Relay, without_event
from halflap.model import (
    Change,
    Clock,
    Execution,
    ExecutionState,
    LogLine,
    Outcome,
    Progress,
    Record,
    Start,
    StepStatus,
)

LOGS = "logs"
AT_ONCE = 20
"""The most steps that one notice tells of."""
LOOK_SECONDS = 2.0
"""Seconds between looks for an outcome that another process may give, where its hint was lost."""


def steps_of(execution: str) -> str:
    """Return the topic of an execution's steps."""
    return f"steps:{execution}"


class Audience:
    """Tells listeners of every change, and each waiter of its outcome.

    Through `relay`, where there is one, of other processes' too, and other processes of this one's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.on_end: list[Callable[[str, Outcome, Start | None], object]] = []
        """Called with each execution that ended in this process; unlike a listener, they ask no other."""
        self._listeners: list[Callable[[Change], None]] = []
        self._watchers: dict[str, list[Callable[[Progress], None]]] = {}
        self._waiters: dict[str, list[asyncio.Future[Outcome | None]]] = {}
        self.relay: Relay | None = None

    @property
    def listens(self) -> bool:
        """True if anybody follows, here or in another process."""
        return bool(self._listeners or (self.relay and self.relay.is_asked("changes")))

    @property
    def is_awaited(self) -> bool:
        """Return True while anybody here follows, or waits for an outcome."""
        return self.listens or bool(self._waiters)

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Tell a listener of every change; returns what ends that."""
        self._listeners.append(listener)
        if self.relay is not None:
            self.relay.ask_while("changes", lambda: bool(self._listeners))
        return lambda: self._listeners.remove(listener)

    def tell(
        self,
        start: Start,
        state: ExecutionState,
        outcome: Outcome | None = None,
        attempt: int = 1,
    ) -> None:
        """Tell all who follow of a change."""
        if self.listens:
            self._tell(Change(start.execution, start, state, self._clock(), outcome, attempt))

    def tell_dismissed(self, found: Execution) -> None:
        """Tell all who follow that a failed execution is no dead letter any more."""
        now, outcome = self._clock(), Outcome("failed", found.reason)
        start = without_event(found.id, found.flow, found.root, found.key, found.replay_of, now)
        self._tell(Change(found.id, start, "failed", now, outcome, found.attempt, dismissed=True))

    def _tell(self, change: Change) -> None:
        self.hear(change)
        if self.relay is not None:
            self.relay.change(change)

    def hear(self, change: Change) -> None:
        """Tell all who follow here of a change, wherever it was made."""
        for each in list(self._listeners):
            each(change)

    def watch(self, topic: str, listener: Callable[[Progress], None]) -> Callable[[], None]:
        """Tell a listener of what is recorded of a topic, `LOGS` or `steps_of` an execution.

        Returns what ends that.
        """
        self._watchers.setdefault(topic, []).append(listener)
        if self.relay is not None:
            self.relay.ask_while(topic, lambda: topic in self._watchers)

        def stop() -> None:
            self._watchers[topic].remove(listener)
            if not self._watchers[topic]:
                del self._watchers[topic]

        return stop

    def tell_recorded(
        self, start: Start, records: Sequence[Record], logs: Sequence[LogLine]
    ) -> None:
        """Tell those who watch that an execution recorded something."""
        relay = self.relay
        if not (self._watchers or relay):
            return
        steps, lines = steps_of(start.execution), LOGS
        if records and (steps in self._watchers or (relay and relay.is_asked(steps))):
            for at in range(0, len(records), AT_ONCE):
                told: list[tuple[int, str, StepStatus]] = [
                    (each.seq, each.path, each.status) for each in records[at : at + AT_ONCE]
                ]
                self._tell_progress(Progress(start.execution, start.flow, tuple(told)))
        if logs and (lines in self._watchers or (relay and relay.is_asked(lines))):
            for each in logs:
                line = replace(each, message=each.message[:LONGEST_REASON], fields=b"")
                self._tell_progress(Progress(start.execution, start.flow, lines=(line,)))

    def _tell_progress(self, progress: Progress) -> None:
        self.hear_progress(progress)
        if self.relay is not None:
            self.relay.progress(progress)

    def hear_progress(self, progress: Progress) -> None:
        """Tell those who watch here that an execution recorded something, wherever it runs."""
        topic = steps_of(progress.execution) if progress.steps else LOGS
        for each in list(self._watchers.get(topic, ())):
            each(progress)

    async def outcome(
        self, execution: str, within: float, find: Callable[[str], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        """The outcome as `find` has it, or as it comes within so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while True:
            future: asyncio.Future[Outcome | None] = loop.create_future()
            self._waiters.setdefault(execution, []).append(future)
            try:
                if self.relay is not None and within > 0:
                    self.relay.ask("outcomes")
                found = await find(execution)
                left = end - loop.time()
                if found is not None or left <= 0:
                    return found
                wait = left if self.relay is None else min(left, LOOK_SECONDS)
                await asyncio.wait([future], timeout=wait)
                if future.done() and (outcome := future.result()) is not None:
                    return outcome
            finally:
                waiters = self._waiters.get(execution, [])
                if future in waiters:
                    waiters.remove(future)
                if not waiters:
                    self._waiters.pop(execution, None)

    def resolve(
        self,
        execution: str,
        outcome: Outcome,
        start: Start | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        """Give an outcome to all who wait for it.

        Where its chain `goes_on`, they wait for the outcome of the last one.
        """
        for each in self.on_end:
            each(execution, outcome, start)
        if goes_on or not (self._waiters or self.relay):
            return
        for each in {execution, start.chain or execution if start else execution}:
            self._wake(each, outcome)
            if self.relay is not None:
                self.relay.ended(each)

    def look(self, execution: str) -> None:
        """Have all who wait for an outcome look for it: it is in the store."""
        self._wake(execution, None)

    def _wake(self, execution: str, outcome: Outcome | None) -> None:
        for future in self._waiters.pop(execution, ()):
            if not future.done():
                future.set_result(outcome)
