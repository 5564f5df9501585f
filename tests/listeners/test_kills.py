"""Whatever a source has becomes one execution each: servers killed at every step of reading it.

The source runs in a process of its own and the checker reads the store past our code. The controls are
servers that move the cursor first, or accept without a fence: these have to lose, or double, something.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from halflap.store.store import Store
from tests.cluster import emptied_url
from tests.faults import checker
from tests.faults.process import ServerProcess
from tests.listeners.reader import POINTS, accepted, reader
from tests.polling import DEADLINE, stays, until
from tests.zygote import PYTHON

HERE = Path(__file__).parent
NUMBERS = 60
SHARDS = "abc"
FLOWS = ("log", "queue")
LOG = {shard: [1_000 * place + n for n in range(NUMBERS)] for place, shard in enumerate(SHARDS)}
QUEUE = [10_000 + n for n in range(NUMBERS)]
ALL = Counter([*QUEUE, *(n for numbers in LOG.values() for n in numbers)])


class Feed:
    """The source's process, as tests tell it what to do."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def tell(self, path: str, **what: Any) -> None:
        async with self._http.post(self.url + path, json=what) as answer:
            assert answer.status == 200

    async def state(self) -> dict[str, int]:
        async with self._http.get(self.url + "/state") as answer:
            return await answer.json()

    async def reads(self) -> int:
        """Return how often the log was read."""
        return (await self.state())["reads"]

    async def put_all(self) -> None:
        await self.tell("/put", log=LOG, queue=QUEUE)


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    process = await asyncio.create_subprocess_exec(
        PYTHON, str(HERE / "source.py"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    async with aiohttp.ClientSession() as http:
        yield Feed(f"http://127.0.0.1:{told['port']}", http)
    process.kill()
    await process.wait()


def is_quiet(place: Path | str) -> bool:
    return not any(checker.live(place, flow) for flow in FLOWS)


def server(
    folder: Path, feed: Feed, *flags: str, store: str = "", log: str = "server"
) -> AbstractAsyncContextManager[ServerProcess]:
    return reader(folder, feed.url, *flags, store=store, log=folder.parent / log)


async def complete(place: Path | str, feed: Feed, within: float = DEADLINE) -> Counter[int]:
    """Return what was accepted, once the source is empty and nothing is live."""

    async def is_over() -> bool:
        left = (await feed.state())["left"]
        return not left and set(accepted(place, *FLOWS)) >= set(ALL)

    await until(is_over, within)
    await until(lambda: is_quiet(place), within)
    return accepted(place, *FLOWS)


EACH_POINT = [(point, time) for time in (1, 2, 3) for point in POINTS]


@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param([EACH_POINT[1], EACH_POINT[6]], id="sampled"),
        pytest.param(EACH_POINT, id="all", marks=pytest.mark.soak),
    ],
)
async def test_a_server_that_is_killed_at_each_step_loses_doubles_and_disorders_nothing(
    deaths: Sequence[tuple[str, int]], tmp_path: Path, feed: Feed
):
    await feed.put_all()
    folder = tmp_path / "data"
    for point, time in deaths:
        async with server(folder, feed, "--die", f"{point}:{time}") as dying:
            assert await dying.ended() == -9
    async with server(folder, feed):
        assert await complete(folder, feed) == ALL
    found = sorted(checker.executions(folder, "log").items())
    for numbers in LOG.values():
        assert [int(r.result) for _, r in found if int(r.result) in set(numbers)] == numbers


@pytest.mark.parametrize("points", [POINTS[2:3], pytest.param(POINTS, marks=pytest.mark.soak)])
async def test_killed_servers_of_many_on_one_store_lose_and_double_nothing(
    tmp_path: Path, feed: Feed, points: Sequence[str]
):
    url = emptied_url()
    await feed.put_all()
    async with server(tmp_path / "one", feed, "--lease", "3", store=url, log="one.log") as first:
        for time, point in enumerate(points, 2):
            flags = ("--lease", "3", "--die", f"{point}:{time}")
            async with server(tmp_path / "two", feed, *flags, store=url, log="two.log") as dying:
                await asyncio.wait([asyncio.ensure_future(dying.process.wait())], timeout=4)
                await dying.clean_up()
        more = {shard: [n + 500 for n in numbers] for shard, numbers in LOG.items()}
        await feed.tell("/put", log=more)
        wanted = ALL + Counter(n for numbers in more.values() for n in numbers)
        async with server(tmp_path / "two", feed, "--lease", "3", store=url, log="two.log"):
            await first.kill()
            await until(lambda: set(accepted(url, *FLOWS)) >= set(wanted))
            await until(lambda: is_quiet(url))
            assert accepted(url, *FLOWS) == wanted


