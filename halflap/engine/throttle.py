"""Limit calls to apps: by the limits of connections, and by what the apps themselves request.

A rest (nobody calls the app before a time) and a rate's requests are kept in the store, so that all
workers share them; requests are leased in batches, so that the usual one costs no write. Of a limit
on concurrency each worker that uses the connection has an equal share.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Protocol

import structlog

from halflap.engine.circuit import AWAY_STATUSES, Circuit
from halflap.errors import DefinitionError, InputsRefused, RateLimited, StoreError, UpstreamError
from halflap.model import PARKED, Clock, ConnectionLimits, Micros, Throttled
from halflap.sdk.deadline import came
from halflap.sdk.egress import Response
from halflap.sdk.gate import Away, Blocked
from halflap.sdk.response import asked_to_rest
from halflap.store.turns import burst_of, take

log = structlog.get_logger("halflap.throttle")

PATIENCE_SECONDS = 2.0
"""Seconds that a request waits in memory for its turn; one that would wait longer leaves memory."""
FIRST_REST: Micros = 1_000_000
LONGEST_REST: Micros = 300_000_000
"""The rest of an app that requests one and does not say for how long: doubled each time."""
MOST_REST: Micros = 3_600_000_000
UNKNOWN_RESET: Micros = 300_000_000
LEASE_SECONDS = 1.0
"""Seconds for which requests that were leased and not made are good."""
BEHIND_SECONDS = 1.0
"""Seconds by which one that the app refused lets those go first that were not let through."""
COUNT_SECONDS = 10.0
QUOTA_SECONDS = 60.0
POLL_SECONDS = 1.0


class Keeper(Protocol):
    """The store's methods that throttling calls."""

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]: ...
    async def rest(self, connection: str, rest: Throttled) -> None: ...
    async def close_circuit(self, connection: str) -> None: ...
    async def note_quota(self, connection: str, quota: str) -> None: ...
    async def callers(self, connection: str) -> int: ...
    async def resting(self) -> dict[str, Throttled]: ...


