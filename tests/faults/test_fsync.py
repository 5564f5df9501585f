"""A failed fsync: nothing is acknowledged after it, and a restart finds out what is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Note
from tests.faults.conftest import needs
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History, Line
from tests.faults.server import DOUBT
from tests.faults.sink import Sink
from tests.faults.verdict import all_ended, check, figures


def failing_from(when: str) -> tuple[str, ...]:
    """Return the start of a command whose `when`-th fdatasync of a thread fails."""
    traced = ("-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}")
    return ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, *traced)


@pytest.fixture(autouse=True)
def _strace() -> None:
    there = shutil.which("strace") is not None
    trial = [*failing_from("1"), "true"]
    there = there and subprocess.run(trial, capture_output=True, timeout=20).returncode == 0
    needs(there, "to make an fsync fail takes strace, and to be let trace")


async def answers_until_the_end(server: ServerProcess, history: History) -> list[bool]:
    """Send one event after another to a server that is about to end: was each acknowledged?"""
    line, answers = Line(server.urls["numbered"]), list[bool]()
    try:
        while len(answers) < 1_000:
            await line.connect(within=0.5)
            answer = await history.send_one(line)
            answers.append(answer is not None and answer.status < 300)
    except TimeoutError:
        pass  # nobody listens any more
    finally:
        line.close()
    return answers


async def fail_at(path: Path, sink: Sink, note: Note, run: str, moments: Sequence[int]) -> None:
    history, store = History(), path / "store"
    async with server_on(store, sink.url) as server:
        assert await server.stop() == 0
    for moment in moments:
        before = failing_from(str(moment))
        async with server_on(store, sink.url, before=before) as server:
            answers = await answers_until_the_end(server, history)
            assert await server.ended() == DOUBT
        acknowledged = sum(answers)
        print(f"fsync {moment} failed after {acknowledged} acks, then {len(answers)} requests")
        assert answers == [True] * acknowledged + [False] * (len(answers) - acknowledged)
    assert history.acknowledged
    async with server_on(store, sink.url) as server:
        await all_ended(server)
    check(server, history, sink)
    note(run, faults=len(moments), **figures(history, sink))


async def test_after_a_failed_fsync_the_server_acknowledges_nothing_and_ends(
    tmp_path: Path, sink: Sink, note: Note
):
    await fail_at(tmp_path, sink, note, "failed fsync", [15])


async def test_a_control_that_does_not_wait_for_the_disk_goes_on_acknowledging(
    tmp_path: Path, sink: Sink, note: Note
):
    history = History()
    async with server_on(tmp_path / "store", sink.url) as server:
        assert await server.stop() == 0
    flags = ("--synchronous", "OFF")
    async with server_on(tmp_path / "store", sink.url, *flags, before=failing_from("9+")) as server:
        line = Line(server.urls["numbered"])
        for _ in range(60):
            await line.connect()
            await history.send_one(line)
        line.close()
        assert await server.stop() == 0
    note("failed fsync, control", faults=1, acknowledged=len(history.acknowledged))
    assert len(history.acknowledged) == 60


@pytest.mark.soak
async def test_no_moment_of_a_failed_fsync_is_acknowledged(tmp_path: Path, sink: Sink, note: Note):
    await fail_at(tmp_path, sink, note, "failed fsync, long", range(9, 59))
