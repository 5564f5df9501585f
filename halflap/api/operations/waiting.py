"""Decide why an execution does not run: since when it waits, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halflap.model import (
    PARKED,
    Execution,
    Instance,
    Micros,
    Paused,
    Record,
    StoredConnection,
    Throttled,
    WaitReason,
)
from halflap.store.protocol import Attempt
from halflap.store.rules.continuing import PACED

HELD_BY_GATE, HELD_BY_ORDER = 1, 2
PROBED: Micros = 120_000_000
"""Time after the end of an open circuit for which its app still counts as away: a probe is under way."""
NOT_THROTTLED = Throttled()


@dataclass(frozen=True, slots=True)
class Wait:
    """The reason for which an execution waits.

    `until` is when it goes on by itself or the app is tried again, and of a signal when the time for
    it is over; `execution` the one in front of it or the one that it called; `number` of its next try;
    `signals` the names of those that it waits for, where its steps are read.
    """

    reason: WaitReason
    message: str
    since: Micros | None = None
    until: Micros | None = None
    execution: str | None = None
    connection: str | None = None
    number: int | None = None
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitFacts:
    """The facts, beside the execution, that decide why it waits.

    `limit` says which limit of its customer's is reached, `ahead` is the execution whose turn it is;
    empty where that is not looked up. `steps` is None where steps and attempts are not.
    """

    steps: Sequence[Record] | None = ()
    attempts: Sequence[Attempt] = ()
    paused: Sequence[Paused] = ()
    instance: Instance | None = None
    ahead: str | None = None
    because: str = ""
    connection: StoredConnection | None = None
    throttled: Throttled = NOT_THROTTLED
    limit: str = ""


def decide_wait(execution: Execution, facts: WaitFacts, now: Micros) -> Wait | None:
    """Return what an execution waits for; None where it runs or has ended."""
    if execution.state not in ("queued", "waiting"):
        return None
    stopped = max((each.ended_at for each in facts.attempts), default=execution.accepted_at)
    if facts.paused:
        since = min(each.since for each in facts.paused)
        return Wait("pause", "; and ".join(map(_pause, facts.paused)), since)
    if execution.held & HELD_BY_GATE:
        instance = facts.instance
        named = (
            execution.flow.instance if instance is None else f"{instance.name} is {instance.state}"
        )
        since = execution.accepted_at if instance is None else instance.changed_at
        return Wait("gate", f"its instance {named}", max(since, execution.accepted_at))
    if facts.ahead is not None:
        return Wait("order", facts.because, stopped, execution=facts.ahead or None)
    if execution.waiting_for.startswith(PARKED):
        return _parked(execution, facts, stopped, now)
    if execution.due_at is not None and execution.due_at <= now:
        reason: WaitReason = "limit" if facts.limit else "turn"
        return Wait(reason, facts.limit or "a free worker", max(execution.due_at, stopped))
    return _asleep(execution, facts, stopped)


def _pause(paused: Paused) -> str:
    by = f" by {paused.by}" if paused.by else ""
    return f"paused{by}" + (f": {paused.reason}" if paused.reason else "")


def _parked(execution: Execution, facts: WaitFacts, stopped: Micros, now: Micros) -> Wait:
    id = execution.waiting_for.removeprefix(PARKED)
    name = id if facts.connection is None else facts.connection.name
    if facts.throttled.away or facts.throttled.until > now:
        how = "is away" if facts.throttled.away else "is not called now"
        message = f"the app of {name} {how}: {facts.throttled.reason}"
        since, until = facts.throttled.since or stopped, facts.throttled.until
        return Wait("connection", message, since, until, connection=id)
    if facts.connection is not None and facts.connection.status == "unauthorized":
        message = f"the app refused the credentials of {name}"
        return Wait("connection", message, stopped, connection=id)
    return Wait("connection", f"{name} works again: it goes on soon", stopped, connection=id)


def _asleep(execution: Execution, facts: WaitFacts, stopped: Micros) -> Wait:
    """Return the wait of one that left memory by itself, for a time or for something to come."""
    due = execution.due_at
    if facts.steps is None:
        return _by_its_row(execution)
    pending = [each for each in facts.steps if each.status == "retrying"]
    waits = [each for each in pending if each.kind in ("sleep", "signal", "call")]
    last = facts.attempts[-1] if facts.attempts else None
    if last is not None and last.how in ("retry", "later") and last.failure is not None:
        if last.failure.kind == "Blocked":
            return Wait("limit", execution.waiting_for or last.failure.message, stopped, due)
        tried = max((each.tries for each in pending if each not in waits), default=0)
        number = tried + 1 if tried else execution.attempt + 1
        return Wait("back-off", last.failure.text, stopped, due, number=number)
    first = min(waits, key=lambda each: each.started_at, default=None)
    if first is None:
        paced = execution.waiting_for == PACED
        return Wait("limit" if paced else "turn", execution.waiting_for or "its time", stopped, due)
    message = execution.waiting_for or first.title
    if first.kind == "call":
        child = (first.result or b"").decode().strip('"') or None
        return Wait("execution", message, first.started_at, execution=child)
    if first.kind == "sleep":
        return Wait("sleep", message, first.started_at, due)
    names = dict.fromkeys(each.name for each in waits if each.kind == "signal")
    return Wait("signal", message, first.started_at, due, signals=tuple(names))


def _by_its_row(execution: Execution) -> Wait:
    """Return the wait of one that left memory, where neither steps nor attempts are read."""
    told, due = execution.waiting_for, execution.due_at
    if execution.state == "queued":
        return Wait("limit" if told else "back-off", told or "its next try", until=due)
    if told:
        of = "execution" if told.startswith("the execution ") else "signal"
        return Wait(of, told, until=due)
    return Wait("sleep", "its time", until=due)
