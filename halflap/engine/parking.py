"""The role that lets parked executions go on: once their connection is mended, or its app may be back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

import structlog

from halflap.engine.journal import JournalEngine
from halflap.errors import NotFound, StoreError
from halflap.model import PARKED
from halflap.sdk.deadline import came
from halflap.store.catalogue.connections import Connections
from halflap.store.protocol import Journal

log = structlog.get_logger("halflap.parking")

POLL_SECONDS = 5.0
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 10.0
"""Seconds for which those that were released are watched, before twice as many are."""
MOST_WATCHED = 20
MOST_AT_ONCE = 4_096


class Parking:
    """Ramps up what was parked: first one, then twice as many each time, as long as they succeed."""

    def __init__(self, journal: Journal, connections: Connections, engine: JournalEngine) -> None:
        self._journal = journal
        self._connections = connections
        self._engine = engine
        self._ramps: dict[str, asyncio.Task[None]] = {}
        self._mended: dict[str, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Look for connections that were mended, until `stop`."""
        while not self._stopping:
            self._wake.clear()
            with contextlib.suppress(StoreError):
                await self._look()
            await came(self._wake, POLL_SECONDS)

    async def until_mended(self, connection: str) -> None:
        """Wait until a connection works again, as parked executions do: of a listener."""
        mended = self._mended.setdefault(connection, asyncio.Event())
        self._wake.set()
        await mended.wait()

    def nudge(self) -> None:
        """Look now: a connection may have been mended."""
        self._wake.set()

    def stop(self) -> None:
        """Let nothing more go; what was let go goes on."""
        self._stopping = True
        self._wake.set()
        for each in self._ramps.values():
            each.cancel()

    async def _look(self) -> None:
        for id in list(self._mended):
            if await self._is_mended(id):
                self._mended.pop(id).set()
        for id in await self._journal.parked():
            if id not in self._ramps and not self._stopping and await self._is_mended(id):
                task = self._ramps[id] = asyncio.create_task(self._ramp(id), name=f"mended {id}")
                task.add_done_callback(partial(self._done, id))

    def _done(self, id: str, _: object) -> None:
        del self._ramps[id]

    async def _is_mended(self, id: str) -> bool:
        """Return whether the credentials are good, and no circuit is open: a probe may go."""
        if id in await self._journal.resting():
            return False
        try:
            return (await self._connections.get(id)).status != "unauthorized"
        except NotFound:
            return True  # what needs it fails, and says so

    async def _ramp(self, id: str) -> None:
        many, count = 1, 0
        with contextlib.suppress(StoreError, NotFound):
            async with self._connections.refreshing(f"mended:{id}"):  # one worker does it
                while await self._is_mended(id):
                    found = await self._engine.unpark(id, many)
                    if not await self._pass(id, found):
                        break
                    count += len(found)
                    if len(found) < many:
                        break
                    many = min(many * 2, MOST_AT_ONCE)
            if count and not (await self._journal.throttled(id)).away:
                log.info(
                    "executions go on whose connection works again", connection=id, count=count
                )

    async def _pass(self, id: str, executions: Sequence[str]) -> bool:
        """Watch those that were let go; whether none of them was parked again."""
        watched = list(executions[:MOST_WATCHED])
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while watched and asyncio.get_running_loop().time() < deadline:
            under_way: list[str] = []
            for each in watched:
                found = await self._journal.execution(each)
                if found is not None and found.waiting_for == PARKED + id:
                    return False
                if found is not None and (found.state == "running" or found.due_at is not None):
                    under_way.append(each)
            watched = under_way
            if watched:
                await asyncio.sleep(LOOK_SECONDS)
        return True
