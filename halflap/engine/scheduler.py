"""Starts scheduled flows. A tick fires once: its time is its dedupe key, whoever fires it.

Of all processes, one leads: it reads the schedules and fires, until it ends or loses the store; then
another does. Each flow has a mark, the time up to which its ticks are dealt with, which is made when
a flow is first seen, and moved on when the config changes the schedule. So whoever leads next knows
what was missed, and the flow's trigger says what becomes of that. Where the clock is set back, ticks
are asked for again from there: those that have fired are duplicates. Before a tick fires, its instance
is read again, since the notice of a change may still be on its way.

A trigger that is to be asked regularly what it missed has ticks as well (a *check*): each starts
`$catch_up` for what came about since the one before.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

import structlog

from halflap.engine.deployment import CATCH_UP
from halflap.engine.journal import JournalEngine
from halflap.engine.library import Library
from halflap.errors import (
    ConfigError,
    DefinitionError,
    HalflapError,
    NotFound,
    StoreError,
)
from halflap.model import (
    CALL,
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
from halflap.sdk.deadline import came
from halflap.sdk.declared import marked, wants
from halflap.sdk.integration import Flow, Integration
from halflap.sdk.request import as_request
from halflap.sdk.trigger import Misfire
from halflap.store.catalogue import Catalogue

log = structlog.get_logger("halflap.scheduler")

LEADS = "scheduler"
AT_ONCE = 100
"""The number of missed ticks of a flow that fire in one transaction."""
CHECK_SECONDS = 1.0
"""Seconds between a process's checks that it may lead, or still leads, and until a clock that was
set is noticed.
"""
RETRY_SECONDS = 1.0


FlowOf = Callable[[Integration[Any], Flow[Any, Any, Any], str, int], Awaitable[Flow[Any, Any, Any]]]


@dataclass(slots=True)
class Schedule:
    """A scheduled flow as an active instance has it; its ticks up to `mark` are dealt with.

    Where it is a check, a tick asks the flow's trigger what it missed.
    """

    instance: Instance
    flow: Flow[Any, Any, Any]
    ticks: Ticks
    mark: datetime
    next: datetime | None = None
    is_check: bool = False

    @property
    def name(self) -> str:
        """The name under which its last tick is noted."""
        return f"{CATCH_UP}/{self.flow.name}" if self.is_check else self.flow.name

    def go_on(self, mark: datetime) -> None:
        """Set the mark, and the next tick after it."""
        self.mark, self.next = mark, self.ticks(mark)


class Scheduler:
    """Fires the ticks of all active instances, while this process leads."""

    def __init__(
        self,
        catalogue: Catalogue,
        engine: JournalEngine,
        library: Library,
        clock: Clock,
        flow_of: FlowOf,
    ) -> None:
        """`flow_of` gives a flow as an instance has it with a revision of its config."""
        self._flow_of = flow_of
        self._catalogue = catalogue
        self._engine = engine
        self._library = library
        self._clock = clock
        self._wake = asyncio.Event()
        self._stopping = False
        self._looked_at: datetime | None = None
        self.leads = False
        self.seen = -1
        """The state of the catalogue that the schedules were read at."""

    async def run(self) -> None:
        """Fire ticks, whenever this process leads, until `stop`."""
        while not self._stopping:
            try:
                async with self._catalogue.alone(LEADS) as leads:
                    if leads:
                        await self._lead()
            except StoreError as error:
                log.warning("nobody is asked to lead: the store failed", error=error.message)
            finally:
                self.leads = False
            self._wake.clear()
            await self._rest(CHECK_SECONDS)

    def stop(self) -> None:
        """Stop after the ticks that are being fired."""
        self._stopping = True
        self._wake.set()

    def nudge(self) -> None:
        """The catalogue changed: look again."""
        self._wake.set()

    async def _lead(self) -> None:
        """Fire ticks until another process leads."""
        self.leads, self.seen = True, -1
        schedules: dict[tuple[str, str], Schedule] = {}
        while not self._stopping and await self._catalogue.holds(LEADS):
            self._wake.clear()
            rest = CHECK_SECONDS
            try:
                at = self._catalogue.changed
                if self.seen != at:
                    schedules = await self._read(schedules)
                    self.seen = at
                await self._set_back(schedules.values())
                now = self._now()
                for each in [e for e in schedules.values() if e.next and e.next <= now]:
                    instance = await self._catalogue.instances.get(each.instance.id)
                    if not is_as_read(each.instance, instance):
                        self.seen = -1
                        break
                    await self._fire(each, instance, now)
            except HalflapError as error:
                log.warning("a tick was not fired yet", error=error.message)
                await self._rest(RETRY_SECONDS)
                continue
            soonest = min((e.next for e in schedules.values() if e.next), default=None)
            if soonest is not None:
                rest = min((soonest - self._now()).total_seconds(), rest)
            await self._rest(rest)

    async def _set_back(self, schedules: Iterable[Schedule]) -> None:
        """Where the clock was set back, go on from where it is now."""
        now, before = self._now(), self._looked_at
        self._looked_at = now
        if before is None or now >= before:
            return
        for each in schedules:
            if each.mark > now:
                each.go_on(await self._noted(each.instance, each.name, now, back=True))

    async def _rest(self, seconds: float) -> None:
        if self._stopping:  # who said so woke what was not at rest yet
            return
        await came(self._wake, max(seconds, 0))

    def _now(self) -> datetime:
        return to_datetime(self._clock())

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
                if (every := flow.trigger.trigger.catches_up_every) is not None:
                    check = await self._check(instance, flow, every)
                    if check is not None:
                        found[instance.id, check.name] = check
                if flow.trigger.declaration.ticks is None and not flow.trigger.references:
                    continue
                old = known.get((instance.id, name))
                try:
                    schedule = await self._schedule(instance, integration, flow, old)
                except (ConfigError, DefinitionError) as error:
                    said = error.message
                    log.error("a schedule is not read", instance=instance.id, flow=name, error=said)
                    continue
                if schedule is not None:
                    found[instance.id, name] = schedule
        return found

    async def _check(
        self, instance: Instance, flow: Flow[Any, Any, Any], every: timedelta
    ) -> Schedule | None:
        """Return the check of a flow's trigger; each instance's comes at a time of its own."""
        first = _EPOCH + every * (zlib.crc32(instance.id.encode()) / 2**32)
        found = Schedule(instance, flow, partial(following, first, every), first, is_check=True)
        mark = await self._mark(instance, found.name)
        if mark is None:
            return None
        found.go_on(mark)
        return found

    async def _schedule(
        self,
        instance: Instance,
        integration: Integration[Any],
        flow: Flow[Any, Any, Any],
        old: Schedule | None,
    ) -> Schedule | None:
        """Return a flow's schedule with the values of its instance's config; None where it has none."""
        if old is not None and not is_as_it_was(old.instance, instance):
            old = None
        if flow.reads_config:
            if old is not None and old.instance.revision == instance.revision:
                flow = old.flow
            else:
                flow = await self._flow_of(integration, flow, instance.id, instance.revision)
        ticks = flow.trigger.declaration.ticks
        mark = await self._mark(instance, flow.name) if old is None else old.mark
        if mark is None:
            return None
        if old is None or old.flow.trigger.inputs != flow.trigger.inputs:
            mark = await self._since(instance, integration, flow, mark)
            if old is not None:  # what it had to fire until it was changed
                await self._fire(old, instance, mark)
        if ticks is None:
            return None
        found = Schedule(instance, flow, ticks, mark)
        found.go_on(mark)
        return found

    async def _since(
        self,
        instance: Instance,
        integration: Integration[Any],
        flow: Flow[Any, Any, Any],
        mark: datetime,
    ) -> datetime:
        """Return a mark, or when the config gave the schedule its values, where that was later.

        What the schedule would have fired before was never due.
        """
        author = integration.flows[flow.name]
        for number in range(instance.revision, 0, -1):
            if not author.trigger.references:
                break
            at = to_datetime(await self._catalogue.instances.revised_at(instance.id, number))
            if at <= mark:
                break
            try:
                before = await self._flow_of(integration, author, instance.id, number - 1)
            except HalflapError:  # a config that does not fit this version
                return at
            if before.trigger.inputs != flow.trigger.inputs:
                return at
        return mark

    async def _mark(self, instance: Instance, flow: str) -> datetime | None:
        """Up to when a flow's ticks are dealt with; from now on, where it is first seen."""
        now = self._now()
        last = await self._catalogue.instances.last_tick(instance.id, flow)
        if last is not None and to_datetime(last) <= now:
            return to_datetime(last)
        try:  # one that is ahead was noted before the clock was set back
            return await self._noted(instance, flow, now, back=True)
        except NotFound:  # it was removed meanwhile
            return None

    async def _noted(
        self, instance: Instance, flow: str, mark: datetime, *, back: bool = False
    ) -> datetime:
        await self._catalogue.instances.note_tick(instance.id, flow, to_micros(mark), back=back)
        return mark

    async def _fire(self, schedule: Schedule, instance: Instance, until: datetime) -> None:
        """Fire a schedule's ticks up to a time, on what its instance has now."""
        key = instance.flow_key(schedule.flow.name)
        flow = schedule.flow
        if schedule.is_check:
            await self._ask(schedule, replace(key, flow=CATCH_UP), until)
            return
        misfire = flow.trigger.declaration.misfire
        fires = due(schedule.ticks, schedule.mark, until, misfire, AT_ONCE)
        mark = fires[-1] if len(fires) == AT_ONCE else until
        rule = flow.order
        order = None if rule is None else rule.of(instance.id, flow.name)
        starts: list[Start] = []
        for at in fires:
            execution = new_id("exe", now=self._clock())
            event = Event("TICK", "", "", (), codec.encode({"at": at}), self._clock())
            wanted, failed = wants(flow, as_request(event))
            if not wanted:
                continue
            event = event if failed is None else marked(event, flow, failed)
            dedupe = Dedupe(f"tick:{to_micros(at)}")
            start = Start(execution, key, event, root=execution, dedupe=dedupe, order=order)
            starts.append(start)
        if starts:
            # Its customer may be being erased; others' ticks do not wait for that.
            with suppress(NotFound):
                await self._engine.start(starts)
        await self._noted(instance, flow.name, fires[-1] if fires else mark)
        schedule.go_on(mark)

    async def _ask(self, schedule: Schedule, key: FlowKey, until: datetime) -> None:
        """Start what asks a trigger for what it missed since the check before."""
        since, at = to_micros(schedule.mark), to_micros(until)
        body = {"flow": schedule.flow.name, "since": since, "live_since": at}
        event = Event(CALL, "", "", (), codec.encode(body), self._clock())
        execution = new_id("exe", now=self._clock())
        dedupe = Dedupe(f"{schedule.name}:{since}")
        await self._engine.start([Start(execution, key, event, root=execution, dedupe=dedupe)])
        await self._noted(schedule.instance, schedule.name, until)
        schedule.go_on(until)


