"""A full disk: refused with 503, never acknowledged without a row, and it goes on by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.conftest import Note
from tests.faults import checker
from tests.faults.conftest import needs
from tests.faults.disk import can_mount, small_disk
from tests.faults.process import server_on
from tests.faults.senders import History, Line
from tests.faults.sink import Sink
from tests.faults.verdict import lost
from tests.polling import DEADLINE, until

MEGABYTES, BALLAST = 96, 80
BODY = 40_000
LEASE = ("--lease", "3000")
"""Longer than the test: a full disk gives back what it stopped, and waits for no lease to run out."""


async def send(history: History, url: str, *, acknowledged: int = 0, refused: int = 0) -> None:
    """Send large events on four connections until so many more were acknowledged, or refused."""
    accepted, turned_away = len(history.acknowledged), len(history.refused)

    async def sender() -> None:
        line = Line(url)
        while (
            len(history.acknowledged) < accepted + acknowledged
            or len(history.refused) < turned_away + refused
        ):
            await line.connect()
            await history.send_one(line, BODY)
        line.close()

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(sender())


@pytest.fixture(autouse=True)
def _mounts(tmp_path: Path) -> None:
    needs(can_mount(tmp_path / "trial"), "a small disk of its own takes root, and to be let mount")


async def test_a_full_disk_refuses_and_recovers_without_a_restart(
    tmp_path: Path, sink: Sink, note: Note
):
    history = History()
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        ballast, store = disk / "ballast", disk / "store"
        log = tmp_path / "server.log"
        async with server_on(store, sink.url, "--room", "2", *LEASE, log=log) as server:
            ballast.write_bytes(bytes(BALLAST << 20))
            await send(history, server.urls["numbered"], refused=100)
            assert history.acknowledged
            assert set(history.refused.values()) == {503}
            assert all(each.isdigit() for each in history.retry_after), history.retry_after
            assert history.executions <= checker.executions(store).keys()
            full = len(history.refused)
            ballast.unlink()
            await send(history, server.urls["numbered"], acknowledged=50)
            await until(lambda: lost(history, sink) == 0, what=lambda: checker.executions(store))
            await until(lambda: checker.live(store) == 0)
            assert checker.problems(store) == []
            assert sink.keys_changed == 0
            assert server.process.returncode is None
            note("full disk", faults=full, acknowledged=len(history.acknowledged), lost=0)


async def test_a_control_that_acknowledges_before_the_commit_has_no_rows_for_it(
    tmp_path: Path, sink: Sink, note: Note
):
    history = History()
    with small_disk(tmp_path / "disk", MEGABYTES) as disk:
        store, log = disk / "store", tmp_path / "server.log"
        async with server_on(store, sink.url, "--ack-early", log=log) as server:
            (disk / "ballast").write_bytes(bytes(BALLAST << 20))
            await send(history, server.urls["numbered"], acknowledged=1_000)
            await server.kill()
        gone = len(history.executions - checker.executions(store).keys())
    note("full disk, control", faults=gone, acknowledged=len(history.acknowledged), lost=gone)
    assert gone > 0
