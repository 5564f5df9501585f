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
