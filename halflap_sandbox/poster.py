"""Posts to the receivers of an app's webhooks, in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

LONGEST_ANSWER = 65_536
"""The bytes of an answer that are read; of a longer one, one more."""


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer of a receiver; without a status there was none, and `error` says why."""

    status: int | None = None
    body: bytes = b""
    error: str | None = None

    @property
    def is_taken(self) -> bool:
        """True where the receiver has taken what was posted."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """One client for all receivers of an app; each try takes `timeout` seconds at most."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do some work in the background, until the app ends."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post once; a redirect is not followed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = b""
                async for chunk in response.content.iter_any():
                    answer = (answer + chunk)[: LONGEST_ANSWER + 1]
                    if len(answer) > LONGEST_ANSWER:
                        break
                return Posted(response.status, answer)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            return Posted(error=str(error) or type(error).__name__)

    async def close(self) -> None:
        """Stop what is under way."""
        for each in self._tasks:
            each.cancel()
        if self._session is not None:
            await self._session.close()
