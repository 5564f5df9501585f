"""A server whose store is away as it is started again: the supervisor tries until it is back."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from halflap.server.supervisor import CANNOT_START
from tests.faults.cluster import cluster
from tests.faults.conftest import needs
from tests.faults.disk import can_mount, small_disk
from tests.faults.sink import Sink
from tests.many import KEYS, Many, many
from tests.polling import until
from tests.served import Served, served

EVENTS = 20
FAILED_STARTS = 3
"""So many starts fail before the store comes back."""
PROJECT = """
from halflap import Config, Context, Integration, Model, http, webhook


class Settings(Config):
    sink: http.Http


class Numbered(Model):
    n: int


integration = Integration("away", config=Settings)


@integration.flow(trigger=webhook.request())
async def numbered(ctx: Context[Settings], event: Numbered) -> None:
    await http.post(ctx.config.sink, "/", json={"n": event.n})
"""
SETTINGS: dict[str, Any] = {
    "keys": KEYS,
    "public_url": "http://hooks.example.com",
    "lease_seconds": 600,  # what ran as the store went away is got back by its name, at once
}


async def activated(server: Served, world: Many) -> str:
    """Activate the instance; returns the path of its hook."""
    await server.started(1)
    await server.post_json(f"/api/instances/{world.instance}/activate?wait=30", None)
    found = await server.get(f"/instances/{world.instance}")
    return "/hooks/" + found["urls"]["numbered"].rpartition("/")[2]


async def outlasted(
    server: Served,
    hook: str,
    sink: Sink,
    away: Callable[[], Awaitable[None]],
    back: Callable[[], Awaitable[None]],
) -> None:
    """Take the store away with events under way, end the server, and give the store back later."""
    accepted = [await server.post(hook, {"n": number}) for number in range(EVENTS)]
    await away()
    os.kill(server.pids[-1], signal.SIGKILL)
    await until(lambda: server.failures >= FAILED_STARTS)
    assert server.process.returncode is None
    await back()
    await server.started(2)
    for execution in accepted:
        assert (await server.ended(execution))["state"] == "succeeded"
    assert sink.arrived == set(range(EVENTS))
    assert sink.keys_changed == 0


async def test_a_supervisor_outlasts_a_database_that_is_down(tmp_path: Path, sink: Sink) -> None:
    async with cluster() as database, many(tmp_path, sink.url, database.url) as world:
        await world.publish(PROJECT, "away")
        place = tmp_path / "server"
        async with served(place, store=database.url, **SETTINGS) as server:
            hook = await activated(server, world)
            await outlasted(server, hook, sink, database.kill, database.start)


async def test_a_supervisor_outlasts_a_full_disk(tmp_path: Path, sink: Sink) -> None:
    needs(can_mount(tmp_path / "trial"), "a small disk of its own takes root, and to be let mount")
    with small_disk(tmp_path / "disk", 96) as disk:
        place, ballast = disk / "store", disk / "ballast"

        async def fill() -> None:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass

        async def empty() -> None:
            ballast.unlink()

        async with many(disk, sink.url, place) as world:
            await world.publish(PROJECT, "away")
            async with served(place, **SETTINGS) as server:
                hook = await activated(server, world)
                await outlasted(server, hook, sink, fill, empty)


async def test_a_control_that_never_ran_ends_while_its_database_is_down(tmp_path: Path) -> None:
    async with cluster() as database:
        await database.kill()
        async with served(tmp_path / "server", store=database.url, **SETTINGS) as server:

            async def ended() -> bool:
                return server.process.returncode is not None

            await until(ended)
            assert server.process.returncode == CANNOT_START
