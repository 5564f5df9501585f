"""Limit what a customer has queued: events are refused, and steps that start executions wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from halflap.engine.lineage import MOST_DEEP
from halflap.model import SYSTEM
from halflap.store.protocol import Journal

SOONEST_SECONDS = 1.0
"""Seconds until a customer that is full is counted again."""
LATEST_SECONDS = 10.0
"""Seconds for which a count holds at the most: other processes accept events too."""
PART = 10
"""A count holds until so large a part of the limit was accepted since."""
STAGES = 20
"""An execution that others led to may go beyond the limit by one part of so many for each of them."""


def room_of(limit: int, depth: int) -> int:
    """Return how many executions may be queued as one that `depth` others led to is started.

    The deeper, the more: so what has begun always finds room to end, however many wait to begin.
    """
    return limit + depth * max(limit // STAGES, 1) if limit and depth else limit


@dataclass(slots=True)
class _Counted:
    limit: int
    count: int
    at: float
    accepted: int = 0

    def is_full(self, depth: int) -> bool:
        return 0 < room_of(self.limit, depth) <= self.count + self.accepted


class Backlog:
    """Counts what customers have queued, now and then, and in between what was accepted here.

    So a limit may be passed by what other processes accept between two counts, and by no more.
    """

    def __init__(self, journal: Journal, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._monotonic = monotonic
        self._known: dict[str, _Counted] = {}
        self._counting: dict[str, asyncio.Task[_Counted]] = {}

    async def is_full(self, customer: str, more: int = 1, depth: int = 0) -> bool:
        """Return whether no more of a customer's may be accepted; else `more` of them are.

        `depth` is the number of executions that led to it, each by starting the next; of an event, 0.
        """
        known = self._known.get(customer)
        is_full = known is not None and known.is_full(depth)
        if known is None or self._is_old(known, is_full=is_full):
            known = await self._count(customer)
            is_full = known.is_full(depth)
        if is_full:
            return True
        known.accepted += more
        return False

    def forget(self, customer: str) -> None:
        """Count anew: its limit is another one."""
        self._known.pop(customer, None)

    def _is_old(self, known: _Counted, *, is_full: bool) -> bool:
        age = self._monotonic() - known.at
        if is_full:
            return age >= SOONEST_SECONDS
        return age >= LATEST_SECONDS or known.accepted * PART > known.limit > 0

    async def _count(self, customer: str) -> _Counted:
        task = self._counting.get(customer)
        if task is None:
            task = asyncio.create_task(self._look(customer))
            self._counting[customer] = task
            task.add_done_callback(lambda done: self._counted(customer, done))
        return await asyncio.shield(task)

    def _counted(self, customer: str, task: asyncio.Task[_Counted]) -> None:
        self._counting.pop(customer, None)
        if not task.cancelled():
            task.exception()  # requests that waited for it may have been answered already

    async def _look(self, customer: str) -> _Counted:
        if customer.startswith(SYSTEM):
            return await self._look_at_sender(customer)
        own = (await self._journal.limits(customer)).backlog
        limit = (self._journal.default_limits.backlog if own is None else own) or 0
        most = room_of(limit, MOST_DEEP)
        count = (await self._journal.load(customer, most)).queued if limit else 0
        known = self._known[customer] = _Counted(limit, count, self._monotonic())
        return known

    async def _look_at_sender(self, sender: str) -> _Counted:
        """Count what waits of one sender at a shared endpoint: as much may as of a customer."""
        limit = self._journal.default_limits.backlog or 0
        count = await self._journal.live(sender) if limit else 0
        known = self._known[sender] = _Counted(limit, count, self._monotonic())
        return known
