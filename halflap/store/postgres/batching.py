"""Shared commits: what callers bring gathers while the writers are at work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from halflap.errors import StoreError
from halflap.store.act import Act, acts

T = TypeVar("T")
Waiting = tuple[T, asyncio.Future[T], tuple[Act, ...]]
"""An item, the future of its caller, and the requests that it is written for."""

WRITERS = 3
LARGEST_BATCH = 200
ENOUGH = 32
"""The number of waiting items at which another writer takes them: a batch costs about as much as
ten items.
"""
STALLED_SECONDS = 0.05
"""Seconds that a batch may take, for a lock perhaps, before another writer takes what waits behind
it.
"""


class Gathering(Generic[T]):
    """Takes items from many callers, and has them written in batches, a few at a time.

    Nothing waits for a timer: an idle writer takes a lone item at once, and while it is busy the next
    batch gathers by itself. Others help where that is large by then, or the first is held up. Where
    a batch fails for what is in it, its items are written one by one, so that a bad one hurts only
    itself. A writer that `rests` does so after each batch for as long as it took, so that what comes
    in elsewhere finds the database idle half of the time.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        *,
        writers: int = WRITERS,
        largest: int = LARGEST_BATCH,
        rests: bool = False,
    ) -> None:
        self._write = write
        self._rests = rests
        self._most, self._largest = writers, largest
        self._waiting: deque[Waiting[T]] = deque()
        self._writers: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._stalled = 0

    def post(self, item: T) -> asyncio.Future[T]:
        """Have an item written; the future is done, with the item, once that is committed."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future, acts.get()))
        if self._busy == self._stalled or len(self._waiting) >= ENOUGH:
            self._help()
        return future

    def _help(self) -> None:
        if self._waiting and self._busy < self._most:
            self._busy += 1
            # It begins once the callers that are ready have brought theirs.
            writer = asyncio.get_running_loop().create_task(self._work())
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)

    async def settled(self) -> None:
        """Return once everything is written."""
        while self._writers:
            await asyncio.wait(self._writers)

    async def _work(self) -> None:
        waiting, time = self._waiting, asyncio.get_running_loop().time
        try:
            while waiting:
                began = time()
                batch = [waiting.popleft() for _ in range(min(len(waiting), self._largest))]
                try:
                    await self._in_time(batch)
                except BaseException as error:  # whatever it is, nobody may be left waiting
                    for _, future, _ in batch:
                        if not future.done():
                            future.set_exception(
                                StoreError(f"the store's writer ended ({error!r}).")
                            )
                    raise
                if self._rests and waiting:
                    await asyncio.sleep(time() - began)
        finally:
            self._busy -= 1

    async def _in_time(self, batch: Sequence[Waiting[T]]) -> None:
        late = False

        def stalled() -> None:
            nonlocal late
            late = True
            self._stalled += 1
            self._help()

        timer = asyncio.get_running_loop().call_later(STALLED_SECONDS, stalled)
        try:
            await self._share(batch)
        finally:
            timer.cancel()
            self._stalled -= late

    async def _share(self, batch: Sequence[Waiting[T]]) -> None:
        acts.set(tuple(act for _, _, begun in batch for act in begun))
        try:
            await self._write([item for item, _, _ in batch])
        except StoreError as error:
            for _, future, _ in batch:
                if not future.done():
                    future.set_exception(error)
        except Exception as error:
            if len(batch) > 1:
                for each in batch:
                    await self._share([each])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
        else:
            for item, future, _ in batch:
                if not future.done():
                    future.set_result(item)
