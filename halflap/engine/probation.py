"""Runs executions on probation, by halves, in child processes of their own.

After an unclean end of a process nobody knows which of its executions ended it. So they resume
together in a child; where that ends too, those that were under way in it go on by halves, each half
in a new child, down to one that is alone. Only what ends its process while alone is blamed; at the
third time it is set aside: it fails, and is replayed, when somebody asks for it, alone again.
Everything else in the server goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from halflap.engine.journal import Blamed, JournalEngine
from halflap.engine.line import (
    Ask,
    Begin,
    Drop,
    Line,
    LineDone,
    LineNews,
    Ready,
    Take,
    ToParent,
    error_of,
    trouble_of,
)
from halflap.engine.lineage import follows
from halflap.engine.process import spelled
from halflap.engine.protocol import Ended, Verdict
from halflap.engine.remote import Clerk
from halflap.engine.resolver import Resolver
from halflap.engine.turn import JournalTurn
from halflap.errors import Fenced, StoreError
from halflap.model import Failure, Outcome
from halflap.sdk.deadline import came
from halflap.store.protocol import MOST_CRASHES, Claim

T = TypeVar("T")

log = structlog.get_logger("halflap.probation")

MOST_TOGETHER = 200
CHILDREN = 2
MOST_KEPT = 10_000
"""Of how many suspects it is remembered with whom they ended a process, and how."""
POLL_SECONDS = 5.0
NEWS_SECONDS = 0.25
DROP_SECONDS = 2.0
LONGEST_START_REST = 30.0
SET_ASIDE = "set aside: it ended its process three times"


class SuspectGroup:
    """Executions that run together in one child; the handler of their turns."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        loop = asyncio.get_running_loop()
        self.size = len(claims)
        self.turns: dict[str, JournalTurn] = {}
        self.verdicts: dict[str, asyncio.Future[Verdict]] = {
            each.start.execution: loop.create_future() for each in claims
        }
        for each in self.verdicts.values():
            each.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.begun = False
        self.line: Line | None = None
        self.taken: set[str] = set()
        self.cancelled: set[str] = set()

    @property
    def left(self) -> list[str]:
        """The executions without a verdict."""
        return [name for name, each in self.verdicts.items() if not each.done()]

    async def handle(self, turn: JournalTurn) -> Verdict:
        """Wait for what the child says."""
        verdict = self.verdicts[turn.start.execution]
        try:
            return await asyncio.shield(verdict)
        except asyncio.CancelledError:
            await self._drop(turn.start.execution)
            if verdict.cancelled():
                raise
            if verdict.done():
                return verdict.result()
            verdict.cancel()
            # It stays on probation: what it would have done to its process is not known.
            raise Blamed from None

    async def _drop(self, execution: str) -> None:
        """Ask the child to stop an execution in good order, and give it a little time."""
        if self.line is None or execution not in self.taken:
            return
        self.line.send(Drop(execution))
        await asyncio.wait([self.verdicts[execution]], timeout=DROP_SECONDS)

    def settle(self, done: LineDone) -> None:
        """Give a child's answer to the handler that waits for it."""
        verdict = self.verdicts.get(done.execution)
        if verdict is None or verdict.done():
            return
        if done.trouble is not None:
            verdict.set_exception(error_of(done.trouble))
        elif done.ended is not None and not self._is_own(done.ended, done.execution):
            verdict.set_exception(Fenced(f"{done.execution} continues as another one's execution"))
        elif done.ended is not None:
            verdict.set_result(done.ended)
        elif done.again is not None:
            verdict.set_result(done.again)
        else:
            verdict.cancel()

    def _is_own(self, ended: Ended, execution: str) -> bool:
        return ended.next is None or follows(ended.next.start, self.turns[execution].start)

    def give_up(self) -> None:
        """Leave what has no verdict without one from this group."""
        for each in self.left:
            self.verdicts[each].set_exception(Blamed())


