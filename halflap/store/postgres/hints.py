"""Hints from one process to the others: NOTIFY, after the commit that they are about.

A hint is a line of text; the empty one says that something may be due. It may be lost or come late;
whoever waits for one looks every few seconds all the same. They pass over a connection of their
own, which must not go through a pooler.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.store.postgres.columns import Texts
from halflap.store.postgres.connecting import Connection, connect

log = structlog.get_logger("halflap.store")

CHANNEL = "halflap_due"
PAUSE_SECONDS = 0.005
"""Hints of so long pass together."""
AGAIN_SECONDS = 2.0
LAST_SECONDS = 0.2
"""How long what is still to be sent has, once nothing more comes."""
MOST_BYTES = 7_900
"""What one NOTIFY carries, of the 8,000 that PostgreSQL takes."""
MOST_WAITING = 10_000
"""How many hints wait for a connection; the oldest are lost first."""
DUE = ""

SEND = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"


class Hints:
    """Sends and hears hints on one connection, which is made when it is first needed."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._channel = f"{CHANNEL}_{schema}".encode()[:63].decode(errors="ignore")
        self._listeners: list[Callable[[str], object]] = []
        self._wake = asyncio.Event()
        self._due = False
        self._lines: deque[str] = deque(maxlen=MOST_WAITING)
        self._heard: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def send(self, line: str = DUE) -> None:
        """Tell the other processes something soon: that work may be due, or a line of text."""
        self._start()
        if line:
            self._lines.append(line)
        else:
            self._due = True
        self._wake.set()

    def follow(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call `listener` with each hint of another process; returns how to stop that."""
        self._start()
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Hear and send no more; what waits to be sent may still go."""
        self._closed = True
        if self._task is not None:
            self._wake.set()
            await asyncio.wait([self._task], timeout=LAST_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task])

    def _start(self) -> None:
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._live(), name="hints")

    async def _live(self) -> None:
        while not self._closed:
            try:
                connection = await connect(self._url)
                try:
                    await self._pass(connection)
                finally:
                    await connection.close()
            except (psycopg.Error, StoreError, OSError) as error:
                log.warning("no hints pass between processes for now", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _pass(self, connection: Connection) -> None:
        own = connection.info.backend_pid
        loop = asyncio.get_running_loop()

        def heard(notify: psycopg.Notify) -> None:
            if notify.pid != own:
                self._heard += notify.payload.split("\n")

        def readable() -> None:
            self._wake.set()
            loop.remove_reader(connection.fileno())

        connection.add_notify_handler(heard)
        # What only says that there is news need not be on disk.
        await connection.execute("SET synchronous_commit = off", prepare=False)
        quoted = self._channel.replace('"', '""')
        await connection.execute(f'LISTEN "{quoted}"'.encode(), prepare=False)
        self._heard.append(DUE)  # what was missed while nobody listened
        self._tell()
        while True:
            loop.add_reader(connection.fileno(), readable)
            try:
                await self._wake.wait()
            finally:
                loop.remove_reader(connection.fileno())
            self._wake.clear()
            if payloads := list(self._gathered()):
                await connection.execute(SEND, (self._channel, Texts(payloads)))
            elif self._closed:
                return
            else:
                await connection.execute(b"SELECT", prepare=False)  # hears what has come
            self._tell()
            if self._closed:
                self._wake.set()
            else:
                await asyncio.sleep(PAUSE_SECONDS)

    def _gathered(self) -> Iterator[str]:
        """What is to be sent, a line each, as few payloads."""
        due, self._due = self._due, False
        lines: list[str] = [DUE] if due else []
        size = 0
        while self._lines:
            line = self._lines.popleft()
            needs = len(line.encode()) + 1
            if needs > MOST_BYTES:
                continue
            if size + needs > MOST_BYTES:
                yield "\n".join(lines)
                lines, size = [], 0
            lines.append(line)
            size += needs
        if lines:
            yield "\n".join(lines)

    def _tell(self) -> None:
        heard, self._heard = self._heard, []
        for line in dict.fromkeys(heard):
            for each in list(self._listeners):
                try:
                    each(line)
                except Exception:
                    log.exception("a hint was not understood", hint=line[:200])
