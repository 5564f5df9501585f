"""The engine in memory: every execution is an actor, and everything is a message.

It keeps the `Engine` protocol with neither SQL nor files, so it shows that nothing else leans on
them, and tests of flows run on it. With a manual clock, retries and sleeps take no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from halflap.engine.clock import ManualClock, Timers
from halflap.engine.execution import ExecutionActor, MemoryTurn
from halflap.engine.failure import after_error
from halflap.engine.journal import GRACE_SECONDS
from halflap.engine.message import (
    Begin,
    CancelIt,
    DismissIt,
    Duplicate,
    Finish,
    Free,
    GoOn,
    Hold,
    Join,
    Leave,
    ListPaused,
    ListScope,
    Lost,
    Read,
    Send,
    Show,
    StandStill,
    Take,
    Tell,
    Unpark,
    View,
)
from halflap.engine.order import OrderKeeper
from halflap.engine.protocol import Change, Handler
from halflap.engine.replay import with_copies
from halflap.engine.shared import DedupeIndex, Gate, Shared, StateKeeper
from halflap.errors import Fenced, NotFound, StoreError
from halflap.model import (
    ENDED,
    Clock,
    Execution,
    LogLine,
    Micros,
    Outcome,
    Paused,
    Record,
    Sent,
    Signal,
    Start,
    Started,
)
from halflap.store.protocol import Attempt

log = structlog.get_logger("halflap.engine")


class Memory:
    """What outlives an engine: the actors. Two engines on one memory share its executions."""

    def __init__(self, *, clock: Clock | None = None, chance: random.Random | None = None) -> None:
        self.clock: Clock = clock or ManualClock()
        self.timers = Timers(self.clock)
        self.directory: dict[str, ExecutionActor] = {}
        self.dedupe = DedupeIndex(self.clock)
        self.state = StateKeeper(lambda move: self.orders.tell(move))
        self.gate = Gate(chance)
        self.orders = OrderKeeper(self.state, self.gate)
        self.listeners: list[Callable[[Change], None]] = []
        self.shared = Shared(
            self.clock,
            self.timers,
            self.state,
            self.gate,
            self.orders,
            self._announce,
            self.start,
            self._outcome,
            self._post,
        )

    @property
    def busy(self) -> bool:
        """Whether what executions share has mail."""
        return any(each.busy for each in (self.dedupe, self.state, self.gate, self.orders))

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        """Accept executions (see `Engine`)."""
        answers: list[Started] = []
        begun: list[ExecutionActor] = []
        for start in starts:
            first = await self._first(start)
            answers.append(Started(start.execution, first))
            if first is not None or start.execution in self.directory:
                continue
            actor = ExecutionActor(with_copies(start), self.shared)
            self.directory[start.execution] = actor
            begun.append(actor)
        for actor in begun:
            goes_on = await actor.ask(Begin())
            if goes_on and actor.start.replay_of is not None:
                await self.dismiss(actor.start.replay_of)
        return answers

    async def dismiss(self, execution: str) -> bool:
        """Take a failed execution off the dead letters."""
        actor = self.directory.get(execution)
        return actor is not None and await actor.ask(DismissIt())

    def find(self, execution: str) -> ExecutionActor:
        """The actor of an execution, or `NotFound`."""
        try:
            return self.directory[execution]
        except KeyError:
            raise NotFound(f"no execution {execution}") from None

    async def _first(self, start: Start) -> str | None:
        if start.dedupe is None:
            return None
        flow = (start.flow.instance, start.flow.flow)
        first = await self.dedupe.ask(Take(flow, start.dedupe, start.execution))
        if first is not None:
            self.find(first).tell(Duplicate())
        return first

    async def _outcome(self, execution: str) -> Outcome | None:
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self.find(execution).ask(Tell(waiter))
        return waiter.result() if waiter.done() else None

    def _post(self, execution: str, message: object) -> None:
        if (actor := self.directory.get(execution)) is not None:
            actor.tell(message)

    def _announce(self, change: Change) -> None:
        for each in list(self.listeners):
            each(change)


class MemoryEngine:
    """Keeps the `Engine` protocol in memory.

    clock: by default a `ManualClock`, which `advance` moves. chance: where given, executions that
    are ready together are handed out in an order drawn from it.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        clock: Clock | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.memory = memory or Memory(clock=clock, chance=chance)
        self._handler: Handler | None = None
        self._tasks: dict[asyncio.Task[None], MemoryTurn] = {}
        self._errors: Counter[str] = Counter()
        self._stopped: asyncio.Event | None = None
        self._stopping = False

    async def start(self, starts: Sequence[Start]) -> list[Started]:
        """Accept executions (see `Engine`)."""
        return await self.memory.start(starts)

    async def run(self, handler: Handler) -> None:
        """Hand turns to a handler until `stop`."""
        self._handler = handler
        self._stopped = asyncio.Event()
        if self._stopping:
            return
        await self.memory.gate.ask(Join(self))
        try:
            await self._stopped.wait()
        finally:
            self.memory.gate.tell(Leave(self))

    async def stop(self, grace: float) -> None:
        """Take no more turns; cut those that last longer than `grace` seconds."""
        self._stopping = True
        await self.memory.gate.ask(Leave(self))
        if self._stopped is not None:
            self._stopped.set()
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks), timeout=grace)
            for task in late:
                self._tasks[task].lost = True  # its flow begins no further step
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def cancel(self, execution: str, reason: str, grace: float | None = None) -> bool:
        """Cancel an execution (see `Engine`)."""
        return await self._find(execution).ask(self._cancel(reason, grace))

    async def cancel_all(self, instance: str, reason: str) -> int:
        """Cancel every live execution of an instance; returns how many."""
        answers = [await each.ask(self._cancel(reason)) for each in self._of(instance)]
        return sum(answers)

    async def dismiss(self, execution: str) -> bool:
        """Take a failed execution off the dead letters (see `Engine`)."""
        return await self.memory.dismiss(execution)

    def _cancel(self, reason: str, grace: float | None = None) -> CancelIt:
        seconds = GRACE_SECONDS if grace is None else grace
        return CancelIt(reason, self.memory.clock() + round(seconds * 1e6))

    async def signal(
        self, execution: str, name: str, payload: bytes, once: str | None = None
    ) -> Sent:
        """Send a signal; one that comes before the execution asks is kept."""
        return await self._find(execution).ask(Send(Signal(name, payload), once))

    async def unpark(self, connection: str, limit: int) -> list[str]:
        """Let parked executions go on (see `Engine`)."""
        found: list[str] = []
        for execution, actor in sorted(self.memory.directory.items()):
            if len(found) < limit and await actor.ask(Unpark(connection)):
                found.append(execution)
        return found

    async def hold(self, instance: str) -> None:
        """Accept the instance's events, and let them wait."""
        await self.memory.gate.ask(Hold(instance))

    async def release(self, instance: str) -> None:
        """Let the instance's executions run."""
        await self.memory.gate.ask(Free(instance))

    async def pause(self, what: str, by: str = "", reason: str = "") -> bool:
        """Let a customer, an instance or a flow stand still (see `Engine`)."""
        paused = Paused(what, self.memory.clock(), by, reason)
        return await self.memory.gate.ask(StandStill(paused))

    async def resume(self, what: str) -> bool:
        """Let what was paused go on; False where it was not."""
        return await self.memory.gate.ask(GoOn(what))

    async def paused(self) -> list[Paused]:
        """All that stands still."""
        return await self.memory.gate.ask(ListPaused())

    async def live(self, instance: str) -> int:
        """How many of the instance's executions have not ended."""
        views: list[View] = [await each.ask(Show()) for each in self._of(instance)]
        return sum(each.execution.state not in ENDED for each in views)

    async def outcome(self, execution: str, within: float) -> Outcome | None:
        """How the execution ended, waiting up to `within` seconds of real time."""
        waiter: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self._find(execution).ask(Tell(waiter))
        if waiter.done():
            return waiter.result()
        try:
            async with asyncio.timeout(within):
                return await waiter
        except TimeoutError:
            return None

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Hear of every change; returns what stops it."""
        self.memory.listeners.append(listener)
        return lambda: self.memory.listeners.remove(listener)

    @property
    def running(self) -> int:
        """How many turns run now."""
        return len(self._tasks)

    # For tests ------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass on the manual clock; what becomes due is handed out."""
        clock = self.memory.clock
        if not isinstance(clock, ManualClock):
            raise TypeError("this engine follows a real clock; make it with a ManualClock")
        clock.advance(seconds)

    async def finish(self, execution: str) -> Outcome | None:
        """Run an execution to its end, letting manual time pass wherever nothing else can happen.

        None where it waits for something that time does not bring: a signal, a held instance.
        """
        while (found := await self.outcome(execution, 0)) is None:
            await self.idle()
            if await self.outcome(execution, 0) is None:
                due = self.memory.timers.next()  # a child's time may be what it waits for
                if due is None or due <= self.memory.clock():
                    return None
                self.advance((due - self.memory.clock()) / 1e6)
                await self.idle()
        return found

    async def idle(self) -> None:
        """Return once no turn runs and none can be handed out before time passes."""
        while True:
            if self._tasks:
                await asyncio.wait(list(self._tasks))
            busy = [each for each in self.memory.directory.values() if each.busy]
            if not busy and not self.memory.busy and not self._tasks:
                return
            await asyncio.sleep(0)

    async def crash(self, execution: str, *, linger: bool = False) -> None:
        """Take an execution from its worker as a crash would; it is handed out again.

        With `linger`, the old worker goes on unaware, until it is fenced at its next commit.
        """
        await self._find(execution).ask(Lost(None, "crashed"))
        if linger:
            return
        for task, turn in list(self._tasks.items()):
            if turn.start.execution == execution and task is not asyncio.current_task():
                turn.lost = True
                task.cancel()

    async def execution(self, execution: str) -> Execution:
        """The execution as support sees it."""
        return (await self._view(execution)).execution

    async def history(self, execution: str) -> list[Record]:
        """The execution's records, in order."""
        return list((await self._view(execution)).history)

    async def attempts(self, execution: str) -> list[Attempt]:
        """The attempts that did not end the execution."""
        return list((await self._view(execution)).attempts)

    async def logs(self, execution: str) -> list[LogLine]:
        """What the flow logged, in order."""
        return list((await self._view(execution)).logs)

    async def read_state(self, scope: str, key: str) -> bytes | None:
        """A value of the state."""
        return await self.memory.state.ask(Read(scope, key))

    async def list_state(self, scope: str) -> dict[str, bytes]:
        """Every key of a scope of the state, with its value."""
        return await self.memory.state.ask(ListScope(scope))

    async def next_due(self) -> Micros | None:
        """When the next execution becomes due by time; None where none does."""
        return self.memory.timers.next()

    # Worker ---------------------------------------------------------------------------------

    def take(self, turn: MemoryTurn) -> None:
        """Run a turn that the gate hands out."""
        task = asyncio.get_running_loop().create_task(self._hand_out(turn))
        self._tasks[task] = turn
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def cut(self, turn: MemoryTurn) -> None:
        """Cancel the task that runs a turn."""
        for task, each in list(self._tasks.items()):
            if each is turn:
                task.cancel()

    async def _hand_out(self, turn: MemoryTurn) -> None:
        assert self._handler is not None
        execution = turn.start.execution
        try:
            await turn.actor.ask(Finish(turn.fence, await self._handler(turn)))
            self._errors.pop(execution, None)
        except Fenced:
            log.info("execution lost to another worker", execution=execution)
        except asyncio.CancelledError:
            turn.actor.tell(Lost(turn.fence, "drained"))  # or, where it was cut, cancelled
        except StoreError:
            turn.actor.tell(Lost(turn.fence, "crashed"))
        except Exception as error:
            log.exception("the executor failed", execution=execution)
            self._errors[execution] += 1
            verdict = after_error(error, self._errors[execution], turn.now())
            with contextlib.suppress(Fenced):
                await turn.actor.ask(Finish(turn.fence, verdict))

    def _find(self, execution: str) -> ExecutionActor:
        return self.memory.find(execution)

    def _of(self, instance: str) -> list[ExecutionActor]:
        found = list(self.memory.directory.values())
        return [each for each in found if each.start.flow.instance == instance]

    async def _view(self, execution: str) -> View:
        return await self._find(execution).ask(Show())
