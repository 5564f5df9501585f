"""Customers that have too much queued: counted now and then, in between added up."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from halflap.engine.backlog import LATEST_SECONDS, SOONEST_SECONDS, Backlog
from halflap.errors import StoreError
from halflap.model import CustomerLimits
from halflap.store.protocol import Journal
from tests.conformance.test_journal import DONE, LEASE, flow, start
from tests.journals import StandingClock, opened


class Monotonic:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with opened("memory", tmp_path, StandingClock()) as journal:
        yield journal


async def accept(journal: Journal, backlog: Backlog, customer: str = "cus_a") -> bool:
    if await backlog.is_full(customer):
        return False
    await journal.accept([start(flow(customer))], claim=0, lease=LEASE)
    return True


async def test_a_customer_is_full_at_its_limit_and_others_are_not(journal: Journal):
    journal.default_limits = CustomerLimits(backlog=5)
    backlog = Backlog(journal, Monotonic())
    assert [await accept(journal, backlog) for _ in range(7)] == [True] * 5 + [False] * 2
    assert await accept(journal, backlog, "cus_b")


async def test_a_count_that_fails_once_its_request_has_gone_raises_nowhere() -> None:
    unheard: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unheard.append(context))
    fails: asyncio.Future[CustomerLimits] = loop.create_future()

    class Hangs:
        async def limits(self, customer: str) -> CustomerLimits:
            return await fails

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Backlog(cast(Journal, Hangs())).is_full("cus_a")
    fails.set_exception(StoreError("the database does not answer"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert unheard == []


async def test_it_is_counted_again_once_some_may_have_run(journal: Journal):
    monotonic = Monotonic()
    journal.default_limits = CustomerLimits(backlog=3)
    backlog = Backlog(journal, monotonic)
    for _ in range(3):
        assert await accept(journal, backlog)
    for claim in await journal.claim(2, LEASE):
        await journal.end(claim.lease, [], [], DONE)
    assert not await accept(journal, backlog)  # not counted again for each request
    monotonic.now += SOONEST_SECONDS
    assert await accept(journal, backlog)
    assert await accept(journal, backlog)
    assert not await accept(journal, backlog)


async def test_what_other_processes_accept_is_seen_in_time(journal: Journal):
    monotonic = Monotonic()
    journal.default_limits = CustomerLimits(backlog=100)
    mine, other = Backlog(journal, monotonic), Backlog(journal, monotonic)
    assert await accept(journal, mine)
    for _ in range(99):
        assert await accept(journal, other)
    monotonic.now += LATEST_SECONDS
    assert not await accept(journal, mine)


async def test_many_at_once_count_once(journal: Journal):
    journal.default_limits = CustomerLimits(backlog=1_000)
    backlog = Backlog(journal, Monotonic())
    asked: list[str] = []
    load = journal.load

    async def counted(customer: str, most: int):
        asked.append(customer)
        return await load(customer, most)

    journal.load = counted
    found = await asyncio.gather(*(backlog.is_full("cus_a") for _ in range(50)))
    assert (sum(found), len(asked)) == (0, 1)


async def test_a_limit_of_its_own_holds_once_it_is_forgotten(journal: Journal):
    journal.default_limits = CustomerLimits(backlog=1)
    backlog = Backlog(journal, Monotonic())
    assert await accept(journal, backlog)
    assert not await accept(journal, backlog)
    await journal.set_limits("cus_a", CustomerLimits(backlog=0))
    backlog.forget("cus_a")
    assert all([await accept(journal, backlog) for _ in range(20)])
