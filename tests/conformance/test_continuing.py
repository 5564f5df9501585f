"""Chains, as every journal keeps them: an execution that ends hands over to the next, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from halflap.engine.lineage import continuation
from halflap.model import (
    CONTINUED,
    Continuation,
    Dedupe,
    FlowKey,
    Order,
    Outcome,
    Replay,
    Retention,
    Signal,
    Start,
    child_signal,
    new_id,
)
from halflap.store.history import outcome_at_end
from halflap.store.protocol import Claim, Filter, Journal, Release, Written
from halflap.store.retention import DAY, RetentionRules
from tests import journals
from tests.cases import for_each
from tests.journals import LEASE, ON_EVERY_STORE, SECOND, StandingClock, cancel_one, new_start

DONE = Outcome("succeeded", result=b'"done"')
OVER = Outcome("succeeded", CONTINUED)
FLOW = FlowKey("cus_a", "ins_a", "shop", "pages", "v1", 3)
ORDERS = [
    Order("order:ins_a:pages", ""),
    Order("order:ins_a:pages", "", when_busy="end"),
    Order("order:ins_a:pages", "", when_busy="replace"),
    Order("order:ins_a:pages", "", while_waiting="go_on"),
    Order("order:ins_a:pages", "", after_failure="block"),
]


def start(**more: Any) -> Start:
    return new_start(FLOW, **more)


async def begun(journal: Journal, **more: Any) -> Claim:
    """One that runs."""
    return await journals.begun(journal, start(**more))


def following(claim: Claim, body: bytes = b'{"page":2}', **taken: int) -> Continuation:
    started = continuation(claim.start, claim.start.flow, body, 7, 4_000_000_000 * SECOND, 5)
    return Continuation(started, taken)


async def go_on(journal: Journal, claim: Claim, **taken: int) -> Claim:
    """The claim of the next one."""
    next = following(claim, **taken)
    assert await journal.end(claim.lease, [], [], OVER, next=next) is Written.CONTINUED
    (found,) = await journal.claim(10, LEASE)
    assert found.start == replace(next.start, continues=None)
    return found


def id_of(claim: Claim) -> str:
    return claim.start.execution


async def state(journal: Journal, execution: str) -> str:
    found = await journal.execution(execution)
    assert found is not None
    return found.state


@ON_EVERY_STORE
async def test_an_end_accepts_the_next_one_of_its_chain(journal: Journal):
    first = await begun(journal, key="k")
    second = await go_on(journal, first)
    third = await go_on(journal, second)
    links = await journal.executions(Filter(chain=id_of(first)))
    assert [(each.id, each.link) for each in links] == [
        (id_of(third), 2),
        (id_of(second), 1),
        (id_of(first), 0),
    ]
    assert len({each.root for each in links}) == 3, "each has its own idempotency keys"
    assert {each.key for each in links} == {"k"}
    assert second.start.event.body == b'{"page":2}'
    assert await outcome_at_end(journal, id_of(first)) is None, "its outcome is the last one's"
    await journal.end(third.lease, [], [], DONE)
    for each in (first, second, third):
        assert await outcome_at_end(journal, id_of(each)) == DONE
    assert await journal.claim(10, LEASE) == []


async def test_a_lost_fence_accepts_no_next_one(journal: Journal):
    first = await begun(journal)
    await journal.blame([id_of(first)], alone=False)
    next = following(first)
    assert await journal.end(first.lease, [], [], OVER, next=next) is Written.FENCED
    assert await journal.execution(next.start.execution) is None
    (again,) = await journal.claim(1, LEASE, probation=True)
    assert await journal.end(again.lease, [], [], OVER, next=next) is Written.CONTINUED


async def test_one_that_is_to_be_cancelled_does_not_go_on(journal: Journal):
    first = await begun(journal)
    await cancel_one(journal, id_of(first), "enough")
    next = following(first)
    assert await journal.end(first.lease, [], [], OVER, next=next) is Written.CANCELLED
    assert await journal.execution(next.start.execution) is None


@ON_EVERY_STORE
async def test_many_chains_go_on_in_shared_commits(journal: Journal):
    claims = [await begun(journal) for _ in range(20)]
    for _ in range(3):
        nexts = [following(each) for each in claims]
        written = await asyncio.gather(
            *[
                journal.end(each.lease, [], [], OVER, next=next)
                for each, next in zip(claims, nexts, strict=True)
            ]
        )
        assert set(written) == {Written.CONTINUED}
        claims = await journal.claim(100, LEASE)
        assert {id_of(each) for each in claims} == {each.start.execution for each in nexts}


@pytest.mark.parametrize("order", ORDERS)
async def test_the_next_one_has_the_place_and_the_turn(journal: Journal, order: Order):
    first = await begun(journal, order=order)
    waiting = start(order=order)
    if order.when_busy != "end":
        await journal.accept([waiting], claim=1, lease=LEASE)
    second = await go_on(journal, first)
    assert second.lease.ordered
    late = start(order=order)
    (answer,) = await journal.accept([late], claim=1, lease=LEASE)
    if order.when_busy == "end":
        assert answer.outcome is not None
        assert answer.outcome.state == "ignored"
    third = await go_on(journal, second)
    await journal.end(third.lease, [], [], DONE)
    claims = await journal.claim(10, LEASE)
    expected = {"wait": waiting, "replace": late, "end": None}[order.when_busy]
    assert [id_of(each) for each in claims] == ([] if expected is None else [expected.execution])


async def test_a_newer_event_does_not_replace_what_goes_on(journal: Journal):
    newest = ORDERS[2]
    first = await begun(journal, order=newest)
    next = following(first)
    await journal.end(first.lease, [], [], OVER, next=next)
    (answer,) = await journal.accept([start(order=newest)], claim=1, lease=LEASE)
    assert answer.replaced == ()
    assert await state(journal, next.start.execution) == "queued"


async def test_what_failed_keeps_the_turn_of_its_chain_and_a_replay_has_it(journal: Journal):
    blocking = ORDERS[4]
    first = await begun(journal, order=blocking)
    second = await go_on(journal, first)
    await journal.end(second.lease, [], [], Outcome("failed", "boom"))
    waiting = start(order=blocking)
    await journal.accept([waiting], claim=1, lease=LEASE)
    assert await journal.claim(10, LEASE) == []
    how = Replay(chain=id_of(first), link=1)
    again = start(order=blocking, replay_of=id_of(second), replay=how, root=second.start.root)
    (answer,) = await journal.accept([again], claim=1, lease=LEASE)
    assert answer.claim is not None
    third = await go_on(journal, answer.claim)
    assert (third.start.chain, third.start.link) == (id_of(first), 2)
    await journal.end(third.lease, [], [], DONE)
    assert [id_of(each) for each in await journal.claim(10, LEASE)] == [waiting.execution]


async def test_a_replay_of_what_went_on_starts_the_next_one_no_second_time(journal: Journal):
    first = await begun(journal)
    second = await go_on(journal, first)
    await journal.end(second.lease, [], [], DONE)
    replayed = await begun(journal, replay_of=id_of(first), replay=Replay(chain=id_of(first)))
    next = following(replayed)
    assert await journal.end(replayed.lease, [], [], OVER, next=next) is Written.DONE
    assert await journal.execution(next.start.execution) is None
    assert await journal.claim(10, LEASE) == []


@ON_EVERY_STORE
async def test_of_replays_that_end_at_once_one_goes_on(journal: Journal):
    failed = await begun(journal)
    await journal.end(failed.lease, [], [], Outcome("failed", "boom"))
    how = Replay(chain=id_of(failed))
    one = await begun(journal, replay_of=id_of(failed), replay=how)
    other = await begun(journal, replay_of=new_id("exe"), replay=how)
    written = await asyncio.gather(
        *[journal.end(each.lease, [], [], OVER, next=following(each)) for each in (one, other)]
    )
    assert sorted(each.value for each in written) == ["continued", "done"]
    assert len(await journal.claim(10, LEASE)) == 1


async def test_the_parent_hears_of_the_last_end_under_the_first_id(journal: Journal):
    parent = await begun(journal)
    first = await begun(journal, parent=id_of(parent), bound=False)
    second = await go_on(journal, first)
    assert (second.start.parent, second.start.bound) == (id_of(parent), False)
    assert await journal.signals(id_of(parent)) == []
    await journal.end(second.lease, [], [], DONE)
    assert await journal.signals(id_of(parent)) == [Signal(child_signal(id_of(first)), b"")]


async def test_a_cancelled_link_tells_the_parent_under_the_first_id(journal: Journal):
    parent = await begun(journal)
    first = await begun(journal, parent=id_of(parent))
    next = following(first)
    await journal.end(first.lease, [], [], OVER, next=next)
    assert await cancel_one(journal, next.start.execution, "enough") == "ended"
    assert await journal.signals(id_of(parent)) == [Signal(child_signal(id_of(first)), b"")]


async def test_the_next_one_is_cancelled_with_its_parent(journal: Journal):
    parent = await begun(journal)
    first = await begun(journal, parent=id_of(parent))
    next = following(first)
    await journal.end(first.lease, [], [], OVER, next=next)
    await journal.end(parent.lease, [], [], Outcome("cancelled", "enough"))
    (claim,) = await journal.claim(10, LEASE)
    assert claim.cancelling == f"its parent {id_of(parent)} was cancelled"


@for_each("state", ["succeeded", "failed", "ignored"])
async def test_a_chain_outlasts_its_parent_that_ended(journal: Journal, state: Any):
    parent = await begun(journal)
    first = await begun(journal, parent=id_of(parent))
    await journal.end(parent.lease, [], [], Outcome(state))
    second = await go_on(journal, first)
    assert second.cancelling is None


async def test_signals_that_nobody_took_pass_to_the_next_one(journal: Journal):
    first = await begun(journal)
    for name in ("a", "b", "a", "a"):
        await journal.signal(id_of(first), name, name.encode())
    await journal.signal(id_of(first), "yes", b"1", "wait_for(yes)")
    await journal.signal(id_of(first), "no", b"2", "wait_for(no)")
    second = await go_on(journal, first, a=2, yes=1)
    names = [each.name for each in await journal.signals(id_of(second))]
    assert names == ["b", "a", "$answered", "no"]
    for once in ("wait_for(yes)", "wait_for(no)"):
        known = f"{id_of(first)} {once}"
        assert await journal.signal(id_of(second), "yes", b"3", known) == "known"
    assert await journal.signal(id_of(second), "yes", b"3", "wait_for(yes)") == "sent"
    third = await go_on(journal, second, b=1)
    names = [each.name for each in await journal.signals(id_of(third))]
    assert names == ["a", "$answered", "no", "yes"]


async def test_ends_of_children_do_not_pass(journal: Journal):
    first = await begun(journal)
    child = await begun(journal, parent=id_of(first))
    await journal.end(child.lease, [], [], DONE)
    second = await go_on(journal, first)
    assert await journal.signals(id_of(second)) == []


async def test_the_dedupe_key_lives_as_long_as_the_chain_and_then_its_time(
    journal: Journal, clock: StandingClock
):
    key = Dedupe("order 7", ttl=10 * SECOND)
    claim = first = await begun(journal, dedupe=key)
    for _ in range(5):
        clock.now += 8 * SECOND
        claim = await go_on(journal, claim)
        (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
        assert answer.duplicate_of == id_of(first)
    await journal.end(claim.lease, [], [], DONE)
    clock.now += 8 * SECOND
    await journal.prune(RetentionRules(Retention()), 100)
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of == id_of(first)
    clock.now += 3 * SECOND
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of is None


async def test_what_is_paused_does_not_go_on(journal: Journal):
    first = await begun(journal)
    await journal.hold("ins_a")
    next = following(first)
    assert await journal.end(first.lease, [], [], OVER, next=next) is Written.CONTINUED
    assert await journal.claim(10, LEASE) == []
    await journal.release_instance("ins_a")
    assert [id_of(each) for each in await journal.claim(10, LEASE)] == [next.start.execution]


async def test_a_chain_is_pruned_together(journal: Journal, clock: StandingClock):
    first = await begun(journal)
    second = await go_on(journal, first)
    clock.now += 40 * DAY
    rules = RetentionRules(Retention(30))
    await pruned(journal, rules)
    assert await state(journal, id_of(first)) == "succeeded", "the chain goes on"
    await journal.end(second.lease, [], [], DONE)
    alone = await begun(journal)
    await journal.end(alone.lease, [], [], DONE)
    clock.now += 20 * DAY
    await pruned(journal, rules)
    assert await state(journal, id_of(first)) == "succeeded", "its last one is kept"
    clock.now += 20 * DAY
    await pruned(journal, rules)
    for each in (first, second, alone):
        assert await journal.execution(id_of(each)) is None


async def test_a_chain_whose_last_one_failed_stays_until_that_is_dismissed(
    journal: Journal, clock: StandingClock
):
    first = await begun(journal)
    second = await go_on(journal, first)
    await journal.end(second.lease, [], [], Outcome("failed", "boom"))
    rules = RetentionRules(Retention(30))
    clock.now += 40 * DAY
    await pruned(journal, rules)
    assert await state(journal, id_of(first)) == "succeeded"
    await journal.dismiss(id_of(second))
    await pruned(journal, rules)
    for each in (first, second):
        assert await journal.execution(id_of(each)) is None


async def pruned(journal: Journal, rules: RetentionRules) -> None:
    while await journal.prune(rules, 100):
        pass


# -- keys of what was not begun -------------------------------------------------------------------


@pytest.mark.parametrize("held", [False, True])
async def test_what_is_cancelled_before_it_begins_may_come_again(journal: Journal, held: bool):
    key = Dedupe("order 7")
    if held:
        await journal.hold("ins_a")
    first, again = start(dedupe=key), start(dedupe=key)
    await journal.accept([first], claim=0, lease=LEASE)
    assert await cancel_one(journal, first.execution, "enough") == "ended"
    (answer,) = await journal.accept([again], claim=0, lease=LEASE)
    assert answer.duplicate_of is None
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of == again.execution


async def test_what_began_keeps_its_key_when_it_is_cancelled(journal: Journal):
    key = Dedupe("order 7")
    first = await begun(journal, dedupe=key)
    await journal.release(first.lease, [], [], Release("later", 1))
    assert await cancel_one(journal, id_of(first), "enough") == "ended"
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of == id_of(first)


async def test_a_key_that_another_one_has_by_now_is_not_freed(
    journal: Journal, clock: StandingClock
):
    key = Dedupe("order 7", ttl=10 * SECOND)
    first, second = start(dedupe=key), start(dedupe=key)
    await journal.accept([first], claim=0, lease=LEASE)
    clock.now += 11 * SECOND
    await journal.accept([second], claim=0, lease=LEASE)
    await cancel_one(journal, first.execution, "enough")
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of == second.execution


async def test_a_link_that_is_cancelled_before_it_begins_keeps_the_key_of_its_chain(
    journal: Journal,
):
    key = Dedupe("order 7")
    first = await begun(journal, dedupe=key)
    next = following(first)
    await journal.end(first.lease, [], [], OVER, next=next)
    await cancel_one(journal, next.start.execution, "enough")
    (answer,) = await journal.accept([start(dedupe=key)], claim=0, lease=LEASE)
    assert answer.duplicate_of == id_of(first)
