"""Give workers to runs: to each customer in turn, and never all of them to one."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

PATIENCE = 0.005
"""Seconds for which a run that waits for an action keeps a worker that another could use."""


class WorkerSlot:
    """One run's claim to a worker. `leave` is called where it has to give one back."""

    def __init__(self, owner: str, leave: Callable[[], None]) -> None:
        self.owner, self.leave = owner, leave
        self.held = False


class Places:
    """`most` workers, of which one owner has a half at most; the others wait, each owner in turn.

    A run that waits for an action lends its place: where somebody can use it, it is taken from the
    one that has waited the longest.
    """

    def __init__(self, most: int) -> None:
        self._most, self._each = most, max(most // 2, 1)
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._lent: dict[WorkerSlot, None] = {}

    @asynccontextmanager
    async def one(self, owner: str, leave: Callable[[], None]) -> AsyncGenerator[WorkerSlot]:
        """A place for a run, until its end."""
        place = WorkerSlot(owner, leave)
        try:
            await self.take(place)
            yield place
        finally:
            if place.held:
                self._free(place)
                self._share()

    async def take(self, place: WorkerSlot) -> None:
        """Wait for a place, unless it is held."""
        if place.held:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place.owner, deque()).append(turn)
        self._share()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._back(place.owner)
                self._share()
            raise
        place.held = True

    @contextmanager
    def lent(self, place: WorkerSlot) -> Generator[None]:
        """While the run waits for an action."""

        def lend() -> None:
            self._lent[place] = None
            self._share()

        timer = asyncio.get_running_loop().call_later(PATIENCE, lend)
        try:
            yield
        finally:
            timer.cancel()
            self._lent.pop(place, None)

    def _free(self, place: WorkerSlot) -> None:
        place.held = False
        self._back(place.owner)

    def _back(self, owner: str) -> None:
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]  # it may never come again

    def _share(self) -> None:
        """Give what is free, or lent, to those who wait."""
        while (owner := self._next()) is not None:
            waiting = self._waiting.pop(owner)
            turn = waiting.popleft()
            if waiting:
                self._waiting[owner] = waiting  # behind the others
            if not turn.cancelled():
                self._taken[owner] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        """Return the next customer, with room made for it."""
        for owner in self._waiting:
            if self._taken[owner] >= self._each:
                if self._take_back(owner):
                    return owner
            elif self._taken.total() < self._most or self._take_back(None):
                return owner
        return None

    def _take_back(self, owner: str | None) -> bool:
        place = next((each for each in self._lent if owner in (None, each.owner)), None)
        if place is None:
            return False
        del self._lent[place]
        self._free(place)
        place.leave()
        return True
