"""Drives bulks: page by page, at their rate, to their end; gone on with by the next server."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from math import ceil

import structlog

from halflap.api.operations.bulks import BulkOperations, BulkStep
from halflap.api.operations.upgrades import Stages
from halflap.errors import HalflapError, InDoubt, StoreError
from halflap.model import Bulk, Micros
from halflap.sdk.deadline import came
from halflap.store.catalogue import Catalogue
from halflap.store.catalogue.bulks import MOST_REFUSALS

log = structlog.get_logger("halflap.bulks")

AT_ONCE = 100
"""The most executions of a page."""
LEASE: Micros = 30_000_000
RENEW = 10.0
"""Seconds between prolongations of the lease while a page is being done."""
LOOK_SECONDS = 5.0
"""Seconds until a bulk that another process made, or left, is found."""
STORE_SECONDS = 1.0


class StepLost(Exception):
    """Raised in a bulk that ended, or that another worker drives, while a page of it was done."""


class BulkDriver:
    """The role that does what bulks say; with `own`, only those that this process began."""

    def __init__(self, catalogue: Catalogue, bulks: BulkOperations, *, own: bool = False) -> None:
        self._catalogue = catalogue
        self._bulks = bulks
        self._own = own
        self._worker = secrets.token_hex(8)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Drive bulks until `stop`."""
        while not self._stopping.is_set():
            self._bulks.changed.clear()
            try:
                await self._look()
            except InDoubt:
                raise
            except StoreError as error:
                log.warning("bulks wait for the store", error=error.message)
            await came(self._bulks.changed, LOOK_SECONDS)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def stop(self) -> None:
        """Begin no further page; the next server goes on."""
        self._stopping.set()
        self._bulks.changed.set()

    async def _look(self) -> None:
        for each in await self._catalogue.bulks.running():
            if each.id in self._tasks or self._stopping.is_set():
                continue
            if self._own and each.id not in self._bulks.begun:
                continue
            if await self._catalogue.bulks.take(each.id, self._worker, LEASE):
                # Read again: whoever had it may have come further meanwhile.
                bulk = await self._bulks.taken(await self._catalogue.bulks.get(each.id))
                if not await self._catalogue.bulks.go_on(bulk, self._worker, LEASE):
                    continue
                task = asyncio.create_task(self._drive(bulk))
                self._tasks[each.id] = task
                task.add_done_callback(lambda _, bulk=each.id: self._tasks.pop(bulk, None))

    async def _drive(self, bulk: Bulk) -> None:
        now: Bulk | None = bulk
        while now is not None and not self._stopping.is_set():
            began = time.monotonic()
            try:
                now = await self._page(now)
            except StepLost:
                return
            except InDoubt:
                self._bulks.changed.set()
                return
            except StoreError as error:
                log.warning("a bulk waits for the store", bulk=bulk.id, error=error.message)
                await self._rest(STORE_SECONDS)
            except HalflapError as error:
                await self._catalogue.bulks.end(bulk.id, "failed", error.message)
                return
            except Exception as error:
                log.exception("a bulk was given up", bulk=bulk.id)
                await self._catalogue.bulks.end(bulk.id, "failed", repr(error))
                return
            else:
                if rate := bulk.rate:
                    await self._rest(at_once(rate) / rate - (time.monotonic() - began))

    async def _page(self, bulk: Bulk) -> Bulk | None:
        """Do the next page; None where there is none, or where it is no longer to go on."""
        stages = Stages.wanted(bulk)
        if rest := stages.rest_of(bulk):
            await self._catalogue.bulks.go_on(bulk, self._worker, LEASE + round(rest * 1e6))
            await self._rest(rest)
            is_ours = await self._catalogue.bulks.go_on(bulk, self._worker, LEASE)
            if self._stopping.is_set() or not is_ours:
                return None
        step = await self._step(bulk)
        if step is None:
            # What a former worker still did as its lease ran out came after `bulk` was counted.
            whole = await self._bulks.taken(bulk)
            await self._catalogue.bulks.go_on(whole, self._worker, LEASE)
            await self._catalogue.bulks.end(bulk.id, "succeeded")
            return None
        now = replace(
            bulk,
            done=bulk.done + step.done,
            refused=bulk.refused + len(step.refusals),
            refusals=(*bulk.refusals, *step.refusals)[:MOST_REFUSALS],
            after=step.last,
            state="paused" if step.pauses else "running",
            reason=step.pauses,
        )
        count = len(step.refusals) + step.done
        wait = 0 if not bulk.rate else round(count / bulk.rate * 1e6)
        goes_on = await self._catalogue.bulks.go_on(now, self._worker, LEASE + wait)
        why = stages.too_many(now.done + now.refused, now.refused)
        if goes_on and why is not None:
            await self._catalogue.bulks.end(bulk.id, "failed", why)
            return None
        if goes_on:
            await self._rest(step.rest)
        return now if goes_on else None

    async def _step(self, bulk: Bulk) -> BulkStep | None:
        """Do a page, and prolong the lease meanwhile; raise `StepLost` where it is not to go on.

        An upgrade waits for deployments, which go on by themselves: it is cut where it is to stop.
        """
        doing = asyncio.ensure_future(self._bulks.step(bulk, at_once(bulk.rate)))
        stopping = asyncio.ensure_future(self._stopping.wait())
        waits = {doing, stopping} if bulk.verb == "upgrade" else {doing}
        try:
            while True:
                await asyncio.wait(waits, timeout=RENEW, return_when=asyncio.FIRST_COMPLETED)
                if doing.done():
                    return doing.result()
                is_cut = stopping in waits and stopping.done()
                if is_cut or not await self._catalogue.bulks.go_on(bulk, self._worker, LEASE):
                    raise StepLost
        finally:
            doing.cancel()
            stopping.cancel()
            await asyncio.gather(doing, stopping, return_exceptions=True)

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            await came(self._stopping, seconds)


def at_once(rate: float | None) -> int:
    """Return the number of executions of a page: those of a second, where a rate is given."""
    return AT_ONCE if rate is None else max(1, min(AT_ONCE, ceil(rate)))
