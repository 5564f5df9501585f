"""Judge whether a connection's credentials are refused for good, so that its work is parked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

from halflap.errors import HalflapError, Unauthorized
from halflap.model import StoredConnection
from halflap.sdk.connection import Connection
from halflap.sdk.gate import Judgement

log = structlog.get_logger("halflap.connections")

TEST_SECONDS = 30.0
TRUSTED_SECONDS = 30.0
"""Seconds for which a connection's test that passed is believed."""

Opened = Callable[[type[Connection], StoredConnection, str], Awaitable[Connection]]


class Judges:
    """Tests connections whose credentials an app refused, one at a time for all workers."""

    def __init__(self, connections: Any, opened: Opened, monotonic: Callable[[], float]) -> None:
        self._connections = connections
        self._opened = opened
        self._monotonic = monotonic
        self._passed: dict[tuple[str, int], float] = {}

    async def judge(self, kind: type[Connection], used: StoredConnection) -> Judgement:
        """Return the judgement of a step that used these credentials, and was refused.

        They were refreshed by now, where that can be done. `again` where they are others meanwhile;
        `park` where the connection's own test is refused as well; else the step just fails: it asked
        for what these credentials may not do.
        """
        async with self._connections.refreshing(f"test:{used.id}"):
            now = await self._connections.get(used.id)
            if now.generation != used.generation:
                return "again"
            if now.status == "unauthorized":
                return "park"
            passed = self._passed.get((now.id, now.generation))
            if passed is not None and self._monotonic() - passed < TRUSTED_SECONDS:
                return "fail"
            return await self._test(kind, now)

    async def _test(self, kind: type[Connection], stored: StoredConnection) -> Judgement:
        connection = await self._opened(kind, stored, stored.name)
        try:
            async with asyncio.timeout(TEST_SECONDS):
                with suppress(NotImplementedError):  # nothing to ask: as if it had passed
                    await connection.test()
        except Unauthorized:
            await self._connections.set_status(
                stored.id, "unauthorized", generation=stored.generation
            )
            log.warning(
                "the app refused a connection; mend it", connection=stored.name, id=stored.id
            )
            return "park"
        except (HalflapError, TimeoutError):
            return "fail"  # that says nothing about the credentials
        except Exception:
            log.exception("a connection's test raised", connection=stored.id)
            return "fail"
        newest = await self._connections.get(stored.id)
        if newest.generation != stored.generation:
            return "again"
        self._passed = {
            key: at for key, at in self._passed.items() if self._monotonic() - at < TRUSTED_SECONDS
        }
        self._passed[stored.id, stored.generation] = self._monotonic()
        return "fail"
