"""Turns at something scarce, fair between callers: who asks for many waits behind who asks for one."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager


class TurnQueue:
    """At most so many turns at a time; callers that wait have theirs in rotation.

    While others wait, whoever has a turn already gets no second one.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[Hashable] = Counter()
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
            self._end(caller)

    async def _begin(self, caller: Hashable) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            self._held[caller] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(caller, deque())
        queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._end(caller)  # it came as the caller left
            else:
                queue.remove(turn)
                if not queue and self._waiting.get(caller) is queue:
                    del self._waiting[caller]
            raise

    def _end(self, ended: Hashable) -> None:
        self._held[ended] -= 1
        if not self._held[ended]:
            del self._held[ended]
        if not self._waiting:
            self._free += 1
            return
        caller = min(self._waiting, key=lambda each: self._held[each])  # the first of those
        queue = self._waiting.pop(caller)
        turn = queue.popleft()
        if queue:
            self._waiting[caller] = queue  # behind all others
        self._held[caller] += 1
        turn.set_result(None)
