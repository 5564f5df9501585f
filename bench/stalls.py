"""Measure for how long an event loop computes between two of its turns."""

from __future__ import annotations

import asyncio
import time

BEAT_SECONDS = 0.001


class Stalls:
    """The longest time for which a loop computed between two of its turns, by its thread's CPU time."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Look at every turn, until cancelled."""
        while True:
            began = time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            self.longest = max(self.longest, time.thread_time() - began)

    def taken(self) -> float:
        """Return the longest since this was asked last, in ms."""
        longest, self.longest = self.longest, 0.0
        return longest * 1e3
