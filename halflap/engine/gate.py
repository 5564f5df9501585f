"""The platform's side of a connection: its throttle, and who judges its credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from halflap.engine.throttle import Throttle
from halflap.errors import RateLimited, Unauthorized, UpstreamError
from halflap.model import PARKED, ConnectionLimits, StoredConnection
from halflap.sdk.connection import Connection
from halflap.sdk.egress import Limits
from halflap.sdk.gate import Away, Blocked, Gate, Judgement, Parked


class AccountGate:
    """The gate between one stored connection, as it was read, and its app."""

    def __init__(
        self,
        stored: StoredConnection,
        throttle: Throttle,
        judge: Callable[[], Awaitable[Judgement]],
    ) -> None:
        """`judge` says whether the credentials of this generation are refused for good."""
        self.waits_for = PARKED + stored.id
        self.leave, self.heard, self.failed = throttle.leave, throttle.heard, throttle.failed
        self.quota, self.limited, self.away = (
            throttle.quota,
            throttle.limited,
            throttle.circuit.away,
        )
        self._judge = judge
        self._throttle = throttle
        self._unauthorized = stored.status == "unauthorized"

    def enter(self) -> Coroutine[Any, Any, None]:
        """Wait for leave to call."""
        if self._unauthorized:
            raise Parked(
                f"{self._throttle.name} ({self._throttle.id}): the app refused its credentials; "
                "mend it, and what waits for it goes on",
                waiting_for=self.waits_for,
            )
        return self._throttle.enter()

    async def refused(self) -> Judgement:
        """The app refused the credentials."""
        return await self._judge()


async def seen_by(gate: Gate, error: UpstreamError) -> UpstreamError:
    """Return the error that an error of an app means, once the gate of its connection has seen it."""
    match error:
        case Blocked() | Away() | Parked():
            return error
        case RateLimited():
            return await gate.limited(error)
        case Unauthorized():
            judged = await gate.refused()
            if judged == "park":
                return Parked(error.message, waiting_for=gate.waits_for)
            error.retryable = judged == "again"
            return error
        case _:
            return gate.away(error) or error


def limits_of(kind: type[Connection], own: ConnectionLimits) -> ConnectionLimits:
    """The limits of a connection: its own, else those that its type declares."""
    declared: Limits = kind.limits
    return ConnectionLimits(
        rate=declared.rate if own.rate is None else own.rate or None,
        burst=declared.burst if own.burst is None else own.burst or None,
        concurrency=declared.concurrency if own.concurrency is None else own.concurrency or None,
    )
