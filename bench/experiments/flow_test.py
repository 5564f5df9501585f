"""The time that a test of a flow takes: `run` of three stubbed steps, on a store of its own.

    python -m bench.experiments.flow_test

Printed: milliseconds of CPU a run, the median of five rounds of 200.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from halflap import Component, Config, Context, Integration, webhook
from halflap.testing import Run

RUNS = 200
ROUNDS = 5
shop = Component("shop")
integration = Integration("shop", config=Config)


@shop.action
async def book(name: str) -> str:
    """Book something."""
    return name


@integration.flow(trigger=webhook.request())
async def booking(ctx: Context[Config], event: Any) -> None:
    """Book three times."""
    for name in ("a", "b", "c"):
        await book(name)


async def main() -> None:
    """Measure, and print."""
    run, taken = Run(), list[float]()
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(RUNS):
            result = await run(booking, {}, stubs={book: "booked"})
            assert result.state == "succeeded"
        taken.append((time.process_time() - began) / RUNS * 1e3)
    print(f"{statistics.median(taken):.2f} ms of CPU a run")


if __name__ == "__main__":
    asyncio.run(main())
