"""Judge whether a connection's credentials are refused for good, so that its work is parked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import structlog

from halflap.engine.facts import FactSource, Learnt, StoredAccount, holding
from halflap.errors import HalflapError, Unauthorized
from halflap.model import StoredConnection
from halflap.sdk.connection import Connection
from halflap.sdk.gate import Judgement

log = structlog.get_logger("halflap.connections")

TEST_SECONDS = 30.0
TRUSTED_SECONDS = 30.0
"""Seconds for which a connection's test that passed is believed."""

Opened = Callable[[type[Connection], StoredAccount, str], Connection]


class Judges:
    """Tests connections whose credentials an app refused, one at a time for all workers."""

    def __init__(self, source: FactSource, opened: Opened, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._opened = opened
        self._monotonic = monotonic
        self._passed: dict[tuple[str, int], float] = {}

    async def judge(self, kind: type[Connection], used: StoredConnection) -> Judgement:
        """Return the judgement of a step that used these credentials, and was refused.

        They were refreshed by now, where that can be done. `again` where they are others meanwhile;
        `park` where the connection's own test is refused as well; else the step just fails: it asked
        for what these credentials may not do.
        """
        async with holding(self._source, used.id, f"test:{used.id}") as held:
            now = held.account.stored
            if now.generation != used.generation:
                return "again"
            if now.status == "unauthorized":
                return "park"
            passed = self._passed.get((now.id, now.generation))
            if passed is not None and self._monotonic() - passed < TRUSTED_SECONDS:
                return "fail"
            how = await self._test(kind, held.account)
            if how == "park":
                held.learnt = Learnt(now.generation)
        has_changed = how == "passed" and held.account.stored.generation != now.generation
        return "again" if has_changed else "park" if how == "park" else "fail"

    async def _test(
        self, kind: type[Connection], account: StoredAccount
    ) -> Literal["park", "fail", "passed"]:
        stored = account.stored
        connection = self._opened(kind, account, stored.name)
        try:
            async with asyncio.timeout(TEST_SECONDS):
                with suppress(NotImplementedError):  # nothing to ask: as if it had passed
                    await connection.test()
        except Unauthorized:
            log.warning(
                "the app refused a connection; mend it", connection=stored.name, id=stored.id
            )
            return "park"
        except (HalflapError, TimeoutError):
            return "fail"  # that says nothing about the credentials
        except Exception:
            log.exception("a connection's test raised", connection=stored.id)
            return "fail"
        now = self._monotonic()
        self._passed = {k: at for k, at in self._passed.items() if now - at < TRUSTED_SECONDS}
        self._passed[stored.id, stored.generation] = now
        return "passed"
