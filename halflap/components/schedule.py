"""Schedule: start a flow by the clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from halflap import Component, Declaration, DefinitionError, Model, Request

component = Component("schedule", title="Schedule", description="Start a flow by the clock.")


Misfire = Literal["once", "all", "skip"]


class Tick(Model):
    """One tick of a schedule: when it was due, in UTC and in the schedule's own time zone."""

    at: datetime
    local: datetime


@component.trigger(methods=())
async def cron(
    request: Request, expression: str, tz: str = "UTC", misfire: Misfire = "once"
) -> Tick:
    """At the times of a cron expression: minute, hour, day of month, month, day of week.

    In the time zone `tz`. Where clocks go forward, a time that does not exist fires at the moment of
    the jump; where they go back, a fixed time fires once, and `*` in hours fires in both.
    `misfire` says what becomes of ticks that were missed while nothing ran: the last one fires for
    all of them (`once`), each of the last 7 days fires (`all`), or none does (`skip`).
    """
    return read(request, tz)


@component.trigger(methods=())
async def every(
    request: Request,
    hours: int = 0,
    minutes: int = 0,
    seconds: int = 0,
    tz: str = "UTC",
    misfire: Misfire = "once",
) -> Tick:
    """At a fixed interval, counted from midnight 1970-01-01 UTC, so that restarts change nothing.

    `misfire` says what becomes of ticks that were missed while nothing ran: the last one fires for
    all of them (`once`), each of the last 7 days fires (`all`), or none does (`skip`).
    """
    return read(request, tz)


@cron.declare
def _(expression: str, tz: str, misfire: Misfire) -> Declaration:
    zone = zone_of(tz)
    check_fields(expression)
    try:
        CronSim(expression, datetime.now(zone))
    except CronSimError as error:
        raise DefinitionError(
            f"schedule.cron: {expression!r} is no cron expression ({error}), or never comes; five "
            "fields: minute hour day month weekday, as in '30 6 * * 1-5'"
        ) from error
    return Declaration(methods=(), ticks=cron_ticks(expression, zone), misfire=misfire)


NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
"""Names of other schedulers, and what they mean."""


def check_fields(expression: str) -> None:
    """Refuse what other schedulers write: six fields (with seconds), `?`, `@daily`, `cron(…)`."""
    meant = NAMED.get(expression.strip().lower())
    fields = expression.strip().removeprefix("cron(").removesuffix(")").replace("?", "*").split()
    wrapped, known = (
        "cron(" in expression,
        all(re.fullmatch(r"[\d*/,A-Za-z#-]+", each) for each in fields),
    )
    if expression.lower().startswith(("every ", "rate(")):
        raise DefinitionError(
            f"schedule.cron: {expression!r} is no cron expression; for an interval, use the trigger "
            "schedule.every: `with: {minutes: 5}`"
        )
    if known and len(fields) == 6:
        meant = " ".join(fields[:5] if wrapped else fields[1:])
    elif known and len(fields) == 5 and ("?" in expression or wrapped):
        meant = " ".join(fields)
    if meant is not None:
        raise DefinitionError(
            f"schedule.cron: {expression!r} is not five fields (minute hour day month weekday); "
            f"write {meant}"
        )


@every.declare
def _(hours: int, minutes: int, seconds: int, tz: str, misfire: Misfire) -> Declaration:
    zone_of(tz)
    interval = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if interval < timedelta(seconds=1):
        raise DefinitionError("schedule.every: give hours, minutes or seconds; at least one second")
    return Declaration(methods=(), ticks=interval_ticks(interval), misfire=misfire)


def cron_ticks(expression: str, zone: ZoneInfo) -> Callable[[datetime], datetime | None]:
    """The tick after a time, by a cron expression in a time zone."""

    def after(time: datetime) -> datetime | None:
        found = next(CronSim(expression, time.astimezone(zone)), None)
        return None if found is None else found.astimezone(UTC)

    return after


def interval_ticks(interval: timedelta) -> Callable[[datetime], datetime | None]:
    """The tick after a time, by an interval from the epoch."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    def after(time: datetime) -> datetime:
        return epoch + ((time - epoch) // interval + 1) * interval

    return after


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        city = name.strip().replace(" ", "_").lower()
        close = next(
            (each for each in sorted(available_timezones()) if each.lower().endswith(f"/{city}")),
            None,
        )
        raise DefinitionError(
            f"there is no time zone {name!r}; an IANA name is wanted, as Europe/Paris"
            + (f"; write {close}" if close else "")
        ) from error


def read(request: Request, tz: str) -> Tick:
    """The tick that the scheduler wrote."""
    at = datetime.fromisoformat(request.json()["at"])
    return Tick(at=at, local=at.astimezone(zone_of(tz)))
