"""PostgreSQL fails under a server: killed, cut off, its disk full, its fsync refused. Nothing is lost.

The server stays up through all of it: it answers 503 meanwhile, and goes on by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from bench.cluster import other_user
from tests.conftest import Note
from tests.faults import checker
from tests.faults.cluster import Cluster, Wire, can_trace, cluster, strace
from tests.faults.conftest import needs
from tests.faults.disk import can_mount, small_disk
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History, Line
from tests.faults.sink import Sink
from tests.faults.verdict import SEED, all_ended, check, figures, lost
from tests.polling import until

SENDERS = 8
PAUSE = 0.04
"""Seconds that a sender rests: several requests are under way all the same."""
ENDED = 90.0
"""Longer than a lease: what a lost connection left running is claimed again."""


@pytest.fixture
async def database() -> AsyncIterator[Cluster]:
    async with cluster() as running:
        yield running


async def test_a_killed_server_leaves_no_process_that_keeps_it_from_starting(
    database: Cluster,
) -> None:
    async with await psycopg.AsyncConnection.connect(database.url) as connection:
        os.kill(connection.info.backend_pid, signal.SIGSTOP)  # it does not end by itself
        await database.kill()
        await database.start()


async def failing(
    server: ServerProcess,
    history: History,
    faults: int,
    fail: Callable[[random.Random], Awaitable[None]],
) -> None:
    """Let the database fail at random moments under load; it is well when this returns."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    pid = server.pid
    async with history.sending(server.urls["numbered"], SENDERS, pause=PAUSE):
        for number in range(faults):
            before = len(history.acknowledged)
            await until(lambda seen=before: len(history.acknowledged) > seen + 20)
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            await fail(chance)
            print(f"fault {number + 1}, {len(history.acknowledged)} acked")
        before = len(history.acknowledged)
        await until(lambda: len(history.acknowledged) > before + 20)
    assert set(history.refused.values()) <= {503}
    assert all(each.isdigit() for each in history.retry_after), history.retry_after
    assert server.pid == pid
    assert server.process.returncode is None


async def test_a_database_that_is_killed_loses_nothing(
    tmp_path: Path, database: Cluster, sink: Sink, note: Note
):
    async def fail(chance: random.Random) -> None:
        await (database.stop() if database.kills % 2 else database.kill())
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        await database.start()

    history = History()
    async with server_on(tmp_path / "server", sink.url, store=database.url) as server:
        await failing(server, history, 2, fail)
        await all_ended(server, ENDED)
    check(server, history, sink)
    note("database killed", faults=2, **figures(history, sink), seed=SEED)


async def test_a_control_that_acknowledges_before_the_commit_loses(
    tmp_path: Path, database: Cluster, sink: Sink, note: Note
):
    history = History()
    async with server_on(
        tmp_path / "server", sink.url, "--ack-early", store=database.url
    ) as server:
        async with history.sending(server.urls["numbered"], SENDERS, pause=PAUSE):
            await until(lambda: len(history.acknowledged) > 50)
            await database.kill()
            before = len(history.acknowledged)
            await until(lambda: len(history.acknowledged) > before + 20)
            await server.kill()
        await database.start()
        kept = checker.executions(database.url).keys()
    gone = len(history.executions - kept)
    note("database killed, control", faults=1, acknowledged=len(history.acknowledged), lost=gone)
    assert gone > 0


async def test_a_network_that_cuts_every_connection_loses_nothing(
    tmp_path: Path, database: Cluster, sink: Sink, note: Note
):
    wire = Wire(database.port)
    await wire.listen()

    async def fail(chance: random.Random) -> None:
        wire.delay = chance.choice((0.0, 0.0, 0.01))
        wire.cut()

    history = History()
    url = database.url.replace(str(database.port), str(wire.port))
    async with server_on(tmp_path / "server", sink.url, store=url) as server:
        await failing(server, history, 4, fail)
        wire.delay = 0.0
        server.store = database.url  # it is looked at past the wire
        await all_ended(server, ENDED)
    await wire.close()
    check(server, history, sink)
    note("network cut", faults=wire.cuts, **figures(history, sink), seed=SEED)


