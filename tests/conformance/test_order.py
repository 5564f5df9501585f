"""The rules of orders, as every journal keeps them: how many, what if busy, failed, or waiting."""

from typing import Any

import pytest

from halflap.model import Dedupe, Event, FlowKey, Micros, Order, Outcome, Start, new_id
from halflap.store.protocol import Accepted, Claim, Filter, Journal, Release
from tests.journals import StandingClock, cancel_one

SECOND: Micros = 1_000_000
LEASE: Micros = 30 * SECOND
DONE = Outcome("succeeded")
FAILED = Outcome("failed", "no")
FLOW = FlowKey("cus_a", "ins_a", "shop", "orders", "v1", 3)

FIFO = Order("order:ins_a:orders", "")
PARALLEL = Order("order:ins_a:orders", "", width=2, while_waiting="go_on")
BLOCKING = Order("order:ins_a:orders", "", after_failure="block")
PASSABLE = Order("order:ins_a:orders", "", while_waiting="go_on")
SINGLETON = Order("order:ins_a:orders", "", when_busy="end")
LATEST = Order("order:ins_a:orders", "", when_busy="replace")


def start(order: Order | None, **more: Any) -> Start:
    execution = new_id("exe")
    event = Event("POST", "", "", (), b"{}", 1)
    return Start(execution, FLOW, event, root=execution, order=order, **more)


async def accept(journal: Journal, *starts: Start, claim: int = 0) -> list[Accepted]:
    return await journal.accept(starts, claim=claim, lease=LEASE)


async def accepted(journal: Journal, order: Order | None, **more: Any) -> str:
    begun = start(order, **more)
    await accept(journal, begun)
    return begun.execution


async def claimed(journal: Journal) -> dict[str, Claim]:
    """Claim all that may be claimed now, on probation or not, and return the claims by execution."""
    found = await journal.claim(10, LEASE) + await journal.claim(10, LEASE, probation=True)
    return {each.start.execution: each for each in found}


async def claim(journal: Journal, execution: str) -> Claim:
    """Claim the one execution that may be claimed."""
    found = await claimed(journal)
    assert list(found) == [execution]
    return found[execution]


async def end(journal: Journal, ended: Claim, outcome: Outcome = DONE) -> None:
    await journal.end(ended.lease, [], [], outcome)


async def pause(
    journal: Journal, paused: Claim, due: Micros | None, heard: int | None = None
) -> None:
    how = "sleep" if heard is None else "signal"
    await journal.release(paused.lease, [], [], Release(how, due, heard=heard))


async def how(journal: Journal, execution: str) -> tuple[str, str]:
    found = await journal.execution(execution)
    assert found is not None
    return found.state, found.reason


# -- how many ---------------------------------------------------------------------------------


async def test_as_many_as_the_width_run_at_once(journal: Journal):
    answers = await accept(journal, *(start(PARALLEL) for _ in range(6)), claim=6)
    claims = [each.claim for each in answers if each.claim is not None]
    assert [each.claim is not None for each in answers] == [True, True] + [False] * 4
    assert await claimed(journal) == {}
    later = await accepted(journal, PARALLEL)
    ids = [each.execution for each in answers] + [later]
    await end(journal, claims[1])
    third = await claim(journal, ids[2])
    await end(journal, third)
    await end(journal, claims[0])
    assert set(await claimed(journal)) == set(ids[3:5])
    assert await cancel_one(journal, ids[5], "stop") == "ended"
    await journal.blame(ids[3:4], alone=False)
    again = await claim(journal, ids[3])
    await end(journal, again)
    await claim(journal, later)


async def test_orders_that_differ_in_width_go_on_together(journal: Journal):
    wide, narrow = PARALLEL, PASSABLE
    one = (await accept(journal, start(narrow), claim=1))[0].claim
    assert one is not None
    ids = [await accepted(journal, wide) for _ in range(3)] + [await accepted(journal, narrow)]
    assert await claimed(journal) == {}
    await end(journal, one)
    second = await claim(journal, ids[0])
    await end(journal, second)
    found = await claimed(journal)
    assert set(found) == set(ids[1:3])
    await end(journal, found[ids[1]])
    assert await claimed(journal) == {}
    await end(journal, found[ids[2]])
    await claim(journal, ids[3])


async def test_an_execution_keeps_its_rule(journal: Journal):
    order = Order("order:ins_a:orders", "k", 3, "replace", "block", "go_on")
    id = await accepted(journal, order)
    found = await claim(journal, id)
    assert found.start.order == order
    assert found.lease.ordered
    await end(journal, found, FAILED)
    for which in (Filter(), Filter(dead_letters=True)):
        (listed,) = await journal.executions(which)
        assert listed.order == order


