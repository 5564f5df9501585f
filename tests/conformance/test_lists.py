"""Lists of executions: any filter gives what it should, page by page, along an index."""

from __future__ import annotations

import random
from typing import Any

import pytest

from halflap.model import ENDED, TOOK, Execution, Failure, Micros, Outcome, new_id
from halflap.store.protocol import Filter, Journal, Position, Release
from halflap.store.rules.cause import cause_mark
from halflap.store.scope import CustomerScope
from tests.cases import sampled
from tests.conformance.test_journal import SECOND, flow, running, start
from tests.journals import StandingClock

GONE = Failure("RefusedError", "gone", status=410, cause="RefusedError at shop.save (410): gone")
BUSY = Failure("UpstreamError", "busy", status=503)


def matches(which: Filter, found: Execution) -> bool:
    """Say by the plain rule whether an execution is in a list."""
    dead = found.state == "failed" and not found.dismissed
    failed = found.failure if found.state == "failed" else None
    wanted = (
        (which.customer, found.flow.customer),
        (which.instance, found.flow.instance),
        (which.flow, found.flow.flow),
        (which.integration, found.flow.integration),
        (which.version, found.flow.version),
        (which.key, found.key),
        (which.parent, found.parent),
        (which.cause, found.cause and found.cause[: len(which.cause or "")]),
        (which.status, failed.status if failed else None),
        (which.failure_kind, failed.kind if failed else None),
        (which.component, "shop" if failed and failed.kind == "RefusedError" else None),
    )
    place, ran = (found.flow.integration, found.flow.flow), found.ran
    return (
        all(value is None or value == own for value, own in wanted)
        and (not which.states or which.dead_letters or found.state in which.states)
        and (not which.dead_letters or dead)
        and not (which.hidden and found.flow.customer.startswith(("$", *which.hidden)))
        and (which.ids is None or found.id in which.ids)
        and (which.flows is None or place in which.flows)
        and which.reference in (None, found.id, found.key)
        and (which.min_ran is None or (ran is not None and ran >= which.min_ran))
        and (not which.reason or (found.state in ENDED and which.reason in found.reason))
        and (which.since is None or time_of(which, found) >= which.since)
        and (which.until is None or time_of(which, found) < which.until)
    )


def time_of(which: Filter, found: Execution) -> Micros:
    """Return the time by which an execution is in a list: a period of ended ones goes by their end."""
    ended = which.dead_letters or (which.states and set(which.states) <= {*ENDED})
    marks = (which.cause, which.status, which.failure_kind, which.component)
    of_failure = any(each is not None for each in marks) or which.reason
    bounded = which.since is not None or which.until is not None
    by_end = bounded and (ended or of_failure) and found.ended_at is not None
    return found.ended_at if by_end and found.ended_at else found.accepted_at


async def filled(
    journal: Journal,
    clock: StandingClock,
    chance: random.Random,
    customers: tuple[str, ...] = ("cus_a", "cus_b", "$shop"),
) -> list[Execution]:
    """Executions of all kinds; some ids are older than their acceptance, some times are equal."""
    ids: list[str] = []
    for number in range(40):
        clock.move(chance.choice((0, SECOND)))
        early = chance.choice((0, 0, 3_600 * SECOND))
        customer = chance.choice(customers)
        key = flow(customer, f"ins_{chance.choice('12')}", chance.choice(("in", "out")))
        id = new_id("exe", now=clock.now - early, chance=chance.getrandbits(74))
        begun = start(
            key,
            execution=id,
            key=chance.choice((None, "k1", "k2")),
            parent=chance.choice((None, ids[0] if ids else None)),
        )
        claim = await running(journal, begun)
        clock.move(chance.choice((0, 0, 9 * SECOND)))
        ids.append(id)
        ends = ("succeeded", "failed", "failed", "ignored", "cancelled", "sleep", "")
        match chance.choice(ends) if number else "":  # the first one is a parent, so it lives
            case "":
                pass
            case "sleep":
                at = clock.now + 10**6 * SECOND
                await journal.release(claim.lease, [], [], Release("sleep", at))
            case "failed":
                failure = chance.choice((GONE, BUSY))
                outcome = Outcome("failed", f"it is {failure.message} \u2603", failure=failure)
                await journal.end(claim.lease, [], [], outcome)
                if chance.random() < 0.3:
                    await journal.dismiss(id)
            case state:
                reason = "" if state == "succeeded" else f"{state}: {number}"
                await journal.end(claim.lease, [], [], Outcome(state, reason))
    found = [await journal.execution(each) for each in ids]
    return [each for each in found if each is not None]


def drawn(chance: random.Random, times: list[Micros], parents: list[str]) -> Filter:
    """Return a filter of one to three conditions."""
    given: dict[str, Any] = {}
    choices: dict[str, list[Any]] = {
        "customer": ["cus_a", "cus_b", "cus_c"],
        "instance": ["ins_1", "ins_2"],
        "flow": ["in", "out", "none"],
        "integration": ["shop", "other"],
        "version": ["v1", "v2"],
        "states": [
            ("failed",),
            ("succeeded",),
            ("cancelled", "ignored"),
            ("succeeded", "failed"),
            ("waiting",),
        ],
        "key": ["k1", "k3"],
        "reason": ["busy", "ignored: ", "1", "nowhere", "IGNORED", "%", "\u2603"],
        "cause": [cause_mark(GONE), cause_mark(BUSY), "0" * 12, cause_mark(GONE)[:6], "0" * 6],
        "hidden": [("cus_b",), ("cus_a", "cus_b"), ("cus_c",)],
        "status": [410, 503, 404],
        "failure_kind": ["UpstreamError", "RefusedError", "None"],
        "component": ["shop", "none"],
        "ids": [tuple(parents[:9]), ()],
        "flows": [(("shop", "in"), ("none", "out")), (("shop", "in"), ("shop", "out")), ()],
        "reference": [parents[5], "k1", "k3"],
        "min_ran": [0, 9 * SECOND],
        "dead_letters": [True],
        "parent": [parents[0], parents[-1]],
        "since": times,
        "until": times,
    }
    for name in chance.sample(sorted(choices), chance.randint(0, 3)):
        given[name] = chance.choice(choices[name])
    return Filter(limit=chance.choice((1, 3, 50)), **given)


