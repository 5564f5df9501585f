"""Deadlines: what they cancel, when their time stands still, and whose cancellation it was."""

import asyncio

import pytest

from halflap.sdk.deadline import Deadline
from tests.polling import LoopTime


async def test_a_task_is_cancelled_once_its_time_is_over() -> None:
    deadline = Deadline(0.01)
    with pytest.raises(asyncio.CancelledError), deadline:
        await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert (deadline.expired, deadline.is_over, task.cancelling()) == (True, True, 0)


async def test_a_task_that_is_ready_in_time_goes_on(standing: LoopTime) -> None:
    with (deadline := Deadline(0.02)):
        await standing.move(0.01)
    await standing.move(0.02)
    assert not deadline.expired


async def test_its_time_stands_still_while_it_is_paused(standing: LoopTime) -> None:
    with (deadline := Deadline(0.05)):
        deadline.pause()
        await standing.move(0.1)  # beyond its end
        assert deadline.is_paused
        deadline.resume()
        await asyncio.sleep(0)
    assert not deadline.expired


async def test_its_time_goes_on_after_a_pause() -> None:
    deadline = Deadline(0.05)

    async def work() -> None:
        with deadline:
            deadline.pause()
            deadline.resume()
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        await work()
    assert deadline.is_over


async def test_a_cancellation_from_outside_is_not_its_own() -> None:
    deadline = Deadline(0.0)

    async def work() -> None:
        with deadline:
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    for _ in range(1_000):
        if not deadline.expired:
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deadline.expired
    assert not deadline.is_over
