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
"""Seconds for which a connection's test that passed is believed, and new credentials are new."""

Opened = Callable[[type[Connection], StoredAccount, str], Connection]


class Judges:
    """Tests connections whose credentials an app refused, one at a time for all workers."""

    def __init__(self, source: FactSource, opened: Opened, monotonic: Callable[[], float]) -> None:
        self._source = source
        self._opened = opened
        self._monotonic = monotonic
        self._passed: dict[tuple[str, int], float] = {}
        self._renewed: dict[tuple[str, int], float] = {}

    def renewed(self, stored: StoredConnection) -> None:
        """Know a connection's credentials as new ones."""
        self._renewed = self._noted(self._renewed, stored)

    def _noted(
        self, known: dict[tuple[str, int], float], stored: StoredConnection
    ) -> dict[tuple[str, int], float]:
        now = self._monotonic()
        recent = {each: at for each, at in known.items() if now - at < TRUSTED_SECONDS}
        return {**recent, (stored.id, stored.generation): now}

    def _is_recent(self, known: dict[tuple[str, int], float], stored: StoredConnection) -> bool:
        at = known.get((stored.id, stored.generation))
        return at is not None and self._monotonic() - at < TRUSTED_SECONDS

    async def judge(self, kind: type[Connection], used: StoredConnection) -> Judgement:
        """Return the judgement of a step that used these credentials, and was refused.

        They are refreshed, unless that was just done. `again` where they are others by then; `park`
        where the connection's own test is refused as well; else the step just fails: it asked for
        what these credentials may not do.
        """
        async with holding(self._source, used.id, f"test:{used.id}") as held:
            now = held.account.stored
            if now.generation != used.generation:
                return "again"
            if now.status == "unauthorized":
                return "park"
            if self._is_recent(self._passed, now):
                return "fail"
            connection = self._opened(kind, held.account, now.name)
            if not self._is_recent(self._renewed, now) and is_renewable(connection):
                try:
                    await connection.refreshed()
                except Unauthorized:
                    return "park"
                except (HalflapError, TimeoutError):
                    pass  # where tokens come from is away: asked again at the next try
                return "again"
            how = await self._test(connection, now)
            if how == "park":
                held.learnt = Learnt(now.generation)
        has_changed = how == "passed" and held.account.stored.generation != now.generation
        return "again" if has_changed else "park" if how == "park" else "fail"

    async def _test(
        self, connection: Connection, stored: StoredConnection
    ) -> Literal["park", "fail", "passed"]:
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
        self._passed = self._noted(self._passed, stored)
        return "passed"


def is_renewable(connection: Connection) -> bool:
    """Return whether a connection's way in can get new credentials by itself."""
    auth = getattr(connection, "auth", None)
    return hasattr(auth, "refresh") and getattr(auth, "is_renewable", True)