class Probation:
    """The role that runs suspects; `begin` is what a child is told at its start."""

    def __init__(
        self,
        engine: JournalEngine,
        resolver: Resolver,
        begin: Callable[[], Begin],
    ) -> None:
        self._engine = engine
        self._resolver = resolver
        self._begin = begin
        self._slots = asyncio.Semaphore(CHILDREN)
        self._groups: dict[asyncio.Task[None], SuspectGroup] = {}
        self._halves: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._ends: dict[str, str] = {}
        self._start_rest = 0.0
        self._stopping = False

    async def run(self) -> None:
        """Run suspects until `stop`.

        They are claimed once a child is free, a whole group at a time: what is claimed as others end
        would make groups of a few, and each costs the start of a process.
        """
        while not self._stopping:
            self._engine.suspected.clear()
            is_free = len(self._groups) < CHILDREN
            if is_free and await self._claim(MOST_TOGETHER) == MOST_TOGETHER:
                continue
            await came(self._engine.suspected, POLL_SECONDS)

    def stop(self) -> None:
        """Begin no more; what runs in children goes on until the engine drops it."""
        self._stopping = True
        self._engine.suspected.set()
        for each in self._groups.values():
            if not each.begun:
                each.give_up()

    async def close(self) -> None:
        """End the children."""
        self.stop()
        for task in list(self._groups):
            task.cancel()
        await asyncio.gather(*self._groups, return_exceptions=True)

    async def _claim(self, room: int) -> int:
        try:
            claims, claimed_at = await self._engine.claim_suspects(room)
        except StoreError as error:
            log.warning("suspects not claimed", error=error.message)
            return 0
        # What is not claimed here may be running elsewhere, and come back: it is not forgotten.
        for kept in (self._halves, self._ends):
            while len(kept) > MOST_KEPT:
                del kept[next(iter(kept))]
        for each in claims:
            if each.crashes >= MOST_CRASHES:
                self._engine.hand_out(each, claimed_at, self._set_aside)
        for each in self._grouped([each for each in claims if each.crashes < MOST_CRASHES]):
            group = SuspectGroup(each)
            for claim in each:
                turn = self._engine.hand_out(claim, claimed_at, group.handle)
                group.turns[claim.start.execution] = turn
            task = asyncio.get_running_loop().create_task(self._run(group))
            self._groups[task] = group
            task.add_done_callback(self._finished)
        return len(claims)

    def _grouped(self, claims: Sequence[Claim]) -> Iterator[Sequence[Claim]]:
        """Yield the groups that run together: halves of one group apart, and alone what is known to
        end its process.

        A first attempt that is on probation is a replay of one that was set aside.
        """
        together: dict[int, list[Claim]] = {}
        for each in claims:
            half = self._halves.pop(each.start.execution, 0)
            if each.crashes or each.attempt == 1:
                yield [each]
            else:
                together.setdefault(half, []).append(each)
        for group in together.values():
            for first in range(0, len(group), MOST_TOGETHER):
                yield group[first : first + MOST_TOGETHER]

    def _finished(self, task: asyncio.Task[None]) -> None:
        group = self._groups.pop(task)
        group.give_up()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a group on probation was given up", exc_info=error)
        self._engine.suspected.set()

    async def _set_aside(self, turn: JournalTurn) -> Verdict:
        how = self._ends.pop(turn.start.execution, "it did so before this server started")
        log.error("execution set aside", execution=turn.start.execution, how=how)
        failure = Failure("ProcessEnded", f"the process that ran it alone ended: {how}")
        return Ended(Outcome("failed", SET_ASIDE, failure=failure))

    async def _run(self, group: SuspectGroup) -> None:
        async with self._slots:
            if self._stopping or not group.left:
                return
            group.begun = True
            try:
                how, ready = await self._in_child(group)
            except OSError as error:
                how, ready = f"it could not be started: {error}", False
        left = group.left
        if not left:
            self._start_rest = 0.0
            return
        alone = group.size == 1 and ready
        log.warning("a child process ended", how=how, executions=len(left), alone=alone)
        if alone:
            self._ends[left[0]] = how
        for half in (left[: len(left) // 2], left[len(left) // 2 :]) if ready else (left,):
            number = next(self._numbers)
            self._halves.update(dict.fromkeys(half, number))
        with contextlib.suppress(StoreError):  # their leases run out, then
            await self._engine.journal.blame(left, alone=alone)
        group.give_up()
        if not ready:
            self._start_rest = min(max(self._start_rest * 2, 1.0), LONGEST_START_REST)
            await asyncio.sleep(self._start_rest)

    async def _in_child(self, group: SuspectGroup) -> tuple[str, bool]:
        """Run a group in a child; returns how it ended, and whether it had begun by then."""
        mine, its = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "halflap.engine.child", str(its.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
            )
        except BaseException:
            mine.close()
            raise
        finally:
            its.close()
        reader, writer = await asyncio.open_unix_connection(sock=mine)
        line = Line(reader, writer, ToParent)
        clerk = Clerk(self._resolver, group.turns, line)
        telling: asyncio.Task[None] | None = None
        ready = False
        try:
            line.send(self._begin())
            while group.left and (message := await line.receive()) is not None:
                match message:
                    case Ready():
                        ready = True
                        telling = asyncio.create_task(self._tell(group, line, clerk))
                    case Ask():
                        clerk.hear(message)
                    case LineDone():
                        group.settle(await self._on_current(message))
                    case _:
                        pass
            finished = not group.left
        finally:
            if telling is not None:
                telling.cancel()
            group.line = None
            await clerk.close()
            line.close()
            code = await uncut(reaped(process, kill=bool(group.left)))
        return ("it was done" if finished else spelled(code)), ready

    async def _on_current(self, done: LineDone) -> LineDone:
        """Have what follows an execution run on the version that its instance has now."""
        if done.ended is None or (next := done.ended.next) is None:
            return done
        try:
            start = replace(next.start, flow=await self._resolver.current(next.start.flow))
        except StoreError as error:
            return LineDone(done.execution, trouble=trouble_of(error))
        ended = replace(done.ended, next=replace(next, start=start))
        return LineDone(done.execution, ended=ended)

    async def _tell(self, group: SuspectGroup, line: Line, clerk: Clerk) -> None:
        """Send what the turns need and the turns, then whatever changes about them."""
        told: dict[str, float] = {}
        group.line = line
        for name, turn in group.turns.items():
            await clerk.give(turn.start.flow)
            if group.verdicts[name].done():
                continue
            told[name] = turn.until
            group.taken.add(name)
            claim = turn.claim
            take = Take(
                claim.start,
                claim.attempt,
                claim.accepted_at,
                list(claim.history),
                turn.cancelling,
                turn.until,
            )
            line.send(take)
            await line.drained()
        while True:
            await asyncio.sleep(NEWS_SECONDS)
            left = [(name, group.turns[name]) for name in group.left]
            until = {name: turn.until for name, turn in left if turn.until != told.get(name)}
            cancelling = {
                name: turn.cancelling
                for name, turn in left
                if turn.cancelling is not None and name not in group.cancelled
            }
            if until or cancelling:
                told.update(until)
                line.send(LineNews(until, cancelling))
                group.cancelled.update(cancelling)


async def uncut(ending: Coroutine[Any, Any, T]) -> T:
    """Await something short to its end, also where the caller is cancelled meanwhile."""
    task = asyncio.create_task(ending)
    cut: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cut = error
    if cut is not None:
        raise cut
    return task.result()


async def reaped(process: asyncio.subprocess.Process, *, kill: bool) -> int:
    """The exit code of a child to which the line is closed; it ends by that, or is killed."""
    if not kill:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DROP_SECONDS):
                return await process.wait()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    return await process.wait()
