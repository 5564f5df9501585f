"""What pruning costs accepting: its latency with the pruner busy, against idle.

python -m bench.prune [--rows 100000] [--store postgresql://…]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from halflap.engine.pruner import AT_ONCE, BREATH_SECONDS
from halflap.model import Event, FlowKey, Outcome, Start, new_id
from halflap.store.protocol import Journal
from halflap.store.store import Store
from halflap.store.vault import Vault

LEASE = 600_000_000
FILLED_AT_ONCE = 500
EVERY = 0.005
DAY = 86_400_000_000


def start() -> Start:
    id = new_id("exe")
    flow = FlowKey("cus_a", "ins_a", "shop", "orders", "v1", 1)
    return Start(id, flow, Event("POST", "", "", (), b"x" * 500, 1), id)


async def fill(journal: Journal, rows: int) -> None:
    """Executions that have ended."""
    for _ in range(0, rows, FILLED_AT_ONCE):
        accepted = await journal.accept(
            [start() for _ in range(FILLED_AT_ONCE)], claim=FILLED_AT_ONCE, lease=LEASE
        )
        ends = [each.claim.lease for each in accepted if each.claim is not None]
        await asyncio.gather(
            *(journal.end(each, [], [], Outcome("succeeded", result=b"1" * 200)) for each in ends)
        )


async def accepting(journal: Journal, until: asyncio.Task[int] | float) -> list[float]:
    """How long each accept takes, at a steady rate, until a time or a task's end."""
    took: list[float] = []
    while time.perf_counter() < until if isinstance(until, float) else not until.done():
        began = time.perf_counter()
        await journal.accept([start()], claim=0, lease=LEASE)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(EVERY)
    return sorted(took)


async def prune(journal: Journal, before: int, at_once: int) -> int:
    """Prune as the pruner does, until nothing is left."""
    gone = 0
    while some := await journal.prune(before, at_once):
        gone += some
        await asyncio.sleep(BREATH_SECONDS)
    return gone


async def main(rows: int, place: str) -> None:
    """Fill, measure idle, measure busy, print both and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        now = time.time_ns() // 1_000
        clock = [now - 3 * DAY]
        vault = Vault.from_keys({"bench": os.urandom(32)}, "bench")
        store = await Store.open(
            place or Path(folder) / "store", vault=vault, clock=lambda: clock[0]
        )
        await fill(store.journal, rows)
        clock[0] = now
        idle = await accepting(store.journal, time.perf_counter() + 10)
        pruning = asyncio.create_task(prune(store.journal, now - DAY, AT_ONCE))
        busy = await accepting(store.journal, pruning)
        print(f"{place.partition(':')[0] or 'sqlite'}: {pruning.result():,} executions pruned")
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            a, b = (each[int(len(each) * share)] * 1e3 for each in (idle, busy))
            print(f"accept {name}: idle {a:.2f} ms, pruning {b:.2f} ms, ratio {b / a:.2f}")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--store", default="")
    given = parser.parse_args()
    asyncio.run(main(given.rows, given.store))
