"""The app on the other side: slow, failing, losing answers; it notes every call that is made."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta

from halflap.engine.protocol import Turn
from halflap.errors import RateLimited, RetryLater, UpstreamError
from halflap.sdk import running
from halflap.store.rules.replaying import scope_of
from tests.simulation.database import Troubles
from tests.simulation.loop import PROCESS, Process
from tests.simulation.trace import Trace, Violation
from tests.simulation.truth import Known, Truth, short

MOST_FAILURES = 3
"""Times that the app fails one and the same request at most."""

TURN: ContextVar[Turn] = ContextVar("turn")
APP: ContextVar[App] = ContextVar("app")


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it was sent."""

    at: float
    worker: str
    attempt: int
    key: str


@dataclass(slots=True)
class Calls:
    """All that was sent for one step."""

    sent: list[Call] = field(default_factory=list[Call])
    failures: int = 0


class App:
    """Takes the calls of all flows, checks each in the moment in which it is sent."""

    def __init__(
        self,
        truth: Truth,
        chance: random.Random,
        trace: Trace,
        troubles: Troubles,
        *,
        slow: float,
        fails: float,
        strict: bool,
    ) -> None:
        self._truth = truth
        self._chance = chance
        self._note = trace.note
        self._troubles = troubles
        self._slow = slow
        self._fails = fails
        self._strict = strict
        self.on_answer: Callable[[str], None] = lambda _: None
        self.steps: defaultdict[tuple[str, str], Calls] = defaultdict(Calls)
        self.owners: dict[str, tuple[str, str]] = {}
        self._answered: defaultdict[tuple[str, int], list[str]] = defaultdict(list)

    async def call(self, name: str) -> str:
        """Send a request, and return its answer."""
        turn, process = TURN.get(), PROCESS.get()
        step = running.step.get()
        assert step is not None
        assert process is not None
        known = self._truth.executions[turn.start.execution]
        calls = self.steps[known.start.root, step.path]
        call = Call(
            asyncio.get_running_loop().time(), process.worker, turn.attempt, step.next_key()
        )
        counted = "effects repeated" if calls.sent else "effects"
        self._note(process.name, f"call {short(turn.start.execution)} {step.path}", counted)
        try:
            self._check(known, step.path, call, process, calls)
        except Violation as violation:
            self._truth.broken(violation)
        calls.sent.append(call)
        await self._answer(name, calls)
        self._answered[turn.start.execution, turn.attempt].append(step.path)
        self.on_answer(name)
        return answer_to(name)

    async def _answer(self, name: str, calls: Calls) -> None:
        chance = self._chance
        await asyncio.sleep(self._slow * chance.random())
        if name.endswith("!"):  # what the app never takes
            raise UpstreamError("no", status=422)
        if calls.failures < MOST_FAILURES and self._troubles.strike(chance, self._fails):
            calls.failures += 1
            match chance.randrange(5):
                case 0:
                    raise UpstreamError("busy", status=503)
                case 1:
                    raise RateLimited("slow down", retry_after=timedelta(seconds=2))
                case 2:
                    raise RetryLater(timedelta(seconds=3))
                case 3:
                    await asyncio.sleep(30 * chance.random())
                    raise TimeoutError("the answer was lost")
                case _:
                    raise ConnectionError("the answer was lost")
        await asyncio.sleep(self._slow * chance.random())

    def _check(self, known: Known, path: str, call: Call, process: Process, calls: Calls) -> None:
        execution, attempt = known.start.execution, call.attempt
        where = f"{execution} {path}, attempt {attempt} by {call.worker}"
        if self._strict and (known.holder is None or known.holder[0] != process.worker):
            raise Violation("no effect begins once its lease is lost", where)
        holds = known.holder is not None and known.holder[0] == process.worker
        record = known.records.get(path)
        if holds and record is not None and record.seq >= 0 and record.status != "retrying":
            raise Violation("a finished step is not run again", where)
        if self.owners.setdefault(call.key, (known.start.root, path)) != (known.start.root, path):
            raise Violation("an idempotency key names one effect", where)
        for before in calls.sent:
            if before.key != call.key:
                raise Violation("an effect is repeated with the same key", where)
        mine = [
            each for each in calls.sent if each.attempt == attempt and each.worker == call.worker
        ]
        if mine and known.start.replay_of is None:
            raise Violation("an effect is made once an attempt", where)
        if holds and calls.sent and known.start.replay_of is None:
            last = max(calls.sent, key=lambda each: each.attempt)
            lost = known.ends.get(last.attempt) in ("crashed", "drained")
            again = record is not None and record.status == "retrying"
            if not (lost or again):
                raise Violation("an effect is repeated only after a crash, or a failed try", where)
        scope = scope_of(path)
        for earlier in self._answered[execution, attempt]:
            if scope.startswith(scope_of(earlier)) and holds:
                kept = known.records.get(earlier)
                if kept is None or kept.status == "retrying":
                    raise Violation("each result is durable before the next effect starts", where)


def answer_to(name: str) -> str:
    """Return the app's answer."""
    return f"<{name}>"
