"""Each mail of a folder becomes one execution, and is marked: servers killed at every step of reading it.

The mailbox is dovecot's. The control moves the cursor before it accepts the mails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.dovecot import Dovecot, dovecot
from tests.faults import checker
from tests.faults.process import ServerProcess
from tests.listeners.test_kills import HERE, POINTS
from tests.polling import until

NUMBERS = 120


@pytest.fixture
def box() -> Iterator[Dovecot]:
    with dovecot() as made:
        made.append("ada", [b"Subject: %d\r\n\r\n%d\r\n" % (n, n) for n in range(NUMBERS)])
        yield made


@asynccontextmanager
async def reader(folder: Path, box: Dovecot, *flags: str) -> AsyncIterator[ServerProcess]:
    process = ServerProcess(folder, str(box.port), "--mailbox", *flags, script=HERE / "server.py")
    try:
        try:
            await process.start()
        except AssertionError:  # it died before its instance was active
            await process.ended()
        yield process
    finally:
        await process.clean_up()


def accepted(folder: Path) -> Counter[int]:
    rows = checker.executions(folder, "mails").values()
    return Counter(int(row.result) for row in rows if row.result)


def seen(box: Dovecot) -> int:
    return sum(r"\Seen" in each for each in box.flags("ada"))


async def test_killed_readers_of_a_mailbox_lose_and_double_nothing(tmp_path: Path, box: Dovecot):
    folder = tmp_path / "data"
    for point in POINTS:
        async with reader(folder, box, "--die", f"{point}:1") as dying:
            assert await dying.ended() == -9
    async with reader(folder, box):
        await until(lambda: len(accepted(folder)) == NUMBERS, 60)
        await until(lambda: seen(box) == NUMBERS, 30, lambda: seen(box))
    assert accepted(folder) == Counter(range(NUMBERS))


async def test_the_control_that_moves_the_cursor_first_loses(tmp_path: Path, box: Dovecot):
    folder = tmp_path / "data"
    async with reader(folder, box, "--cursor-first", "--die", "between:2") as dying:
        assert await dying.ended() == -9
    async with reader(folder, box):
        box.append("ada", [b"Subject: 999\r\n\r\nx\r\n"])
        await until(lambda: accepted(folder)[999] == 1, 60)
    assert len(accepted(folder)) < NUMBERS
