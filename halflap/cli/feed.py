"""Follows the executions of a server in the terminal, each with its steps and its log."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from halflap.cli.output import duration, in_own_words
from halflap.cli.screen import Screen, own_place
from halflap.model import SYSTEM, Change, Failure, LogLine, Micros, Record
from halflap.store.protocol import Journal

MOST_WAITING = 500
"""So many changes may wait to be shown; beyond that they are counted."""

WAITS = frozenset({"sleep", "signal", "call"})

MOST_LINES = 100
"""So many steps and log lines of one execution are shown; beyond that they are counted."""


@dataclass(slots=True)
class ShownParts:
    """The parts of an execution that were shown."""

    accepted_at: Micros
    steps: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    logs: int = 0
    lines: int = 0
    failure: Failure | None = None


class Feed:
    """Shows every change in the order in which it happened, as fast as the terminal takes it."""

    def __init__(self, journal: Journal, screen: Screen) -> None:
        self._journal = journal
        self._screen = screen
        self._changes: asyncio.Queue[Change] = asyncio.Queue(MOST_WAITING)
        self._seen: dict[str, ShownParts] = {}
        self._dropped = 0
        self.labels: dict[tuple[str, str], str] = {}
        """The name of a flow of an instance here."""

    def heard(self, change: Change) -> None:
        """Take note of a change; never blocks."""
        if change.dismissed:
            return
        try:
            self._changes.put_nowait(change)
        except asyncio.QueueFull:
            self._dropped += 1

    async def run(self) -> None:
        """Show what was heard, until cancelled."""
        while True:
            change = await self._changes.get()
            await self._show(change)
            if self._dropped and self._changes.empty():
                self._screen.note(
                    f"{self._dropped} changes came too fast to be shown; see: halflap executions list"
                )
                self._dropped = 0
                self._seen.clear()

    def label(self, instance: str, flow: str) -> str:
        """Return the name of a flow in the feed."""
        return self.labels.get((instance.partition("~")[0], flow), flow)

    async def _show(self, change: Change) -> None:
        flow = change.start.flow
        if flow.flow.startswith(SYSTEM):
            return
        label = self.label(flow.instance, flow.flow)
        seen = self._seen.get(change.execution)
        known = seen is not None
        if seen is None:
            start = change.start
            seen = self._seen[change.execution] = ShownParts(start.event.received_at)
            self._screen.event(label, start.event, change.execution, start.key, change.at)
        if change.outcome is not None:
            await self._steps(label, change.execution, seen)
            found = await self._journal.execution(change.execution)
            since = seen.accepted_at if found is None else found.accepted_at
            took = max(change.at - since, 0)
            self._screen.outcome(
                label, change.outcome, change.execution, change.at, took, change.attempt
            )
            if change.outcome.failure is not None:
                self._screen.failure(innermost(change.outcome.failure, seen.failure))
            if change.outcome.state == "failed":
                failure = change.outcome.failure
                self._screen.replayable(change.execution, "" if failure is None else failure.kind)
            self._seen.pop(change.execution, None)
        elif known and change.state in ("waiting", "queued"):
            await self._pause(label, change, seen)

    async def _pause(self, label: str, change: Change, seen: ShownParts) -> None:
        await self._steps(label, change.execution, seen)
        found = await self._journal.execution(change.execution)
        if found is None:
            return
        until = duration(found.due_at - change.at) if found.due_at else ""
        if change.state == "waiting":
            what = f"waits for {found.waiting_for}" if found.waiting_for else "sleeps"
            what += f" {until}" if until and not found.waiting_for else ""
            self._screen.pause(label, what, change.at, again=False)
            return
        attempts = await self._journal.attempts(change.execution)
        failure = attempts[-1].failure if attempts else None
        why = f": {in_own_words(failure.text)}" if failure is not None else ""
        what = f"attempt {change.attempt} ended{why}; again in {until or 'a moment'}"
        self._screen.pause(label, what, change.at, again=True)

    async def _steps(self, label: str, execution: str, seen: ShownParts) -> None:
        steps = await self._journal.steps(execution)
        steps = [each for each in steps if each.seq >= 0 and is_shown(each)]
        logs = await self._journal.logs(execution, seen.logs)
        new = [each for each in steps if (each.seq, each.status) not in seen.steps]
        rows: list[tuple[Micros, Record | LogLine]] = [(each.ended_at, each) for each in new]
        rows += [(line.at, line) for _, line in logs]
        room = max(MOST_LINES - seen.lines, 0)
        seen.lines += len(rows)
        rows.sort(key=lambda each: each[0])
        if len(rows) > room:
            self._screen.note(
                f"{label}: {len(rows) - room} more steps and lines; all of them: "
                f"halflap executions show {execution}"
            )
        for at, (_, row) in enumerate(rows):
            if at >= room and not (isinstance(row, Record) and row.failure):
                continue
            if isinstance(row, Record):
                self._screen.step(label, row)
                seen.failure = row.failure or seen.failure
            else:
                self._screen.log(label, row)
        seen.steps |= {(each.seq, each.status) for each in new}
        seen.logs = max((number for number, _ in logs), default=seen.logs)


def innermost(failure: Failure, step: Failure | None) -> Failure:
    """The failure to show: that of the step which failed it, whose place is nearer to the cause."""
    if step is not None and step.kind == failure.kind and own_place(step.trace):
        return step
    return failure


def is_shown(record: Record) -> bool:
    """Return whether a step has a line: not what only parses the event, nor what still waits."""
    waits = record.kind in WAITS and record.status == "retrying"
    return record.kind != "trigger" and not waits
