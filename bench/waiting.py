"""`python -m bench.waiting`: what executions that wait cost a server: memory, idle CPU, waking.

Half of them sleep for seven days, half wait for a signal, in flows that run on the executor. Prints a
JSON line: RSS with 1,000 waiting and with all, CPU at rest, and how long it takes until 1,000 that
are sent their signal have ended.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.process import REPOSITORY, cpu_ms, rss_mib
from bench.stores import keeper
from bench.stores.store import KINDS
from bench.stores.store import Store as Kept
from halflap import Config, Context, Integration, webhook
from halflap.engine.executor import Executor, Work
from halflap.engine.journal import JournalEngine
from halflap.model import Event, FlowKey, Start, new_id
from halflap.sdk.context import CustomerInfo, InstanceInfo
from halflap.store.protocol import Filter
from halflap.store.store import Store
from halflap.store.vault import Vault

AT_ONCE = 500
WARM = 1_000
WOKEN = 1_000
REST_SECONDS = 10.0
POLL_SECONDS = 2.0

integration = Integration("waiting")


@integration.flow(trigger=webhook.request())
async def wait(ctx: Context[Config], event: Any) -> None:
    """Wait, as the event says."""
    if event["for"] == "time":
        await ctx.sleep(timedelta(days=7))
    else:
        await ctx.wait_for("go")


async def work(key: FlowKey) -> Work:
    """All that running the flow needs."""
    return Work(
        flow=wait,
        config=Config(),
        customer=CustomerInfo("cus_1", "Initech"),
        instance=InstanceInfo("ins_1", "waiting"),
        urls={},
        secret=lambda flow: SecretStr(flow),
        seal=lambda text: text,
        unseal=lambda text: text,
    )


@contextlib.asynccontextmanager
async def running(kept: Kept) -> AsyncGenerator[tuple[JournalEngine, Store]]:
    """An engine that runs on a store."""
    vault = Vault({"k": bytes(32)}, "k")
    store = await Store.open(kept.url or kept.directory, vault=vault)
    engine = JournalEngine(store.journal, clock=store.clock, poll=POLL_SECONDS)
    task = asyncio.create_task(engine.run(Executor(work)))
    try:
        yield engine, store
    finally:
        await engine.stop(5)
        await task
        await store.close()


async def make(engine: JournalEngine, count: int, kind: str) -> list[str]:
    """Make executions wait for a kind of thing; returns their ids."""
    key = FlowKey("cus_1", "ins_1", "waiting", "wait", "v1", 1)
    body = json.dumps({"for": kind}).encode()
    made: list[str] = []
    while len(made) < count:
        some: list[Start] = []
        for _ in range(min(AT_ONCE, count - len(made))):
            id = new_id("exe")
            some.append(Start(id, key, Event("POST", "", "", (), body, 1), root=id))
        await engine.start(some)
        made += [each.execution for each in some]
        while True:
            if engine.running <= AT_ONCE // 2:
                break
            await asyncio.sleep(0.005)
    return made


async def settled(store: Store, count: int) -> None:
    """Return once so many wait."""
    while True:
        found = await store.journal.count(Filter(states=("waiting",)))
        if found.get("waiting", 0) >= count:
            break
        await asyncio.sleep(0.2)
    gc.collect()


async def measure(kept: Kept, count: int) -> dict[str, Any]:
    """Make so many wait, and say what that costs."""
    async with running(kept) as (engine, store):
        await make(engine, WARM, "time")
        await settled(store, WARM)
        before = rss_mib(os.getpid())
        began = time.monotonic()
        asked = await make(engine, count // 2, "signal")
        await make(engine, count - count // 2 - WARM, "time")
        await settled(store, count)
        took = time.monotonic() - began
        after = rss_mib(os.getpid())
        used, theirs = cpu_ms(os.getpid()), kept.cpu_ms()
        await asyncio.sleep(REST_SECONDS)
        idle = cpu_ms(os.getpid()) - used
        stores = kept.cpu_ms() - theirs
        woken = asked[:: max(len(asked) // WOKEN, 1)][:WOKEN]
        began = time.monotonic()
        await asyncio.gather(*[engine.signal(each, "go", b"null") for each in woken])
        ended = await asyncio.gather(*[engine.outcome(each, 60) for each in woken])
        return {
            "waiting": count,
            "rss_mib_with_1000": round(before, 1),
            "rss_mib": round(after, 1),
            "idle_cpu_percent": round(idle / REST_SECONDS / 10, 2),
            "idle_cpu_percent_store": round(stores / REST_SECONDS / 10, 2),
            "made_per_second": round((count - WARM) / took),
            "woken": sum(each is not None for each in ended),
            "woken_seconds": round(time.monotonic() - began, 2),
        }


def main() -> None:
    """Measure on the stores that are named."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description=__doc__)
    parser.add_argument("--store", choices=KINDS, default="sqlite", help="the store (sqlite)")
    parser.add_argument("--count", type=int, default=100_000, help="how many wait (100,000)")
    parser.add_argument("--dir", type=Path, default=REPOSITORY / ".halflap")
    arguments = parser.parse_args()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    with keeper(arguments.store, arguments.dir) as kept, kept.fresh() as store:
        found = asyncio.run(measure(store, arguments.count))
    sys.stdout.write(json.dumps({"store": arguments.store, **found}) + "\n")


if __name__ == "__main__":
    main()
