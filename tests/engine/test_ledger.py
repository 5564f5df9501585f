from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from halflap.engine.ledger import Ledger
from halflap.engine.protocol import Turn
from halflap.errors import StoreError
from halflap.model import LogLine, Record, StateWrite


class Disk:
    """Where a ledger writes: each commit waits until it is let through, and may be refused."""

    def __init__(self) -> None:
        self.commits: list[list[str]] = []
        self.lines: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.refusals: list[Exception] = []
        self.conflicts = False

    async def commit(
        self, records: Sequence[Record], logs: Sequence[LogLine], writes: Sequence[StateWrite] = ()
    ) -> bool:
        await self.open.wait()
        if self.refusals:
            raise self.refusals.pop()
        if writes and self.conflicts:
            return False
        self.commits.append([f"{each.path}={(each.result or b'').decode()}" for each in records])
        self.lines += [each.message for each in logs]
        return True


def ledger_on(disk: Disk) -> Ledger:
    return Ledger(cast(Turn, disk))


def record_of(path: str, *, pure: bool = False) -> Record:
    return Record(0, path, "action", path, path, "succeeded", 1, 2, None, b"1", pure=pure)


async def test_pure_records_wait_for_no_commit_and_ride_along() -> None:
    disk = Disk()
    ledger = ledger_on(disk)
    ledger.keep(record_of("a", pure=True))
    await ledger.settle()
    assert disk.commits == []
    ledger.keep(record_of("b"))
    await ledger.settle()
    await ledger.settle()
    assert disk.commits == [["a=1", "b=1"]]


async def test_a_record_that_another_branch_is_writing_is_waited_for() -> None:
    disk = Disk()
    ledger = ledger_on(disk)
    disk.open.clear()
    ledger.keep(record_of("a"))
    first = asyncio.create_task(ledger.settle())
    await asyncio.sleep(0)
    second = asyncio.create_task(ledger.settle())
    for _ in range(5):
        await asyncio.sleep(0)
    assert (first.done(), second.done()) == (False, False)
    disk.open.set()
    await first
    await second
    assert disk.commits == [["a=1"]]


async def test_what_was_refused_is_written_by_the_next_commit() -> None:
    disk = Disk()
    ledger = ledger_on(disk)
    disk.refusals = [StoreError("full")]
    ledger.keep(record_of("a"))
    ledger.keep_lines([LogLine(1, "info", "hello")])
    with pytest.raises(StoreError):
        await ledger.settle()
    ledger.keep(record_of("b"))
    await ledger.settle()
    assert (disk.commits, disk.lines) == ([["a=1", "b=1"]], ["hello"])


async def test_a_settle_that_is_cancelled_still_writes_once() -> None:
    disk = Disk()
    ledger = ledger_on(disk)
    disk.open.clear()
    ledger.keep(record_of("a"))
    settling = asyncio.create_task(ledger.settle())
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    disk.open.set()
    left: Any = await ledger.left()
    assert (disk.commits, left) == ([["a=1"]], ([], [], []))


async def test_a_conflict_is_recorded_together_with_what_was_due() -> None:
    disk = Disk()
    ledger = ledger_on(disk)
    disk.conflicts = True
    ledger.keep(record_of("a"))
    assert not await ledger.write(record_of("put"), [StateWrite("s", "k", b"1", b"0")])
    await ledger.settle()
    assert disk.commits == [["a=1", "put=false"]]
