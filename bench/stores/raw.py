"""The raw group commit of a store of ours: what disk and database allow before we do anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from halflap.gateway.server import run_loop

ROW = b"x" * 1_024


def rates(measure: Callable[[int], Coroutine[Any, Any, float]]) -> dict[str, float]:
    """One-row inserts a second with 32 tasks, as many as there are connections, and with 1,000."""
    return {f"raw_{tasks}_per_s": run_loop(measure(tasks)) for tasks in (32, 1_000)}


async def rate(insert: Callable[[], Awaitable[object]], tasks: int, seconds: float) -> float:
    """Return how many inserts a second so many tasks get done, each waiting for its own."""
    count = 0
    ends = time.monotonic() + seconds

    async def writer() -> None:
        nonlocal count
        while time.monotonic() < ends:
            await insert()
            count += 1

    began = time.monotonic()
    await asyncio.gather(*(writer() for _ in range(tasks)))
    return count / (time.monotonic() - began)
