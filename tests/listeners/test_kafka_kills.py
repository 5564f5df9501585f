"""Whatever a topic has becomes one execution each: servers killed at every step, and brokers.

Brokers and servers are processes of their own, and the checker reads the store past our code.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import KafkaBroker, broker
from tests.cluster import emptied_url
from tests.faults import checker
from tests.faults.process import ServerProcess
from tests.listeners.reader import AT_POINTS, accepted, reader
from tests.polling import DEADLINE, until

PARTITIONS = 4
NUMBERS = range(200)


def server(
    folder: Path, at: KafkaBroker, *flags: str, store: str = "", log: str = "server"
) -> AbstractAsyncContextManager[ServerProcess]:
    log_file = folder.parent / log
    return reader(folder, at.servers, "--topic", *flags, store=store, log=log_file)


def put(at: KafkaBroker, numbers: Iterable[int]) -> None:
    for place in range(PARTITIONS):
        mine = [b"%d" % n for n in numbers if n % PARTITIONS == place]
        at.put("log", mine, partition=place)


async def complete(place: Path | str, wanted: Iterable[int], flow: str = "log") -> Counter[int]:
    """Return what was accepted, once all of it is there and nothing is live."""
    await until(lambda: accepted(place, flow).keys() >= set(wanted), 90)
    await until(lambda: not checker.live(place, flow))
    return accepted(place, flow)


def gaps(folder: Path) -> list[str]:
    rows = checker._read(folder, lambda c: c.execute("SELECT gaps FROM listener_shards").fetchall())
    return [each["reason"] for row in rows for each in json.loads(row[0])]


@AT_POINTS
@pytest.mark.parametrize("time", [2, pytest.param(3, marks=pytest.mark.soak)])
async def test_a_server_that_is_killed_at_each_step_loses_and_doubles_nothing(
    time: int, points: Sequence[str], tmp_path: Path
):
    folder, wanted = tmp_path / "data", list(NUMBERS)
    with broker("tansu", tmp_path / "broker") as at:
        at.make_topic("log", PARTITIONS)
        put(at, NUMBERS)
        for point in points:
            at_point = 1 if point == "opened" else time
            async with server(folder, at, "--die", f"{point}:{at_point}") as dying:
                async with asyncio.timeout(DEADLINE):
                    while dying.process.returncode is None:
                        more = range(len(wanted), len(wanted) + 20)
                        await asyncio.to_thread(put, at, more)
                        wanted += more
                        await asyncio.wait(
                            [asyncio.ensure_future(dying.process.wait())], timeout=0.3
                        )
                assert dying.process.returncode == -9
        async with server(folder, at):
            assert await complete(folder, wanted) == Counter(wanted)
        assert gaps(folder) == []


@pytest.mark.soak  # by Tansu a dead member's partitions are given to nobody in some runs
async def test_killed_servers_of_many_lose_and_double_nothing(tmp_path: Path):
    """Two members on one store: one is killed and started anew, then the other.

    Both are started anew, as Tansu gives to one that goes on what a dead one had in some runs only.
    """
    url = emptied_url()
    with broker("tansu", tmp_path / "broker") as at:
        at.make_topic("log", PARTITIONS)
        flags = ("--lease", "3")
        wanted = Counter(NUMBERS)
        put(at, NUMBERS)
        async with server(tmp_path / "one", at, *flags, store=url, log="one.log") as first:
            await complete(url, NUMBERS)
            async with server(tmp_path / "two", at, *flags, store=url, log="two.log") as second:
                for begin, dying in ((1_000, second), (2_000, first)):
                    more = range(begin, begin + 400)
                    writing = asyncio.create_task(asyncio.to_thread(put, at, more))
                    await until(lambda begin=begin: max(accepted(url, "log")) >= begin)
                    await dying.kill()
                    await writing
                    wanted.update(more)
                    await dying.start()
                assert await complete(url, wanted) == wanted


@pytest.mark.parametrize("kind", ["noida", "tansu"])
async def test_a_broker_that_is_killed_loses_none_of_what_it_has(kind: Any, tmp_path: Path):
    """noida-db forgets what it acknowledged a moment before, and Tansu all: that is a gap that is shown.

    What is there afterwards is read. What was read before, and is there still, may be read again then.
    """
    folder = tmp_path / "data"
    with broker(kind, tmp_path / "broker") as at:
        at.make_topic("log", PARTITIONS)
        put(at, NUMBERS)
        async with server(folder, at):
            assert await complete(folder, NUMBERS) == Counter(NUMBERS)
            if kind == "noida":
                await until(lambda: at.keeps("log"))
            at.end()
            at.start()
            if kind == "tansu":
                at.make_topic("log", PARTITIONS)
            put(at, range(1_000, 1_020))
            await until(lambda: accepted(folder, "log").keys() >= set(range(1_000, 1_020)), 120)
        if kind == "tansu":
            assert len(gaps(folder)) == PARTITIONS
            assert max(accepted(folder, "log").values()) == 1


async def test_a_static_member_that_is_killed_gets_its_partitions_back_at_once(tmp_path: Path):
    """noida-db never lets a dead member's partitions go: one with another name would get none."""
    folder, more = tmp_path / "data", range(1_000, 1_040)
    with broker("noida", tmp_path / "broker") as at:
        at.make_topic("log", PARTITIONS)
        put(at, NUMBERS)
        reading = reader(folder, at.servers, "--static", log=tmp_path / "log")
        async with reading as member:
            assert await complete(folder, NUMBERS, "log_static") == Counter(NUMBERS)
            await member.kill()
            put(at, more)
            await member.start()
            wanted = [*NUMBERS, *more]
            assert await complete(folder, wanted, "log_static") == Counter(wanted)
        assert gaps(folder) == []


async def test_the_control_that_moves_the_cursor_first_loses(tmp_path: Path):
    folder = tmp_path / "data"
    with broker("tansu", tmp_path / "broker") as at:
        at.make_topic("log", PARTITIONS)
        put(at, NUMBERS)
        async with server(folder, at, "--cursor-first", "--die", "between:1") as dying:
            assert await dying.ended() == -9
        async with server(folder, at):
            put(at, range(1_000, 1_004))
            await until(lambda: accepted(folder, "log").keys() >= set(range(1_000, 1_004)), 90)
        assert len(accepted(folder, "log")) < len(NUMBERS) + 4
