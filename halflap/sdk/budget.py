"""A bound on the work of lint, or of a check: spent step by step, so that it ends wherever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

SECONDS = 15.0
"""Seconds of the processor that the lint of one document or bundle may take."""
EVERY = 64
"""After how many steps the clock is looked at."""


class OverBudget(Exception):
    """Raised where lint has used up its time, or where nobody wants its result any more."""


class Budget:
    """The time of one run of lint, on its thread's CPU clock; other threads may cancel it."""

    def __init__(
        self, seconds: float = SECONDS, clock: Callable[[], float] = time.thread_time
    ) -> None:
        self.seconds = seconds
        self.is_cancelled = False
        self._clock = clock
        self._until = 0.0
        self._left = 0

    def cancel(self) -> None:
        """Have the run end at its next step."""
        self.is_cancelled = True

    @contextmanager
    def running(self) -> Generator[None]:
        """Have what is done here spend this budget, from now on."""
        self._until = self._clock() + self.seconds
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)

    def spend(self, steps: int) -> None:
        """Go on; raise `OverBudget` where the time is over."""
        if self.is_cancelled:
            raise OverBudget("lint was cancelled")
        self._left -= steps
        if self._left <= 0:
            self._left = EVERY
            self.check()

    def check(self) -> None:
        """Raise `OverBudget` where the time is over."""
        if self._clock() > self._until:
            raise OverBudget(f"lint took longer than {self.seconds:g} s")

    def afford(self, seconds: float) -> None:
        """Raise `OverBudget` where the next step, which cannot be ended, may take longer than is left."""
        if self.is_cancelled or self._clock() + seconds > self._until:
            raise OverBudget(f"a step may take longer than is left of {self.seconds:g} s")


_current: ContextVar[Budget | None] = ContextVar("halflap.lint.budget", default=None)


def is_cancelled() -> bool:
    """Return whether nobody wants what is done here any more."""
    budget = _current.get()
    return budget is not None and budget.is_cancelled


def spend(steps: int = 1) -> None:
    """Go on by some steps of lint, where what is done here has a budget; see `Budget.spend`."""
    budget = _current.get()
    if budget is not None:
        budget.spend(steps)


def afford(seconds: float) -> None:
    """Go on to what may take so long, where what is done here has a budget; see `Budget.afford`."""
    budget = _current.get()
    if budget is not None:
        budget.afford(seconds)
