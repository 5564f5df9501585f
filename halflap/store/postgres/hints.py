"""Hints that something may be due, from one process to the others: NOTIFY, after the commit.

A hint may be lost or come late; whoever waits for one looks every few seconds all the same. They
pass over a connection of their own, which must not go through a pooler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import structlog

from halflap.errors import StoreError
from halflap.store.postgres.connecting import Connection, connect

log = structlog.get_logger("halflap.store")

CHANNEL = "halflap_due"
PAUSE_SECONDS = 0.02
"""Hints of so long are one."""
AGAIN_SECONDS = 2.0


class Hints:
    """Sends and hears hints on one connection, which is made when it is first needed."""

    def __init__(self, url: str, schema: str) -> None:
        self._url = url
        self._channel = f"{CHANNEL}_{schema}"[:63].replace('"', "")
        self._listeners: list[Callable[[], object]] = []
        self._wake = asyncio.Event()
        self._to_send = False
        self._heard = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def send(self) -> None:
        """Tell the other processes soon that something may be due."""
        self._start()
        self._to_send = True
        self._wake.set()

    def follow(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener` whenever another process gives a hint; returns how to stop that."""
        self._start()
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Hear and send no more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _start(self) -> None:
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._live(), name="hints")

    async def _live(self) -> None:
        while True:
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
            self._heard = self._heard or notify.pid != own

        def readable() -> None:
            self._wake.set()
            loop.remove_reader(connection.fileno())

        connection.add_notify_handler(heard)
        # What only says that there is news need not be on disk.
        await connection.execute("SET synchronous_commit = off", prepare=False)
        await connection.execute(f'LISTEN "{self._channel}"'.encode(), prepare=False)
        self._tell()  # what was missed while nobody listened
        while True:
            loop.add_reader(connection.fileno(), readable)
            try:
                await self._wake.wait()
            finally:
                loop.remove_reader(connection.fileno())
            self._wake.clear()
            if self._to_send:
                self._to_send = False
                await connection.execute(f'NOTIFY "{self._channel}"'.encode(), prepare=False)
            else:
                await connection.execute(b"SELECT", prepare=False)  # hears what has come
            if self._heard:
                self._tell()
            await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self) -> None:
        self._heard = False
        for each in list(self._listeners):
            each()
