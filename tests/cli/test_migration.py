"""Old and new code side by side on one store, through a migration and back again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import psycopg
import pytest

from halflap.store.postgres.schema import MIGRATIONS
from tests.faults.process import ROOT
from tests.faults.senders import History
from tests.faults.sink import Sink, serving_sink
from tests.many import PROJECT, Many, many
from tests.polling import DEADLINE, until
from tests.zygote import PYTHON

NEWER = (str(ROOT / "tests" / "newer.py"),)
HASTY = (str(ROOT / "tests" / "hasty.py"),)
PLAIN = PROJECT.replace('await http.get(ctx.config.sink, "/deploying")', "pass")


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serving_sink() as sink:
        yield sink


@pytest.fixture
async def world(tmp_path: Path, sink: Sink) -> AsyncIterator[Many]:
    async with many(tmp_path, sink.url) as world:
        await world.publish(PLAIN)
        yield world


async def command(world: Many, *arguments: str, newer: bool = True) -> tuple[int, str]:
    """Run a command of the newer code; its exit code and all it said."""
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, *(NEWER if newer else ("-m", "halflap")), *arguments),
        *("--dir", str(world.folder / "command")),
        cwd=world.folder,
        env=world.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def there(world: Many) -> tuple[bool, bool]:
    """Return whether what the planted migration adds is there, and whether what it removes is."""
    async with await psycopg.AsyncConnection.connect(world.store_url) as connection:
        found = await connection.execute(
            "SELECT exists (SELECT FROM information_schema.columns WHERE column_name = 'planted'"
            " AND table_schema = current_schema()), to_regclass('executions_by_replay') IS NOT NULL"
        )
        row = await found.fetchone()
        assert row is not None
        return row[0], row[1]


async def test_a_migration_begins_under_load_and_ends_once_no_old_process_is_left(
    world: Many, sink: Sink
) -> None:
    old = [await world.run("gateway", "old-gateway"), await world.run("worker", "old-worker")]
    await world.activate(old[0])
    history, later = History(), History(first=1_000_000)
    async with history.sending(world.hook(old[0], "numbered"), 3, 0.05):
        await until(lambda: arrived(sink, 20))
        assert await there(world) == (False, True)
        new = [
            await world.run("gateway", "new-gateway", NEWER),
            await world.run("worker", "new-worker", NEWER),
        ]
        assert await there(world) == (True, True)
        running = await world.call(new[0], "GET", "/api/processes")
        assert sorted((each["role"], each["migration"]) for each in running) == [
            ("gateway", len(MIGRATIONS)),
            ("gateway", len(MIGRATIONS) + 1),
            ("worker", len(MIGRATIONS)),
            ("worker", len(MIGRATIONS) + 1),
        ]
        so_far = len(sink.arrived)
        async with later.sending(world.hook(new[0], "numbered"), 3, 0.05):
            await until(lambda: arrived(sink, so_far + 100))
            code, said = await command(world, "store", "migrate", "--finish")
            assert code == 1, said
            assert "older code" in said
            assert str(old[1].pid) in said
            assert await there(world) == (True, True)
            _, doctor = await command(world, "doctor")
            assert "2 processes run older code" in doctor, doctor
            assert all(each.runs for each in old)
            assert not history.refused
            assert await old[1].stop() == 0
            so_far = len(sink.arrived)
            await until(lambda: arrived(sink, so_far + 50))
    assert await old[0].stop() == 0
    code, said = await command(world, "store", "migrate", "--finish")
    assert code == 0, said
    assert await there(world) == (True, False)
    code, said = await command(world, "customers", "list", newer=False)
    assert code == 1
    assert "newer than this Halflap" in said
    sent = history.acknowledged | later.acknowledged
    await until(lambda: all_of(sink, sent))
    assert not later.refused
    assert len(history.acknowledged) > 50


async def test_a_control_whose_migration_takes_first_what_old_code_needs_has_events_refused(
    world: Many,
) -> None:
    gateway = await world.run("gateway", "old-gateway")
    await world.run("worker", "old-worker")
    await world.activate(gateway)
    history = History()
    async with history.sending(world.hook(gateway, "numbered"), 3, 0.05):
        await until(lambda: enough(history.acknowledged, 20))
        assert not history.refused
        advanced = await asyncio.create_subprocess_exec(
            *(PYTHON, *HASTY, "store", "migrate"),
            *("--dir", str(world.folder / "command")),
            cwd=world.folder,
            env=world.environment(),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(DEADLINE):
            assert await advanced.wait() == 0
        await until(lambda: enough(history.refused, 1))
    assert set(history.refused.values()) <= {500, 503}


async def test_a_process_that_was_away_while_its_code_became_too_old_ends_itself(
    world: Many,
) -> None:
    old = await world.run("worker", "old-worker")
    await world.run("worker", "new-worker", NEWER)
    os.kill(old.pid, signal.SIGSTOP)
    try:
        async with await psycopg.AsyncConnection.connect(world.store_url) as connection:
            # As if it had been suspended for longer than a process may say nothing.
            await connection.execute("UPDATE processes SET seen_at = 0 WHERE pid = %s", (old.pid,))
        code, said = await command(world, "store", "migrate", "--finish")
    finally:
        os.kill(old.pid, signal.SIGCONT)
    assert code == 0, said
    async with asyncio.timeout(DEADLINE):
        assert await old.process.wait() != 0
    assert "install the Halflap that the other processes run" in old.said()


async def enough(found: Collection[int], count: int) -> bool:
    return len(found) >= count


async def arrived(sink: Sink, count: int) -> bool:
    return len(sink.arrived) >= count


async def all_of(sink: Sink, sent: set[int]) -> bool:
    return sent <= sink.arrived
