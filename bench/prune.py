"""Measure what pruning costs accepting: its latency beside the pruner, against alone, in one run.

python -m bench.prune [--store sqlite|postgresql|all] [--rows 60000]

Three ways to remove: whole executions, payloads of each, and, in PostgreSQL, executions while somebody
reads for long, so that the pruner cannot have the lock that it wants. What is removed ended on twelve
days, in four instances; one day after another is to be kept no longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import psycopg

from bench.stores import keeper
from bench.stores.store import KINDS
from halflap.engine.pruner import AT_ONCE, BREATH_SECONDS
from halflap.model import Event, FlowKey, Outcome, Record, Retention, Start, new_id
from halflap.store.protocol import Journal
from halflap.store.retention import RetentionRules
from halflap.store.store import Store
from halflap.store.vault import Vault

LEASE = 600_000_000
FILLED_AT_ONCE = 200
EVERY = 0.005
DAY = 86_400_000_000
DAYS = 12
INSTANCES = ("ins_a", "ins_b", "ins_c", "ins_d")
KEPT = 30
REST_SECONDS = 0.5
"""Seconds until the pruner looks again where it had nothing to do; a server's rests for a minute."""
RESULT = b'"' + b"x" * 200 + b'"'
STEPS = [
    Record(n, f"s{n}", "action", "do", "", "succeeded", 1, 2, RESULT, RESULT) for n in range(1, 4)
]


class Clock:
    """Now, or as many days away from it as one says."""

    def __init__(self) -> None:
        self.days = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000 + self.days * DAY


def start(instance: str, now: int) -> Start:
    id = new_id("exe", now=now)
    flow = FlowKey("cus_a", instance, "shop", "orders", "v1", 1)
    return Start(id, flow, Event("POST", "", "", (), b"x" * 500, 1), id)


async def fill(journal: Journal, clock: Clock, rows: int) -> None:
    """Executions that have ended, on each of the days, in each of the instances."""
    for day in range(DAYS):
        clock.days = day - DAYS
        for at in range(0, rows // DAYS, FILLED_AT_ONCE):
            instance = INSTANCES[at // FILLED_AT_ONCE % len(INSTANCES)]
            starts = [start(instance, clock()) for _ in range(FILLED_AT_ONCE)]
            accepted = await journal.accept(starts, claim=FILLED_AT_ONCE, lease=LEASE)
            ends = [each.claim.lease for each in accepted if each.claim is not None]
            done = Outcome("succeeded", result=RESULT)
            await asyncio.gather(*(journal.end(each, STEPS, [], done) for each in ends))
    clock.days = 0


async def accepting(journal: Journal, clock: Clock, seconds: float) -> list[float]:
    """Accept at a steady rate, and return how long each accept takes; each is also ended."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        one = start("ins_new", clock())
        began = time.perf_counter()
        (accepted,) = await journal.accept([one], claim=1, lease=LEASE)
        took.append(time.perf_counter() - began)
        assert accepted.claim is not None
        await journal.end(accepted.claim.lease, STEPS, [], Outcome("succeeded", result=RESULT))
        await asyncio.sleep(EVERY)
    return sorted(took)


@contextlib.asynccontextmanager
async def pruning(
    journal: Journal, kept: Sequence[Retention], seconds: float
) -> AsyncGenerator[None]:
    """Prune as the pruner does, while things are kept for ever shorter."""

    async def run() -> None:
        began, passed = time.perf_counter(), 0.0
        while passed < 1:
            passed = (time.perf_counter() - began) / seconds
            rules = RetentionRules(kept[min(int(passed * len(kept)), len(kept) - 1)])
            more = await journal.prune(rules, AT_ONCE)
            await asyncio.sleep(BREATH_SECONDS if more else REST_SECONDS)

    task = asyncio.create_task(run())
    yield
    await task


@contextlib.asynccontextmanager
async def reader(url: str) -> AsyncGenerator[None]:
    """Somebody who reads the whole history, and takes a minute over it."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT count(*) FROM history, pg_sleep(0)")
        yield
        await connection.rollback()


async def counted(store: Store, what: str) -> int:
    """Count the executions that have ended, or those of them that have their payload."""
    past = store.hints is not None  # PostgreSQL keeps them apart from what is live
    sql = {
        "executions": "history" if past else "executions WHERE ended_at IS NOT NULL",
        "payloads": "history WHERE body IS NOT NULL" if past else "events",
    }[what]
    return await store.database.read(
        lambda c: c.execute(f"SELECT count(*) FROM {sql}").fetchone()[0]
    )


def told(what: str, alone: Sequence[float], beside: Sequence[float]) -> None:
    """Print both latencies, and their ratio."""
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        a, b = (each[min(int(len(each) * share), len(each) - 1)] * 1e3 for each in (alone, beside))
        print(
            f"  {what}: {name} alone {a:.2f} ms, beside {b:.2f} ms, ratio {b / a:.2f}", flush=True
        )


async def measure(place: Path | str, rows: int, seconds: float) -> None:
    """Fill a store, and measure each way of removing beside nothing."""
    clock = Clock()
    vault = Vault({"bench": os.urandom(32)}, "bench")
    store = await Store.open(place, vault=vault, clock=clock)
    journal = store.journal
    await fill(journal, clock, rows)
    await accepting(journal, clock, 2)
    alone = await accepting(journal, clock, seconds)
    shorter = range(DAYS, 0, -1)
    for what, kept in (
        ("payloads", [Retention(KEPT, each) for each in shorter]),
        ("executions", [Retention(each) for each in shorter]),
    ):
        before = await counted(store, what)
        async with pruning(journal, kept, seconds):
            beside = await accepting(journal, clock, seconds)
        told(f"removing {what}", alone, beside)
        left = await counted(store, what)
        print(f"  {before - left:,} {what} were removed meanwhile", flush=True)
    if isinstance(place, str):
        clock.days = 3
        await journal.prune(RetentionRules(Retention(KEPT)), AT_ONCE)
        # All of it is over then, and nothing of it can be had.
        async with reader(place), pruning(journal, [Retention(1)], seconds):
            beside = await accepting(journal, clock, seconds)
        told("what somebody reads", alone, beside)
    await store.close()


async def main(kinds: Sequence[str], rows: int, seconds: float) -> None:
    """Measure each store."""
    for kind in kinds:
        print(f"{kind}: {rows:,} executions", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o711)  # PostgreSQL may be another user
            if kind == "sqlite":
                await measure(Path(folder) / "store", rows, seconds)
                continue
            with keeper("postgresql", Path(folder)) as cluster, cluster.fresh() as fresh:
                await measure(fresh.url, rows, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    chosen = KINDS if given.store == "all" else (given.store,)
    asyncio.run(main(chosen, given.rows, given.seconds))
