"""Processes on a store whose clock is set while they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.faults.clock import WallClock, library
from tests.faults.cluster import cluster
from tests.faults.process import ROOT
from tests.faults.sink import Sink
from tests.many import Many, Proc, many

FAULTY = str(ROOT / "tests" / "faulty.py")


@asynccontextmanager
async def going_by(
    clock: WallClock,
    kind: str,
    folder: Path,
    sink: Sink,
    *faults: str,
    project: str,
    settings: Mapping[str, str],
) -> AsyncIterator[tuple[Many, Proc]]:
    """Processes whose store goes by this clock; and the one of them that takes events."""
    if kind == "SQLite":
        before = (FAULTY, ",".join(("settable", "watchful", *faults)))
        async with many(folder, sink.url, folder / "server") as world:
            await world.publish(project)
            yield world, await world.run("serve", "server", before, **settings, **clock.environment)
        return
    async with AsyncExitStack() as stack:
        if library():
            database = await stack.enter_async_context(cluster(before=clock.before))
            url, faults = database.url, ("watchful", *faults)
        else:  # no faketime here: what the database says the time to be is changed on its way
            url, faults = "", ("watchful", "database-time", *faults)
        world = await stack.enter_async_context(many(folder, sink.url, url))
        before, given = (FAULTY, ",".join(faults)), {**settings, **clock.environment}
        await world.publish(project)
        gateway = await world.run("gateway", before=before, **clock.environment)
        for _ in range(2):
            await world.run("worker", before=before, **given)
        yield world, gateway
