"""Parents and children, as every journal keeps them: who hears of an end, who is cancelled."""

import asyncio
from typing import Any

from halflap.model import (
    Order,
    Outcome,
    Signal,
    Start,
    child_signal,
)
from halflap.store.history import outcome_at_end
from halflap.store.protocol import Claim, Filter, Journal, Lease, Release, Written
from tests import journals
from tests.cases import for_each
from tests.journals import LEASE, ON_EVERY_STORE, SECOND, cancel_one, claimed, new_start

DONE = Outcome("succeeded", result=b'"done"')
PASSABLE = Order("order:ins_a:orders", "", while_waiting="go_on")


def start(parent: str | None = None, **more: Any) -> Start:
    return new_start(parent=parent, **more)


async def begun(journal: Journal, parent: str | None = None, **more: Any) -> Claim:
    """One that runs."""
    return await journals.begun(journal, start(parent, **more))


async def queued(journal: Journal, parent: str, **more: Any) -> str:
    begun = start(parent, **more)
    await journal.accept([begun], claim=0, lease=LEASE)
    return begun.execution


async def waits(journal: Journal, claim: Claim, heard: int = 0) -> None:
    await journal.release(claim.lease, [], [], Release("signal", None, heard=heard))


def id_of(claim: Claim) -> str:
    return claim.start.execution


async def told(journal: Journal, parent: str) -> list[str]:
    return [each.name for each in await journal.signals(parent)]


async def reasons(journal: Journal, executions: list[str]) -> dict[str, str]:
    return {id: each.reason for id, each in (await journal.cancelled(executions)).items()}


# -- who hears of an end ----------------------------------------------------------------------


@for_each("state", ["succeeded", "failed", "cancelled", "ignored"])
async def test_an_end_tells_the_parent_and_wakes_it(journal: Journal, state: Any):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    assert child.lease == Lease(id_of(child), 1, child.lease.until, parent=id_of(parent))
    await waits(journal, parent)
    assert await claimed(journal) == {}
    assert await journal.end(child.lease, [], [], Outcome(state)) is Written.DONE
    assert await journal.signals(id_of(parent)) == [Signal(child_signal(id_of(child)), b"")]
    assert list(await claimed(journal)) == [id_of(parent)]


async def test_a_fenced_worker_tells_nobody(journal: Journal):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    await journal.blame([id_of(child)], alone=False)
    assert await journal.end(child.lease, [], [], DONE) is Written.FENCED
    assert await told(journal, id_of(parent)) == []
    (again,) = await journal.claim(1, LEASE, probation=True)
    assert (again.start.parent, again.lease.parent) == (id_of(parent), id_of(parent))
    await journal.end(again.lease, [], [], DONE)
    assert await told(journal, id_of(parent)) == [child_signal(id_of(child))]


async def test_one_that_ends_before_its_parent_waits_is_not_missed(journal: Journal):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    await journal.end(child.lease, [], [], DONE)
    await waits(journal, parent)  # its look was before that
    (again,) = (await claimed(journal)).values()
    await waits(journal, again, heard=1)
    assert await claimed(journal) == {}


@ON_EVERY_STORE
async def test_ends_and_the_parents_wait_at_once_wake_it(journal: Journal):
    for _ in range(10):
        parent = await begun(journal)
        children = [await begun(journal, id_of(parent)) for _ in range(4)]
        ends = [journal.end(each.lease, [], [], DONE) for each in children]
        await asyncio.gather(*ends[:2], waits(journal, parent), *ends[2:])
        assert list(await claimed(journal)) == [id_of(parent)]
        assert len(await told(journal, id_of(parent))) == 4


async def test_a_cancelled_child_tells_its_parent_too(journal: Journal):
    parent = await begun(journal)
    child = await queued(journal, id_of(parent))
    await waits(journal, parent)
    assert await cancel_one(journal, child, "no") == "ended"
    assert await told(journal, id_of(parent)) == [child_signal(child)]
    assert list(await claimed(journal)) == [id_of(parent)]


async def test_a_child_that_its_order_ends_at_once_tells_its_parent(journal: Journal):
    single = Order("order:ins_a:x", "", when_busy="end")
    parent = await begun(journal)
    await begun(journal, order=single)
    child = await queued(journal, id_of(parent), order=single)
    assert await outcome_at_end(journal, child) is not None
    assert await told(journal, id_of(parent)) == [child_signal(child)]


async def test_a_child_that_another_one_replaces_tells_its_parent(journal: Journal):
    latest = Order("order:ins_a:x", "", when_busy="replace")
    parent = await begun(journal)
    await begun(journal, order=latest)
    child = await queued(journal, id_of(parent), order=latest)
    await waits(journal, parent)
    await journal.accept([start(order=latest)], claim=0, lease=LEASE)
    found = await outcome_at_end(journal, child)
    assert found is not None
    assert found.state == "cancelled"
    assert list(await claimed(journal)) == [id_of(parent)]


