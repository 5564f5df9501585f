"""The commits of the store, watched in the moment of each, and what must hold of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from halflap.model import Micros, Order, Outcome, Record, Start
from halflap.store.protocol import Accepted, Claim, Lease, Release, Written
from tests.simulation.database import NOTE, Note
from tests.simulation.trace import Trace, Violation

EFFECTS = ("action", "step")


@dataclass(slots=True, eq=False)
class Known:
    """An execution, as its commits tell of it."""

    start: Start
    place: int
    accepted_at: Micros
    holder: tuple[str, int] | None = None
    attempt: int = 0
    ends: dict[int, str] = field(default_factory=dict[int, str])
    records: dict[str, Record] = field(default_factory=dict[str, Record])
    last_write: tuple[int, Sequence[Record]] = (0, ())
    outcome: Outcome | None = None
    due: Micros | None = None
    cancelled: bool = False
    event: Any = None


class Truth:
    """Hears of every commit, whoever made it, and whether or not that one lives to hear of it."""

    def __init__(self, trace: Trace) -> None:
        self.broken = trace.broken
        self.executions: dict[str, Known] = {}
        self.orders: defaultdict[Order, list[Known]] = defaultdict(list)
        self._dismissed: set[str] = set()
        self.on_claim: Callable[[str], None] = lambda _: None
        self._note = trace.note

    def accepted(self, worker: str, starts: Sequence[Start], answers: Sequence[Accepted]) -> None:
        """Events were accepted, some of them claimed at once."""
        if not answers:  # its caller had left
            return
        for start, answer in zip(starts, answers, strict=True):
            if answer.duplicate_of is not None:
                self._note(worker, f"duplicate {short(start.execution)}", "duplicates")
                if answer.duplicate_of not in self.executions:
                    raise Violation("a duplicate gets the first one's answer", str(answer))
                continue
            if start.execution in self.executions:
                continue
            known = Known(start, len(self.executions), start.event.received_at)
            known.event = json.loads(start.event.body)
            known.records = {each.path: each for each in start.copied}
            self.executions[start.execution] = known
            if start.order is not None:
                self.orders[start.order].append(known)
            self._note(worker, f"accepted {short(start.execution)} {start.flow.flow}", "executions")
            self._admit(worker, known, answer)
            if answer.claim is not None:
                self._take(worker, answer.claim)

    def _admit(self, worker: str, known: Known, answer: Accepted) -> None:
        """Check and note what the rule of its order made of a new one, and of others in its favour."""
        order, name = known.start.order, known.start.execution
        if order is None:
            return
        before = [each for each in self.orders[order] if each is not known]
        if answer.outcome is not None:
            self._note(worker, f"{answer.outcome.state} {short(name)}")
            if order.when_busy != "end" or not any(self._keeps(each) for each in before):
                raise Violation("an order's rule is kept", f"{name} ended at once")
            known.outcome = answer.outcome
        elif order.when_busy == "end" and any(each.outcome is None for each in before):
            raise Violation("an order's rule is kept", f"{name} is not the only one")
        for each in answer.replaced:
            self._note(worker, f"replaced {short(each)}", "executions replaced")
            other = self.executions[each]
            if other.attempt or other.outcome is not None or order.when_busy != "replace":
                raise Violation("an order's rule is kept", f"{each} was replaced by {name}")
            other.outcome, other.cancelled = Outcome("cancelled"), True
        waiting = [e for e in before if e.outcome is None and not e.attempt]
        if order.when_busy == "replace" and waiting:
            raise Violation("an order's rule is kept", f"{waiting[0].start.execution} is older")

    def _keeps(self, known: Known) -> bool:
        """Return whether it lives, or failed and stands in the way until somebody has looked at it."""
        if known.outcome is None:
            return True
        order = known.start.order
        blocks = order is not None and order.after_failure == "block"
        return blocks and known.outcome.state == "failed" and not self._is_dismissed(known)

    def _is_dismissed(self, known: Known) -> bool:
        return known.start.execution in self._dismissed

    def dismissed(self, worker: str, execution: str, done: bool) -> None:
        """Somebody looked at one that failed."""
        self._note(worker, f"dismissed {short(execution)}: {done}")
        if done:
            self._dismissed.add(execution)

    def _check_turn(self, known: Known) -> None:
        """It has its turn: no more run than its order allows, and none has overtaken another."""
        order = known.start.order
        if order is None:
            return
        taken, where = 0, known.start.execution
        for other in self.orders[order]:
            if other is known or not self._keeps(other):
                continue
            if not other.attempt:  # only where it came later may it be passed
                taken += other.place < known.place and not known.attempt
            elif order.while_waiting == "block":
                taken += other.attempt > 0
            else:
                taken += other.holder is not None or other.outcome is not None
        if taken >= order.width:
            raise Violation("order is kept", f"{where} is one too many of {order}")

    def started_by(self, flow: str, event: Any) -> list[str]:
        """The executions that a sender's event started."""
        return [
            name
            for name, known in self.executions.items()
            if known.start.flow.flow == flow
            and known.start.replay_of is None
            and known.event == event
        ]

    def claimed(self, worker: str, claims: Sequence[Claim]) -> None:
        """Executions were claimed."""
        for each in claims:
            self._take(worker, each)

    def _take(self, worker: str, claim: Claim) -> None:
        name, fence = claim.start.execution, claim.lease.fence
        known = self.executions[name]
        self._note(worker, f"claimed {short(name)} attempt {claim.attempt} fence {fence}")
        if known.holder is not None:
            raise Violation("one worker at a time", f"{name} is {known.holder}'s, not {worker}'s")
        if known.outcome is not None:
            raise Violation("one outcome each", f"{name} was claimed after it ended")
        self._check_turn(known)
        self.on_claim(worker)
        known.holder, known.attempt = (worker, fence), claim.attempt

    def unclean(self, worker: str, how: str, running: dict[str, int]) -> None:
        """Leases were voided: those that run still have one."""
        for name, known in self.executions.items():
            if known.holder is not None and running.get(name) != known.holder[1]:
                self._note(worker, f"{how} {short(name)} of {known.holder[0]}", "leases lost")
                known.ends[known.attempt] = "crashed"
                known.holder = None

    def committed(
        self, worker: str, lease: Lease, records: Sequence[Record], written: Written
    ) -> None:
        """Records were written, or refused."""
        known = self._held(worker, lease, "commit", written)
        if written is Written.DONE:
            self._keep(known, records)
            known.last_write = (known.attempt, tuple(records))

    def ended(
        self,
        worker: str,
        lease: Lease,
        records: Sequence[Record],
        outcome: Outcome,
        written: Written,
    ) -> None:
        """An execution ended, or did not."""
        known = self._held(worker, lease, f"end {outcome.state}", written)
        if written is not Written.DONE:
            return
        if known.outcome is not None:
            raise Violation("one outcome each", f"{lease.execution} ended twice")
        attempt, last = known.last_write
        if (
            outcome.state == "succeeded"
            and attempt == known.attempt
            and last
            and last[-1].kind in EFFECTS
            and not last[-1].pure
            and not any(each.kind in EFFECTS for each in records)
        ):
            raise Violation("the last result and the outcome are one commit", lease.execution)
        self._keep(known, records)
        known.outcome, known.holder = outcome, None

    def released(
        self, worker: str, lease: Lease, records: Sequence[Record], how: Release, written: Written
    ) -> None:
        """An execution left its worker, or had been taken from it."""
        known = self._held(worker, lease, f"release {how.how}", written)
        if written is Written.DONE:
            self._keep(known, records)
            known.ends[known.attempt] = how.how
            known.holder, known.due = None, how.due_at

    def was_cancelled(self, worker: str, execution: str, done: Any) -> None:
        """Somebody asked for the end of an execution."""
        self._note(worker, f"cancel {short(execution)}: {done}")
        known = self.executions[execution]
        if done in ("asked", "ended"):
            known.cancelled = True
        if done == "ended":
            if known.outcome is not None or known.holder is not None:
                raise Violation("one outcome each", f"{execution} was cancelled where it stood")
            known.outcome = Outcome("cancelled")
        if done == "over" and known.outcome is None:
            raise Violation("nothing ends without an outcome", execution)

    def _held(self, worker: str, lease: Lease, what: str, written: Written) -> Known:
        known = self.executions[lease.execution]
        counted = "writes fenced" if written is Written.FENCED else "writes"
        self._note(worker, f"{what} {short(lease.execution)}: {written.value}", counted)
        holds = known.holder == (worker, lease.fence)
        if written is not Written.FENCED and not holds:
            raise Violation(
                "no record by a fenced worker",
                f"{what} of {lease.execution} by {worker}, fence {lease.fence}; "
                f"it is {known.holder}'s",
            )
        if written is Written.FENCED and holds:
            raise Violation("who holds an execution may write", f"{what} of {lease.execution}")
        return known

    def _keep(self, known: Known, records: Sequence[Record]) -> None:
        for each in records:
            before = known.records.get(each.path)
            if before is not None and before.seq >= 0 and before.status != "retrying":
                raise Violation(
                    "a finished step is not run again", f"{known.start.execution} {each.path}"
                )
            known.records[each.path] = each


