"""Hold the unwritten records of an attempt: records, log lines, state that are not on disk yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from halflap.engine.protocol import Turn
from halflap.model import LogLine, Record, StateWrite


class Ledger:
    """Gathers records, and writes them when an effect is about to follow.

    One write is under way at a time; what is kept meanwhile goes with the next one.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._records: list[Record] = []
        self._logs: list[LogLine] = []
        self._writes: list[StateWrite] = []
        self._writing: asyncio.Task[bool] | None = None
        self._kept = 0  # how many records that are not pure there have been
        self._durable = 0  # how many of them are on disk

    def keep(self, record: Record, writes: Sequence[StateWrite] = ()) -> None:
        """Keep a record; unless it is pure, it is on disk before the next effect starts.

        `writes` to state, which expect nothing, are one commit with it.
        """
        self._records.append(record)
        if writes:
            self._writes += writes
        if not record.pure:
            self._kept += 1

    def keep_lines(self, lines: Sequence[LogLine]) -> None:
        """Keep log lines; they ride along with records."""
        self._logs += lines

    async def settle(self, writes: Sequence[StateWrite] = ()) -> None:
        """Return once every record that was kept until now, and is not pure, is on disk.

        So are `writes` to state, which expect nothing, then.
        """
        if writes:
            self._writes += writes
            self._kept += 1
        target = self._kept
        while self._durable < target:
            if self._writing is None:
                self._begin(None, ())
            await self._written()

    async def write(self, record: Record, writes: Sequence[StateWrite]) -> bool:
        """Write to state together with its record (and all that is due); false where one conflicts.

        Where one does, the record is kept with the result `false`.
        """
        while self._writing is not None:
            await self._written()
        return await asyncio.shield(self._begin(record, writes))

    async def left(self) -> tuple[Sequence[Record], Sequence[LogLine], Sequence[StateWrite]]:
        """Return the unwritten records: they go with the verdict."""
        while self._writing is not None:
            await self._written()
        records, logs, writes = self._records, self._logs, self._writes
        self._records, self._logs, self._writes = [], [], []
        self._durable = self._kept
        return records, logs, writes

    def _begin(self, record: Record | None, writes: Sequence[StateWrite]) -> asyncio.Task[bool]:
        task = asyncio.get_running_loop().create_task(self._write(record, writes))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._writing = task
        return task

    async def _written(self) -> None:
        assert self._writing is not None
        await asyncio.shield(self._writing)

    async def _write(self, record: Record | None, writes: Sequence[StateWrite]) -> bool:
        records, logs, due, kept = self._records, self._logs, self._writes, self._kept
        self._records, self._logs, self._writes = [], [], []
        try:
            if record is None:
                done = await self._turn.commit(records, logs, due)
            else:
                done = await self._turn.commit([*records, record], logs, [*due, *writes])
                if not done:
                    record = replace(record, result=b"false")
                    await self._turn.commit([*records, record], logs, due)
            self._durable = kept
            return done
        except BaseException:
            self._records[:0], self._logs[:0], self._writes[:0] = records, logs, due
            raise
        finally:
            self._writing = None
