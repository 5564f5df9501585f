"""Steps that wait: for a time, a signal, a child. Meanwhile the execution is in no memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from pydantic import TypeAdapter

from halflap.engine.doing import Do, Pause, StepResult, Steps
from halflap.engine.lineage import Siblings, child_of, is_child, is_lifecycle, stand_in
from halflap.engine.protocol import Turn
from halflap.engine.scope import StepScope, current_scope, escaped
from halflap.errors import DefinitionError, InvalidEvent, NotFound, TimedOut
from halflap.model import Failure, Micros, Outcome, Record, Signal, Start, child_signal
from halflap.sdk.action import StepSpec
from halflap.sdk.codec import encode
from halflap.sdk.link import answer_schema
from halflap.sdk.record import decode_value, recall_value
from halflap.sdk.running import Suspended
from halflap.sdk.trigger import first_line
from halflap.store.rules.cause import cause_text

SOONEST: Micros = 1_000_000
LONGEST: Micros = 30_000_000
"""The shortest and the longest pause between looks for the end of a child that does not tell of it."""
FULL = "its customer's limit: too many executions are queued to start another"


class Waits:
    """The verbs of the `Recorder` that start other flows, and that wait."""

    def __init__(self, steps: Steps, siblings: Siblings) -> None:
        self._steps = steps
        self._turn = steps.turn
        self._signals = Signals(steps.turn)
        self._own: set[str] = set()  # the children that tell this execution of their end
        self.siblings = siblings
        self.woken_at: Micros = 0
        """When the last wait ended that this attempt saw the end of."""

    @property
    def heard(self) -> int:
        """The number of signals that the attempt knew of."""
        return self._signals.heard

    @property
    def taken(self) -> Mapping[str, int]:
        """Return how many signals of each name were taken."""
        return dict(self._signals.taken)

    async def start(self, flow: str, event: bytes, *, bound: bool) -> str:
        """See `Context.start`."""
        inputs = await self._steps.without_secrets(event)
        event = await self._steps.handed_on(event)

        async def begin(scope: StepScope, begun: Record) -> StepResult:
            child = await self._begin(scope, begun, flow, event, bound=bound)
            return StepResult(self._steps.ended(begun, encode(child)))

        # A replay starts a failed child again.
        spec = StepSpec("start", f"Start {self.title(flow)}", flow)
        name = f"start({escaped(flow)})"
        known = await self._steps.take(name, spec, begin, inputs=inputs, again="afresh")
        return self.adopt(known) or ""

    def adopt(self, started: Record) -> str | None:
        """Return the execution that a step started, which tells this one of its end if it is its
        child.
        """
        child = self._id_in(started)
        place = started.path + self._steps.past.variant(started.path, started.inputs)
        if child is not None and is_child(child, self._turn.start.execution, place):
            self._own.add(child)
        return child

    async def accept(self, start: Start) -> None:
        """Start an execution that is no child of this one; the same id twice starts it once."""
        await self._turn.begin(start)

    async def call_flow(self, flow: str, event: bytes, adapter: TypeAdapter[Any] | None) -> Any:
        """See `Context.call`."""
        inputs = await self._steps.without_secrets(event)
        event = await self._steps.handed_on(event)

        async def call(scope: StepScope, begun: Record) -> StepResult:
            if (found := self._said_done(begun)) is not None:
                return found
            if begun.status != "retrying":
                child = await self._begin(scope, begun, flow, event, bound=True)
                begun = self._steps.ended(begun, encode(child))
            self.adopt(begun)
            return await self._outcome_of(begun)

        title = f"Call {self.title(flow)}"
        return await self._await(f"call({escaped(flow)})", flow, title, call, adapter, inputs)

    async def result(self, flow: str, child: str, adapter: TypeAdapter[Any] | None) -> Any:
        """See `Child.result`."""

        async def wait(scope: StepScope, begun: Record) -> StepResult:
            if (found := self._said_done(begun)) is not None:
                return found
            if begun.status != "retrying":
                begun = replace(begun, result=encode(child))
            return await self._outcome_of(begun)

        title = f"Wait for {self.title(flow)}"
        return await self._await(f"result({escaped(flow)})", flow, title, wait, adapter)

    async def _await(
        self,
        name: str,
        flow: str,
        title: str,
        do: Do,
        adapter: TypeAdapter[Any] | None,
        inputs: bytes | None = None,
    ) -> Any:
        """Return the result of a child, once it has ended; until then its id is stored."""
        if is_lifecycle(self._turn.start.flow):
            raise DefinitionError(
                f"a deploy or teardown flow cannot wait for {flow}: no other flow runs before it has "
                "ended; ctx.start it, and leave its result to it"
            )
        spec = StepSpec("call", title, flow)
        known = await self._steps.take(name, spec, do, inputs=inputs, again="go on")
        if known.status == "succeeded" and known.result == b"null":
            return None
        return await self._steps.answer(known, adapter)

    async def _begin(
        self, scope: StepScope, begun: Record, flow: str, event: bytes, *, bound: bool
    ) -> str:
        path = begun.path + self._steps.past.variant(begun.path, begun.inputs)
        await self._steps.settled(scope)
        mended = stand_in(self._turn.start, path, event)
        if mended is not None:
            return mended
        start = child_of(self._turn.start, path, scope.now, self.siblings[flow], event, bound=bound)
        return await self.start_child(scope, start)

    async def start_child(self, scope: StepScope, start: Start) -> str:
        """Start an execution, and return which one stands for it.

        While its customer has too much queued, leave memory first.
        """
        begun = await self._turn.begin(start)
        if begun is None:
            seconds = 2 ** min(self._turn.attempt, 6) * (0.5 + self._steps.chance.random())
            at = self._turn.now() + round(seconds * 1_000_000)
            self._steps.pause(scope, Pause("later", at, Failure("Blocked", FULL), FULL))
        return begun

    def _said_done(self, begun: Record) -> StepResult | None:
        """Return the result with which a person said that a call was done."""
        found = self._steps.past.earlier(begun.path)
        if found is None or found.status != "succeeded":
            return None
        return StepResult(self._steps.ended(begun, found.result))

    async def _outcome_of(self, pending: Record) -> StepResult:
        child = self._id_in(pending) or ""
        said, pending = f"the execution {child}", replace(pending, status="retrying")
        # A replay may have been handed another execution's child, which tells that one.
        if child in self._own and not await self._signals.has(child_signal(child)):
            return StepResult(pending, pause=Pause("signal", None, waiting_for=said))
        try:
            outcome = await self._turn.outcome(child)
        except NotFound:
            outcome = Outcome("failed", "it is no longer kept")
        now = self._turn.now()
        if outcome is None:
            pause = min(max(now - pending.started_at, SOONEST), LONGEST)  # as long as it has waited
            return StepResult(pending, pause=Pause("later", now + pause, waiting_for=said))
        return self._woken(of_outcome(replace(pending, ended_at=now), child, outcome))

    def _woken(self, record: Record) -> StepResult:
        self.woken_at = max(self.woken_at, record.ended_at)
        return StepResult(record)

    def title(self, flow: str) -> str:
        """Return the title of a sibling flow."""
        sibling = self.siblings.get(flow)
        return flow if sibling is None else sibling.title

    def _id_in(self, record: Record) -> str | None:
        return decode_value(record.result or b"null", None, self._steps.unseal)

    async def sleep(self, seconds: float) -> None:
        """Pause until it is time; the time is fixed by the first attempt."""

        async def wait(scope: StepScope, begun: Record) -> StepResult:
            now = self._turn.now()
            if begun.status != "retrying":
                wake = max(scope.now, now) + int(max(seconds, 0) * 1_000_000)
                begun = replace(begun, result=str(wake).encode())
            if now < (wake := int(begun.result or b"0")):
                return StepResult(replace(begun, status="retrying"), pause=Pause("sleep", wake))
            return StepResult(self._steps.ended(begun, begun.result))

        await self._steps.take("sleep", StepSpec("sleep", "Sleep"), wait, again="go on")

    async def continue_with(self, event: bytes) -> NoReturn:
        """See `Context.continue_with`."""
        scope = current_scope()
        if scope.parent is not None:
            raise DefinitionError(
                "ctx.continue_with ends the flow, and was called in a branch of ctx.gather, beside "
                "which others run; await ctx.gather first, then continue as the flow's last statement"
            )
        self._steps.check(scope)
        self._steps.next_event = await self._steps.handed_on(event)
        scope.unwinding = True
        raise Suspended

    def question(self, name: str) -> str:
        """See `Recorder.question`."""
        scope = current_scope()
        step = f"wait_for({escaped(name)})"
        return f"{scope.path}{step}#{scope.occurrences.get(step, 0) + 1}"

    async def wait_for(
        self,
        name: str,
        timeout: float | None,
        adapter: TypeAdapter[Any] | None,
        choices: Sequence[str],
    ) -> Any:
        """See `Context.wait_for`.

        The time is fixed by the first attempt. While it is waited for, the record's result is when.
        Its inputs are the schema of the payload, for who answers it, where that is known.
        """

        async def wait(scope: StepScope, begun: Record) -> StepResult:
            payload, now = await self._signals.take(name), self._turn.now()
            first = begun.status != "retrying"
            if first and timeout is not None:
                until = max(scope.now, now) + int(max(timeout, 0) * 1_000_000)
                begun = replace(begun, result=str(until).encode())
            if payload is not None:
                return self._woken(self._steps.ended(begun, payload))
            if first and (schema := answer_schema(adapter, choices)) is not None:
                expected = await self._steps.without_secrets(b'{"schema":%b}' % schema)
                begun = replace(begun, inputs=expected)
            until = None if begun.result is None else int(begun.result)
            if until is None or now < until:
                pause = Pause("signal", until, waiting_for=f"the signal {name}")
                return StepResult(replace(begun, status="retrying"), pause=pause)
            failure = Failure("TimedOut", f"no signal {name!r} came in time")
            ended = self._steps.ended(begun)
            return self._woken(replace(ended, status="failed", failure=failure))

        spec = StepSpec("signal", f"Wait for {name}", name)
        known = await self._steps.take(f"wait_for({escaped(name)})", spec, wait, again="go on")
        if known.status == "failed":
            raise TimedOut(known.failure.message if known.failure else None, name=name)
        try:
            return await recall_value(known.result or b"null", adapter, self._steps.unseal)
        except ValueError as error:
            raise InvalidEvent(
                f"the signal {name!r} is not what the flow waits for: {first_line(error)}"
            ) from error


def of_outcome(record: Record, child: str, outcome: Outcome) -> Record:
    """The record of a child that has ended; what it did not do well is the step's failure."""
    if outcome.state in ("succeeded", "ignored"):
        return replace(record, status="succeeded", result=outcome.result or b"null")
    kind = outcome.failure.kind if outcome.failure is not None else outcome.state.capitalize()
    status = outcome.failure.status if outcome.failure is not None else None
    cause = "" if outcome.failure is None else cause_text(outcome.failure)
    # The child's id is no part of the reason, so that failures of one cause read alike.
    reason = outcome.reason if outcome.state == "failed" else f"{outcome.state}: {outcome.reason}"
    in_doubt = outcome.failure is not None and outcome.failure.in_doubt
    failure = Failure(kind, reason, where=child, status=status, cause=cause, in_doubt=in_doubt)
    return replace(record, status="failed", result=None, failure=failure)


