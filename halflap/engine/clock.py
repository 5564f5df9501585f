"""Time as a parameter: timers that follow a clock, and a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from halflap.model import Clock, Micros

MADE_AT: Micros = 1_767_225_600_000_000
"""When a manual clock begins, unless said otherwise: 2026-01-01."""


class ManualClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, at: Micros = MADE_AT) -> None:
        self._at = at
        self._listeners: list[Callable[[], object]] = []

    def __call__(self) -> Micros:
        return self._at

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever watches the clock hears of it."""
        self._at += round(seconds * 1_000_000)
        for each in list(self._listeners):
            each()

    def watch(self, listener: Callable[[], object]) -> None:
        """Call a function after each move of the clock."""
        self._listeners.append(listener)


@dataclass(slots=True, order=True)
class Timer:
    """A call that is due at a time."""

    at: Micros
    number: int
    call: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Forget the call."""
        self.cancelled = True


class Timers:
    """Calls functions when a clock, real or manual, has reached their time; never earlier."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Timer] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._manual = isinstance(clock, ManualClock)
        if isinstance(clock, ManualClock):
            clock.watch(self._fire)

    def set(self, at: Micros, call: Callable[[], object]) -> Timer:
        """Call a function once it is `at`."""
        self._count += 1
        timer = Timer(at, self._count, call)
        heapq.heappush(self._heap, timer)
        self._arm()
        return timer

    def next(self) -> Micros | None:
        """When the next timer fires; None where none is set."""
        while self._heap and self._heap[0].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def _fire(self) -> None:
        self._handle = None
        while (at := self.next()) is not None and at <= self._clock():
            heapq.heappop(self._heap).call()
        self._arm()

    def _arm(self) -> None:
        at = self.next()
        if self._manual or at is None:
            return
        if self._handle is not None:
            self._handle.cancel()
        wait = max(at - self._clock(), 0) / 1e6
        self._handle = asyncio.get_running_loop().call_later(wait, self._fire)
