"""Decide which of a schedule's ticks fire, where some were missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from halflap.sdk.trigger import Misfire

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
