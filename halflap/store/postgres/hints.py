"""Hints from one process to the others: NOTIFY, after the commit that they are about.

A hint is a line of text; the empty one says that something may be due. It may be lost or come late;
whoever waits for one looks every few seconds all the same. They are heard on a connection of their
own, which must not go through a pooler. Each notification names its process last, so that none
hears its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.store.postgres.columns import Texts
from halflap.store.postgres.connecting import Connection, connect
from halflap.store.postgres.database import PostgresDatabase

log = structlog.get_logger("halflap.store")

CHANNEL = "halflap_due"
PAUSE_SECONDS = 0.005
"""Hints of so long pass together."""
AGAIN_SECONDS = 2.0
LAST_SECONDS = 0.2
"""Seconds for which the last hints may be sent, once nothing more comes."""
MOST_BYTES = 7_900
"""The most bytes of one NOTIFY, of the 8,000 that PostgreSQL takes."""
MOST_WAITING = 10_000
"""The most hints that wait for a connection; the oldest are lost first."""
DUE = ""

SEND = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"
FROM = "from "


class PostgresHints:
    """Sends and hears hints; begins to listen when something first follows them."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self.channel = f"{CHANNEL}_{database.schema}".encode()[:63].decode(errors="ignore")
        self.sender = f"{FROM}{secrets.token_hex(4)}"
        self._listeners: list[Callable[[str], object]] = []
        self._due = False
        self._lines: deque[str] = deque(maxlen=MOST_WAITING)
        self._heard: list[str] = []
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    def send(self, line: str = DUE) -> None:
        """Tell the other processes something soon: that work may be due, or a line of text."""
        if line:
            self._lines.append(line)
        else:
            self._due = True
        if self._sending is None and not self._closed:
            self._sending = asyncio.create_task(self._send(), name="hints sent")

    def follow(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call `listener` with each hint of another process; returns how to stop that."""
        if self._listening is None and not self._closed:
            self._listening = asyncio.create_task(self._listen(), name="hints heard")
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Hear and send no more; what waits to be sent may still go."""
        self._closed = True
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=LAST_SECONDS)
        for task in filter(None, (self._sending, self._listening)):
            task.cancel()
            await asyncio.wait([task])

    async def _send(self) -> None:
        while self._due or self._lines:
            payloads = list(self._gathered())
            try:
                await self._database.run(partial(self._notify, payloads))
            except StoreError as error:
                log.warning("hints to other processes were lost", error=error.message)
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(0 if self._closed else PAUSE_SECONDS)
        self._sending = None

    async def _notify(self, payloads: list[str], connection: Connection) -> None:
        async with connection.pipeline():
            await connection.execute("BEGIN")
            # What only says that there is news need not be on disk.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(SEND, (self.channel, Texts(payloads)))
            await connection.execute("COMMIT")

    async def _listen(self) -> None:
        quoted = self.channel.replace('"', '""')
        while True:
            try:
                connection = await connect(self._database.url)
                try:
                    await connection.execute(f'LISTEN "{quoted}"'.encode(), prepare=False)
                    self._hear(DUE)  # what was missed while nobody listened
                    async for notify in connection.notifies():
                        self._hear(notify.payload)
                finally:
                    await connection.close()
            except (psycopg.Error, StoreError, OSError) as error:
                log.warning("no hints of other processes are heard for now", error=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    def _hear(self, payload: str) -> None:
        lines = payload.split("\n")
        if lines[-1] == self.sender:
            return
        if not self._heard:
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._tell)
        self._heard += lines

    def _gathered(self) -> Iterator[str]:
        """Yield the hints to be sent, a line each, as few payloads."""
        due, self._due = self._due, False
        lines: list[str] = [DUE] if due else []
        size = 0
        while self._lines:
            line = self._lines.popleft()
            needs = len(line.encode()) + 1
            if needs > MOST_BYTES:
                continue
            if size + needs > MOST_BYTES:
                yield "\n".join((*lines, self.sender))
                lines, size = [], 0
            lines.append(line)
            size += needs
        if lines:
            yield "\n".join((*lines, self.sender))

    def _tell(self) -> None:
        heard, self._heard = self._heard, []
        for line in dict.fromkeys(each for each in heard if not each.startswith(FROM)):
            for each in list(self._listeners):
                try:
                    each(line)
                except Exception:
                    log.exception("a hint was not understood", hint=line[:200])
