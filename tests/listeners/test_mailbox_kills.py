"""Each mail of a folder becomes one execution, and is marked: servers killed at every step of reading it.

The mailbox is dovecot's. The control moves the cursor before it accepts the mails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.dovecot import Dovecot, dovecot
from tests.faults.process import ServerProcess
from tests.listeners.reader import AT_POINTS, accepted, reader
from tests.polling import until

NUMBERS = 120


@pytest.fixture
def box() -> Iterator[Dovecot]:
    with dovecot() as made:
        made.append("ada", [b"Subject: %d\r\n\r\n%d\r\n" % (n, n) for n in range(NUMBERS)])
        yield made


def reading(folder: Path, box: Dovecot, *flags: str) -> AbstractAsyncContextManager[ServerProcess]:
    return reader(folder, str(box.port), "--mailbox", *flags)


def seen(box: Dovecot) -> int:
    return sum(r"\Seen" in each for each in box.flags("ada"))


@AT_POINTS
async def test_killed_readers_of_a_mailbox_lose_and_double_nothing(
    tmp_path: Path, box: Dovecot, points: Sequence[str]
):
    folder = tmp_path / "data"
    for point in points:
        async with reading(folder, box, "--die", f"{point}:1") as dying:
            assert await dying.ended() == -9
    async with reading(folder, box):
        await until(lambda: len(accepted(folder, "mails")) == NUMBERS)
        await until(lambda: seen(box) == NUMBERS, what=lambda: seen(box))
    assert accepted(folder, "mails") == Counter(range(NUMBERS))


async def test_the_control_that_moves_the_cursor_first_loses(tmp_path: Path, box: Dovecot):
    folder = tmp_path / "data"
    async with reading(folder, box, "--cursor-first", "--die", "between:2") as dying:
        assert await dying.ended() == -9
    async with reading(folder, box):
        box.append("ada", [b"Subject: 999\r\n\r\nx\r\n"])
        await until(lambda: accepted(folder, "mails")[999] == 1)
    assert len(accepted(folder, "mails")) < NUMBERS
