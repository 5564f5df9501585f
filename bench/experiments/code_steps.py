"""Measure what a code step costs: the first one, a warm one, one that calls an action.

    python -m bench.experiments.code_steps

Each runs alone, on one loop, one run after another; the median of five rounds is printed, the
slowest of a hundred of the runs, and what the server's own process spends on one. `32 at once` is the
time a run where as many are under way: of four customers, on all workers; of one, on half of them, which
are as many as there are processors.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from halflap.lowcode.code import Code, CodeCall, CodeRunner, Pool

ROUNDS = 5
RUNS = 200

Run = Callable[[], Awaitable[Any]]

NOTHING = "return event['id']"
TOTALS = """
from decimal import Decimal
total = Decimal(0)
for line in event["lines"]:
    total += line["count"] * line["price"]
return {"total": total, "lines": len(event["lines"])}
"""
CALLS = "known = await acme.find(event['id'])\nreturn known['id']"
GATHERS = "import asyncio\nreturn await asyncio.gather(*[acme.find(n) for n in range(10)])"

EVENT = {
    "id": "006",
    "lines": [
        {"sku": f"sku-{n:04}", "count": n, "price": Decimal("1.10"), "note": "x" * 50}
        for n in range(100)
    ],
}
SMALL = {"id": "006"}


async def answer(call: CodeCall) -> Any:
    return {"id": "a1"}


async def first() -> float:
    started = time.perf_counter()
    pool = Pool()
    await CodeRunner(pool).run(Code.parse("return 1"), {}, answer)
    pool.close()
    return time.perf_counter() - started


async def measured(run: Run) -> tuple[float, float, float]:
    """The median of the rounds, the slowest hundredth, and this process's part, in seconds a run."""
    for _ in range(50):
        await run()
    rounds: list[float] = []
    every: list[float] = []
    spent = time.process_time()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(RUNS):
            started = time.perf_counter()
            await run()
            every.append(time.perf_counter() - started)
        rounds.append((time.perf_counter() - began) / RUNS)
    spent = (time.process_time() - spent) / (ROUNDS * RUNS)
    return statistics.median(rounds), statistics.quantiles(every, n=100)[98], spent


async def main() -> None:
    starts = [await first() for _ in range(ROUNDS)]
    print(
        f"{'the first run of a process, and its end':44} {statistics.median(starts) * 1e3:7.1f} ms"
    )
    started = time.perf_counter()
    for n in range(RUNS):
        Code.parse(f"{TOTALS}# {n}", ["event"])
    print(f"{'a check without running':44} {(time.perf_counter() - started) / RUNS * 1e3:7.2f} ms")
    runner = CodeRunner(Pool())

    def of(text: str, event: Any) -> Run:
        code = Code.parse(text, ["event"], ["acme"])
        return lambda: runner.run(code, {"event": event}, answer)

    for title, text, event in (
        ("a run that calls nothing", NOTHING, SMALL),
        ("a run over an event of 10 KB", TOTALS, EVENT),
        ("a run that calls one action", CALLS, SMALL),
        ("a run that gathers ten", GATHERS, SMALL),
    ):
        median, slow, server = await measured(of(text, event))
        print(
            f"{title:44} {median * 1e3:7.2f} ms   (p99 {slow * 1e3:.2f} ms, "
            f"server {server * 1e3:.2f} ms)"
        )
    code = Code.parse(NOTHING, ["event"])

    for owners, title in ((4, "32 at once of four customers, a run"), (1, "of one, a run")):

        async def many(owners: int = owners) -> None:
            owned = [str(n % owners) for n in range(32)]
            await asyncio.gather(
                *[runner.run(code, {"event": SMALL}, answer, owner=each) for each in owned]
            )

        median, _, _ = await measured(many)
        print(f"{title:44} {median / 32 * 1e3:7.2f} ms")


if __name__ == "__main__":
    asyncio.run(main())
