"""Fairness and limits of claims, on every journal: who may run next, and how many."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from halflap.model import ONCE, CustomerLimits, Throttled
from halflap.store.protocol import Claim, Journal, Release
from halflap.store.turns import Share
from tests.conformance.test_journal import (
    DONE,
    LEASE,
    SECOND,
    accepted,
    flow,
    running,
    start,
)
from tests.journals import ON_EVERY_STORE, StandingClock, cancel_one


async def flood(journal: Journal, customer: str, count: int, instance: str = "") -> None:
    await accepted(journal, *(start(flow(customer, instance)) for _ in range(count)))


def by_customer(claims: list[Claim]) -> Counter[str]:
    return Counter(each.start.flow.customer for each in claims)


def by_instance(claims: list[Claim]) -> Counter[str]:
    return Counter(each.start.flow.instance for each in claims)


async def test_a_customers_instances_take_turns_as_well(journal: Journal):
    await flood(journal, "cus_a", 40, "ins_1")
    await flood(journal, "cus_a", 10, "ins_2")
    await flood(journal, "cus_a", 10, "ins_3")
    await flood(journal, "cus_b", 40, "ins_b")
    claims = await journal.claim(24, LEASE)
    assert by_instance(claims) == {"ins_1": 4, "ins_2": 4, "ins_3": 4, "ins_b": 12}


async def test_an_instance_gets_what_the_others_leave(journal: Journal):
    await flood(journal, "cus_a", 40, "ins_1")
    await flood(journal, "cus_a", 1, "ins_2")
    assert by_instance(await journal.claim(20, LEASE)) == {"ins_1": 19, "ins_2": 1}


async def test_every_instance_has_its_turn_where_there_is_room_for_one(journal: Journal):
    for number in range(3):
        await flood(journal, "cus_a", 5, f"ins_{number}")
    got = [(await journal.claim(1, LEASE))[0].start.flow.instance for _ in range(6)]
    assert Counter(got) == {"ins_0": 2, "ins_1": 2, "ins_2": 2}


async def test_what_is_first_in_an_instance_is_claimed_first(
    journal: Journal, clock: StandingClock
):
    first = []
    for _ in range(3):
        begun = start(flow("cus_a", "ins_1"))
        await accepted(journal, begun, start(flow("cus_a", "ins_2")))
        first.append(begun.execution)
        clock.move(1)
    got = [c.start.execution for _ in range(2) for c in await journal.claim(2, LEASE)]
    assert [each for each in got if each in first] == first[:2]


async def test_no_more_run_at_once_than_a_customer_may(journal: Journal, clock: StandingClock):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=3))
    await flood(journal, "cus_a", 10)
    await flood(journal, "cus_b", 2)
    claims = await journal.claim(100, LEASE)
    assert by_customer(claims) == {"cus_a": 3, "cus_b": 2}
    assert journal.held_back == {"cus_a"}
    assert await journal.claim(100, LEASE) == []
    assert await journal.next_due() is None  # nothing to look for before one of them has ended
    assert await journal.next_due(held_back=True) == clock.now
    await flood(journal, "cus_b", 1)
    assert await journal.next_due() == clock.now
    one = next(each for each in claims if each.start.flow.customer == "cus_a")
    await journal.end(one.lease, [], [], DONE)
    assert by_customer(await journal.claim(100, LEASE)) == {"cus_a": 1, "cus_b": 1}


async def test_limits_hold_where_there_is_more_than_room(journal: Journal):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=2))
    await flood(journal, "cus_a", 50)
    await flood(journal, "cus_b", 50)
    assert by_customer(await journal.claim(20, LEASE)) == {"cus_a": 2, "cus_b": 18}


async def test_a_release_makes_room_too(journal: Journal, clock: StandingClock):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=1))
    await flood(journal, "cus_a", 2)
    (claim,) = await journal.claim(10, LEASE)
    await journal.release(claim.lease, [], [], Release("retry", clock.now + SECOND))
    (other,) = await journal.claim(10, LEASE)
    assert other.start.execution != claim.start.execution


@ON_EVERY_STORE
async def test_many_workers_keep_to_a_limit_together(journal: Journal):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=5))
    await flood(journal, "cus_a", 50)
    claims = await asyncio.gather(*(journal.claim(3, LEASE) for _ in range(10)))
    assert sum(map(len, claims)) == 5


async def test_what_is_limited_is_not_claimed_as_it_is_accepted(journal: Journal):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=1))
    for _ in range(2):
        (answer,) = await journal.accept([start()], claim=1, lease=LEASE)
        assert answer.claim is None
    assert len(await journal.claim(10, LEASE)) == 1
    assert (await running(journal, start(flow("cus_b")))).attempt == 1


async def test_flows_of_ours_pass_every_limit(journal: Journal):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=1, rate=1.0))
    await flood(journal, "cus_a", 500)
    assert len(await journal.claim(10, LEASE)) == 1
    ours = await running(journal, start(flow("cus_a", name="$deploy")))
    await accepted(journal, start(flow("cus_a", name="$teardown")))
    share = Share(0, {})
    (claim,) = await journal.claim(1, LEASE, share=share)
    assert claim.start.flow.flow == "$teardown"
    assert (await journal.load("cus_a", 1_000)).running == 1
    assert ours.start.flow.flow == "$deploy"


async def test_no_more_begin_in_a_second_than_a_customer_may(
    journal: Journal, clock: StandingClock
):
    await journal.set_limits("cus_a", CustomerLimits(rate=10.0, burst=3))
    await flood(journal, "cus_a", 20)
    assert len(await journal.claim(100, LEASE)) == 3
    assert await journal.claim(100, LEASE) == []
    assert await journal.next_due() == clock.now + SECOND // 10
    clock.move(SECOND // 10 - 1)
    assert await journal.claim(100, LEASE) == []
    clock.move(1)
    assert len(await journal.claim(100, LEASE)) == 1
    clock.move(10 * SECOND)
    assert len(await journal.claim(100, LEASE)) == 3  # a rest saves up no more than the burst


async def test_a_rate_of_a_second_begins_at_once_by_default(journal: Journal):
    await journal.set_limits("cus_a", CustomerLimits(rate=4.0))
    await flood(journal, "cus_a", 20)
    assert len(await journal.claim(100, LEASE)) == 4


async def test_what_a_rate_lets_go_on_is_due_then_and_not_before(
    journal: Journal, clock: StandingClock
):
    """Where concurrency is what keeps a customer, no time brings it on."""
    await journal.set_limits("cus_a", CustomerLimits(concurrency=1, rate=10.0, burst=1))
    await flood(journal, "cus_a", 3)
    (claim,) = await journal.claim(100, LEASE)
    assert await journal.next_due() is None
    await journal.end(claim.lease, [], [], DONE)
    assert await journal.claim(100, LEASE) == []
    assert await journal.next_due() == clock.now + SECOND // 10


async def test_limits_are_the_default_until_a_customer_has_its_own(journal: Journal):
    journal.default_limits = CustomerLimits(concurrency=2)
    await journal.set_limits("cus_b", CustomerLimits(concurrency=4))
    await journal.set_limits("cus_c", CustomerLimits(concurrency=0, backlog=7))
    for each in ("cus_a", "cus_b", "cus_c"):
        await flood(journal, each, 6)
    assert by_customer(await journal.claim(100, LEASE)) == {"cus_a": 2, "cus_b": 4, "cus_c": 6}
    assert await journal.limits("cus_a") == CustomerLimits()
    assert await journal.limits("cus_c") == CustomerLimits(concurrency=0, backlog=7)
    await journal.set_limits("cus_c", CustomerLimits())
    assert await journal.limits("cus_c") == CustomerLimits()


@pytest.mark.parametrize("room", [10, 100])
async def test_a_share_of_the_asker_is_kept_to(journal: Journal, room: int):
    await flood(journal, "cus_a", 30)
    await flood(journal, "cus_b", 3)
    claims = await journal.claim(room, LEASE, share=Share(6, {"cus_a": 2}))
    assert by_customer(claims) == {"cus_a": 2, "cus_b": 3}
    assert journal.held_back == {"cus_a"}
    assert await journal.next_due() is None


async def test_a_flood_that_may_not_run_hides_nothing_that_may(
    journal: Journal, clock: StandingClock
):
    await journal.set_limits("cus_a", CustomerLimits(concurrency=1))
    await flood(journal, "cus_a", 300)
    assert len(await journal.claim(10, LEASE)) == 1
    clock.move(1)
    await flood(journal, "cus_b", 1)
    assert await journal.next_due() == clock.now
    assert by_customer(await journal.claim(10, LEASE)) == {"cus_b": 1}


async def test_a_load_counts_what_could_run_and_what_is_held(
    journal: Journal, clock: StandingClock
):
    await flood(journal, "cus_a", 4, "ins_1")
    await flood(journal, "cus_a", 3, "ins_2")
    await flood(journal, "cus_b", 9)
    claims = await journal.claim(2, LEASE, share=Share(1, {}))
    assert by_customer(claims) == {"cus_a": 1, "cus_b": 1}
    await journal.hold("ins_2")
    load = await journal.load("cus_a", 100)
    assert (load.running, load.queued) == (1, 6)
    assert (await journal.load("cus_a", 2)).queued == 2
    mine = next(each for each in claims if each.start.flow.customer == "cus_a")
    await journal.release(mine.lease, [], [], Release("sleep", clock.now + 90 * SECOND))
    load = await journal.load("cus_a", 100)
    assert (load.running, load.queued) == (0, 6)  # what sleeps is no backlog
    assert (await journal.load("cus_c", 100)).queued == 0


# -- connections ------------------------------------------------------------------------------


async def test_a_probe_is_the_oldest_that_may_be_repeated(journal: Journal, clock: StandingClock):
    starts = sorted((start() for _ in range(4)), key=lambda each: each.execution)
    for each, suffix in zip(starts, (ONCE, ONCE, "", ""), strict=True):
        claim = await running(journal, each)
        how = Release("park", clock.now + 90 * SECOND, f"connection:con_1{suffix}")
        await journal.release(claim.lease, [], [], how)
    ids = [each.execution for each in starts]
    found = await journal.execution(ids[0])
    assert found is not None
    assert found.waiting_for == "connection:con_1"
    assert await journal.parked() == {"con_1": 4}
    assert await journal.unpark("con_1", 1) == [ids[2]]
    assert await journal.unpark("con_1", 2) == ids[:2]  # then all go on in order
    assert await journal.unpark("con_1", 1) == [ids[3]]


async def test_customers_take_turns_in_what_is_let_go(journal: Journal, clock: StandingClock):
    how = Release("park", clock.now + 90 * SECOND, "connection:con_1")
    parked: dict[str, list[str]] = {"cus_a": [], "cus_b": []}
    for customer in ("cus_a", "cus_a", "cus_a", "cus_b", "cus_b"):
        claim = await running(journal, start(flow(customer)))
        await journal.release(claim.lease, [], [], how)
        parked[customer].append(claim.start.execution)
    a, b = (sorted(each) for each in parked.values())
    probes = [a[0], b[0], a[1], b[1], a[2], b[0]]  # what failed waits behind the others
    for each in probes:
        assert await journal.unpark("con_1", 1) == [each]
        [claim] = await journal.claim(10, LEASE)
        await journal.release(claim.lease, [], [], how)
    assert set(await journal.unpark("con_1", 4)) == {a[0], a[1], b[0], b[1]}
    assert await journal.unpark("con_1", 4) == [a[2]]


async def test_what_is_parked_goes_on_by_connection_the_oldest_first(
    journal: Journal, clock: StandingClock
):
    starts = sorted((start() for _ in range(5)), key=lambda each: each.execution)
    for each in starts:
        claim = await running(journal, each)
        of = "con_1" if each is not starts[4] else "con_2"
        how = Release("park", clock.now + 90 * SECOND, f"connection:{of}")
        await journal.release(claim.lease, [], [], how)
    found = await journal.execution(starts[0].execution)
    assert found is not None
    assert (found.state, found.waiting_for) == ("waiting", "connection:con_1")
    assert await journal.parked() == {"con_1": 4, "con_2": 1}
    assert await journal.claim(10, LEASE) == []
    ids = [each.execution for each in starts]
    assert await journal.unpark("con_1", 1) == ids[:1]
    assert await journal.unpark("con_1", 2) == ids[1:3]
    assert {each.start.execution for each in await journal.claim(10, LEASE)} == set(ids[:3])
    assert await journal.parked() == {"con_1": 1, "con_2": 1}
    assert await cancel_one(journal, ids[3], "no") == "ended"
    assert await journal.unpark("con_1", 9) == []
    clock.move(90 * SECOND)
    assert [each.start.execution for each in await journal.claim(10, LEASE)] == ids[4:]


@ON_EVERY_STORE
async def test_requests_of_a_rate_are_taken_from_one_bucket(journal: Journal, clock: StandingClock):
    assert await journal.take_tokens("con_1", 3, 10.0, 5) == (3, clock.now)
    took = await asyncio.gather(*(journal.take_tokens("con_1", 1, 10.0, 5) for _ in range(6)))
    assert sum(count for count, _ in took) == 2
    assert await journal.take_tokens("con_1", 1, 10.0, 5) == (0, clock.now + SECOND // 10)
    assert (await journal.take_tokens("con_2", 9, 10.0, 5))[0] == 5
    clock.move(SECOND // 10)
    assert (await journal.take_tokens("con_1", 9, 10.0, 5))[0] == 1


async def test_beginnings_are_taken_of_a_customers_rate_as_claims_take_them(
    journal: Journal, clock: StandingClock
):
    assert await journal.take_beginning("cus_1") == (0.0, clock.now)
    assert await journal.limits("cus_1") == CustomerLimits()
    await journal.set_limits("cus_1", CustomerLimits(rate=2, burst=3))
    took = await asyncio.gather(*(journal.take_beginning("cus_1") for _ in range(5)))
    assert sorted(took) == [(2.0, clock.now)] * 3 + [(2.0, clock.now + SECOND // 2)] * 2
    await accepted(journal, start(flow("cus_1")), start(flow("cus_1")))
    assert await journal.claim(10, LEASE) == []
    clock.move(SECOND // 2)
    assert len(await journal.claim(10, LEASE)) == 1
    assert await journal.take_beginning("cus_1") == (2.0, clock.now + SECOND // 2)
    journal.default_limits = CustomerLimits(rate=1)
    assert await journal.take_beginning("cus_2") == (1.0, clock.now)
    assert await journal.take_beginning("cus_2") == (1.0, clock.now + SECOND)


async def test_a_rest_is_kept_until_it_is_over_and_a_shorter_one_does_not_end_it(
    journal: Journal, clock: StandingClock
):
    until = clock.now + 60 * SECOND
    await journal.rest("con_1", Throttled(until, "it answered 503", away=True, since=clock.now))
    await journal.rest("con_1", Throttled(clock.now + 5 * SECOND, "another"))
    await journal.note_quota("con_1", "9 of 10")
    found = await journal.throttled("con_1")
    assert (found.until, found.reason) == (until, "it answered 503")
    assert (found.away, found.since) == (True, clock.now)
    assert found.quota == "9 of 10"
    assert await journal.resting() == {"con_1": found}
    clock.move(60 * SECOND)
    assert await journal.resting() == {}
    assert (await journal.throttled("con_2")).until == 0


async def test_a_circuit_is_closed_before_its_time_and_what_the_app_asked_for_stays(
    journal: Journal, clock: StandingClock
):
    until = clock.now + 60 * SECOND
    await journal.rest("con_1", Throttled(until, "it answered 503", away=True, since=clock.now))
    await journal.rest("con_2", Throttled(until, "it answered 429", since=clock.now))
    for each in ("con_1", "con_2", "con_3"):
        await journal.close_circuit(each)
    assert await journal.throttled("con_1") == Throttled()
    assert (await journal.resting()).keys() == {"con_2"}
    await journal.rest("con_1", Throttled(clock.now + SECOND, "again", away=True, since=clock.now))
    clock.move(2 * SECOND)
    assert (await journal.resting()).keys() == {"con_2"}
    assert (await journal.resting(ended=SECOND + 1)).keys() == {"con_1", "con_2"}


async def test_whoever_calls_counts_itself(journal: Journal):
    assert await journal.callers("con_1") == 1
    assert await journal.callers("con_1") == 1
