"""Deadlines of attempts and of actions."""

from __future__ import annotations

import asyncio


class Deadline:
    """Cancels the task that enters it after so many seconds; that it did, is no cancellation outside.

    It does as `asyncio.timeout` does, at a third of the cost: every execution has one, and most of
    its actions. While it is paused, its time stands still.
    """

    __slots__ = ("_cancelling", "_paused_at", "_seconds", "_task", "_timer", "_until", "expired")

    _cancelling: int
    _paused_at: float
    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle | None
    _until: float

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._paused_at = 0.0
        self.expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        loop = task.get_loop()
        self._until = loop.time() + self._seconds
        self._timer = loop.call_later(self._seconds, self._expire)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.expired:
            self._task.uncancel()

    def pause(self) -> None:
        """Let the time stand still."""
        self._paused_at = self._task.get_loop().time()

    def resume(self) -> None:
        """Let the time go on."""
        now = self._task.get_loop().time()
        self._until += now - self._paused_at
        self._paused_at = 0.0
        if self._timer is None:
            self._timer = self._task.get_loop().call_at(self._until, self._expire)

    @property
    def is_paused(self) -> bool:
        """Return whether its time stands still."""
        return self._paused_at > 0

    @property
    def is_over(self) -> bool:
        """Return whether it was what cancelled the task, and nothing outside did beside it."""
        return self.expired and self._task.cancelling() <= self._cancelling

    def _expire(self) -> None:
        self._timer = None
        if self._paused_at:
            return
        if self._until > self._task.get_loop().time():  # it was paused meanwhile
            self._timer = self._task.get_loop().call_at(self._until, self._expire)
            return
        self.expired = True
        self._task.cancel()
