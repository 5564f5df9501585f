"""The audience: who follows what executions do, and who waits for an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from halflap.engine.protocol import Change
from halflap.model import Clock, ExecutionState, Outcome, Start


class Audience:
    """Tells listeners of every change in this process, and each waiter of its outcome."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: list[Callable[[Change], None]] = []
        self._waiters: dict[str, list[asyncio.Future[Outcome]]] = {}

    @property
    def listens(self) -> bool:
        """Whether anybody follows."""
        return bool(self._listeners)

    def follow(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Tell a listener of every change; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(
        self,
        start: Start,
        state: ExecutionState,
        outcome: Outcome | None = None,
        attempt: int = 1,
    ) -> None:
        """Tell all who follow of a change."""
        if self._listeners:
            change = Change(start.execution, start, state, self._clock(), outcome, attempt)
            for each in list(self._listeners):
                each(change)

    async def outcome(
        self, execution: str, within: float, find: Callable[[str], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        """The outcome as `find` has it, or as it comes within so many seconds."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(execution, []).append(future)
        try:
            found = await find(execution)
            if found is not None or within <= 0:
                return found
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            return await find(execution)  # another process may have ended it
        finally:
            waiters = self._waiters.get(execution, [])
            if future in waiters:
                waiters.remove(future)
            if not waiters:
                self._waiters.pop(execution, None)

    def resolve(self, execution: str, outcome: Outcome) -> None:
        """Give an outcome to all who wait for it."""
        for future in self._waiters.pop(execution, ()):
            if not future.done():
                future.set_result(outcome)
