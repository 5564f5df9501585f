"""The rate at which apps are called: limits of connections, and what the apps ask for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from halflap.engine import throttle as throttling
from halflap.engine.clock import ManualClock
from halflap.engine.throttle import LocalKeeper, Throttle, Throttles
from halflap.errors import RateLimited
from halflap.model import ConnectionLimits, Micros
from halflap.sdk.gate import Blocked
from halflap.store.protocol import Journal
from tests.journals import opened
from tests.polling import DEADLINE
from tests.sdk.test_quota import answer

SECOND: Micros = 1_000_000


class Counting(LocalKeeper):
    """Counts how often it is asked for requests."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.asked = 0

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        self.asked += 1
        return await super().take_tokens(connection, count, rate, burst)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Journal]:
    async with opened("memory", tmp_path, clock) as journal:
        yield journal


def made(clock: ManualClock, keeper: LocalKeeper | None = None, **limits: float) -> Throttle:
    throttles = Throttles(keeper or LocalKeeper(clock), clock, chance=random.Random(1))
    found = throttles.of("con_1")
    found.name, found.limits = "shop", ConnectionLimits(**limits)  # pyright: ignore[reportArgumentType]
    return found


async def refusal(throttle: Throttle) -> Blocked:
    with pytest.raises(Blocked) as caught:
        await throttle.enter()
    return caught.value


def waits(blocked: Blocked) -> float:
    assert blocked.retry_after is not None
    return blocked.retry_after.total_seconds()


async def test_an_app_that_asks_for_a_rest_is_not_called_before_its_end(clock: ManualClock):
    throttle = made(clock)
    throttle.heard(answer(429, Retry_After="30"))
    blocked = await refusal(throttle)
    assert waits(blocked) == 30
    assert "shop (con_1) is not called now: " in blocked.waiting_for
    assert "429" in blocked.waiting_for
    clock.advance(29.9)
    await refusal(throttle)
    clock.advance(0.1)
    await throttle.enter()


async def test_who_was_sent_away_comes_back_first_few_then_more(clock: ManualClock):
    throttle = made(clock)
    throttle.heard(answer(503, Retry_After="10"))
    back = [waits(await refusal(throttle)) - 10 for _ in range(1_000)]
    assert back[0] == 0
    in_second = [sum(second <= each < second + 1 for each in back) for second in range(9)]
    assert in_second[0] < 10
    assert in_second[5] > 5 * in_second[1]
    assert max(back) < 10


async def test_where_a_rate_is_known_they_come_back_no_faster(clock: ManualClock):
    throttle = made(clock, rate=2.0)
    throttle.heard(answer(429, Retry_After="1"))
    back = [waits(await refusal(throttle)) - 1 for _ in range(100)]
    assert back[99] >= 99 / 2


async def test_a_rest_of_unknown_length_doubles_until_the_app_answers(clock: ManualClock):
    throttle = made(clock)
    rests: list[float] = []
    for _ in range(4):
        for _ in range(50):  # many were under way, and all of them are told so
            throttle.heard(answer(429))
        rests.append((throttle.until - clock()) / SECOND)
        clock.advance(rests[-1])
    assert rests == [1, 2, 4, 8]
    throttle.heard(answer(200))
    throttle.heard(answer(429))
    assert (throttle.until - clock()) / SECOND == 1


async def test_an_error_of_a_components_own_makes_the_app_rest(clock: ManualClock):
    throttle = made(clock)
    error = RateLimited("the day's requests are used up", retry_after=timedelta(minutes=5))
    assert waits(await throttle.limited(error)) == 301  # behind those that were not let through
    clock.advance(299)
    await refusal(throttle)


async def test_a_quota_that_is_used_up_makes_the_app_rest(clock: ManualClock):
    throttle = made(clock)
    throttle.quota(999, 1_000, None)
    await throttle.enter()
    throttle.quota(1_000, 1_000, timedelta(minutes=1))
    assert waits(await refusal(throttle)) == 60


async def test_no_more_calls_are_under_way_than_may_be(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    throttle = made(clock, concurrency=2)
    await throttle.enter()
    await throttle.enter()
    third = asyncio.create_task(throttle.enter())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not third.done()
    throttle.leave()
    await third
    monkeypatch.setattr(throttling, "PATIENCE_SECONDS", 0.02)
    assert "its limit" in (await refusal(throttle)).waiting_for
    throttle.leave()
    throttle.leave()
    await throttle.enter()
    await throttle.enter()


async def test_who_is_cancelled_as_it_gets_its_place_gives_it_back(clock: ManualClock):
    throttle = made(clock, concurrency=1)
    await throttle.enter()
    second = asyncio.create_task(throttle.enter())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    throttle.leave()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    async with asyncio.timeout(DEADLINE):
        await throttle.enter()


async def test_requests_of_a_rate_are_leased_in_batches(clock: ManualClock):
    keeper = Counting(clock)
    throttle = made(clock, keeper, rate=100.0)
    for _ in range(100):
        await throttle.enter()
    assert keeper.asked == 4


async def test_workers_share_a_rate(clock: ManualClock, journal: Journal):
    both = [Throttles(journal, clock).of("con_1") for _ in range(2)]
    for each in both:
        each.limits = ConnectionLimits(rate=4.0, burst=4)
    await asyncio.gather(*(each.enter() for each in both for _ in range(2)))
    waiting = asyncio.create_task(both[0].enter())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    clock.advance(0.25)
    async with asyncio.timeout(DEADLINE):
        await waiting


async def test_a_rest_is_learnt_by_other_workers_and_after_a_restart(
    clock: ManualClock, journal: Journal
):
    mine, others = Throttles(journal, clock), Throttles(journal, clock)
    known = others.of("con_1")
    mine.of("con_1").heard(answer(429, Retry_After="60"))
    async with asyncio.timeout(DEADLINE):
        while not await journal.resting():  # noqa: ASYNC110
            await asyncio.sleep(0)
    await others.look()
    assert waits(await refusal(known)) == 60
    later = Throttles(journal, clock)
    await later.look()
    await refusal(later.of("con_1"))
    found = await journal.throttled("con_1")
    assert (found.until, found.reason) == (clock() + 60 * SECOND, "it answered 429")