async def test_the_control_that_moves_the_cursor_first_loses(tmp_path: Path, feed: Feed):
    await feed.tell("/put", log=LOG)
    folder = tmp_path / "data"
    async with server(folder, feed, "--cursor-first", "--die", "between:2") as dying:
        assert await dying.ended() == -9
    async with server(folder, feed) as alive:
        await feed.tell("/put", log={shard: [900_000] for shard in SHARDS})
        await until(lambda: accepted(folder, *FLOWS)[900_000] == 3)
        await alive.stop()
    assert len(set(accepted(folder, *FLOWS))) < 1 + sum(map(len, LOG.values()))


@pytest.mark.parametrize("flags", [(), ("--unfenced",)])
async def test_a_former_owner_doubles_nothing_but_without_a_fence(
    flags: tuple[str, ...], tmp_path: Path, feed: Feed
):
    """A server hangs with what it has read for longer than its lease, and goes on.

    The control accepts without a fence.
    """
    url = emptied_url()
    given = ("--lease", "3", *flags)
    stops = (*given, "--stop", "read:1")
    with psycopg.connect(url, autocommit=True) as connection:
        async with server(tmp_path / "one", feed, *stops, store=url, log="one.log") as first:
            await until(lambda: shard_owners(connection) == 4)
            await feed.tell("/put", log={"a": [n + 7_000 for n in range(20)]})
            await until(lambda: is_stopped(first.process.pid))
            async with server(tmp_path / "two", feed, *given, store=url, log="two.log"):
                await until(lambda: shard_owners(connection, alive=True) == 4)
                await until(lambda: len(accepted(url, *FLOWS)) >= 20)
                first.process.send_signal(signal.SIGCONT)
                if flags:
                    await until(lambda: max(accepted(url, *FLOWS).values()) > 1)
                    return
                # Longer than its patience, and its first pause.
                await stays(lambda: max(accepted(url, *FLOWS).values()) == 1, 4.0)
                await until(lambda: is_quiet(url))
                assert max(accepted(url, *FLOWS).values()) == 1


def is_stopped(pid: int) -> bool:
    """Return whether a process stands still (SIGSTOP)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def shard_owners(connection: psycopg.Connection[Any], *, alive: bool = False) -> int:
    """The number of shards of the log that have an owner: the root, a, b and c."""
    row = connection.execute(
        "SELECT count(*) FROM listener_shards WHERE flow = 'log' AND owner IS NOT NULL"
        + (
            " AND owner IN (SELECT id FROM listener_owners WHERE lease_until >"
            " extract(epoch FROM clock_timestamp()) * 1000000)"
            if alive
            else ""
        )
    ).fetchone()
    assert row is not None
    return row[0]


async def test_faults_of_the_source_lose_and_double_nothing(tmp_path: Path, feed: Feed):
    await feed.tell("/put", log={shard: numbers[:20] for shard, numbers in LOG.items()})
    await feed.tell("/behave", hangs=2)
    folder = tmp_path / "data"
    async with server(folder, feed):
        await until(lambda: len(accepted(folder, *FLOWS)) == 60)
        await feed.tell("/behave", refuses=True)
        await until(lambda: parked(folder) == set(SHARDS))  # each by an answer of its own
        await feed.tell("/put", log={shard: numbers[20:] for shard, numbers in LOG.items()})
        reads = await feed.reads()

        async def unread() -> bool:
            return await feed.reads() == reads

        await stays(unread, 1.0)  # nobody asks while they are parked
        await feed.tell("/behave", refuses=False)
    # Mended: the connection is saved again, as a person would.
    await mend(folder)
    async with server(folder, feed):
        await until(lambda: len(accepted(folder, *FLOWS)) == 180)
        assert max(accepted(folder, *FLOWS).values()) == 1


def parked(folder: Path) -> set[str]:
    """Return the shards of the log that wait for their connection to be mended."""
    sql = "SELECT shard FROM listener_shards WHERE flow = 'log' AND state = 'parked'"
    return {row[0] for row in checker._read(folder, lambda c: c.execute(sql).fetchall())}


async def mend(folder: Path) -> None:
    """Save the connection of a store that no server has open."""
    store = await Store.open(folder)
    try:
        [customer] = await store.catalogue.customers.list()
        [one] = await store.catalogue.connections.list(customer.id)
        await store.catalogue.connections.save(
            customer.id, "http", one.name, one.fields, {"token": "new"}, id=one.id
        )
    finally:
        await store.close()


@pytest.mark.soak  # commits have the engine's own test, and that of the journals
async def test_an_expired_cursor_goes_on_and_says_so(tmp_path: Path, feed: Feed):
    await feed.tell("/put", log={"a": list(range(100))})
    folder = tmp_path / "data"
    async with server(folder, feed):
        await until(lambda: len(accepted(folder, *FLOWS)) == 100)
    await feed.tell("/put", log={"a": list(range(100, 110))})
    await feed.tell("/behave", expire=["a"])
    async with server(folder, feed):
        await until(lambda: gaps(folder) == ["the log was cut"])


def gaps(folder: Path) -> list[str]:
    rows = checker._read(folder, lambda c: c.execute("SELECT gaps FROM listener_shards").fetchall())
    return [each["reason"] for row in rows for each in json.loads(row[0])]
