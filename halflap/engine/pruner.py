"""Removes what has been kept long enough, a little at a time, so that it never slows accepting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog

from halflap.errors import StoreError
from halflap.model import Clock
from halflap.sdk.deadline import came
from halflap.store.catalogue import Catalogue
from halflap.store.protocol import Journal

Alone = Callable[[str], AbstractAsyncContextManager[bool]]

log = structlog.get_logger("halflap.pruner")

AT_ONCE = 25
"""So few that who accepts meanwhile does not notice (bench/prune.py), and yet 500 in a second."""
REST_SECONDS = 60.0
BREATH_SECONDS = 0.05


class Pruner:
    """Removes what was kept for long enough: executions and payloads, dedupe keys, blobs, the audit log.

    Counts what has ended, before that.

    Of many processes, one does at a time: the one that `alone("pruner")` says yes to.
    """

    def __init__(
        self, journal: Journal, catalogue: Catalogue, clock: Clock, *, alone: Alone | None = None
    ) -> None:
        self._journal = journal
        self._catalogue = catalogue
        self._clock = clock
        self._alone = alone or catalogue.alone
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Prune every minute until `stop`."""
        while not self._stopped.is_set():
            rest = REST_SECONDS
            try:
                async with self._alone("pruner") as mine:
                    if mine:
                        more = await self._catalogue.outcomes.roll_up(self._journal, self._clock())
                        rules = await self._catalogue.retentions.rules()
                        more |= await self._journal.prune(rules, AT_ONCE)
                        more |= await self._catalogue.audit.prune(AT_ONCE)
                        more |= await self._catalogue.answers.prune(AT_ONCE)
                        more |= await self._catalogue.unrouted.prune(AT_ONCE)
                        rest = BREATH_SECONDS if more else REST_SECONDS
            except StoreError as error:
                log.warning("not pruned", error=error.message)
            await came(self._stopped, rest)

    def stop(self) -> None:
        """Stop soon."""
        self._stopped.set()