# -- after a failure --------------------------------------------------------------------------


async def test_one_that_failed_lets_the_next_go(journal: Journal):
    head, behind = await accepted(journal, FIFO), await accepted(journal, FIFO)
    await end(journal, await claim(journal, head), FAILED)
    await claim(journal, behind)


@pytest.mark.parametrize("by", ["hand", "replay"])
async def test_an_order_stands_still_after_a_failure_where_it_is_to(journal: Journal, by: str):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head), FAILED)
    last = await accepted(journal, BLOCKING)
    assert await claimed(journal) == {}
    assert await journal.next_due() is None
    assert await journal.waits_for(behind) == head
    assert await journal.waits_for(head) is None
    if by == "hand":
        assert await journal.dismiss(head)
        assert not await journal.dismiss(head)
        assert await journal.waits_for(behind) is None
    else:
        (answer,) = await accept(journal, start(BLOCKING, replay_of=head), claim=1)
        assert answer.claim is not None
        assert await claimed(journal) == {}
        await journal.dismiss(head)  # it is dismissed already
        await end(journal, answer.claim, FAILED)
        assert await claimed(journal) == {}
        replay = await accepted(journal, BLOCKING, replay_of=answer.execution)
        await end(journal, await claim(journal, replay))
    await end(journal, await claim(journal, behind))
    await claim(journal, last)


async def test_a_replay_that_is_cancelled_lets_the_order_go_on(journal: Journal):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head), FAILED)
    replay = await accepted(journal, BLOCKING, replay_of=head)
    assert await cancel_one(journal, replay, "no more") == "ended"
    await claim(journal, behind)


@pytest.mark.parametrize("outcome", ["cancelled", "ignored", "succeeded"])
async def test_only_a_failure_blocks(journal: Journal, outcome: Any):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head), Outcome(outcome))
    await claim(journal, behind)


async def test_a_replay_outside_the_order_frees_it(journal: Journal):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head), FAILED)
    replay = await accepted(journal, None, replay_of=head)
    assert set(await claimed(journal)) == {replay, behind}


async def test_a_replay_of_one_that_did_not_block_comes_last(journal: Journal):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head))
    replay = await accepted(journal, BLOCKING, replay_of=head)
    await end(journal, await claim(journal, behind))
    await claim(journal, replay)


# -- while one waits --------------------------------------------------------------------------


async def test_one_that_is_set_aside_is_passed_until_it_is_due(
    journal: Journal, clock: StandingClock
):
    head, behind, third, last = [await accepted(journal, PASSABLE) for _ in range(4)]
    await pause(journal, await claim(journal, head), clock.now + SECOND)
    second = await claim(journal, behind)
    clock.now += SECOND
    assert await claimed(journal) == {}  # it is due, and not its turn
    await end(journal, second)
    again = await claim(journal, head)
    assert await claimed(journal) == {}
    await pause(journal, again, clock.now + SECOND)
    third_claim = await claim(journal, third)
    await end(journal, third_claim)
    await end(journal, await claim(journal, last))
    clock.now += SECOND
    await claim(journal, head)


async def test_one_that_is_set_aside_goes_on_by_itself_where_nobody_comes(
    journal: Journal, clock: StandingClock
):
    head = await accepted(journal, PASSABLE)
    await pause(journal, await claim(journal, head), clock.now + SECOND)
    assert await journal.next_due() == clock.now + SECOND
    newcomer = await accepted(journal, PASSABLE)
    found = await claim(journal, newcomer)  # while the other one is set aside
    assert await journal.next_due() is None
    clock.now += SECOND
    assert await claimed(journal) == {}
    await pause(journal, found, clock.now + SECOND)
    again = await claim(journal, head)
    clock.now += SECOND
    assert await claimed(journal) == {}
    await end(journal, again)
    await claim(journal, newcomer)


async def test_one_that_runs_again_is_not_passed(journal: Journal, clock: StandingClock):
    head = await accepted(journal, PASSABLE)
    await pause(journal, await claim(journal, head), clock.now)
    again = await claim(journal, head)
    behind = await accepted(journal, PASSABLE)
    assert await claimed(journal) == {}
    await end(journal, again)
    await claim(journal, behind)


async def test_one_that_is_due_is_not_passed(journal: Journal, clock: StandingClock):
    head = await accepted(journal, PASSABLE)
    await pause(journal, await claim(journal, head), clock.now + SECOND)
    clock.now += SECOND
    behind = await accepted(journal, PASSABLE)
    await end(journal, await claim(journal, head))
    await claim(journal, behind)


