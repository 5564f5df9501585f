"""Turns at something scarce, fair between callers: who asks for many waits behind who asks for one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager


class TurnQueue:
    """At most so many turns at a time; callers that wait have theirs in rotation."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """The number of turns that are waited for."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def of(self, caller: Hashable) -> AsyncGenerator[None]:
        """Wait for a turn, and have it until the block ends; leaving it gives up the place."""
        await self._begin(caller)
        try:
            yield
        finally:
            self._end()

    async def _begin(self, caller: Hashable) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(caller, deque())
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._end()  # it came as the caller left
            else:
                queue.remove(turn)
                if not queue and self._waiting.get(caller) is queue:
                    del self._waiting[caller]
            raise

    def _end(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        caller, queue = next(iter(self._waiting.items()))
        del self._waiting[caller]
        turn = queue.popleft()
        if queue:
            self._waiting[caller] = queue  # behind all others
        turn.set_result(None)
