"""Starts scheduled flows. A tick fires once: its time is its dedupe key, whoever fires it.

Misfire: ticks that passed while no server ran fire as one, the latest, where it is at most
`LATEST` late; what is older is skipped and logged.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from halflap.engine.library import Library
from halflap.engine.protocol import Engine
from halflap.errors import HalflapError
from halflap.model import (
    Clock,
    Dedupe,
    Event,
    FlowKey,
    Instance,
    Start,
    new_id,
    to_datetime,
    to_micros,
)
from halflap.sdk import codec
from halflap.sdk.integration import Flow
from halflap.store.catalogue import Catalogue

log = structlog.get_logger("halflap.scheduler")

LATEST = timedelta(days=1)
LONGEST_REST = 60.0
RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Schedule:
    """A scheduled flow of an active instance, and its next tick."""

    instance: Instance
    flow: str
    next: datetime


class Scheduler:
    """Fires the ticks of all active instances."""

    def __init__(
        self, catalogue: Catalogue, engine: Engine, library: Library, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._engine = engine
        self._library = library
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopping = False
        self.seen = -1
        """The state of the catalogue that the schedules were read at."""

    async def run(self) -> None:
        """Fire ticks until `stop`."""
        schedules: dict[tuple[str, str], Schedule] = {}
        while not self._stopping:
            self._wake.clear()
            rest = LONGEST_REST
            try:
                at = self._catalogue.changed
                if self.seen != at:
                    schedules = await self._read(schedules)
                    self.seen = at
                now = to_datetime(self._clock())
                for each in schedules.values():
                    if each.next <= now:
                        await self._fire(each, now)
            except HalflapError as error:
                log.warning("a tick was not fired yet", error=error.message)
                rest = RETRY_SECONDS
            soonest = min((each.next for each in schedules.values()), default=None)
            await self._rest(soonest, rest)

    def stop(self) -> None:
        """Stop after the tick that is being fired."""
        self._stopping = True
        self._wake.set()

    def nudge(self) -> None:
        """The catalogue changed: look again."""
        self._wake.set()

    async def _rest(self, until: datetime | None, longest: float) -> None:
        seconds = longest
        if until is not None:
            seconds = min((until - to_datetime(self._clock())).total_seconds(), longest)
            if longest == RETRY_SECONDS:
                seconds = longest
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()

    async def _read(
        self, known: dict[tuple[str, str], Schedule]
    ) -> dict[tuple[str, str], Schedule]:
        found: dict[tuple[str, str], Schedule] = {}
        for instance in await self._catalogue.instances.list():
            if instance.state != "active":
                continue
            try:
                integration = await self._library.integration(instance.version)
            except HalflapError as error:
                log.error("schedules not read", instance=instance.id, error=error.message)
                continue
            for name, flow in integration.flows.items():
                if flow.trigger.declaration.ticks is None:
                    continue
                old = known.get((instance.id, name))
                if old is not None and old.instance.version == instance.version:
                    found[instance.id, name] = Schedule(instance, name, old.next)
                    continue
                next = await self._first(instance, name, flow)
                if next is not None:
                    found[instance.id, name] = Schedule(instance, name, next)
        return found

    async def _first(
        self,
        instance: Instance,
        name: str,
        flow: Flow[Any, Any, Any],
    ) -> datetime | None:
        """The next tick: the latest missed one, or the first to come."""
        ticks = flow.trigger.declaration.ticks
        assert ticks is not None
        now = to_datetime(self._clock())
        last = await self._catalogue.instances.last_tick(instance.id, name)
        after = to_datetime(last) if last is not None else now
        next = ticks(max(after, now - LATEST))
        missed = 0
        while (
            next is not None and next <= now and (later := ticks(next)) is not None and later <= now
        ):
            next, missed = later, missed + 1
        if missed:
            log.warning("ticks were missed", instance=instance.id, flow=name, skipped=missed)
        return next

    async def _fire(self, schedule: Schedule, now: datetime) -> None:
        instance = await self._catalogue.instances.get(schedule.instance.id)
        integration = await self._library.integration(instance.version)
        flow = integration.flows[schedule.flow]
        ticks, order = flow.trigger.declaration.ticks, flow.order
        assert ticks is not None
        at = schedule.next
        stamp = to_micros(at)
        key = FlowKey(
            instance.customer,
            instance.id,
            instance.integration,
            schedule.flow,
            instance.version,
            instance.revision,
        )
        execution = new_id("exe", now=self._clock())
        event = Event("TICK", "", "", (), codec.encode({"at": at}), self._clock())
        dedupe = Dedupe(f"tick:{stamp}")
        within = None if order is None else order.of(instance.id, schedule.flow)
        start = Start(execution, key, event, root=execution, dedupe=dedupe, order=within)
        await self._engine.start([start])
        await self._catalogue.instances.note_tick(instance.id, schedule.flow, stamp)
        following = ticks(at)
        while following is not None and following <= now:
            following = ticks(following)
        schedule.next = following or datetime.max.replace(tzinfo=now.tzinfo)
