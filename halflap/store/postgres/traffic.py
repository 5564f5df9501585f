"""The verbs of PostgreSQL's journal about traffic: limits of customers and connections, parking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from halflap.model import CustomerLimits, CustomerLoad, Micros, Throttled
from halflap.store.postgres import limiting, throttling
from halflap.store.postgres.database import Ways
from halflap.store.postgres.hints import Hints
from halflap.store.recording import text
from halflap.store.turns import Turns


class Traffic:
    """The amounts of executions that may run, and of calls (see store/protocol.py)."""

    hints: Hints
    _database: Ways
    _clock: Callable[[], Micros]
    _turns: tuple[Turns, Turns]
    _worker: str
    default_limits: CustomerLimits

    def limit_by_default(self, limits: CustomerLimits) -> None:
        self.default_limits = limits

    @property
    def held_back(self) -> frozenset[str]:
        return self._turns[False].held_back | self._turns[True].held_back

    async def limits(self, customer: str) -> CustomerLimits:
        return await limiting.limits(self._database, customer)

    async def set_limits(self, customer: str, limits: CustomerLimits) -> None:
        await self._database.write(lambda c: limiting.set_limits(c, customer, limits))
        self.hints.send()

    async def parked(self) -> dict[str, int]:
        return await throttling.parked(self._database)

    async def unpark(self, connection: str, limit: int) -> list[str]:
        now = self._clock()
        found = await self._database.write(lambda c: throttling.unpark(c, connection, limit, now))
        if found:
            self.hints.send()
        return found

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        now = self._clock()
        return await self._database.write(
            lambda c: throttling.take_tokens(c, connection, count, rate, burst, now)
        )

    async def rest(self, connection: str, rest: Throttled) -> None:
        kept = replace(rest, reason=text(rest.reason).replace("\0", ""))
        await self._database.write(lambda c: throttling.rest(c, connection, kept))

    async def note_quota(self, connection: str, quota: str) -> None:
        kept = text(quota).replace("\0", "")
        await self._database.write(lambda c: throttling.note_quota(c, connection, kept))

    async def throttled(self, connection: str) -> Throttled:
        return await throttling.throttled(self._database, connection)

    async def resting(self) -> dict[str, Throttled]:
        return await throttling.resting(self._database, self._clock())

    async def callers(self, connection: str) -> int:
        now, worker = self._clock(), self._worker
        return await self._database.write(lambda c: throttling.callers(c, connection, worker, now))

    async def load(self, customer: str, most: int) -> CustomerLoad:
        return await limiting.load(self._database, customer, self._clock(), most)