def running_now(connection: Any) -> dict[str, int]:
    """Return the executions that run, and their fences."""
    sql = "SELECT id, fence FROM executions WHERE state = 'running'"
    return dict(connection.execute(sql).fetchall())


def short(execution: str) -> str:
    """An id's end, which tells it from others."""
    return execution[-8:]


class Watched:
    """The verbs of a journal, each of whose commits the truth hears of."""

    truth: Truth
    worker: str

    async def accept(self, starts: Sequence[Start], **more: Any) -> Any:
        return await self._noted(
            lambda answers: self.truth.accepted(self.worker, starts, answers),
            lambda: super(Watched, self).accept(starts, **more),
        )

    async def claim(self, *given: Any, **more: Any) -> Any:
        return await self._noted(
            lambda claims: self.truth.claimed(self.worker, claims),
            lambda: super(Watched, self).claim(*given, **more),
        )

    async def commit(self, lease: Lease, records: Any, *more: Any) -> Any:
        return await self._noted(
            lambda written: self.truth.committed(self.worker, lease, records, written),
            lambda: super(Watched, self).commit(lease, records, *more),
        )

    async def end(
        self, lease: Lease, records: Any, logs: Any, outcome: Any, *more: Any, **named: Any
    ) -> Any:
        return await self._noted(
            lambda written: self.truth.ended(self.worker, lease, records, outcome, written),
            lambda: super(Watched, self).end(lease, records, logs, outcome, *more, **named),
        )

    async def release(self, lease: Lease, records: Any, logs: Any, how: Release) -> Any:
        return await self._noted(
            lambda written: self.truth.released(self.worker, lease, records, how, written),
            lambda: super(Watched, self).release(lease, records, logs, how),
        )

    async def cancel_many(self, executions: Any, *more: Any) -> Any:
        def noted(done: dict[str, Any]) -> None:
            for execution in executions:
                self.truth.was_cancelled(self.worker, execution, done.get(execution))

        return await self._noted(noted, lambda: super(Watched, self).cancel_many(executions, *more))

    async def dismiss(self, execution: str) -> Any:
        return await self._noted(
            lambda done: self.truth.dismissed(self.worker, execution, done),
            lambda: super(Watched, self).dismiss(execution),
        )

    async def void(self) -> int:
        return await self._noted(
            lambda running: self.truth.unclean(self.worker, "voided", running),
            super().void,
            sample=running_now,
        )

    async def lapse(self) -> int:
        return await self._noted(
            lambda running: self.truth.unclean(self.worker, "lapsed", running),
            super().lapse,
            sample=running_now,
        )

    async def blame(self, executions: Sequence[str], *, alone: bool) -> None:
        await self._noted(
            lambda running: self.truth.unclean(self.worker, "blamed", running),
            lambda: super(Watched, self).blame(executions, alone=alone),
            sample=running_now,
        )

    async def _noted(
        self,
        note: Callable[[Any], None],
        verb: Callable[[], Any],
        *,
        sample: Callable[[Any], Any] | None = None,
    ) -> Any:
        def heard(result: Any) -> None:
            try:
                note(result)
            except Violation as violation:
                self.truth.broken(violation)
            except Exception as error:
                self.truth.broken(Violation("the simulation itself is right", repr(error)))

        token = NOTE.set(Note(heard, sample))
        try:
            return await verb()
        finally:
            NOTE.reset(token)
