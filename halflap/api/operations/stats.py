"""Curves of what came and how it ended, from counts by time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from halflap.model import DEVELOPMENT, TOOK, Clock, Micros, OutcomeCount
from halflap.store.catalogue.outcomes import OUTCOME, SHORT, OutcomeCounts, Place, SeriesQuery
from halflap.store.protocol import Journal

MOST_SERIES = 20
MOST_CURVES = 400
"""The most curves, by version and state, of an upgrade's figures."""
MOST_FRESH: Micros = 3_600_000_000
"""The time for which executions are counted that are not in the stored counts, as those behind it are."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Counts of durations, by their places in `TOOK`."""

    places: Mapping[int, int]

    @classmethod
    def sum(cls, some: Iterable[Durations]) -> Durations:
        """Return several together."""
        places: dict[int, int] = {}
        for each in some:
            for place, count in each.places.items():
                places[place] = places.get(place, 0) + count
        return cls(places)

    @property
    def count(self) -> int:
        """The number of all of them."""
        return sum(self.places.values())

    def quantile(self, part: float) -> Micros | None:
        """Return the time that a part of them took at most; None of none. Between two times of `TOOK`
        they are taken to be spread evenly.
        """
        rank, passed = part * self.count, 0
        for place, count in sorted(self.places.items()):
            passed += count
            if count and passed >= rank:
                begin = TOOK[place - 1] if place else 0
                end = TOOK[min(place, len(TOOK) - 1)]
                return round(begin + (end - begin) * (rank - (passed - count)) / count)
        return None


@dataclass(frozen=True, slots=True)
class Curve:
    """The counts of one key, step by step, and all together; steps without any are left out."""

    key: str
    points: Mapping[Micros, Durations]
    whole: Durations


@dataclass(slots=True)
class Stats:
    """Reads counts: those that are stored, and those of the last minutes from the executions."""

    outcomes: OutcomeCounts
    journal: Journal
    of_store: OutcomeCounts
    """The counts of the whole store, which know up to when they are counted."""
    clock: Clock

    async def failed_since(self, since: Micros, most: int) -> dict[str, int]:
        """Return how many executions failed since a time, by integration."""
        begin = since - since % SHORT
        which = SeriesQuery("integration", begin, self.clock() + 1, SHORT, state="failed")
        return {each.key: each.whole.count for each in await self.curves(which, most)}

    async def ended_since(
        self, since: Micros, integration: str
    ) -> dict[tuple[str, str], Durations]:
        """Return what ended since a time exactly, by version and state, but for development instances.

        Counts are kept in steps: what ended within the first one is counted from the executions.
        """
        now, step = self.clock() + 1, since + -since % SHORT
        which = SeriesQuery(OUTCOME, step, now, SHORT, integration=integration)
        found: dict[tuple[str, str], dict[int, int]] = {}

        def add(version: str, state: str, took: Mapping[int, int], sign: int = 1) -> None:
            places = found.setdefault((version, state), {})
            for place, count in took.items():
                places[place] = places.get(place, 0) + sign * count

        for each in await self.journal.outcomes(since, min(step, now)):
            if which.counts(each) and each.customer != DEVELOPMENT:
                add(each.version, each.state, {each.took: each.count})
        if step < now:
            for sign, customer in ((1, None), (-1, DEVELOPMENT)):
                for curve in await self.curves(replace(which, customer=customer), MOST_CURVES):
                    version, _, state = curve.key.partition("/")
                    add(version, state, curve.whole.places, sign)
        return {key: Durations(places) for key, places in found.items()}

    async def curves(self, which: SeriesQuery, most: int = MOST_SERIES) -> list[Curve]:
        """Return the curves of the keys that have most, up to a number."""
        keys = await self.outcomes.top(which, most)
        found = await self.outcomes.read(which, keys)
        async for at, each in self._fresh(which):
            if which.counts(each):
                place: Place = (at, which.key(each), each.took)
                found[place] = found.get(place, 0) + each.count
        return curves_of(found)[:most]

    async def _fresh(self, which: SeriesQuery) -> AsyncGenerator[tuple[Micros, OutcomeCount]]:
        """Yield what is not stored yet, with the step of time that it belongs to."""
        now = self.clock()
        counted = await self.of_store.until() or 0
        begin, end = max(counted, which.since, now - MOST_FRESH), min(which.until, now + 1)
        first = await self.journal.first_end(begin)
        at = end if first is None else first - first % which.step
        while at < end:
            for each in await self.journal.outcomes(max(at, begin), min(at + which.step, end)):
                yield at, each
            at += which.step


def join_curves(curves: Sequence[Curve], keys: Mapping[str, str]) -> list[Curve]:
    """Return curves under other keys; those that come under one are one."""
    found: dict[Place, int] = {}
    for curve in curves:
        for at, durations in curve.points.items():
            for took, count in durations.places.items():
                place = (at, keys[curve.key], took)
                found[place] = found.get(place, 0) + count
    return curves_of(found)


def curves_of(found: Mapping[Place, int]) -> list[Curve]:
    """Return counts as curves, that of the most first."""
    points: dict[str, dict[Micros, dict[int, int]]] = {}
    whole: dict[str, dict[int, int]] = {}
    for (at, key, took), count in found.items():
        points.setdefault(key, {}).setdefault(at, {})[took] = count
        places = whole.setdefault(key, {})
        places[took] = places.get(took, 0) + count
    curves = [
        Curve(
            key, {at: Durations(each) for at, each in sorted(some.items())}, Durations(whole[key])
        )
        for key, some in points.items()
    ]
    return sorted(curves, key=lambda each: (-each.whole.count, each.key))
