"""The engine over a store's journal: claims what is due, keeps leases, hands out turns."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from halflap.engine.protocol import Again, Change, Ended, Handler, Verdict
from halflap.errors import Fenced, StoreError
from halflap.model import (
    Clock,
    Failure,
    LogLine,
    Micros,
    Outcome,
    Record,
    Start,
    Started,
    StateWrite,
)
from halflap.store.protocol import Claim, Filter, Journal, Lease, Release, Written

log = structlog.get_logger("halflap.engine")

LEASE: Micros = 30_000_000
RENEW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Room:
    """How many executions this process runs at once."""

    turns: int = 500


class JournalTurn:
    """A claimed execution; what it commits carries its lease's fence."""

    __slots__ = ("_clock", "_journal", "_valid_until", "accepted_at", "cancelling", "claim", "lost")

    def __init__(self, journal: Journal, claim: Claim, clock: Clock, claimed_at: float) -> None:
        self._journal = journal
        self._clock = clock
        self.claim = claim
        self.cancelling = claim.cancelling
        self.accepted_at = claim.accepted_at
        self.lost = False
        self._valid_until = claimed_at + LEASE / 1e6

    @property
    def start(self) -> Start:
        return self.claim.start

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def history(self) -> Sequence[Record]:
        return self.claim.history

    def now(self) -> Micros:
        return self._clock()

    def alive(self) -> bool:
        return not self.lost and time.monotonic() < self._valid_until

    def prolong(self, renewed_at: float) -> None:
        """The lease was renewed by a request sent at `renewed_at` (monotonic seconds)."""
        self._valid_until = renewed_at + LEASE / 1e6

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], write: StateWrite | None = None
    ) -> bool:
        written = await self._journal.commit(self.claim.lease, records, logs, write)
        if written is Written.FENCED:
            self.lost = True
            raise Fenced(f"{self.start.execution} was given to another worker")
        return written is Written.DONE

    async def read_state(self, scope: str, key: str) -> bytes | None:
        return await self._journal.read_state(scope, key)

    async def take_signal(self, name: str) -> bytes | None:
        taken = sum(1 for each in self.history if each.kind == "signal" and each.name == name)
        sent = await self._journal.signals(self.start.execution, name)
        return sent[taken] if len(sent) > taken else None


@dataclass(slots=True)
class _Running:
    turn: JournalTurn
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Follower:
    listeners: list[Callable[[Change], None]] = field(default_factory=list[Callable[[Change], None]])


