"""The platform's side of a connection: its throttle, and who judges its credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from halflap.engine.throttle import Throttle
from halflap.errors import RateLimited, UpstreamError
from halflap.model import PARKED, ConnectionLimits, StoredConnection
from halflap.sdk.connection import Connection
from halflap.sdk.egress import Limits, Response
from halflap.sdk.gate import Away, Blocked, Judgement, Parked


class AccountGate:
    """The gate between one stored connection, as it was read, and its app."""

    __slots__ = ("_judge", "_throttle", "_unauthorized", "leave", "waits_for")

    def __init__(
        self,
        stored: StoredConnection,
        throttle: Throttle,
        judge: Callable[[], Awaitable[Judgement]],
    ) -> None:
        """`judge` says whether the credentials of this generation are refused for good."""
        self.waits_for = PARKED + stored.id
        self.leave = throttle.leave
        self._throttle = throttle
        self._judge = judge
        self._unauthorized = stored.status == "unauthorized"

    async def enter(self) -> None:
        """Wait for leave to call."""
        if self._unauthorized:
            raise Parked(
                f"{self._throttle.name} ({self._throttle.id}): the app refused its credentials; "
                "mend it, and what waits for it goes on",
                waiting_for=self.waits_for,
            )
        await self._throttle.enter()

    def heard(self, response: Response) -> None:
        """Learn from an answer."""
        self._throttle.heard(response)

    def failed(self, error: UpstreamError) -> None:
        """Learn from a request without a whole answer."""
        self._throttle.failed(error)

    def away(self, error: UpstreamError) -> Away | None:
        """Return what a step's failure means while the app is away; None where it is not."""
        return self._throttle.circuit.away(error)

    def quota(self, used: int, allowed: int, resets_in: timedelta | None) -> None:
        """Note how much of a quota is used."""
        self._throttle.quota(used, allowed, resets_in)

    async def limited(self, error: RateLimited) -> Blocked:
        """The app asked to be called later."""
        return await self._throttle.limited(error)

    async def refused(self) -> Judgement:
        """The app refused the credentials."""
        return await self._judge()


def limits_of(kind: type[Connection], own: ConnectionLimits) -> ConnectionLimits:
    """The limits of a connection: its own, else those that its type declares."""
    declared: Limits = kind.limits
    return ConnectionLimits(
        rate=declared.rate if own.rate is None else own.rate or None,
        burst=declared.burst if own.burst is None else own.burst or None,
        concurrency=declared.concurrency if own.concurrency is None else own.concurrency or None,
    )
