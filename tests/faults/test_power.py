"""Power cuts at random moments under load, on a disk that forgets what was not fsynced."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.cluster import other_user
from tests.cluster import template
from tests.conftest import Note
from tests.faults import checker
from tests.faults.cluster import Cluster, cluster
from tests.faults.conftest import needs
from tests.faults.disk import LossyDisk, can_mount_fuse, lossy_disk
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.faults.verdict import SEED, all_ended, check, figures
from tests.polling import until

SENDERS = 8
PAUSE = 0.02
"""Seconds that a sender rests: this disk is a program, which takes a processor for what is written."""
SOON = 100
"""Events before a store first moves its log into the file, which syncs it, whatever commits do."""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    needs(can_mount_fuse(), "a disk whose power can be cut takes root, /dev/fuse and libfuse")


async def cut(server: ServerProcess, disk: LossyDisk, keep: float, chance: random.Random) -> None:
    """Cut the power, and switch it on again."""
    await disk.cut(keep, chance.randrange(10**6))
    await server.kill()
    await disk.on()
    await server.start()


async def cut_again_and_again(path: Path, sink: Sink, note: Note, run: str, cuts: int) -> None:
    history, chance = History(), random.Random(SEED)
    print(f"seed {SEED}")
    async with (
        lossy_disk(path / "disk") as disk,
        server_on(disk.path / "store", sink.url, log=path / "server.log") as server,
    ):
        token = (server.directory / "token").read_text()
        assert token
        async with history.sending(server.urls["numbered"], SENDERS, PAUSE):
            for number in range(cuts):
                moment, keep = chance.uniform(0.1, 0.6), (0.0, 0.5, 0.9)[number % 3]
                await asyncio.sleep(moment)
                await cut(server, disk, keep, chance)
                print(f"cut {number + 1} after {moment:.3f} s, {len(history.acknowledged)} acked")
                # The commits that failed at the cut were answered 503, and may be on the disk.
                history.unknown |= history.refused.keys()
                assert (server.directory / "token").read_text() == token
        await all_ended(server)
        check(server, history, sink)
        note(run, faults=cuts, **figures(history, sink), seed=SEED)


async def test_what_was_acknowledged_survives_power_cuts(tmp_path: Path, sink: Sink, note: Note):
    await cut_again_and_again(tmp_path, sink, note, "power cut", 3)


async def test_a_control_that_commits_without_fsync_loses(tmp_path: Path, sink: Sink, note: Note):
    history = History()
    flags = ("--synchronous", "NORMAL")
    async with (
        lossy_disk(tmp_path / "disk") as disk,
        server_on(disk.path / "store", sink.url, *flags, log=tmp_path / "server.log") as server,
    ):
        async with history.sending(server.urls["numbered"], SENDERS):
            while len(history.acknowledged) < SOON:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await disk.cut(0.0, 0)
            await server.kill()
        await disk.on()
        await server.start()
        kept = history.executions & checker.executions(server.directory).keys()
    gone = len(history.executions) - len(kept)
    note("power cut, control", faults=1, acknowledged=len(history.acknowledged), lost=gone)
    assert gone > 0


@asynccontextmanager
async def on_a_lossy_disk(path: Path, *settings: str) -> AsyncGenerator[tuple[LossyDisk, Cluster]]:
    """PostgreSQL, all of whose files lie on a disk whose power can be cut."""
    place = Path(tempfile.mkdtemp(prefix="halflap-pg-"))
    place.chmod(0o755)
    try:
        async with lossy_disk(place / "disk", other_user()) as disk:
            await asyncio.to_thread(shutil.copytree, template(), disk.path / "data")
            await disk.settle()
            async with cluster(disk.path / "data", settings=settings) as database:
                yield disk, database
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def cut_database(database: Cluster, disk: LossyDisk, keep: float, seed: int) -> None:
    """Cut the power of the database's disk, and switch it on again."""
    await disk.cut(keep, seed)
    await database.kill()
    await disk.on()
    await database.start()


async def cut_databases(path: Path, sink: Sink, note: Note, run: str, cuts: int) -> None:
    history, chance = History(), random.Random(SEED)
    print(f"seed {SEED}")
    async with on_a_lossy_disk(path) as (disk, database):
        async with server_on(path / "server", sink.url, store=database.url) as server:
            async with history.sending(server.urls["numbered"], SENDERS, PAUSE):
                for number in range(cuts):
                    before = len(history.acknowledged)
                    await until(lambda seen=before: len(history.acknowledged) > seen + 20)
                    keep = (0.0, 0.5, 0.9)[number % 3]
                    await cut_database(database, disk, keep, chance.randrange(10**6))
                    print(f"cut {number + 1}, {len(history.acknowledged)} acked")
            await all_ended(server, 120)
        check(server, history, sink)
        note(run, faults=cuts, **figures(history, sink), seed=SEED)


@pytest.mark.soak
async def test_a_control_whose_postgresql_commits_without_fsync_loses(
    tmp_path: Path, sink: Sink, note: Note
):
    history = History()
    async with on_a_lossy_disk(tmp_path, "fsync=off", "full_page_writes=off") as (disk, database):
        flows = tmp_path / "server"
        async with server_on(flows, sink.url, store=database.url) as server:
            await disk.settle()
            async with history.sending(server.urls["numbered"], SENDERS, PAUSE):
                await until(lambda: len(history.acknowledged) > 50)
                await disk.cut(0.0, 0)
                await database.kill()
                await server.kill()
        await disk.on()
        kept = set[str]()
        with contextlib.suppress(AssertionError):  # it may not even start: then all is lost
            await database.start()
            kept = history.executions & checker.executions(database.url).keys()
    gone = len(history.executions) - len(kept)
    acknowledged = len(history.acknowledged)
    note("power cut, PostgreSQL, control", faults=1, acknowledged=acknowledged, lost=gone)
    assert gone > 0


@pytest.mark.soak
async def test_what_was_acknowledged_survives_dozens_of_power_cuts_of_postgresql(
    tmp_path: Path, sink: Sink, note: Note
):
    await cut_databases(tmp_path, sink, note, "power cut, PostgreSQL, long", 50)


@pytest.mark.soak
async def test_what_was_acknowledged_survives_dozens_of_power_cuts(
    tmp_path: Path, sink: Sink, note: Note
):
    await cut_again_and_again(tmp_path, sink, note, "power cut, long", 60)
