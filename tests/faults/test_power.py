"""Power cuts at random moments under load, on a disk that forgets what was not fsynced."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.conftest import Note, needs
from tests.faults.disk import LossyDisk, can_mount_fuse, lossy_disk
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.faults.verdict import SEED, all_ended, check, figures

SENDERS = 8


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
        async with history.sending(server.urls["numbered"], SENDERS):
            for number in range(cuts):
                moment, keep = chance.uniform(0.2, 1.2), (0.0, 0.5, 0.9)[number % 3]
                await asyncio.sleep(moment)
                await cut(server, disk, keep, chance)
                print(f"cut {number + 1} after {moment:.3f} s, {len(history.acknowledged)} acked")
                assert (server.directory / "token").read_text() == token
        await all_ended(server)
        check(server, history, sink)
        note(run, faults=cuts, **figures(history, sink), seed=SEED)


async def test_what_was_acknowledged_survives_power_cuts(tmp_path: Path, sink: Sink, note: Note):
    await cut_again_and_again(tmp_path, sink, note, "power cut", 6)


async def test_a_control_that_commits_without_fsync_loses(tmp_path: Path, sink: Sink, note: Note):
    history, chance = History(), random.Random(SEED)
    flags = ("--synchronous", "NORMAL")
    async with (
        lossy_disk(tmp_path / "disk") as disk,
        server_on(disk.path / "store", sink.url, *flags, log=tmp_path / "server.log") as server,
    ):
        async with history.sending(server.urls["numbered"], SENDERS):
            await asyncio.sleep(chance.uniform(0.5, 1.2))
            await disk.cut(0.0, 0)
            await server.kill()
        await disk.on()
        await server.start()
        kept = history.executions & checker.executions(server.directory).keys()
    gone = len(history.executions) - len(kept)
    note("power cut, control", faults=1, acknowledged=len(history.acknowledged), lost=gone)
    assert gone > 0


@pytest.mark.soak
async def test_what_was_acknowledged_survives_dozens_of_power_cuts(
    tmp_path: Path, sink: Sink, note: Note
):
    await cut_again_and_again(tmp_path, sink, note, "power cut, long", 60)