class Throttle:
    """The traffic of one connection in this process."""

    def __init__(
        self,
        id: str,
        keeper: Keeper,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self.id = id
        self.name = id
        self.limits = ConnectionLimits()
        self.until: Micros = 0
        self._reason = ""
        self._keeper = keeper
        self._clock = clock
        self._chance = chance
        self._active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._callers = 1
        self._counted_at = -math.inf
        self._asking = 0
        self._turns = asyncio.Lock()
        self._leased = 0
        self._leased_at = 0.0
        self._sent_away = 0
        self._rests = 0
        self._quota: str = ""
        self._quota_at = -math.inf
        self._noting: set[asyncio.Task[None]] = set()
        self.circuit = Circuit(
            PARKED + id,
            lambda: self.name,
            clock,
            lambda until, reason, since: self._note(
                keeper.rest(id, Throttled(until, reason, away=True, since=since))
                if until
                else keeper.close_circuit(id)
            ),
        )

    async def enter(self) -> None:
        """Wait for leave to call; `Blocked` where it is not given now."""
        if self.until and self.until > self._clock():
            raise self.blocked()
        self.circuit.enter()
        if not (self.limits.concurrency or self.limits.rate):
            self._active += 1
            return
        try:
            await self._turn()
        except BaseException:
            self.circuit.release()
            raise

    def leave(self) -> None:
        """A call is over: the next one may be made."""
        while self._waiting and self._active <= self._share(
            self.limits.concurrency or self._active
        ):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the place is handed over
                return
        self._active -= 1

    def heard(self, response: Response) -> None:
        """Learn from an answer."""
        status = response.status
        if status in AWAY_STATUSES:
            self.circuit.failed(f"it answered {status}")
        elif self.circuit.is_open or (status < 500 and status != 429):
            self.circuit.succeeded()
        asked = asked_to_rest(response)
        if asked is not None:
            reason = f"it answered {status}" if status >= 400 else "its limit is used up"
            self.note_rest(asked.wait, reason)
        elif status < 400:
            self._rests = 0

    def failed(self, error: UpstreamError | DefinitionError | InputsRefused) -> None:
        """Learn from a request without a whole answer."""
        if not isinstance(error, UpstreamError) or not error.retryable:
            self.circuit.release()
        elif error.status is None and not isinstance(error, Away):
            self.circuit.failed(error.message)

    def note_rest(self, wait: timedelta | None, reason: str) -> None:
        """Have nobody call before `wait` is over; by doubling where the app does not say for how long."""
        now = self._clock()
        if wait is None and self.until > now:
            return  # many were under way as it began to ask
        if wait is None:
            rest = min(FIRST_REST << min(self._rests, 20), LONGEST_REST)
            self._rests += 1
        else:
            rest = min(wait // timedelta(microseconds=1), MOST_REST)
        found = Throttled(now + rest, reason, since=now)
        if self.learn(found):
            self._note(self._keeper.rest(self.id, found))

    def learn(self, rest: Throttled) -> bool:
        """Take over that the app rests or is away until a time; return whether that was unknown."""
        if rest.away:
            return self.circuit.learn(rest.until, rest.reason, rest.since)
        if rest.until <= self.until:
            return False
        self.until, self._reason, self._sent_away = rest.until, rest.reason, 0
        return True

    def quota(self, used: int, allowed: int, resets_in: timedelta | None) -> None:
        """Note how much of a quota is used."""
        told, now = f"{used:,} of {allowed:,}", time.monotonic()
        if used >= allowed > 0:
            wait = resets_in or timedelta(microseconds=UNKNOWN_RESET)
            self.note_rest(wait, f"its quota is used up ({told})")
        elif now - self._quota_at < QUOTA_SECONDS:
            return
        if told != self._quota:
            self._quota, self._quota_at = told, now
            self._note(self._keeper.note_quota(self.id, told))

    def blocked(self, why: str = "", wait: float = 0.0) -> Blocked:
        """Return the error for a step that may not call now: each a little later than the one
        before it.

        The first come back at once, then ever more in a second, so that an app that can take no
        more is asked by few.
        """
        now = self._clock()
        until = max(self.until, now + round(wait * 1e6))
        spread = math.log2(1 + self._sent_away / 4)
        if self.limits.rate:
            spread = max(spread, self._sent_away / self.limits.rate)
        if self._sent_away:
            spread += self._chance.random() / 4
        self._sent_away += 1
        # When it may is its execution's time: a second one here would be another.
        told = f"{self.name} ({self.id}) is not called now: {why or self._reason}"
        return Blocked(
            told,
            retry_after=timedelta(microseconds=until - now, seconds=spread),
            waiting_for=told,
        )

    async def limited(self, error: RateLimited) -> Blocked:
        """The app asked to be called later."""
        self.note_rest(error.retry_after, "it asked to be called more slowly")
        return self.blocked(wait=max(self.until - self._clock(), 0) / 1e6 + BEHIND_SECONDS)

    async def _turn(self) -> None:
        """Wait for a place, and for a request of the rate."""
        if self.limits.concurrency:
            await self._slot(self.limits.concurrency)
        else:
            self._active += 1
        if self.limits.rate:
            try:
                await self._token(self.limits.rate)
            except BaseException:
                self.leave()
                raise

    # A limit on concurrency -----------------------------------------------------------------

    async def _slot(self, most: int) -> None:
        if time.monotonic() - self._counted_at > COUNT_SECONDS:
            self._counted_at = time.monotonic()
            self._callers = max(await self._keeper.callers(self.id), 1)
        if self._active < self._share(most):
            self._active += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await waiter
        except TimeoutError:
            if waiter.done() and not waiter.cancelled():
                return
            why = f"{most} calls are under way, which is its limit"
            raise self.blocked(why, PATIENCE_SECONDS) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _share(self, most: int) -> int:
        return max(most // self._callers, 1)

    # A limit on the rate --------------------------------------------------------------------

    async def _token(self, rate: float) -> None:
        burst = burst_of(rate, self.limits.burst)
        why = f"{rate:g} calls a second are its limit"
        if self._asking > PATIENCE_SECONDS * rate + burst:
            raise self.blocked(why, PATIENCE_SECONDS)
        self._asking += 1
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._turns:
                await self._lease(rate, burst)
        except TimeoutError:
            raise self.blocked(why, 1 / rate) from None
        finally:
            self._asking -= 1

    async def _lease(self, rate: float, burst: int) -> None:
        if time.monotonic() - self._leased_at > LEASE_SECONDS:
            self._leased = 0
        while not self._leased:
            some = max(int(rate / 4), 1)
            self._leased, at = await self._keeper.take_tokens(self.id, some, rate, burst)
            self._leased_at = time.monotonic()
            if not self._leased:
                await asyncio.sleep(max((at - self._clock()) / 1e6, 0.001))
        self._leased -= 1

    def _note(self, writing: Coroutine[Any, Any, None]) -> None:
        async def note() -> None:
            try:
                await writing
            except StoreError as error:  # this process knows it all the same
                log.warning("not noted for other workers", connection=self.id, error=str(error))

        task = asyncio.create_task(note())
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)


class LocalKeeper:
    """Keeps what a process has to itself, where it has no store: a child on probation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full: dict[str, Micros] = {}

    async def take_tokens(
        self, connection: str, count: int, rate: float, burst: int
    ) -> tuple[int, Micros]:
        """Take up to `count` requests of a rate; also when there are more."""
        before = self._full.get(connection, 0)
        granted, full_at, next_at = take(before, count, rate, burst, self._clock())
        self._full[connection] = full_at
        return granted, next_at

    async def rest(self, connection: str, rest: Throttled) -> None:
        """Nobody else is to know."""

    async def close_circuit(self, connection: str) -> None:
        """Nobody else is to know."""

    async def note_quota(self, connection: str, quota: str) -> None:
        """Nobody else is to know."""

    async def callers(self, connection: str) -> int:
        """This process alone."""
        return 1

    async def resting(self) -> dict[str, Throttled]:
        """Nothing that this process does not know itself."""
        return {}


class Throttles:
    """The throttles of all connections that this process uses, and what other workers learn."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        *,
        chance: random.Random | None = None,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311
        self._known: dict[str, Throttle] = {}
        self._resting: dict[str, Throttled] = {}
        self._stopped = asyncio.Event()

    def of(self, id: str) -> Throttle:
        """A connection's throttle."""
        known = self._known.get(id)
        if known is None:
            known = Throttle(id, self._keeper, self._clock, self._chance)
            self._known[id] = known
            if (rest := self._resting.get(id)) is not None:
                known.learn(rest)
        return known

    async def look(self) -> None:
        """Learn which connections rest, whichever worker found that out, and whose app is back."""
        before = self._resting
        try:
            self._resting = await self._keeper.resting()
        except StoreError:  # asked again in a moment
            return
        for id, rest in before.items():
            if rest.away and id not in self._resting and rest.until > self._clock():
                self.closed(id)
        for id, rest in self._resting.items():
            if (known := self._known.get(id)) is not None:
                known.learn(rest)

    async def answered(self, id: str) -> None:
        """Close the circuit of a connection whose test has passed, for all workers."""
        await self._keeper.close_circuit(id)
        self.closed(id)

    def closed(self, id: str) -> None:
        """Take over that the store has the circuit of a connection as closed."""
        if (known := self._known.get(id)) is not None:
            known.circuit.close()

    async def run(self) -> None:
        """Look again and again until `stop`, where other workers share the store."""
        while not self._stopped.is_set():
            await self.look()
            await came(self._stopped, POLL_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
