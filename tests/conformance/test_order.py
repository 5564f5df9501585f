"""The rules of orders, as every journal keeps them: how many, what if busy, failed, or waiting."""

import asyncio
from dataclasses import replace
from typing import Any

from halflap.model import (
    Dedupe,
    Micros,
    NothingNewer,
    Order,
    Outcome,
    Replay,
    Start,
)
from halflap.store.protocol import Accepted, Claim, Filter, Journal, Outdated, Release
from tests.journals import LEASE, SECOND, StandingClock, claimed, new_start

DONE = Outcome("succeeded")
FAILED = Outcome("failed", "no")

FIFO = Order("order:ins_a:orders", "")
PARALLEL = Order("order:ins_a:orders", "", width=2, while_waiting="go_on")
BLOCKING = Order("order:ins_a:orders", "", after_failure="block")
PASSABLE = Order("order:ins_a:orders", "", while_waiting="go_on")
SINGLETON = Order("order:ins_a:orders", "", when_busy="end")
LATEST = Order("order:ins_a:orders", "", when_busy="replace")


def start(order: Order | None, **more: Any) -> Start:
    return new_start(order=order, **more)


async def accept(journal: Journal, *starts: Start, claim: int = 0) -> list[Accepted]:
    return await journal.accept(starts, claim=claim, lease=LEASE)


async def accepted(journal: Journal, order: Order | None, **more: Any) -> str:
    begun = start(order, **more)
    await accept(journal, begun)
    return begun.execution


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


# -- replays ----------------------------------------------------------------------------------


async def test_a_replay_is_not_accepted_behind_what_is_newer_and_was_not_known(
    journal: Journal, clock: StandingClock
):
    begun = clock.now
    first = await accepted(journal, FIFO)
    await end(journal, await claim(journal, first), FAILED)
    clock.now += SECOND
    newer = [await accepted(journal, FIFO, key=each) for each in ("a", "b")]
    decided = NothingNewer(begun, begun)
    replay = start(FIFO, replay_of=first, replay=Replay(event_at=begun), decided=decided)

    async def is_taken(**what: Any) -> bool:
        try:
            await accept(journal, replace(replay, decided=replace(decided, **what)))
        except Outdated:
            assert await journal.execution(replay.execution) is None
            return False
        return True

    for outdated in ({}, {"known": (newer[0],)}, {"key": "a"}):
        assert not await is_taken(**outdated)
    together = await asyncio.gather(
        accept(journal, start(None)), accept(journal, replay), return_exceptions=True
    )
    assert [isinstance(each, Outdated) for each in together] == [False, True]
    assert await is_taken(known=tuple(newer))
    for fine in ({"key": "c"}, {"attempt": 1}, {"since": clock.now + 1}, {"event_at": clock.now}):
        assert await is_taken(**fine)


async def test_replays_that_are_accepted_together_are_in_their_order(
    journal: Journal, clock: StandingClock
):
    starts: list[Start] = []
    for _ in range(2):
        failed = await accepted(journal, FIFO)
        await end(journal, await claim(journal, failed), FAILED)
        decided = NothingNewer(clock.now, 0)
        replay = Replay(event_at=clock.now)
        starts.append(start(FIFO, replay_of=failed, replay=replay, decided=decided))
        clock.now += SECOND
    known = replace(starts[0].decided or NothingNewer(0, 0), known=(starts[1].replay_of or "",))
    await accept(journal, replace(starts[0], decided=known), starts[1])
    assert await how(journal, starts[0].execution) == ("queued", "")


# -- after a failure --------------------------------------------------------------------------


async def test_a_replay_outside_the_order_frees_it(journal: Journal):
    head, behind = await accepted(journal, BLOCKING), await accepted(journal, BLOCKING)
    await end(journal, await claim(journal, head), FAILED)
    replay = await accepted(journal, None, replay_of=head)
    assert set(await claimed(journal)) == {replay, behind}


# -- while one waits --------------------------------------------------------------------------


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
