"""The engine over a store's journal: claims what is due, hands out turns, settles their verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from halflap.engine.audience import Audience
from halflap.engine.backlog import Backlog
from halflap.engine.clock import ManualClock, Timers
from halflap.engine.failure import after_error, without
from halflap.engine.lifeline import Lifeline
from halflap.engine.lineage import depth_of, goes_on, handed_down
from halflap.engine.protocol import Again, Ended, Handler, Verdict
from halflap.engine.relay import Relay
from halflap.engine.replay import with_copies
from halflap.engine.room import USUAL, Room, Shares, is_ours
from halflap.engine.turn import LEASE, JournalTurn, Running
from halflap.errors import Fenced, InDoubt, StoreError
from halflap.model import (
    ENDED,
    ENDED_BADLY,
    LIVE,
    Change,
    Clock,
    Micros,
    Monotonic,
    Outcome,
    Paused,
    Progress,
    Sent,
    Start,
    Started,
)
from halflap.sdk.deadline import came
from halflap.store.history import missing, outcome_at_end
from halflap.store.protocol import (
    Cancelling,
    Claim,
    Filter,
    Hints,
    Journal,
    Pinning,
    Release,
    Written,
)
from halflap.store.replays import latest_of, was_cut
from halflap.store.rules.continuing import question_of
from halflap.store.rules.order import superseded
from halflap.store.shards import ShardCursor
from halflap.store.turns import Place

log = structlog.get_logger("halflap.engine")

SHORTEST_REST = 0.5
"""Seconds until the next look where what is due may not be claimed (it is on probation, say)."""
LONGEST_REST = 5.0
"""Seconds until a clock that was set ahead is noticed, by which what one waits for may be due."""
GRACE_SECONDS = 30.0
"""Seconds that a cancelled execution that runs gets to come to its next step, before it is cut."""
CUT_SECONDS = 5.0
"""Seconds that one that is cut gets to unwind, before it is ended whatever its code does."""
LOOKS_EVERY: Micros = 200_000
TAKEN = "another process reads this shard by now; nothing was accepted from it"
GIVE_BACK_SECONDS = 1.0
"""Seconds until a store that failed is tried again: to claim from it, to give back what it stopped.
"""


class Blamed(Exception):
    """Raised by a handler whose process ended: the journal has the execution back already."""


class JournalEngine:
    """Durable execution over a `Journal`: start, signal, cancel, hold, pause, follow, outcome.

    An execution that ends signals its `parent` by `child_signal`; one that is cancelled has its
    bound children cancelled. No verb shares a transaction with the catalogue.

    hints: how processes that share the journal tell each other; poll: how often (seconds) to look
    for what another one made due, where its hint was lost. suspects: whether this
    process also runs executions on probation, whose last claim ended uncleanly, by itself: then one
    that ends its process ends it again. A `Probation` runs them in a child process instead.
    grace: how many seconds one that is cancelled may go on running, where nothing else is said.
    monotonic: what leases are measured with, which last `lease` microseconds.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Clock,
        room: Room = USUAL,
        poll: float | None = None,
        suspects: bool = True,
        grace: float = GRACE_SECONDS,
        monotonic: Monotonic = time.monotonic,
        lease: Micros = LEASE,
        hints: Hints | None = None,
    ) -> None:
        self.journal = journal
        self._lease = lease
        self._monotonic = monotonic
        self._clock = clock
        self.backlog = Backlog(journal, monotonic)
        self._room = room
        self._shares = Shares(room)
        self._poll = poll
        self._grace = grace
        self._timers = Timers(clock)
        self._runs_suspects = self._suspects = suspects
        self._handler: Handler | None = None
        self._running: dict[str, Running] = {}
        self._apart = 0
        self.suspected = asyncio.Event()
        self._reserved = 0
        self._full = False
        self._settled = asyncio.Event()
        self._is_resting = False
        self._due: Micros | None = None
        self._errors: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._stopping = self._cutting = False
        self.only: set[Place] | None = None
        """The places of which this process claims executions; None: of all."""
        self.attempts = 0
        """The number of turns that were handed out by this process."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._audience = Audience(clock)
        self._turn = partial(
            JournalTurn, journal, clock, monotonic, lease, self._begin, self._audience.tell_recorded
        )
        self._lifeline = Lifeline(journal, self._running, self.nudge, self._asked, monotonic, lease)
        if isinstance(clock, ManualClock):
            clock.watch(self.nudge)
        if hints is not None:
            self._audience.relay = Relay(
                hints,
                due=self.nudge,
                ended=self._audience.look,
                cancel=self._look,
                change=self._audience.hear,
                recorded=self._audience.hear_progress,
            )

    @property
    def running(self) -> int:
        """The number of executions that run in this process now."""
        return len(self._running)

    def running_ids(self) -> list[str]:
        """Return the executions that run in this process itself now, so may be what blocks it."""
        return [name for name, each in list(self._running.items()) if not each.apart]

    async def start(
        self, starts: Sequence[Start], cursors: Sequence[ShardCursor] = ()
    ) -> list[Started]:
        """Accept executions in one transaction; durable on return. Idempotent by id and by dedupe key.

        The `cursors` of the shards that they were read from move with them; `Fenced` where one is
        another process's by now, and nothing was accepted. Where the caller is cancelled before that
        transaction begins, nothing is accepted.
        """
        answer: asyncio.Future[list[Started]] = asyncio.get_running_loop().create_future()
        # A task: who is cancelled meanwhile must not take along what was claimed as it was accepted.
        self._go_on_with(self._start(starts, cursors, answer))
        return await answer

    def _go_on_with(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task of its own, which is held until it has ended."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(
        self,
        starts: Sequence[Start],
        cursors: Sequence[ShardCursor],
        answer: asyncio.Future[list[Started]],
    ) -> None:
        try:
            if not starts:
                if not await self.journal.shards.move(cursors):
                    raise Fenced(TAKEN)
                started = list[Started]()
            else:
                started = await self._accept(starts, cursors, lambda: not answer.cancelled())
        except Exception as error:
            if not answer.cancelled():
                answer.set_exception(error)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        else:
            if not answer.cancelled():
                answer.set_result(started)

    async def _accept(
        self,
        starts: Sequence[Start],
        cursors: Sequence[ShardCursor],
        is_wanted: Callable[[], bool],
    ) -> list[Started]:
        starts = [with_copies(each) for each in starts]
        customers = {each.flow.customer for each in starts if not is_ours(each)}
        free = self._free() if self._handler is not None and self.only is None else 0
        claim = self._shares.at_once(len(starts), free, customers)
        claimed_at = self._monotonic()
        self._reserved += claim
        self._shares.add(customers, claim)
        taken = 0
        try:
            accepted = await self.journal.accept(
                starts, claim=claim, lease=self._lease, is_wanted=is_wanted, cursors=cursors
            )
            taken = sum(each.claim is not None for each in accepted)
        finally:
            self._reserved -= claim
            self._shares.add(customers, -claim)
            if taken < claim:  # a claim that began meanwhile counted what duplicates did not take
                self._freed()
                self._shares.ended |= customers
                for each in customers:
                    self._freed(each)
        if not accepted:
            return []
        if accepted[0].fenced:
            raise Fenced(TAKEN)
        waiting = False
        for each, start in zip(accepted, starts, strict=True):
            if each.duplicate_of is None:
                self._audience.tell(start, "queued")
            for replaced in each.replaced:
                await self._cancelled(replaced, superseded(each.execution).reason)
            if each.outcome is not None:
                self._audience.resolve(each.execution, each.outcome, start)
                self._audience.tell(start, each.outcome.state, each.outcome)
            elif each.claim is not None:
                self._spawn(each.claim, claimed_at)
            elif each.duplicate_of is None:
                waiting |= not self._is_held_back(start)
                if start.replay_of is not None:  # of one that was set aside, it may be a suspect
                    self.suspected.set()
        if waiting:
            self._wake.set()
        return [Started(each.execution, each.duplicate_of) for each in accepted]

    async def _begin(self, start: Start, by: Start) -> str | None:
        """Start what a step asks for, and return which execution stands for it (see `Turn.begin`).

        What a flow of an instance's life starts is held until that has ended, so it cannot wait.
        """
        depth = max(depth_of(start.event), 1)
        if not is_ours(by) and await self.backlog.is_full(start.flow.customer, depth=depth):
            return None
        former = goes_on(start, by)
        known = None if former is None else await self.journal.execution(former)
        if known is not None:
            before = await latest_of(self.journal, known)
            if before.state not in ENDED_BADLY:
                return before.id
            event, steps = await self.journal.event(before.id), await self.journal.steps(before.id)
            if event is not None:  # its payload is stored still
                cut = await was_cut(self.journal, before)
                start = handed_down(start, by, before, event, steps, was_cut=cut)
        [started] = await self.start([start])
        return started.duplicate_of or start.execution

    async def run(self, handler: Handler) -> None:
        """Hand turns to a handler until `stop`."""
        self._handler = handler
        renewals = asyncio.create_task(self._lifeline.run())
        try:
            while not self._stopping:
                self._wake.clear()
                # Half of what is free: events that arrive meanwhile want to be claimed at once.
                room = (self._free() + 1) // 2
                self._full = room == 0
                try:
                    self._shares.short.clear()
                    if room and await self._claim(room) == room:
                        continue
                    due = None if self._full else await self._next_due()
                except InDoubt:
                    raise
                except StoreError as error:  # a full disk, say: it goes on once there is room
                    log.warning("nothing was claimed: the store failed", error=error.message)
                    await asyncio.sleep(GIVE_BACK_SECONDS)
                    continue
                if not self._wake.is_set():
                    self._due, self._is_resting = due, True
                    self._settled.set()
                    try:
                        await self._rest(due)
                    finally:
                        self._is_resting = False
        finally:
            renewals.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewals

    async def stop(self, grace: float) -> None:
        """Take no more; let running turns end for `grace` seconds, then cut them: they resume later."""
        self._stopping = True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._drained()
        self._cutting = True
        for each in self._running.values():
            self._give_up(each)
        await self._drained()
        if self._audience.relay is not None:
            self._audience.relay.close()

    def _give_up(self, running: Running) -> None:
        if not running.cut:  # else its end is under way
            running.turn.lost = True  # its flow begins no further step, whatever it makes of this
        running.interrupt()

    async def idle(self) -> Micros | None:
        """Return once nothing runs and nothing can before time passes: when the next one is due.

        None where time alone makes nothing due. For a clock that a test moves.
        """
        while self._running or self._reserved or self._wake.is_set() or not self._is_resting:
            self._settled.clear()
            await self._settled.wait()
        return self._due

    def _look(self, execution: str) -> None:
        """Another process may have asked to cancel one that runs here."""
        if execution in self._running:
            self._go_on_with(self._lifeline.look(execution))

    async def _drained(self) -> None:
        """Return once nothing runs and no claim is under way."""
        while self._running or self._reserved:
            self._settled.clear()
            await self._settled.wait()

    def _freed(self, customer: str = "") -> None:
        self._settled.set()
        if self._full or customer in self._shares.short or customer in self.journal.held_back:
            self._wake.set()

    def _is_held_back(self, start: Start) -> bool:
        """Return whether there is no need to look for it before another one of its customer has
        ended.
        """
        customer = start.flow.customer
        return not is_ours(start) and (
            customer in self._shares.short or customer in self.journal.held_back
        )

    def _free(self) -> int:
        """Return the number of turns that may be claimed; those that are being claimed count as
        running.
        """
        if self._stopping:
            return 0
        return max(self._room.turns - len(self._running) + self._apart - self._reserved, 0)

    async def _claim(self, room: int) -> int:
        if room == 0:
            return 0
        claimed_at = self._monotonic()
        self._shares.ended.clear()
        share = self._shares.now(self._free())
        self._reserved += room
        try:
            claims = await self.journal.claim(room, self._lease, share=share, only=self.only)
            if self._suspects and len(claims) < room:
                left = room - len(claims)
                self._suspects = False  # whoever nudges meanwhile is heard
                try:
                    suspects = await self.journal.claim(
                        left, self._lease, probation=True, only=self.only
                    )
                except BaseException:
                    self._suspects = True
                    raise
                self._suspects |= bool(suspects)
                claims += suspects
        finally:
            self._reserved -= room
            self._freed()
        if not self._shares.ended.isdisjoint(self.journal.held_back):
            self._wake.set()  # its share was counted while one of it was about to end
        for claim in claims:
            self._spawn(claim, claimed_at)
        return len(claims)

    async def _next_due(self) -> Micros | None:
        """When the next one that this process runs by itself becomes due."""
        if self.only is not None:  # it lives for a moment only
            return self._clock() + LOOKS_EVERY
        due = await self.journal.next_due()
        if not self._runs_suspects:
            return due
        # One may be due later than its unclean end: the clock that said when was ahead, or set back.
        suspect = await self.journal.next_due(probation=True)
        return min((each for each in (due, suspect) if each is not None), default=None)

    async def cancel(self, execution: str, reason: str, grace: float | None = None) -> bool:
        """Cancel: at once where it is queued or waiting, at its next step where it runs.

        One that goes on running is cut after `grace` seconds. Once asked for, no other outcome
        stands. Of a chain, the one that is live is cancelled. False where it has already ended; raises
        `NotFound` where there is none.
        """
        done = await self.cancel_many([execution], reason, grace)
        if execution not in done:
            raise missing(execution)
        return done[execution]

    async def cancel_many(
        self, executions: Sequence[str], reason: str, grace: float | None = None
    ) -> dict[str, bool]:
        """Cancel executions as `cancel` does, in one transaction; ids that do not exist are left out."""
        seconds = self._grace if grace is None else grace
        how = Cancelling(reason, self._clock() + round(seconds * 1e6))
        done = await self._cancel(executions, how)
        for first in [each for each, cancelled in done.items() if not cancelled]:
            tried = first
            while not done[first] and (live := await self._live_link(first)) not in (None, tried):
                tried = live or tried
                done[first] = (await self._cancel([tried], how)).get(tried, False)
        return done

    async def _cancel(self, executions: Sequence[str], how: Cancelling) -> dict[str, bool]:
        done = await self.journal.cancel_many(executions, how.reason, how.cut_at)
        for execution in [name for name, each in done.items() if each == "asked"]:
            self._asked(execution, how)
            if execution not in self._running and self._audience.relay is not None:
                self._audience.relay.cancel(execution)
        if "ended" in done.values():
            self.nudge()  # the next one of its order may run
        for execution in [name for name, each in done.items() if each == "ended"]:
            await self._cancelled(execution, how.reason)
        return {name: each != "over" for name, each in done.items()}

    async def cancel_all(self, instance: str, reason: str) -> int:
        """Cancel every live execution of an instance; returns how many."""
        count, before = 0, None
        while True:
            live = Filter(
                instance=instance,
                states=LIVE,
                before=before,
                limit=100,
            )
            found = await self.journal.executions(live)
            done = await self.cancel_many([each.id for each in found], reason)
            count += sum(done.values())
            if len(found) < live.limit:
                return count
            before = found[-1].id

    async def dismiss(self, execution: str) -> bool:
        """Take a failed execution off the dead letters; an order that it blocks goes on.

        False where it has not failed.
        """
        dismissed = await self.journal.dismiss(execution)
        if dismissed:
            self.nudge()  # the next one of its order may run
            if self._audience.listens and (found := await self.journal.execution(execution)):
                self._audience.tell_dismissed(found)
        return dismissed

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        """Send a signal; one that comes before the execution asks is kept. Of a chain, the last gets it.

        `once` names an answer that counts once: the second one is `known`, and not kept.
        """
        first = execution
        sent = await self.journal.signal(execution, name, payload, once)
        while sent == "over" and (live := await self._live_link(first)) not in (None, execution):
            execution = live or execution
            asked = None if once is None else question_of(first, once)
            sent = await self.journal.signal(execution, name, payload, asked)
        self._wake.set()
        return sent

    async def _live_link(self, execution: str) -> str | None:
        """Return the one of an execution's chain that has not ended."""
        found = await self.journal.execution(execution)
        if found is None or found.chain is None:
            return None
        [last] = await self.journal.executions(Filter(chain=found.chain, limit=1))
        return None if last.state in ENDED else last.id

    async def unpark(self, connection: str, limit: int) -> list[str]:
        """Let up to `limit` executions go on that are parked for a connection; returns which."""
        found = await self.journal.unpark(connection, limit)
        if found:
            self.nudge()
        return found

    async def release(self, instance: str, pinning: Pinning | None = None) -> None:
        """Let the instance's executions run, those that have not begun as `pinning` says."""
        await self.journal.release_instance(instance, pinning)
        self.nudge()  # what was held may be on probation

    async def pause(self, what: str, by: str = "", reason: str = "") -> bool:
        """Let a customer, an instance or a flow (`<instance>/<flow>`) stand still.

        Its events are accepted and wait, what runs goes on. False where it stood still already.
        """
        return await self.journal.pause(Paused(what, self._clock(), by, reason))

    async def resume(self, what: str) -> bool:
        """Let what was paused go on; False where it was not."""
        done = await self.journal.resume(what)
        self.nudge()
        return done

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        """Return the outcome of the execution, waiting up to `within` seconds; None where it has
        not ended.
        """
        find = partial(outcome_at_end, self.journal)
        return await self._audience.outcome(execution, within, find)

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Hear of every change; returns what stops it. Listeners must not block."""
        return self._audience.follow(listener)

    def watch(self, topic: str, listener: Callable[[Progress], None]) -> Callable[[], None]:
        """Hear of what is recorded of a topic (see `Audience.watch`); returns what stops it."""
        return self._audience.watch(topic, listener)

    def on_end(self, call: Callable[[str, Outcome, Start | None], object]) -> None:
        """Call with each execution that ends in this process: its id, its outcome, its start."""
        self._audience.on_end.append(call)

    def nudge(self) -> None:
        """Look for due executions now: something outside the engine made one due."""
        self._suspects = self._runs_suspects
        self.suspected.set()
        self._wake.set()

    async def claim_suspects(self, room: int) -> tuple[list[Claim], float]:
        """Claim executions on probation, to `hand_out` each; also when that was (monotonic)."""
        claimed_at = self._monotonic()
        if self._stopping:
            return [], claimed_at
        return await self.journal.claim(room, self._lease, probation=True), claimed_at

    def hand_out(
        self, claim: Claim, claimed_at: float, handler: Callable[[JournalTurn], Awaitable[Verdict]]
    ) -> JournalTurn:
        """Hand a suspect to a handler that runs it apart: it takes no room of the others."""
        self._apart += 1
        return self._spawn(claim, claimed_at, handler)

    def _spawn(
        self,
        claim: Claim,
        claimed_at: float,
        apart: Callable[[JournalTurn], Awaitable[Verdict]] | None = None,
    ) -> JournalTurn:
        turn = self._turn(claim, claimed_at)
        handler = apart or self._handler
        assert handler is not None
        start = claim.start
        execution, customer = start.execution, start.flow.customer
        counts = apart is None and not is_ours(start)
        task = asyncio.get_running_loop().create_task(self._hand_out(turn, handler))
        self.attempts += 1
        before = self._running.get(execution)
        if before is not None and before.counts:
            self._shares.leave(customer)  # it lost its lease, and is on its way out
        running = Running(turn, task, apart is not None, counts=counts)
        self._running[execution] = running
        if self._cutting:  # it was claimed before, by a write that took its time
            self._give_up(running)
        if counts:
            self._shares.add([customer], 1)
        self._audience.tell(start, "running", None, claim.attempt)
        return turn

    async def _hand_out(
        self, turn: JournalTurn, handler: Callable[[JournalTurn], Awaitable[Verdict]]
    ) -> None:
        execution = turn.start.execution
        try:
            turn.begun = True
            if turn.interrupted:
                raise asyncio.CancelledError
            lost = turn.claim.lost
            verdict = await handler(turn) if lost is None else without(lost)
            await self._settle(turn, verdict)
        except Blamed:
            if not await self._end_cut(turn):
                self._audience.tell(turn.start, "queued", None, turn.attempt)
        except Fenced:
            log.info("execution lost to another worker", execution=execution)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreError):
                if not await self._end_cut(turn):
                    await self._release(turn)
        except StoreError as error:
            log.warning("stopped: the store failed", execution=execution, error=str(error))
            await self._give_back(turn)
        except Exception as error:
            log.exception("the executor failed", execution=execution)
            self._errors[execution] += 1
            with contextlib.suppress(StoreError, Fenced):
                verdict = after_error(error, self._errors[execution], self._clock())
                await self._settle(turn, verdict)
        finally:
            self._forget(turn)

    def _forget(self, turn: JournalTurn) -> None:
        execution, customer = turn.start.execution, turn.start.flow.customer
        running = self._running.get(execution)
        if running is not None and running.turn is turn:
            del self._running[execution]
            self._apart -= running.apart
            if running.counts:
                self._shares.leave(customer)
            if running.timer is not None:
                running.timer.cancel()
        self._freed(customer)

    def _asked(self, execution: str, how: Cancelling) -> None:
        """Somebody cancels what may run here: it ends at its next step, or is cut when it is time."""
        running = self._running.get(execution)
        if running is None:
            return
        running.turn.cancelling = how.reason
        if running.cut or (running.timer is not None and not how.cut_at):
            return
        if running.timer is not None:
            running.timer.cancel()
        at = how.cut_at or self._clock() + round(self._grace * 1e6)
        running.timer = self._timers.set(at, lambda: self._cut(running))

    def _cut(self, running: Running) -> None:
        """Cancel its task in whatever it awaits; where it swallows that, it is ended all the same."""
        running.cut = True
        running.interrupt()
        late = self._clock() + round(CUT_SECONDS * 1e6)
        running.timer = self._timers.set(late, lambda: self._abandon(running))

    def _abandon(self, running: Running) -> None:
        turn = running.turn
        log.error(
            "a cancelled execution does not end: its code goes on, and none of it is recorded",
            execution=turn.start.execution,
        )
        turn.lost = True
        self._go_on_with(self._end_abandoned(turn))

    async def _end_abandoned(self, turn: JournalTurn) -> None:
        with contextlib.suppress(StoreError):  # its lease runs out, then: whoever claims it ends it
            await self._end_cut(turn)
        self._forget(turn)

    async def _end_cut(self, turn: JournalTurn) -> bool:
        """End what was cut for having been cancelled; False where it was not."""
        running = self._running.get(turn.start.execution)
        if running is None or running.turn is not turn or not running.cut:
            return False
        with contextlib.suppress(Fenced):
            await self._settle(turn, Ended(Outcome("cancelled", turn.cancelling or "cancelled")))
        return True

    async def _release(self, turn: JournalTurn) -> None:
        drained = Release("drained", self._clock())
        await self.journal.release(turn.claim.lease, (), (), drained)

    async def _give_back(self, turn: JournalTurn) -> None:
        """Queue it again as soon as the store can write: a full disk ends when there is room."""
        while turn.alive() and not self._stopping:
            try:
                await self._release(turn)
            except InDoubt:
                return  # this process writes no more
            except StoreError:
                await asyncio.sleep(GIVE_BACK_SECONDS)
            else:
                self._audience.tell(turn.start, "queued", None, turn.attempt)
                self._wake.set()
                return

    async def _settle(self, turn: JournalTurn, verdict: Verdict) -> None:
        lease = turn.claim.lease
        match verdict:
            case Ended(outcome, records, logs, writes, next):
                written = await self.journal.end(lease, records, logs, outcome, writes, next=next)
                if written is Written.CANCELLED:  # it was asked for first, so it stands
                    outcome = Outcome(
                        "cancelled", await self._why(turn) or "cancelled", failure=outcome.failure
                    )
                    written = await self.journal.end(lease, records, logs, outcome, writes)
                if written is Written.FENCED:
                    raise Fenced
                self._errors.pop(turn.start.execution, None)
                goes_on = written is Written.CONTINUED
                self._audience.tell_recorded(turn.start, records, logs)
                self._audience.resolve(turn.start.execution, outcome, turn.start, goes_on=goes_on)
                self._audience.tell(turn.start, outcome.state, outcome, turn.attempt)
                if goes_on and next is not None:
                    self._audience.tell(next.start, "queued")
                    self._wake.set()
                elif lease.ordered or lease.parent is not None or outcome.state == "cancelled":
                    self.nudge()
            case Again(how, at, records, logs, failure, waiting_for, heard):
                release = Release(how, at, waiting_for, failure, heard)
                if await self.journal.release(lease, records, logs, release) is Written.FENCED:
                    raise Fenced
                state = "waiting" if how in ("sleep", "signal", "park") else "queued"
                self._audience.tell_recorded(turn.start, records, logs)
                self._audience.tell(turn.start, state, None, turn.attempt)
                self._wake.set()
                await self._cancel_if_asked(turn)

    async def _cancel_if_asked(self, turn: JournalTurn) -> None:
        """It may have been asked for while the turn was on its way out."""
        asked = await self._why(turn)
        if asked is not None:
            await self.cancel(turn.start.execution, asked)

    async def _why(self, turn: JournalTurn) -> str | None:
        """Why it is to be cancelled; None where nobody wants that."""
        execution = turn.start.execution
        if turn.cancelling is None:
            found = (await self.journal.cancelled([execution])).get(execution)
            turn.cancelling = None if found is None else found.reason
        return turn.cancelling

    async def _cancelled(self, execution: str, reason: str) -> None:
        outcome = Outcome("cancelled", reason)
        start, attempt = None, 1
        if self._audience.is_awaited:
            found = await self.journal.execution(execution)
            event = await self.journal.event(execution)
            if found is not None and event is not None:
                attempt = max(found.attempt, 1)
                start = Start(
                    execution,
                    found.flow,
                    event,
                    found.root,
                    key=found.key,
                    replay_of=found.replay_of,
                    replay=found.replay,
                    order=found.order,
                    chain=found.chain,
                    link=found.link,
                )
        self._audience.resolve(execution, outcome, start)
        if start is not None:
            self._audience.tell(start, "cancelled", outcome, attempt)

    async def _rest(self, due: Micros | None) -> None:
        waits: list[float] = []
        if due is not None:
            wait = (due - self._clock()) / 1e6
            waits.append(min(wait, LONGEST_REST) if wait > 0 else SHORTEST_REST)
            self._suspects |= self._runs_suspects and wait <= 0
        if self._poll is not None:
            waits.append(self._poll)
        await came(self._wake, min(waits, default=None))
