"""Deadlines: of attempts, of actions, of waits for an event."""

from __future__ import annotations

import asyncio


async def came(event: asyncio.Event, within: float | None) -> bool:
    """Wait for an event, for so many seconds at most (None: for ever); return whether it came."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False


class Deadline:
    """Cancels the task that enters it after so many seconds; that it did, is no cancellation outside.

    It does as `asyncio.timeout` does, at a third of the cost: every execution has one, and most of
    its actions. While it is paused, its time stands still.
    """

    expired = False
    _paused_at = 0.0

    _cancelling: int
    _loop: asyncio.AbstractEventLoop
    _task: asyncio.Task[object]
    _timer: asyncio.TimerHandle | None
    _until: float

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._until = loop.time() + self._seconds
        self._timer = loop.call_at(self._until, self._expire)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.expired:
            self._task.uncancel()

    def pause(self) -> None:
        """Let the time stand still."""
        self._paused_at = self._loop.time()

    def resume(self) -> None:
        """Let the time go on."""
        self._until += self._loop.time() - self._paused_at
        self._paused_at = 0.0
        if self._timer is None:
            self._arm()

    @property
    def is_paused(self) -> bool:
        """Return whether its time stands still."""
        return self._paused_at > 0

    @property
    def is_over(self) -> bool:
        """Return whether it was what cancelled the task, and nothing outside did beside it."""
        return self.expired and self._task.cancelling() <= self._cancelling

    @property
    def is_cut(self) -> bool:
        """Return whether, at the end of its block, the task is cancelled from outside: the process
        stops, say.
        """
        return self._task.cancelling() > 0

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._until, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self.is_paused:
            return
        if self._until > self._loop.time():  # it was paused meanwhile
            self._arm()
        else:
            self.expired = True
            self._task.cancel()
