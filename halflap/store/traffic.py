"""The verbs of SQLite's journal about traffic: limits of customers and connections, what is parked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from halflap.model import CustomerLimits, CustomerLoad, Micros, Throttled
from halflap.store import limiting, throttling
from halflap.store.recording import text
from halflap.store.sqlite import Ways
from halflap.store.turns import Turns


class Traffic:
    """The amounts of executions that may run, and of calls (see store/protocol.py)."""

    _database: Ways
    _clock: Callable[[], Micros]
    _turns: tuple[Turns, Turns]
    default_limits: CustomerLimits

    def limit_by_default(self, limits: CustomerLimits) -> None:
        self.default_limits = limits

    @property
    def held_back(self) -> frozenset[str]:
        return self._turns[False].held_back | self._turns[True].held_back

    async def limits(self, customer: str) -> CustomerLimits:
        return await self._database.read(lambda c: limiting.limits(c, customer))

    async def set_limits(self, customer: str, limits: CustomerLimits) -> None:
        await self._database.write(lambda c: limiting.set_limits(c, customer, limits))

    async def parked(self) -> dict[str, int]:
        return await self._database.read(throttling.parked)

    async def unpark(self, connection: str, limit: int) -> list[str]:
        now = self._clock()
        return await self._database.write(lambda c: throttling.unpark(c, connection, limit, now))

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        now = self._clock()
        return await self._database.write(
            lambda c: throttling.take_tokens(c, connection, count, rate, burst, now)
        )

    async def rest(self, connection: str, rest: Throttled) -> None:
        kept = replace(rest, reason=text(rest.reason))
        await self._database.write(lambda c: throttling.rest(c, connection, kept))

    async def note_quota(self, connection: str, quota: str) -> None:
        await self._database.write(lambda c: throttling.note_quota(c, connection, text(quota)))

    async def throttled(self, connection: str) -> Throttled:
        return await self._database.read(lambda c: throttling.throttled(c, connection))

    async def resting(self) -> dict[str, Throttled]:
        now = self._clock()
        return await self._database.read(lambda c: throttling.resting(c, now))

    async def callers(self, connection: str) -> int:
        return 1  # one process has the file

    async def load(self, customer: str, most: int) -> CustomerLoad:
        now = self._clock()
        return await self._database.read(lambda c: limiting.load(c, customer, now, most))
