"""Kill -9 at random moments under load: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from halflap.engine.probation import CHILDREN, MOST_TOGETHER
from tests.conftest import Note
from tests.faults.conftest import SOAKED_ON_POSTGRESQL, Store
from tests.faults.process import ServerProcess, server_on
from tests.faults.senders import History
from tests.faults.sink import Sink
from tests.faults.verdict import SEED, SHARE, all_ended, check, figures, lost
from tests.polling import until

SENDERS = 16
ROOM = 32
EACH, EACH_IN_SOAK = 60, 300
"""Events that a life acknowledges at least; each of the senders has had several by then."""
LONGEST = 0.25
IN_FLIGHT = ROOM + CHILDREN * MOST_TOGETHER
"""Executions that one server may have under way: its own room, and those on probation."""


async def killed_again_and_again(
    server: ServerProcess,
    history: History,
    *,
    kills: int,
    seconds: float = 0.0,
    each: int = EACH,
) -> None:
    """Kill and restart it under load, so often and for so long; it is up when this returns.

    Each life acknowledges `each` events at least, however slow the machine is.
    """
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    end = time.monotonic() + seconds
    async with history.sending(server.urls["numbered"], SENDERS):
        while server.kills < kills or time.monotonic() < end:
            enough = len(history.acknowledged) + each
            await until(lambda: len(history.acknowledged) >= enough)  # noqa: B023
            moment = chance.uniform(0, LONGEST)
            await asyncio.sleep(moment)
            await server.kill()
            print(f"kill {server.kills} after {moment:.3f} s, {len(history.acknowledged)} acked")
            await server.start()


async def kill_loop(
    directory: Path, store: Store, sink: Sink, note: Note, run: str, **bounds: Any
) -> None:
    history = History()
    async with server_on(directory, sink.url, "--room", str(ROOM), store=store.url) as server:
        await killed_again_and_again(server, history, **bounds)
        await all_ended(server)
    check(server, history, sink)
    assert sink.duplicates <= server.kills * IN_FLIGHT
    note(f"{run}{store.name}", faults=server.kills, **figures(history, sink), seed=SEED)


@SOAKED_ON_POSTGRESQL
async def test_what_was_acknowledged_survives_kill_9_of_the_server(
    tmp_path: Path, store: Store, sink: Sink, note: Note
):
    await kill_loop(tmp_path / "store", store, sink, note, "kill -9", kills=3)


@SOAKED_ON_POSTGRESQL
async def test_a_control_that_acknowledges_before_the_commit_loses(
    tmp_path: Path, store: Store, sink: Sink, note: Note
):
    history = History()
    async with server_on(tmp_path / "store", sink.url, "--ack-early", store=store.url) as server:
        await killed_again_and_again(server, history, kills=2)
        await all_ended(server)
    note(f"kill -9{store.name}, control", faults=server.kills, **figures(history, sink), seed=SEED)
    assert lost(history, sink) > 0


@pytest.mark.soak
async def test_what_was_acknowledged_survives_hundreds_of_kills(
    tmp_path: Path, store: Store, sink: Sink, note: Note
):
    run = "kill -9, long"
    bounds = {"kills": round(500 * SHARE), "seconds": 1_500 * SHARE, "each": EACH_IN_SOAK}
    await kill_loop(tmp_path / "store", store, sink, note, run, **bounds)
