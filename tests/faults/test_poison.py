"""An event whose flow ends its process: set aside, while everything else goes on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.conftest import Note
from tests.faults import checker
from tests.faults.conftest import Store
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History, Line
from tests.faults.sink import Sink
from tests.faults.verdict import lost
from tests.polling import until

pytestmark = pytest.mark.soak
"""Commits have `engine/test_probation.py`, poisoned in four ways, and two workers of `test_many.py`."""


async def send_poison(server: ServerProcess) -> None:
    """Send the event that ends the server that runs it."""
    line = Line(server.urls["poison"])
    await line.connect()
    await line.post(b"{}")
    line.close()
    await server.ended()


async def test_what_ends_its_process_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path, store: Store, sink: Sink, note: Note
):
    history = History()
    async with server_on(tmp_path / "store", sink.url, store=store.url) as server:
        place = server.place
        await send_poison(server)
        await server.start()
        async with history.sending(server.urls["numbered"], 2, pause=0.1):
            await until(lambda: checker.live(place, "poison") == 0)
        await until(lambda: lost(history, sink) == 0)
        assert server.process.returncode is None
        (row,) = checker.executions(place, "poison").values()
        assert row.state == "failed"
        assert "ProcessEnded" in row.failure
        note(f"poison{store.name}", faults=1, acknowledged=len(history.acknowledged), lost=0)


async def test_a_control_that_runs_suspects_in_the_server_ends_again(
    tmp_path: Path, sink: Sink, note: Note
):
    async with server_on(tmp_path / "store", sink.url, "--trusting") as server:
        await send_poison(server)
        for _ in range(2):
            with contextlib.suppress(AssertionError):  # it may end before it told where it is
                await server.start()
            assert await server.ended() == 9
        assert checker.live(server.place, "poison") == 1
        note("poison, control", faults=3)