@sampled(40, 300)
async def test_any_filter_gives_what_it_should_page_by_page(
    journal: Journal, clock: StandingClock, seeds: range
) -> None:
    chance = random.Random(1)
    everything = await filled(journal, clock, chance)
    await check_filters(journal, everything, drawings(chance, everything, seeds))


@pytest.mark.parametrize("journal", ["file", "postgresql"], indirect=True)
@sampled(40, 300)
async def test_any_filter_gives_a_customer_what_is_its_own(
    journal: Journal, clock: StandingClock, seeds: range
) -> None:
    chance = random.Random(2)
    everything = await filled(journal, clock, chance, ("cus_a", "cus_a", "cus_a", "cus_b"))
    own = [each for each in everything if each.flow.customer == "cus_a"]
    # As many as are examined, SQLite would rather index than read in their order.
    states = [(Filter(states=(state,), limit=2), 1_000) for state in ("succeeded", "failed")]
    wanted = [*states, *drawings(chance, own, seeds)]
    await check_filters(journal.within(CustomerScope("cus_a")), own, wanted)


def drawings(
    chance: random.Random, everything: list[Execution], seeds: range
) -> list[tuple[Filter, int]]:
    """Return filters by chance, and how many rows are examined for a page."""
    times = [at for each in everything for at in (each.accepted_at, each.ended_at) if at]
    parents = [each.id for each in everything]
    return [(drawn(chance, times, parents), chance.choice((1, 4, 1_000))) for _ in seeds]


async def check_filters(
    journal: Journal, everything: list[Execution], wanted: list[tuple[Filter, int]]
) -> None:
    """Check the pages and the counts of many filters, with so much in the journal."""
    for which, examine in wanted:
        listed = [(time_of(which, each), each.id) for each in everything if matches(which, each)]
        expected = [id for _, id in sorted(listed, reverse=True)]
        seen: list[str] = []
        after: Position | None = None
        for _ in range(200):
            page = await journal.page(which, after, examine=examine)
            assert len(page.executions) <= which.limit
            seen += [each.id for each in page.executions]
            assert page.next is None or after is None or page.next < after, "it goes on"
            after = page.next
            if after is None:
                break
        assert seen == expected, (which, examine)
        counted = await journal.count_listed(which, 7, examine=1_000)
        assert counted == min(len(expected), 7), which
        bounded = await journal.count_listed(which, 7, examine=examine)
        assert bounded in (None, min(len(expected), 7)), (which, examine)


async def test_what_ended_and_what_came_is_counted_within_a_time(
    journal: Journal, clock: StandingClock
) -> None:
    everything = await filled(journal, clock, random.Random(5))
    times = sorted(at for each in everything for at in (each.accepted_at, each.ended_at) if at)
    for begin, end in ((0, 2**62), (times[9], times[-9]), (times[20], times[20] + 1)):
        expected: dict[tuple[str, ...], int] = {}
        for each in everything:
            place = (each.flow.customer, each.flow.integration, each.flow.flow)
            if begin <= each.accepted_at < end:
                key = (*place, "accepted", "")
                expected[key] = expected.get(key, 0) + 1
            if each.ended_at is not None and begin <= each.ended_at < end:
                key = (*place, each.state, each.cause or "")
                expected[key] = expected.get(key, 0) + 1
        found: dict[tuple[str, ...], int] = {}
        for each in await journal.outcomes(begin, end):
            key = (each.customer, each.integration, each.flow, each.state, each.cause)
            found[key] = found.get(key, 0) + each.count
        assert found == expected
    for since in (0, times[15], times[-1]):
        assert await journal.first_end(since) == min(at for at in times if at >= since)
    assert await journal.first_end(times[-1] + 1) is None
    ran = {each.ran for each in everything if each.ended_at and each.ran is not None}
    took = {each.took for each in await journal.outcomes(0, 2**62) if each.state != "accepted"}
    assert took == {sum(each <= one for each in TOOK) for one in ran}

    live = [each for each in everything if each.ended_at is None]
    of_a = [each for each in live if each.flow.customer == "cus_a"]
    assert (await journal.backlog(None, 9))[0] == len(live)
    assert (await journal.backlog("cus_a", 99))[0] == len(of_a)
    assert (await journal.backlog("cus_a", 1))[0] == 1


async def test_a_page_ends_where_enough_was_compared_and_says_so(
    journal: Journal, clock: StandingClock
) -> None:
    for number in range(6):
        clock.move(SECOND)
        claim = await running(journal, start(flow(name="in" if number else "out")))
        await journal.end(claim.lease, [], [], Outcome("succeeded"))
    which = Filter(integration="shop", flow="out", customer="cus_a", limit=5)
    first = await journal.page(which, examine=4)
    assert first.executions == []
    assert first.next is not None
    second = await journal.page(which, first.next, examine=4)
    assert [each.flow.flow for each in second.executions] == ["out"]
    assert second.next is None
