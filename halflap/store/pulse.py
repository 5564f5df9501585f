"""The pulse of a store: whether it answers, found out by a write where that is in doubt.

A store that hangs (a database that is stopped, a disk that does not answer) raises no error. Once that
is known, events are refused at once, until a write in the background has succeeded. That write waits
for the locks that accepting an event waits for, or each event would find anew that the store hangs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from halflap.errors import HalflapError, StoreError, StoreFull
from halflap.store.protocol import Journal

T = TypeVar("T")

log = structlog.get_logger("halflap.store")

WRITE_SECONDS = 3.0
"""Seconds that the write may take; orchestrators give up on a probe after a few seconds."""
DOUBT_SECONDS = 3.0
"""Seconds that a request may take before the store is asked whether it answers."""
RETRY_SECONDS = 1.0


class Pulse:
    """Finds out whether a store answers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._writing: asyncio.Task[None] | None = None
        self._since = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_lost = False
        """True while the store is known to hang."""

    async def check(self) -> None:
        """Write to the store; whoever asks meanwhile shares the write.

        Raises `TimeoutError` where the store hangs, or the error with which it refused.
        """
        if self.is_lost:
            raise TimeoutError
        writing = self._write()
        try:
            async with asyncio.timeout(max(self._since + WRITE_SECONDS - time.monotonic(), 0.01)):
                await asyncio.shield(writing)
        except TimeoutError:
            self.lose()
            raise

    def lose(self) -> None:
        """Take the store for one that hangs, until a write has succeeded."""
        if not self.is_lost:
            self.is_lost = True
            log.error("the store does not answer; events are refused until it does")
            self._start(self._recover())

    async def attend(
        self, work: Coroutine[Any, Any, T], is_answered: Callable[[], bool] = lambda: False
    ) -> T:
        """Return the result of work that needs the store; raise `StoreError` where the store hangs.

        The work is cancelled then, and its end not waited for: a driver that waits for its server
        may take long to heed that. Work that `is_answered` may go on.
        """
        task = self._start(work)
        try:
            while not (await asyncio.wait([task], timeout=DOUBT_SECONDS))[0]:
                if not is_answered():
                    await self._doubt()
        except BaseException:
            task.cancel()
            raise
        return task.result()

    async def close(self) -> None:
        """End what is still under way."""
        for each in self._tasks:
            each.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _doubt(self) -> None:
        try:
            await self.check()
        except TimeoutError as error:
            raise StoreError("the store does not answer; try again later") from error
        except HalflapError:
            pass  # it answers

    async def _recover(self) -> None:
        while self.is_lost:
            try:
                await self._write()
            except StoreFull:
                self.is_lost = False
            except HalflapError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.is_lost = False
        log.info("the store answers again")

    def _write(self) -> asyncio.Task[None]:
        if self._writing is None or self._writing.done():
            self._since = time.monotonic()
            self._writing = self._start(self._journal.probe())
        return self._writing

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name="pulse")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it may be that nothing waits for it any more
