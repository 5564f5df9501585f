"""Each message of a queue of SQS becomes one execution: servers killed at every step of reading it.

The queue is moto's, in a process of its own. The control deletes messages before it accepts them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.process import ServerProcess
from tests.listeners.reader import AT_POINTS, accepted, reader
from tests.moto_server import client, moto_server
from tests.polling import until

NUMBERS = 60
_names = itertools.count(1)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


class FilledQueue:
    """A queue with numbers in it."""

    def __init__(self, moto: str) -> None:
        self.boto: Any = client("sqs", moto)
        self.url: str = self.boto.create_queue(QueueName=f"numbers-{next(_names)}")["QueueUrl"]
        for first in range(0, NUMBERS, 10):
            entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(first, first + 10)]
            self.boto.send_message_batch(QueueUrl=self.url, Entries=entries)

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.boto.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(each) for each in found["Attributes"].values())


def reading(
    folder: Path, queue: FilledQueue, *flags: str
) -> AbstractAsyncContextManager[ServerProcess]:
    return reader(folder, queue.url, "--queue", *flags)


@AT_POINTS
async def test_killed_readers_of_a_queue_lose_and_double_nothing(
    tmp_path: Path, moto: str, points: Sequence[str]
):
    queue, folder = FilledQueue(moto), tmp_path / "data"
    for point in points:
        async with reading(folder, queue, "--die", f"{point}:1") as dying:
            assert await dying.ended() == -9
    async with reading(folder, queue):
        await until(lambda: not queue.left())
        await until(lambda: len(accepted(folder, "queue")) == NUMBERS)
    assert accepted(folder, "queue") == Counter(range(NUMBERS))


async def test_the_control_that_deletes_first_loses(tmp_path: Path, moto: str):
    queue, folder = FilledQueue(moto), tmp_path / "data"
    async with reading(folder, queue, "--ack-first", "--die", "between:1") as dying:
        assert await dying.ended() == -9
    async with reading(folder, queue):
        await until(lambda: not queue.left())
        await until(lambda: len(accepted(folder, "queue")) == NUMBERS - 10)
    assert len(accepted(folder, "queue")) == NUMBERS - 10
