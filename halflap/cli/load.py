"""Both ends of a measurement on loopback: a client that costs little, a destination that costs less."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass(slots=True)
class Deliveries:
    """Deliveries at the destination: id → how often, when first, when last (monotonic nanoseconds)."""

    ids: dict[bytes, list[int]] = field(default_factory=dict[bytes, list[int]])

    def note(self, id: bytes) -> None:
        """Count one delivery."""
        now = time.monotonic_ns()
        seen = self.ids.get(id)
        if seen is None:
            self.ids[id] = seen = [1, now, now]
        else:
            seen[0] += 1
            seen[2] = now


class Destination(asyncio.Protocol):
    """HTTP/1.1, as little of it as an honest client needs: it answers `{}` and notes the id."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write: Callable[[bytes], object] = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = content_length(data, end)
            if len(data) < end + 4 + length:
                break
            self._answer(data[: end + 4 + length], end + 4)
            data = data[end + 4 + length :]
        self._rest = data

    def _answer(self, request: bytes, body: int) -> None:
        start = request.find(b'"', request.find(b'"id"', body) + 4) + 1
        self._deliveries.note(request[start : request.find(b'"', start)])
        self._write(OK)


def content_length(data: bytes, end: int) -> int:
    """Return the length of the body, by a head that ends at `end`."""
    return int(_value(data[:end].lower(), b"content-length:") or 0)


def _value(head: bytes, name: bytes) -> bytes:
    start = head.find(name)
    return head[start + len(name) :].split(b"\r", 1)[0].strip() if start >= 0 else b""


async def serve_destination(deliveries: Deliveries) -> int:
    """Listen on loopback; returns the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Destination(deliveries), "127.0.0.1", 0)
    return int(server.sockets[0].getsockname()[1])


class LoadClient:
    """Posts events over kept-alive connections, as many as are in use at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes) -> tuple[int, str]:
        """Send an event; the status and the execution's id ("" where none was named)."""
        reader, writer = self._kept() or await self._open()
        writer.write(
            b"%scontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (self._head, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(content_length(head, len(head)))
        self._idle.append((reader, writer))
        return int(head[9:12]), _value(head, b"halflap-execution:").decode("latin-1")

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that is there; servers close those that were idle for some seconds."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._address)

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