async def test_a_signal_brings_back_one_that_is_set_aside(journal: Journal):
    head, other = await accepted(journal, PASSABLE), await accepted(journal, PASSABLE)
    await pause(journal, await claim(journal, head), None, heard=0)
    await pause(journal, await claim(journal, other), None, heard=0)
    assert await claimed(journal) == {}
    await journal.signal(other, "go", b"")
    found = await claim(journal, other)
    third = await accepted(journal, PASSABLE)
    await journal.signal(head, "go", b"")
    assert await claimed(journal) == {}
    await end(journal, found)
    await end(journal, await claim(journal, head))
    await claim(journal, third)


async def test_a_signal_that_came_first_sets_nobody_aside(journal: Journal):
    head = await accepted(journal, PASSABLE)
    await accepted(journal, PASSABLE)
    found = await claim(journal, head)
    await journal.signal(head, "go", b"")
    await pause(journal, found, None, heard=0)
    await claim(journal, head)


async def test_what_sleeps_does_not_count_among_those_that_run(
    journal: Journal, clock: StandingClock
):
    ids = [await accepted(journal, PARALLEL) for _ in range(4)]
    for each in (await claimed(journal)).values():
        await pause(journal, each, clock.now + SECOND)
    found = await claimed(journal)
    assert set(found) == set(ids[2:])
    clock.now += SECOND
    assert await claimed(journal) == {}
    await end(journal, found[ids[2]])
    await claim(journal, ids[0])


async def test_one_that_is_set_aside_can_be_cancelled_and_held(
    journal: Journal, clock: StandingClock
):
    head, behind = await accepted(journal, PASSABLE), await accepted(journal, PASSABLE)
    await pause(journal, await claim(journal, head), clock.now + SECOND)
    found = await claim(journal, behind)
    assert await cancel_one(journal, head, "stop") == "ended"
    await end(journal, found)
    assert await claimed(journal) == {}
    assert await journal.live("ins_a") == 0


# -- one, or none -----------------------------------------------------------------------------


async def test_a_singleton_ends_at_once_while_another_one_lives(
    journal: Journal, clock: StandingClock
):
    first, second = start(SINGLETON), start(SINGLETON)
    answers = await accept(journal, first, second, claim=2)
    begun = answers[0].claim
    assert begun is not None
    reason = f"singleton: {first.execution} is still running"
    assert answers[1] == Accepted(second.execution, outcome=Outcome("ignored", reason))
    assert await how(journal, second.execution) == ("ignored", reason)
    assert await journal.event(second.execution) == second.event
    await pause(journal, begun, clock.now + SECOND)
    (third,) = await accept(journal, start(SINGLETON), claim=1)
    assert (third.claim, third.outcome) == (None, Outcome("ignored", reason))
    found = await journal.executions(Filter(reason="singleton", states=("ignored",)))
    assert {each.id for each in found} == {second.execution, third.execution}
    clock.now += SECOND
    await end(journal, await claim(journal, first.execution), FAILED)
    last = await accepted(journal, SINGLETON)
    await claim(journal, last)


async def test_a_singleton_that_waits_for_its_app_keeps_the_latest(
    journal: Journal, clock: StandingClock
):
    first = start(SINGLETON)
    (answer,) = await accept(journal, first, claim=1)
    assert answer.claim is not None
    park = Release("park", clock.now + 60 * SECOND, "connection:con_1")
    await journal.release(answer.claim.lease, [], [], park)
    old = await accepted(journal, SINGLETON)
    latest = await accepted(journal, SINGLETON)
    assert await how(journal, old) == ("cancelled", f"superseded by {latest}")
    assert (await how(journal, latest))[0] == "queued"
    replay = await accepted(journal, SINGLETON, replay_of=old)
    assert await how(journal, replay) == ("cancelled", f"superseded by {latest}")
    assert await claimed(journal) == {}
    assert await journal.unpark("con_1", 1) == [first.execution]
    later = await accepted(journal, SINGLETON)
    assert (await how(journal, later))[0] == "ignored"
    await end(journal, await claim(journal, first.execution))
    await end(journal, await claim(journal, latest))


async def test_a_replay_that_ends_at_once_leaves_the_dead_letter(journal: Journal):
    failed = await accepted(journal, SINGLETON)
    await end(journal, await claim(journal, failed), FAILED)
    head = await accepted(journal, SINGLETON)
    replay = await accepted(journal, SINGLETON, replay_of=failed)
    assert (await how(journal, replay))[0] == "ignored"
    assert [each.id for each in await journal.executions(Filter(dead_letters=True))] == [failed]
    await end(journal, await claim(journal, head))
    await end(journal, await claim(journal, await accepted(journal, SINGLETON, replay_of=failed)))
    assert await journal.executions(Filter(dead_letters=True)) == []