async def test_a_parent_that_was_set_aside_in_its_order_comes_back(journal: Journal):
    parent = await begun(journal, order=PASSABLE)
    child = await begun(journal, id_of(parent))
    await waits(journal, parent)
    behind = start(order=PASSABLE)
    await journal.accept([behind], claim=0, lease=LEASE)
    (other,) = (await claimed(journal)).values()
    await journal.end(child.lease, [], [], DONE)
    assert await claimed(journal) == {}
    await journal.end(other.lease, [], [], DONE)
    assert list(await claimed(journal)) == [id_of(parent)]


async def test_a_parent_that_is_over_is_told_nothing(journal: Journal):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    await journal.end(parent.lease, [], [], DONE)
    assert await journal.end(child.lease, [], [], DONE) is Written.DONE
    assert await told(journal, id_of(parent)) == []


async def test_a_grandparent_is_not_told(journal: Journal):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    grandchild = await begun(journal, id_of(child))
    await journal.end(grandchild.lease, [], [], DONE)
    assert await told(journal, id_of(child)) == [child_signal(id_of(grandchild))]
    assert await told(journal, id_of(parent)) == []


# -- who is cancelled with whom ---------------------------------------------------------------


async def test_bound_children_are_cancelled_with_their_parent_down_to_the_last(journal: Journal):
    parent = await begun(journal)
    runs = await begun(journal, id_of(parent))
    waiting = await begun(journal, id_of(parent))
    await journal.release(waiting.lease, [], [], Release("sleep", 9_000_000_000 * SECOND))
    new, free = (
        await queued(journal, id_of(parent)),
        await queued(journal, id_of(parent), bound=False),
    )
    grandchild = await begun(journal, id_of(runs))
    await waits(journal, parent)
    assert await cancel_one(journal, id_of(parent), "not needed") == "ended"
    why = f"its parent {id_of(parent)} was cancelled"
    asked = await reasons(journal, [id_of(runs), id_of(waiting), new, free, id_of(grandchild)])
    assert asked == {id_of(runs): why, id_of(waiting): why, new: why}
    found = await claimed(journal)
    assert {id: each.cancelling for id, each in found.items()} == {
        id_of(waiting): why,
        new: why,
        free: None,
    }
    await journal.end(runs.lease, [], [], Outcome("cancelled", why))
    asked = await reasons(journal, [id_of(grandchild)])
    assert asked == {id_of(grandchild): f"its parent {id_of(runs)} was cancelled"}


@for_each("state", ["succeeded", "failed", "ignored"])
async def test_children_go_on_where_their_parent_ended_by_itself(journal: Journal, state: Any):
    parent = await begun(journal)
    child = await begun(journal, id_of(parent))
    await journal.end(parent.lease, [], [], Outcome(state))
    assert await reasons(journal, [id_of(child)]) == {}


async def test_a_child_that_comes_after_its_parent_was_cancelled_is_cancelled(journal: Journal):
    parent = await begun(journal)
    await journal.end(parent.lease, [], [], Outcome("cancelled", "no"))
    late, free = start(id_of(parent)), start(id_of(parent), bound=False)
    answers = await journal.accept([late, free], claim=2, lease=LEASE)
    assert answers[0].claim is None
    found = await claimed(journal)
    assert found[late.execution].cancelling == f"its parent {id_of(parent)} was cancelled"
    assert await reasons(journal, [free.execution]) == {}


@ON_EVERY_STORE
async def test_a_cancel_and_a_childs_start_at_once_leave_no_orphan(journal: Journal):
    for _ in range(10):
        parent = await begun(journal)
        await waits(journal, parent)
        child = start(id_of(parent))
        await asyncio.gather(
            cancel_one(journal, id_of(parent), "no"), journal.accept([child], claim=0, lease=LEASE)
        )
        assert child.execution in await reasons(journal, [child.execution])
        (found,) = (await claimed(journal)).values()
        await journal.end(found.lease, [], [], Outcome("cancelled"))


# -- what support sees ------------------------------------------------------------------------


async def test_children_are_listed_by_their_parent_while_they_live_and_after(journal: Journal):
    parent = await begun(journal)
    children = [await begun(journal, id_of(parent)) for _ in range(4)]
    other = await begun(journal)
    states: list[Any] = ["succeeded", "failed", "cancelled"]
    for each, state in zip(children, states, strict=False):
        await journal.end(each.lease, [], [], Outcome(state))
    found = await journal.executions(Filter(parent=id_of(parent)))
    assert [each.id for each in found] == sorted(map(id_of, children), reverse=True)
    assert {each.parent for each in found} == {id_of(parent)}
    assert sum((await journal.count(Filter(parent=id_of(parent)))).values()) == 4
    for claim in (parent, other):
        alone = await journal.execution(id_of(claim))
        assert alone is not None
        assert alone.parent is None
