"""Where the flows of a fault run deliver: counts each event's deliveries, by idempotency key."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Sink:
    """The events that arrived: event number → how often, with which `Idempotency-Key`."""

    def __init__(self) -> None:
        self.deliveries: dict[int, Counter[str]] = {}
        self.url = ""

    def note(self, number: int, key: str) -> None:
        """Count a delivery."""
        self.deliveries.setdefault(number, Counter())[key] += 1

    @property
    def arrived(self) -> set[int]:
        """The events that arrived."""
        return set(self.deliveries)

    @property
    def duplicates(self) -> int:
        """Return the number of deliveries that were not the first of their event."""
        return sum(keys.total() - 1 for keys in self.deliveries.values())

    @property
    def keys_changed(self) -> int:
        """Return the number of events that came with more than one key, or with none."""
        return sum(len(keys) != 1 or "" in keys for keys in self.deliveries.values())


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            headers = read_headers(data[:end])
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(data) < whole:
                break
            number = json.loads(data[end + 4 : whole])["n"]
            self._sink.note(number, headers.get("idempotency-key", ""))
            self._transport.write(ANSWER)
            data = data[whole:]
        self._rest = data


def read_headers(head: bytes) -> dict[str, str]:
    """The headers of a message, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}


@asynccontextmanager
async def serving_sink() -> AsyncGenerator[Sink]:
    """A sink that listens on loopback."""
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(sink), "127.0.0.1", 0)
    sink.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield sink
    finally:
        server.close()
