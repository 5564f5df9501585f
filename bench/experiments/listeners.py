"""Measure what idle listeners cost: memory and processor beside none, and until all of them are open.

    python -m bench.experiments.listeners [10000]

Makes a store in a file with so many active instances, each with a flow that listens to a source which
has nothing and rests for 30 seconds, a connection of its own and a config that names its topic.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from bench.process import rss_mib
from halflap import Batch, Component, Config, Context, Integration, Listening, Request, http
from halflap.engine.journal import JournalEngine
from halflap.engine.listening import Listeners
from halflap.engine.parking import Parking
from halflap.engine.resolver import Resolver
from halflap.engine.throttle import Throttles
from halflap.model import wall_clock
from halflap.sdk.egress import Egress
from halflap.store.store import Store

IDLE_SECONDS = 30.0
component = Component("idle", connection=http.Http)


@component.trigger(methods=())
async def record(request: Request, topic: str) -> Any:
    """A record."""
    return request.json()


@record.listen(start="earliest")
async def _(connection: http.Http, listening: Listening, topic: str) -> AsyncGenerator[Batch]:
    while True:
        await listening.rest(30.0)
        if listening.cursor:
            yield Batch()


class Settings(Config):
    app: http.Http
    topic: str


integration = Integration("idle", config=Settings)


@integration.flow(trigger=record(topic=Settings.topic))
async def flow(ctx: Context[Settings], event: Any) -> None:
    """Do nothing."""


class OneIntegration:
    """A library of the one integration that there is."""

    async def integration(self, version: str) -> Integration[Any]:
        """Return it, whatever is asked for."""
        return integration


async def fill(store: Store, count: int) -> None:
    """Make active instances."""
    catalogue = store.catalogue
    customer = await catalogue.customers.add("Initech")
    await catalogue.versions.publish("idle", "v1", b"")

    async def one(number: int) -> None:
        saved = await catalogue.connections.save(
            customer.id, "http", f"app {number}", {"base_url": "http://127.0.0.1:9"}, {"token": "t"}
        )
        made = await catalogue.instances.add(customer.id, "idle", f"idle {number}", "v1")
        values = {"topic": f"topic {number}"}
        await catalogue.instances.set_revision(made.id, values, {"app": saved.id})
        await catalogue.instances.move(made.id, ("configured",), "active")

    for first in range(0, count, 500):
        await asyncio.gather(*(one(n) for n in range(first, min(first + 500, count))))


async def main(count: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        store = await Store.open(Path(folder) / "data", synchronous="OFF")
        await fill(store, count)
        engine = JournalEngine(store.journal, clock=wall_clock)
        parking = Parking(store.journal, store.catalogue.connections, engine)
        library: Any = OneIntegration()
        resolver = Resolver(
            store.catalogue,
            store.vault,
            library,
            base_url=lambda: "http://127.0.0.1",
            egress=Egress(),
            throttles=Throttles(store.journal, wall_clock),
            journal=store.journal,
        )
        listeners = Listeners(
            store.catalogue,
            engine,
            library,
            resolver,
            parking,
            wall_clock,
            owner="one",
            lease=30_000_000,
        )
        memory, began, cpu = rss_mib(os.getpid()), time.monotonic(), time.process_time()
        running = asyncio.create_task(listeners.run())

        async def is_open() -> bool:
            return (await store.journal.shards.count())["listening"] == count

        while True:
            if await is_open():
                break
            await asyncio.sleep(0.5)
        opened = time.monotonic() - began
        print(
            f"{count:,} open after {opened:.1f} s, {time.process_time() - cpu:.1f} s of the processor"
        )
        now, commits, cpu = rss_mib(os.getpid()), store.commits, time.process_time()
        print(f"memory {memory:.0f} -> {now:.0f} MiB: {(now - memory) / count * 1024:.1f} KiB each")
        await asyncio.sleep(IDLE_SECONDS)
        share = (time.process_time() - cpu) / IDLE_SECONDS
        print(
            f"idle: {share:.2%} of a core, {(store.commits - commits) / IDLE_SECONDS:.2f} commits/s"
        )
        await listeners.stop()
        await running
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
