"""Following executions as they change: a bounded queue per listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum

from halflap.engine.journal import JournalEngine
from halflap.model import Change

ROOM = 1_000
"""The most changes that wait for a slow listener before it is dropped."""


class KeepAlive(Enum):
    """A message to a listener that is no change."""

    HEARTBEAT = "heartbeat"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Which:
    """A filter of what to follow; None matches all."""

    customer: str | None = None
    instance: str | None = None
    execution: str | None = None

    def wants(self, change: Change) -> bool:
        """Return whether a change is one of these."""
        return (
            self.customer in (None, change.start.flow.customer)
            and self.instance in (None, change.start.flow.instance)
            and self.execution in (None, change.execution)
        )


@dataclass(slots=True)
class Following:
    """Hands every change to whoever follows."""

    engine: JournalEngine
    heartbeat_seconds: float = 15.0
    room: int = ROOM
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        """End every stream: the server stops."""
        self._stopping.set()

    async def changes(
        self, which: Which, gone: asyncio.Future[None] | None = None
    ) -> AsyncGenerator[Change | KeepAlive]:
        """Changes from now on, a heartbeat where there are none.

        The first thing heard is a heartbeat: from then on nothing is missed. It ends once the
        listener was too slow, the server stops, or whoever listens is `gone`.
        """
        queue: asyncio.Queue[Change] = asyncio.Queue(self.room)
        dropped = False

        def listen(change: Change) -> None:
            nonlocal dropped
            if dropped or not which.wants(change):
                return
            try:
                queue.put_nowait(change)
            except asyncio.QueueFull:
                dropped = True

        stop = self.engine.follow(listen)
        stopping = asyncio.ensure_future(self._stopping.wait())
        ends = [stopping] if gone is None else [stopping, gone]
        try:
            yield KeepAlive.HEARTBEAT
            while not any(each.done() for each in ends):
                if queue.empty() and dropped:
                    yield KeepAlive.DROPPED
                    return
                getting = asyncio.ensure_future(queue.get())
                try:
                    await asyncio.wait(
                        [getting, *ends],
                        timeout=self.heartbeat_seconds,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    if not getting.done():
                        getting.cancel()
                if getting.done() and not getting.cancelled():
                    yield getting.result()
                elif not any(each.done() for each in ends):
                    yield KeepAlive.HEARTBEAT
        finally:
            stop()
            stopping.cancel()