async def test_starting_a_singleton_twice_starts_it_once(journal: Journal):
    first, second = start(SINGLETON), start(SINGLETON)
    await accept(journal, first, first, second)
    await accept(journal, first, second)
    assert (await how(journal, first.execution))[0] == "queued"
    assert (await how(journal, second.execution))[0] == "ignored"
    await end(journal, await claim(journal, first.execution))
    await accept(journal, first, second)
    assert await claimed(journal) == {}


# -- the latest -------------------------------------------------------------------------------


async def test_the_latest_takes_the_place_of_what_waits(journal: Journal):
    running = await accepted(journal, LATEST)
    found = await claim(journal, running)
    old, newer = await accepted(journal, LATEST), await accepted(journal, LATEST)
    assert await how(journal, old) == ("cancelled", f"superseded by {newer}")
    answers = await accept(journal, start(LATEST), start(LATEST), claim=2)
    newest = answers[1].execution
    assert [each.claim for each in answers] == [None, None]
    assert newer in answers[0].replaced
    assert await how(journal, answers[0].execution) == ("cancelled", f"superseded by {newest}")
    assert (await how(journal, running))[0] == "running"
    assert await journal.waits_for(newest) == running
    superseded = await journal.executions(Filter(reason="superseded"))
    assert {each.id for each in superseded} == {answers[0].execution, newer, old}
    await end(journal, found)
    await end(journal, await claim(journal, newest))
    assert await claimed(journal) == {}


async def test_the_latest_takes_the_place_of_one_that_could_have_begun(journal: Journal):
    old, new = await accepted(journal, LATEST), await accepted(journal, LATEST)
    assert (await how(journal, old))[0] == "cancelled"
    found = await claim(journal, new)
    await end(journal, found)


async def test_one_that_has_begun_is_not_replaced(journal: Journal, clock: StandingClock):
    first = await accepted(journal, LATEST)
    await pause(journal, await claim(journal, first), clock.now + SECOND)
    second = await accepted(journal, LATEST)
    assert await claimed(journal) == {}
    clock.now += SECOND
    found = await claim(journal, first)
    await journal.blame([first], alone=False)
    third = await accepted(journal, LATEST)
    assert await how(journal, second) == ("cancelled", f"superseded by {third}")
    await journal.end(found.lease, [], [], DONE)  # fenced
    await end(journal, await claim(journal, first))
    await claim(journal, third)


async def test_a_replay_is_older_than_what_waits(journal: Journal):
    failed = await accepted(journal, LATEST)
    await end(journal, await claim(journal, failed), FAILED)
    running = await accepted(journal, LATEST)
    found = await claim(journal, running)
    waiting = await accepted(journal, LATEST)
    replay = await accepted(journal, LATEST, replay_of=failed)
    assert await how(journal, replay) == ("cancelled", f"superseded by {waiting}")
    assert (await how(journal, waiting))[0] == "queued"
    assert len(await journal.executions(Filter(dead_letters=True))) == 1
    await end(journal, found)
    await end(journal, await claim(journal, waiting))
    await claim(journal, await accepted(journal, LATEST, replay_of=failed))


async def test_the_latest_of_what_is_held_is_run(journal: Journal):
    await journal.hold("ins_a")
    ids = [await accepted(journal, LATEST) for _ in range(4)]
    await journal.release_instance("ins_a")
    await claim(journal, ids[-1])


async def test_a_duplicate_replaces_nobody(journal: Journal):
    running = await accepted(journal, LATEST, dedupe=Dedupe("a"))
    await claim(journal, running)
    waiting = await accepted(journal, LATEST, dedupe=Dedupe("b"))
    for key in ("a", "b"):
        (answer,) = await accept(journal, start(LATEST, dedupe=Dedupe(key)))
        assert answer.duplicate_of in (running, waiting)
    assert (await how(journal, waiting))[0] == "queued"


async def test_all_that_waits_is_replaced_once_the_rule_is_another(journal: Journal):
    ids = [await accepted(journal, FIFO) for _ in range(4)]
    found = await claim(journal, ids[0])
    latest = await accepted(journal, LATEST)
    assert [(await how(journal, each))[0] for each in ids] == ["running"] + ["cancelled"] * 3
    await end(journal, found)
    await claim(journal, latest)


async def test_rules_with_other_keys_do_not_meet(journal: Journal):
    for order in (FIFO, SINGLETON, LATEST):
        keys = [Order(order.scope, key, when_busy=order.when_busy) for key in "xyz"]
        ids = [await accepted(journal, each) for each in keys]
        found = await claimed(journal)
        assert set(found) == set(ids)
        for each in found.values():
            await end(journal, each)