class JournalEngine:
    """Keeps the `Engine` protocol over a `Journal`."""

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        room: Room = Room(),
        poll: float | None = None,
        probation: Callable[[], object] | None = None,
    ) -> None:
        self.journal = journal
        self._clock = clock
        self._room = room.turns
        self._poll = poll
        self._on_probation = probation
        self._handler: Handler | None = None
        self._running: dict[str, _Running] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._listeners: list[Callable[[Change], None]] = []
        self._waiters: dict[str, list[asyncio.Future[Outcome]]] = {}

    @property
    def running(self) -> int:
        """How many executions run in this process now."""
        return len(self._running)

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        free = self._room - len(self._running) if self._handler and not self._stopping else 0
        claimed_at = time.monotonic()
        accepted = await self.journal.accept(starts, claim=max(free, 0), lease=LEASE)
        waiting = False
        for each, start in zip(accepted, starts, strict=True):
            if each.claim is not None:
                self._spawn(each.claim, claimed_at)
            elif each.duplicate_of is None:
                waiting = True
            if self._listeners and each.duplicate_of is None:
                self._tell(start, "running" if each.claim else "queued")
        if waiting:
            self._wake.set()
        return [Started(each.execution, each.duplicate_of) for each in accepted]

    async def run(self, handler: Handler) -> None:
        self._handler = handler
        renewals = asyncio.create_task(self._renew())
        try:
            while not self._stopping:
                self._wake.clear()
                free = self._room - len(self._running)
                full = free <= 0
                if free > 0:
                    claimed_at = time.monotonic()
                    claims = await self.journal.claim(free, LEASE)
                    for claim in claims:
                        self._spawn(claim, claimed_at)
                    full = len(claims) == free
                if self._wake.is_set():
                    continue
                await self._rest(None if full else await self.journal.next_due())
        finally:
            renewals.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewals

    async def stop(self, grace: float) -> None:
        self._stopping = True
        self._wake.set()
        tasks = [each.task for each in self._running.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def cancel(self, execution: str, reason: str) -> bool:
        done = await self.journal.cancel(execution, reason)
        if done == "asked" and (running := self._running.get(execution)) is not None:
            running.turn.cancelling = reason
        if done == "ended":
            self._resolve(execution, Outcome("cancelled", reason))
        return done != "over"

    async def cancel_all(self, instance: str, reason: str) -> int:
        count = 0
        live = Filter(instance=instance, states=("queued", "running", "waiting"), limit=1_000)
        for each in await self.journal.executions(live):
            count += await self.cancel(each.id, reason)
        return count

    async def signal(self, execution: str, name: str, payload: bytes) -> None:
        await self.journal.signal(execution, name, payload)
        self._wake.set()

    async def hold(self, instance: str) -> None:
        await self.journal.hold(instance)

    async def release(self, instance: str) -> None:
        await self.journal.release_instance(instance)
        self._wake.set()

    async def live(self, instance: str) -> int:
        return await self.journal.live(instance)

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(execution, []).append(future)
        try:
            found = await self.journal.outcome(execution)
            if found is not None or within <= 0:
                return found
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            return None
        finally:
            waiters = self._waiters.get(execution, [])
            if future in waiters:
                waiters.remove(future)
            if not waiters:
                self._waiters.pop(execution, None)

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def nudge(self) -> None:
        """Look for due executions now: something outside the engine made one due."""
        self._wake.set()

    def _spawn(self, claim: Claim, claimed_at: float) -> None:
        turn = JournalTurn(self.journal, claim, self._clock, claimed_at)
        task = asyncio.get_running_loop().create_task(self._hand_out(turn))
        self._running[claim.start.execution] = _Running(turn, task)

    async def _hand_out(self, turn: JournalTurn) -> None:
        assert self._handler is not None
        execution = turn.start.execution
        try:
            verdict = await self._handler(turn)
            await self._settle(turn, verdict)
        except Fenced:
            log.info("execution lost to another worker", execution=execution)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                drained = Release("drained", self._clock())
                await self.journal.release(turn.claim.lease, (), (), drained)
        except StoreError as error:
            log.error("execution stopped: the store failed", execution=execution, error=str(error))
        except Exception as error:
            log.exception("the executor failed", execution=execution)
            outcome = Outcome("failed", "the executor failed", failure=failure_of(error))
            with contextlib.suppress(StoreError):
                await self._settle(turn, Ended(outcome))
        finally:
            del self._running[execution]
            if len(self._running) == self._room - 1:
                self._wake.set()

    async def _settle(self, turn: JournalTurn, verdict: Verdict) -> None:
        lease = turn.claim.lease
        match verdict:
            case Ended(outcome, records, logs):
                if await self.journal.end(lease, records, logs, outcome) is Written.FENCED:
                    raise Fenced
                self._resolve(turn.start.execution, outcome)
                self._tell(turn.start, outcome.state, outcome, turn.attempt)
            case Again(how, at, records, logs, failure, waiting_for):
                release = Release(how, at, waiting_for, failure)
                if await self.journal.release(lease, records, logs, release) is Written.FENCED:
                    raise Fenced
                state = "waiting" if how in ("sleep", "signal") else "queued"
                self._tell(turn.start, state, None, turn.attempt)
                self._wake.set()

    async def _rest(self, due: Micros | None) -> None:
        waits = [] if due is None else [max((due - self._clock()) / 1e6, 0.0)]
        if self._poll is not None:
            waits.append(self._poll)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._wake.wait()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            held = {name: each.turn for name, each in self._running.items()}
            if not held:
                continue
            sent_at = time.monotonic()
            try:
                kept = await self.journal.renew([t.claim.lease for t in held.values()], LEASE)
                asked = await self.journal.cancelled(list(held))
            except StoreError:
                continue
            for lease in kept:
                held.pop(lease.execution).prolong(sent_at)
            for name, reason in asked.items():
                if name in self._running:
                    self._running[name].turn.cancelling = reason
            for name, turn in held.items():
                turn.lost = True
                if name in self._running:
                    self._running[name].task.cancel()

    def _resolve(self, execution: str, outcome: Outcome) -> None:
        for future in self._waiters.pop(execution, ()):
            if not future.done():
                future.set_result(outcome)

    def _tell(
        self, start: Start, state: str, outcome: Outcome | None = None, attempt: int = 1
    ) -> None:
        if self._listeners:
            change = Change(start.execution, start, state, self._clock(), outcome, attempt)  # pyright: ignore[reportArgumentType]
            for each in list(self._listeners):
                each(change)


def failure_of(error: BaseException) -> Failure:
    """An exception as it is recorded."""
    return Failure(kind=type(error).__name__, message=str(error) or type(error).__name__)
