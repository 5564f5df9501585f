"""Replays of two-way flows: newer values stand, and both apps end as without the failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from halflap.api.operations.replay import ReplayRequest
from halflap.model import Execution
from halflap.store.protocol import Filter
from tests.engine.twins import Twins, twins_on
from tests.replays import replay


@pytest.fixture
async def twins(tmp_path: Path) -> AsyncIterator[Twins]:
    async with twins_on("memory", tmp_path) as twins:
        twins.build(master=None)
        yield twins


async def again(twins: Twins, execution: str, start: Any = None) -> Execution:
    """Replay an execution an hour later, until it has ended."""
    id = await replay(twins, execution, ReplayRequest(start))
    twins.sent.add(id)
    return await twins.ended(id)


async def dead_letters(twins: Twins) -> list[str]:
    found = await twins.engine.journal.executions(Filter(dead_letters=True, limit=1_000))
    return [each.id for each in reversed(found)]


async def paired(twins: Twins) -> None:
    """A thing that both apps have."""
    twins.left.edit(name="Initech", amount=0)
    await twins.settle()


async def fails(twins: Twins, **fields: Any) -> str:
    """An edit at the left that does not arrive at the right; its execution."""
    twins.right.refuse = 1_000
    twins.left.edit("left_1", **fields)
    [failed] = await twins.settle()
    assert failed.state == "failed"
    twins.right.refuse = 0
    return failed.id


async def test_a_replay_does_not_write_a_stale_value_over_a_newer_one(twins: Twins) -> None:
    await paired(twins)
    stale = await fails(twins, amount=1)
    twins.left.edit("left_1", amount=7)
    await twins.settle()
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    found = await again(twins, stale)
    assert (found.state, found.reason.partition(":")[0]) == ("ignored", "superseded")
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    assert (await again(twins, stale, "start")).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(7)


async def test_a_replay_writes_what_the_app_has_now(twins: Twins) -> None:
    """Two edits, and nothing arrives of either."""
    await paired(twins)
    first = await fails(twins, amount=1)
    second = await fails(twins, amount=7)
    assert (await again(twins, first)).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    assert (await again(twins, second)).state == "succeeded"
    assert twins.equal


async def test_a_write_in_doubt_whose_value_has_changed_has_another_key(twins: Twins) -> None:
    """The app refuses a key that it knows with another body."""
    await paired(twins)
    twins.right.lose = 1_000
    twins.left.edit("left_1", amount=1)
    event = twins.left.told.pop()
    failed = await twins.ended(await twins.send(event))
    twins.right.lose = 0
    assert twins.right.records["right_1"]["amount"] == Decimal(1)
    twins.left.edit("left_1", amount=7)
    twins.left.told.clear()  # of which it tells later
    assert (await again(twins, failed.id)).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    writes = twins.writes
    twins.left.edit("left_1", amount=7)
    await twins.settle()
    assert twins.equal
    assert twins.writes == writes


async def test_a_create_in_doubt_is_sent_as_it_was_recorded(twins: Twins) -> None:
    twins.right.lose = 1_000
    twins.left.edit(name="Initech", amount=1)
    event = twins.left.told.pop()
    failed = await twins.ended(await twins.send(event))
    assert failed.state == "failed"
    twins.right.lose = 0
    twins.right.told.clear()
    assert len(twins.right.records) == 1
    twins.left.edit("left_1", amount=7)
    later = twins.left.told.pop()
    assert (await again(twins, failed.id)).state == "succeeded"
    assert len(twins.right.records) == 1
    assert len(await twins.paired()) == 1
    await twins.ended(await twins.send(later))  # it is news: the record was made with the old value
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    assert twins.equal


async def test_an_edit_at_the_other_app_since_then_stands(twins: Twins) -> None:
    """It failed, too, and came later; so it does not matter which of them is replayed first."""
    for first in (0, 1):
        twins.build(master=None)
        await twins.engine.journal.clear_state(["records:ins_1", "pairs:ins_1:"], 1_000)
        await paired(twins)
        one = await fails(twins, amount=1)
        twins.clock.advance(60)
        twins.left.refuse = 1_000
        twins.right.edit("right_1", amount=50)
        [two] = await twins.settle()
        assert two.state == "failed"
        twins.left.refuse = 0
        for each in ([one, two.id], [two.id, one])[first]:
            await again(twins, each)
            await twins.settle()
        assert twins.equal
        assert twins.left.records["left_1"]["amount"] == Decimal(50)


async def test_a_value_that_was_there_before_the_first_try_is_written_over(twins: Twins) -> None:
    """Though no event has told of it: as it would have been, had the first try been the last."""
    await paired(twins)
    twins.right.edit("right_1", amount=50)
    (late,) = twins.right.told
    twins.right.told.clear()
    stale = await fails(twins, amount=1)
    assert (await again(twins, stale)).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(1)
    twins.right.told.append(late)
    await twins.settle()
    assert twins.equal


async def test_an_edit_at_the_other_app_before_that_is_written_over(twins: Twins) -> None:
    for first in (0, 1):
        twins.build(master=None)
        await twins.engine.journal.clear_state(["records:ins_1", "pairs:ins_1:"], 1_000)
        await paired(twins)
        twins.left.refuse = 1_000
        twins.right.edit("right_1", amount=50)
        [two] = await twins.settle()
        assert two.state == "failed"
        twins.left.refuse = 0
        twins.clock.advance(60)
        one = await fails(twins, amount=1)
        for each in ([one, two.id], [two.id, one])[first]:
            await again(twins, each)
            await twins.settle()
        assert twins.equal
        assert twins.right.records["right_1"]["amount"] == Decimal(1)


async def loses(twins: Twins, **fields: Any) -> str:
    """An edit at the left that arrives at the right, which does not answer; its execution."""
    twins.right.lose = 1_000
    twins.left.edit("left_1", **fields)
    failed = await twins.ended(await twins.send(twins.left.told.pop()))
    assert failed.state == "failed"
    twins.right.lose = 0
    twins.right.told.clear()
    return failed.id


async def test_a_value_that_comes_back_after_a_write_in_doubt_is_written(twins: Twins) -> None:
    await paired(twins)
    await loses(twins, amount=7)
    assert twins.right.records["right_1"]["amount"] == Decimal(7)
    twins.left.edit("left_1", amount=0)
    back, _echo = await twins.settle()
    assert back.state == "succeeded"
    assert twins.equal


async def test_a_value_in_doubt_that_is_there_no_more_is_written_again(twins: Twins) -> None:
    """By the key of the first try, the app would answer as it did then, and write nothing."""
    await paired(twins)
    doubt = await loses(twins, amount=7)
    twins.left.edit("left_1", amount=8)
    await twins.settle()
    assert twins.right.records["right_1"]["amount"] == Decimal(8)
    await fails(twins, amount=7)
    assert (await again(twins, doubt)).state == "succeeded"
    assert twins.right.records["right_1"]["amount"] == Decimal(7)


async def test_a_value_in_doubt_that_is_there_has_the_key_of_the_first_try(twins: Twins) -> None:
    await paired(twins)
    doubt = await loses(twins, amount=7)
    keys = dict(twins.right.keys)
    assert (await again(twins, doubt)).state == "succeeded"
    assert twins.right.keys == keys


async def test_an_edit_to_a_value_that_nothing_came_of_is_no_echo(twins: Twins) -> None:
    """Edit an amount after a write in doubt that also changed the name; the event has the former name."""
    await paired(twins)
    for amount in (4, 5):
        await fails(twins, name="Initrode", amount=amount)
    twins.clock.advance(60)
    twins.right.edit("right_1", amount=4)
    edited, *_ = await twins.settle()
    assert (edited.state, twins.left.records["left_1"]["amount"]) == ("succeeded", Decimal(4))


async def test_values_that_agree_where_another_field_stands_are_dealt_with(twins: Twins) -> None:
    await paired(twins)
    await fails(twins, name="Initrode", amount=2)
    twins.clock.advance(60)
    twins.right.edit("right_1", name="Initrode")
    conflict, *_ = await twins.settle()
    assert (conflict.state, conflict.reason.partition(":")[0]) == ("ignored", "conflict")
    twins.clock.advance(60)
    last = await fails(twins, name="Hooli")
    twins.clock.advance(60)
    twins.right.edit("right_1", amount=2)
    await twins.settle()
    await again(twins, last)
    assert twins.left.records["left_1"] == {"name": "Hooli", "amount": Decimal(2)}
    assert twins.equal


async def test_an_edit_that_gave_way_to_the_master_is_written_over_by_a_replay(
    twins: Twins,
) -> None:
    """The master's edit failed, and the other app's gave way to it: the replay writes the master's."""
    twins.build(master="left")
    await paired(twins)
    failed = await fails(twins, name="Initrode")
    twins.clock.advance(60)
    twins.right.edit("right_1", name="Hooli")
    [gave_way] = await twins.settle()
    assert (gave_way.state, gave_way.reason.partition(":")[0]) == ("ignored", "conflict")
    await again(twins, failed)
    await twins.settle()
    assert twins.right.records["right_1"]["name"] == "Initrode"
    assert twins.equal
