"""Shared commits on PostgreSQL: who gathers, who helps, and that nobody is left behind."""

import asyncio
from collections.abc import Sequence

import pytest

pytest.importorskip("psycopg")

from halflap.errors import StoreError
from halflap.model import Dedupe, Event, FlowKey, Start, new_id
from halflap.store.postgres.batching import ENOUGH, WRITERS, Gathering
from halflap.store.postgres.journal import LARGE, PostgresJournal
from tests.journals import in_postgres
from tests.polling import DEADLINE


class Table:
    """Keeps what was written, batch by batch; a batch goes on once its gate is open."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.gates: list[asyncio.Event] = []
        self.open = False
        self.gathering: Gathering[int] = Gathering(self.write)

    async def write(self, items: Sequence[int]) -> None:
        self.begun.append(list(items))
        self.gates.append(gate := asyncio.Event())
        if not self.open:
            await gate.wait()
        if any(each < 0 for each in items):
            raise ValueError("a bad one")

    def post(self, *items: int) -> list[asyncio.Future[int]]:
        return [self.gathering.post(each) for each in items]

    def go_on(self) -> None:
        self.open = True
        for each in self.gates:
            each.set()

    async def until(self, batches: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while len(self.begun) < batches:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def test_what_comes_while_a_batch_is_written_is_one_batch() -> None:
    table = Table()
    first = table.post(1, 2)
    await table.until(1)
    rest = [each for number in range(3, 10) for each in table.post(number)]
    table.go_on()
    assert await asyncio.gather(*first, *rest) == list(range(1, 10))
    assert table.begun == [[1, 2], list(range(3, 10))]


async def test_others_help_where_many_wait_or_the_first_is_held_up() -> None:
    table = Table()
    posted = table.post(0)
    await table.until(1)
    posted += table.post(*range(1, ENOUGH + 1))
    await table.until(2)
    assert table.begun == [[0], list(range(1, ENOUGH + 1))]

    posted += table.post(1_000)
    await table.until(WRITERS)  # both are held up by now
    assert table.begun[-1] == [1_000]
    posted += table.post(1_001)
    table.go_on()
    await asyncio.gather(*posted)


async def test_what_comes_as_a_writer_ends_is_written_too() -> None:
    table = Table()
    table.open = True
    for number in range(50):
        (future,) = table.post(number)
        followed: list[asyncio.Future[int]] = []
        future.add_done_callback(lambda _, f=followed, n=number: f.extend(table.post(-1 - n + 500)))
        await future
        async with asyncio.timeout(DEADLINE):
            while not followed:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await followed[0]


async def test_a_writer_that_rests_does_so_for_as_long_as_it_wrote() -> None:
    """However much comes in, the database does something else half of the time."""
    time = asyncio.get_running_loop().time
    begun: list[float] = []
    ended: list[float] = []

    async def write(_: Sequence[int]) -> None:
        begun.append(time())
        await asyncio.sleep(0.02)
        ended.append(time())

    gathering: Gathering[int] = Gathering(write, writers=1, largest=1, rests=True)
    await asyncio.gather(*(gathering.post(each) for each in range(4)))
    await gathering.settled()
    for one, (began, over) in zip(begun[1:], zip(begun, ended, strict=True), strict=False):
        assert one - over >= 0.9 * (over - began)


async def test_a_bad_one_hurts_only_itself() -> None:
    table = Table()
    table.open = True
    found = await asyncio.gather(*table.post(1, -2, 3), return_exceptions=True)
    assert [type(each) for each in found] == [int, ValueError, int]
    assert StoreError not in map(type, found)


async def test_a_large_event_shares_its_commit_with_none_that_is_small() -> None:
    """PostgreSQL compresses it meanwhile: whoever shared the commit would wait for that."""
    async with in_postgres() as journal:
        assert isinstance(journal, PostgresJournal)
        flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)

        async def accept(body: bytes) -> None:
            id, event = new_id("exe"), Event("POST", "", "", (), body, 1)
            await journal.accept([Start(id, flow, event, id)], claim=0, lease=30_000_000)

        small = [accept(b"{}") for _ in range(3)]
        await asyncio.gather(*small, accept(b"x" * LARGE), accept(b"x" * (LARGE + 1)))
        stats = journal._database.stats
        assert (stats.jobs, stats.largest_batch) == (5, 4)


async def test_large_events_are_stored_as_they_came() -> None:
    """They are sent in pieces, after what decides which of them are new."""
    async with in_postgres() as journal:
        flow = FlowKey("cus_1", "ins_1", "shop", "orders", "v1", 1)
        once = Dedupe("order 1", ttl=1_000_000)

        def start(body: bytes, dedupe: Dedupe | None = None) -> Start:
            event = Event("POST", "/ä", "a=1", (("x-é", "ü"),), body, 7, part=3)
            return Start(id := new_id("exe"), flow, event, id, dedupe=dedupe)

        large = start(bytes(range(256)) * 5_000, once)
        brought = [large, start(b""), start(b"x" * LARGE, once), start(b"y" * LARGE), large]
        answers = await journal.accept(brought, claim=2, lease=30_000_000)
        again = await journal.accept([large], claim=0, lease=30_000_000)
        assert [each.claim is not None for each in answers] == [True, True, False, False, False]
        assert [each.duplicate_of for each in answers] == [None, None, large.execution, None, None]
        assert again[0].duplicate_of is None
        for each in (brought[0], brought[1], brought[3]):
            assert await journal.event(each.execution) == each.event
        assert await journal.event(brought[2].execution) is None
