"""The lifeline of what runs here: renews its leases, cuts off what lost its own, hears of cancels."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from halflap.engine.turn import LEASE, Running
from halflap.errors import StoreError
from halflap.model import Micros, Monotonic
from halflap.store.protocol import Cancelling, Journal


class Lifeline:
    """Renews the leases of what is `running`, and says when other processes' have lapsed."""

    def __init__(
        self,
        journal: Journal,
        running: Mapping[str, Running],
        lapsed: Callable[[], None],
        cancelled: Callable[[str, Cancelling], None],
        monotonic: Monotonic = time.monotonic,
        lease: Micros = LEASE,
    ) -> None:
        self._journal = journal
        self._running = running
        self._lapsed = lapsed
        self._cancelled = cancelled
        self._monotonic = monotonic
        self._lease = lease

    async def run(self) -> None:
        """Renew three times in a lease, until cancelled; a store that fails is asked the next time."""
        while True:
            await asyncio.sleep(self._lease / 3e6)
            with contextlib.suppress(StoreError):
                await self._renew()

    async def _renew(self) -> None:
        held = {name: each.turn for name, each in self._running.items()}
        sent_at = self._monotonic()
        asked: dict[str, Cancelling] = {}
        if held:
            kept = await self._journal.renew(
                [each.claim.lease for each in held.values()], self._lease
            )
            asked = await self._journal.cancelled(list(held))
            for lease in kept:
                held.pop(lease.execution).prolong(sent_at)
        if await self._journal.lapse():
            self._lapsed()
        self._tell(asked)
        for name, turn in held.items():
            turn.lost = True
            running = self._running.get(name)
            if running is not None and running.turn is turn:
                running.interrupt()

    async def look(self, execution: str) -> None:
        """See whether one that runs here is to be cancelled: another process may have asked."""
        if execution in self._running:
            with contextlib.suppress(StoreError):
                self._tell(await self._journal.cancelled([execution]))

    def _tell(self, asked: Mapping[str, Cancelling]) -> None:
        for name, how in asked.items():
            self._cancelled(name, how)
