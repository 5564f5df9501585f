"""An event loop without I/O, threads or real time: which call runs next is drawn from a seed.

A call belongs to the process in whose context it was made. Those of a process that is dead are never
run: no `finally` of its coroutines, no answer that was on its way. So a crash needs nobody's help.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

MOST_CALLS = 200_000
"""Calls that a world may take at most: one that needs more turns in circles."""
STEP_SECONDS = 5e-6
"""Seconds that each call takes."""


@dataclass(eq=False)
class Process:
    """A process that is simulated. It dies, and stalls, at the n-th call that is made in it.

    `worker` is the name that its executions are claimed under: a child's is its parent's.
    `wall_ahead` is how wrong its host's own clock is, in seconds; the engine is not to look at that.
    """

    name: str
    worker: str = ""
    alive: bool = True
    calls: int = 0
    dies_at: int = 0
    stalls_at: int = 0
    stall: float = 0.0
    stalled_until: float = 0.0
    died_at: float = float("inf")
    wall_ahead: float = 0.0
    on_death: Callable[[Process], None] = field(default=lambda _: None)
    on_stall: Callable[[Process], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        self.worker = self.worker or self.name


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Standstill(Exception):
    """Nothing is left to run, or what runs turns in circles."""


class Loop(asyncio.AbstractEventLoop):
    """Runs what is ready in an order that its chance decides, or as it came where `fifo`."""

    def __init__(self, chance: random.Random, *, fifo: bool = False) -> None:
        self._chance = chance
        self._fifo = fifo
        self._now = 0.0
        self._ready: list[asyncio.TimerHandle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self.calls = 0
        self.complaints: list[str] = []
        self.broken: Exception | None = None
        self._tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self._buried: list[asyncio.TimerHandle] = []
        self._closed = False

    # What asyncio asks of a loop ----------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(self, callback, *args, context=None) -> asyncio.TimerHandle:
        call = asyncio.TimerHandle(self._now, callback, args, self, context)
        self._ready.append(call)
        return call

    def call_soon_threadsafe(self, callback, *args, context=None) -> asyncio.TimerHandle:
        raise AssertionError("there are no threads here")

    def call_later(self, delay, callback, *args, context=None) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None) -> asyncio.TimerHandle:
        call = asyncio.TimerHandle(when, callback, args, self, context)
        self._at(when, call)
        return call

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context=None
    ) -> asyncio.Task[Any]:
        context = context if context is not None else copy_context()
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append((task, context))  # what is forgotten would be unwound, at any time
        return task

    def run_in_executor(self, executor, func, *args):
        raise AssertionError("there are no threads here")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is passed over once its time has come

    # Running --------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, or raise what is `broken`, or `Standstill` for ever."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done() and self.broken is None:
                self._run_one()
            if self.broken is not None:
                raise self.broken
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def close(self) -> None:
        """Unwind what was cut, where nobody sees it any more."""
        self._closed = True
        asyncio._set_running_loop(self)
        try:
            for task, context in self._tasks:
                task._log_destroy_pending = False
                coroutine: Any = task.get_coro()
                for _ in range(20):
                    if task.done() or inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED:
                        break
                    with contextlib.suppress(BaseException):  # whatever it says: it is dead
                        context.run(coroutine.close)
        finally:
            asyncio._set_running_loop(None)
        self._ready.clear()
        self._timers.clear()
        self._buried.clear()
        self._tasks.clear()

    def _run_one(self) -> None:
        timers, ready = self._timers, self._ready
        if not ready:
            if not timers:
                raise Standstill("nothing is left to run")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        place = 0 if self._fifo else int(self._chance.random() * len(ready))
        if self._fifo:
            call = ready.pop(0)
        else:
            ready[place], ready[-1] = ready[-1], ready[place]
            call = ready.pop()
        if call._cancelled:
            return
        process = call._context.get(PROCESS)
        if process is not None and not self._may_run(process, call):
            return
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise Standstill(f"{MOST_CALLS} calls were not enough")
        self._now += STEP_SECONDS
        call._run()

    def _may_run(self, process: Process, call: asyncio.TimerHandle) -> bool:
        if process.alive:
            process.calls += 1
            if process.calls == process.stalls_at:
                process.stalled_until = self._now + process.stall
                process.on_stall(process)
            if process.calls == process.dies_at:
                self.kill(process)
        if not process.alive:
            self._buried.append(call)
            return False
        if process.stalled_until > self._now:
            self._at(process.stalled_until, call)
            return False
        return True

    def kill(self, process: Process) -> None:
        """End a process where it stands."""
        if process.alive:
            process.alive, process.died_at = False, self._now
            process.on_death(process)

    def _at(self, when: float, call: asyncio.TimerHandle) -> None:
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, call))


def in_context(process: Process | None) -> Context:
    """A context in which what is called belongs to a process, or to none."""
    context = copy_context()
    context.run(PROCESS.set, process)
    return context