# Signals: which were sent, and which of them a step has taken ---------------------------------


def is_taken(record: Record) -> bool:
    """Return whether a record has taken a signal of this execution; a replay's copy took another's."""
    return record.kind == "signal" and record.status == "succeeded" and record.seq >= 0


class Signals:
    """The signals of one attempt: asked for once, when the first step wants one.

    `heard` is how many were known then: one that came since wakes the execution again.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._sent: dict[str, list[bytes]] | None = None
        self._asking = asyncio.Lock()
        self.taken: defaultdict[str, int] = defaultdict(int)
        """The number of signals of each name that steps have taken."""
        self.heard = 0
        for each in turn.history:
            if is_taken(each):
                self.taken[each.name] += 1

    async def has(self, name: str) -> bool:
        """Return whether there is a signal of a name; it is not taken."""
        return name in await self._known()

    async def take(self, name: str) -> bytes | None:
        """The oldest signal of a name that no step has taken; None where there is none yet."""
        payloads, taken = (await self._known()).get(name, []), self.taken[name]
        if taken >= len(payloads):
            return None
        self.taken[name] += 1
        return payloads[taken]

    async def _known(self) -> dict[str, list[bytes]]:
        async with self._asking:  # branches ask at once, and have to know the same
            if self._sent is None:
                sent = await self._turn.signals()
                self._sent, self.heard = by_name(sent), len(sent)
            return self._sent


def by_name(signals: Sequence[Signal]) -> dict[str, list[bytes]]:
    """Payloads by the name of their signal, oldest first."""
    found: dict[str, list[bytes]] = {}
    for each in signals:
        found.setdefault(each.name, []).append(each.payload)
    return found