async def test_a_full_disk_of_the_database_refuses_and_recovers(
    tmp_path: Path, sink: Sink, note: Note
):
    needs(can_mount(tmp_path / "trial"), "a small disk of its own takes root, and to be let mount")
    place = Path(tempfile.mkdtemp(prefix="halflap-pg-"))
    place.chmod(0o755)
    history = History()
    settings = ("max_wal_size=32MB", "checkpoint_timeout=30s")
    with small_disk(place / "disk", 256) as disk:
        shutil.chown(disk, other_user())
        async with cluster(disk / "data", settings=settings) as database:
            url, ballast = database.url, disk / "ballast"
            async with server_on(tmp_path / "server", sink.url, store=url) as server:
                await send(history, server.urls["numbered"], acknowledged=5)
                room = shutil.disk_usage(disk).free
                ballast.write_bytes(bytes(max(room - (1 << 20), 0)))
                await send(history, server.urls["numbered"], refused=10)
                full = len(history.refused)
                assert set(history.refused.values()) == {503}
                ballast.unlink()
                if database.ended:  # it ends where it cannot write its log, and is started again
                    await database.start()
                await database.up()
                assert history.executions <= checker.executions(url).keys()
                await send(history, server.urls["numbered"], acknowledged=5)
                await until(lambda: lost(history, sink) == 0, ENDED)
                await until(lambda: checker.live(url) == 0, ENDED)
                assert checker.problems(url) == []
                assert server.process.returncode is None
    shutil.rmtree(place, ignore_errors=True)
    acknowledged = len(history.acknowledged)
    note("full disk, PostgreSQL", faults=full, acknowledged=acknowledged, lost=0)


async def send(history: History, url: str, *, acknowledged: int = 0, refused: int = 0) -> None:
    """Send large events until so many more were acknowledged, or refused."""
    accepted, turned_away = len(history.acknowledged), len(history.refused)
    line = Line(url)
    async with asyncio.timeout(120):
        while (
            len(history.acknowledged) < accepted + acknowledged
            or len(history.refused) < turned_away + refused
        ):
            await line.connect()
            await history.send_one(line, 100_000)
    line.close()


REFUSED = "PANIC:  could not fdatasync file"


@pytest.mark.soak
async def test_after_a_failed_fsync_nothing_is_acknowledged_that_is_not_there(
    tmp_path: Path, database: Cluster, sink: Sink, note: Note
):
    needs(can_trace(), "to make an fsync fail takes strace, and to be let trace")
    history = History()
    async with server_on(tmp_path / "server", sink.url, store=database.url) as server:
        for moment in (10, 25):  # of each of its processes
            before = database.log.read_text().count(REFUSED)
            await failing_from(database, moment)
            async with history.sending(server.urls["numbered"], SENDERS, pause=PAUSE):
                await until(lambda seen=before: database.log.read_text().count(REFUSED) > seen)
                acknowledged = len(history.acknowledged)
                await until(lambda seen=acknowledged: len(history.acknowledged) > seen)
        refused = database.log.read_text().count(REFUSED)
        await database.stop()
        database.before = []
        await database.start()
        await all_ended(server, ENDED)
    check(server, history, sink)
    note("failed fsync, PostgreSQL", faults=refused, **figures(history, sink))


@pytest.mark.soak
async def test_a_control_that_does_not_wait_for_the_disk_does_not_notice(
    tmp_path: Path, sink: Sink, note: Note
):
    needs(can_trace(), "to make an fsync fail takes strace, and to be let trace")
    history = History()
    async with cluster(settings=("fsync=off",)) as database:
        async with server_on(tmp_path / "server", sink.url, store=database.url) as server:
            await failing_from(database, 10)
            async with history.sending(server.urls["numbered"], SENDERS, pause=PAUSE):
                await until(lambda: len(history.acknowledged) > 100)
        assert REFUSED not in database.log.read_text()
    note("failed fsync, PostgreSQL, control", faults=0, acknowledged=len(history.acknowledged))


async def failing_from(database: Cluster, moment: int) -> None:
    """Start it again so that the `moment`-th fdatasync of each of its processes fails."""
    await database.stop()
    database.before = list(strace("trace=fdatasync", f"inject=fdatasync:error=EIO:when={moment}"))
    await database.start()
