"""Senders that keep a history: of each event they know whether it was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from halflap.gateway.app import STORE_SECONDS
from tests.faults.sink import read_headers
from tests.polling import DEADLINE


class Answer:
    """One HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def execution(self) -> str:
        """The execution that it names."""
        return self.headers.get("halflap-execution", "")


class Line:
    """One connection that is kept alive, and made again where it broke."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self, within: float = DEADLINE) -> None:
        """Be connected; waits for a server that is being started."""
        async with asyncio.timeout(within):
            while self._streams is None:
                try:
                    self._streams = await asyncio.open_connection(self._host, self._port)
                except OSError:
                    await asyncio.sleep(0.02)

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, method: str = "POST"
    ) -> Answer | None:
        """Send a request; None where no whole answer came: it is not known what became of it."""
        assert self._streams is not None
        head = {"host": f"{self._host}:{self._port}", "content-type": "application/json"}
        head |= {"content-length": str(len(body)), **(headers or {})}
        lines = [f"{method} {self._path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items())]
        return await self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def raw(self, request: bytes) -> Answer | None:
        """Send bytes as they are."""
        assert self._streams is not None
        reader, writer = self._streams
        try:
            async with asyncio.timeout(DEADLINE):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                headers = read_headers(head[:-4])
                body = await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return None
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[9:12]), headers, body)

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class History:
    """The events as senders know them: acknowledged, refused, and those of which nobody knows.

    An event that was refused may be unknown as well.

    first: the number of the first event.
    """

    def __init__(self, first: int = 1) -> None:
        self.acknowledged: set[int] = set()
        self.refused: dict[int, int] = {}
        self.unknown: set[int] = set()
        self.executions: set[str] = set()
        self.retry_after: set[str] = set()
        self._numbers = itertools.count(first)

    async def send_one(self, line: Line, padding: int = 0) -> Answer | None:
        """Send the next event, and note what became of it."""
        number = next(self._numbers)
        body = b'{"n": %d, "pad": "%s"}' % (number, b"x" * padding)
        self.unknown.add(number)
        began = time.monotonic()
        answer = await line.post(body)
        if answer is None:
            return None
        # A gateway gives up on a store that hangs, but not on a write that is under way: what it
        # refused after so long may be stored all the same, once the store goes on.
        if answer.status != 503 or time.monotonic() - began < STORE_SECONDS:
            self.unknown.discard(number)
        if 200 <= answer.status < 300:
            self.acknowledged.add(number)
            self.executions.add(answer.execution)
        else:
            self.refused[number] = answer.status
            self.retry_after.add(answer.headers.get("retry-after", ""))
        return answer

    async def _send(self, url: str, pause: float) -> None:
        line = Line(url)
        try:
            while True:
                await line.connect()
                await self.send_one(line)
                await asyncio.sleep(pause)
        finally:
            line.close()

    @asynccontextmanager
    async def sending(self, url: str, senders: int, pause: float = 0.0) -> AsyncGenerator[None]:
        """Keep `senders` connections busy meanwhile; `pause` (seconds) is each one's rest."""
        tasks = [asyncio.create_task(self._send(url, pause)) for _ in range(senders)]
        try:
            yield
            for each in tasks:
                if each.done():
                    each.result()
        finally:
            for each in tasks:
                each.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
