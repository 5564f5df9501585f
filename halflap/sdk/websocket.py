"""A WebSocket that a component opened through the egress client: texts in, texts out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from halflap.errors import UpstreamError

if TYPE_CHECKING:
    import aiohttp

HEARTBEAT_SECONDS = 20.0
LARGEST_MESSAGE = 4 * 1024 * 1024


class WebSocket:
    """A WebSocket. The other side is pinged; one that does not answer counts as closed."""

    def __init__(self, opened: aiohttp.ClientWebSocketResponse) -> None:
        self._opened = opened

    async def receive(self) -> bytes | None:
        """Return the next message, a text as its UTF-8; None once it is closed, by whichever side."""
        from aiohttp import WSMsgType

        found = await self._opened.receive()
        if found.type == WSMsgType.TEXT:
            return found.data.encode()
        return found.data if found.type == WSMsgType.BINARY else None

    async def send(self, text: str) -> None:
        """Send a text; `UpstreamError` where the WebSocket is closed."""
        try:
            await self._opened.send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise UpstreamError(f"the WebSocket is closed: {error}") from error

    async def close(self) -> None:
        """Close it; one that is closed already is fine."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self._opened.close()