_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def following(first: datetime, every: timedelta, after: datetime) -> datetime:
    """Return the next of regular times after a time."""
    return first + every * ((after - first) // every + 1)


def is_as_read(before: Instance, now: Instance) -> bool:
    """Return whether an instance is active with what its schedules were read from."""
    return now.state == "active" and now.revision == before.revision and is_as_it_was(before, now)


def is_as_it_was(before: Instance, now: Instance) -> bool:
    """Return whether an instance was neither upgraded nor disabled and activated since."""
    return (before.version, before.deployment) == (now.version, now.deployment)


# Ticks that were missed -----------------------------------------------------------------------

Ticks = Callable[[datetime], datetime | None]

LATE = timedelta(minutes=1)
"""A tick that is no later than this was not missed: `skip` fires it."""
OLDEST = timedelta(days=7)
"""The age of the oldest missed tick that `all` fires."""
_LOOKS = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=367))


def due(
    ticks: Ticks, after: datetime, now: datetime, misfire: Misfire, most: int
) -> list[datetime]:
    """The ticks after a time that fire now, oldest first, and no more than `most` of them."""
    if misfire == "all":
        return list(islice(_between(ticks, max(after, now - OLDEST), now), most))
    last = latest(ticks, after, now)
    if last is None or (misfire == "skip" and now - last > LATE):
        return []
    return [last]


def latest(ticks: Ticks, after: datetime, now: datetime) -> datetime | None:
    """The last tick after a time; looked for from now backwards, so that few are counted."""
    for look in _LOOKS:
        last = None
        for last in _between(ticks, max(after, now - look), now):  # noqa: B007
            pass
        if last is not None or after >= now - look:
            return last
    return None


def _between(ticks: Ticks, after: datetime, until: datetime) -> Iterator[datetime]:
    tick = ticks(after)
    while tick is not None and tick <= until:
        yield tick
        tick = ticks(tick)
