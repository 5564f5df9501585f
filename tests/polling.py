"""Looking until something is there, with a deadline: a test polls, and sleeps for no fixed time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

DEADLINE = 60.0
"""Seconds within which everything comes true, on a machine that is busy with much else, too.

The one patience of all tests: one that fails sooner says how loaded the machine is.
"""
FIRST, LAST = 0.002, 0.05
"""Seconds between looks: ever longer ones, since what is not there yet takes a while."""


async def until(
    look: Callable[[], Any], seconds: float = DEADLINE, what: Callable[[], object] = lambda: ""
) -> Any:
    """Return what there is to see once it is true; fails, and says `what` there is, where it never is.

    look: returns what it sees, or an awaitable of that.
    """
    pause = FIRST
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = look()
                if isinstance(found, Awaitable):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, LAST)
    except TimeoutError as error:
        raise AssertionError(what() or f"it did not come true in {seconds:g} s") from error


class LoopTime:
    """The time of the running loop, in a test's hands: no stall of the machine lets a timer run out.

    stands: it goes on only by `move`; else it goes on by itself, and `move` lets it leap.
    """

    def __init__(self, *, stands: bool) -> None:
        self._real = asyncio.get_running_loop().time
        self._stands, self._moved = stands, 0.0
        self._began = self._real()

    def __call__(self) -> float:
        return (self._began if self._stands else self._real()) + self._moved

    async def move(self, seconds: float) -> None:
        """Let so many seconds pass, and what waited for them go on."""
        self._moved += seconds
        for _ in range(3):
            await asyncio.sleep(0)


async def stays(look: Callable[[], Any], seconds: float) -> None:
    """Look for a while whether something stays true, where nothing tells that nothing more comes."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        assert found, "it did not stay so"
        await asyncio.sleep(LAST)
