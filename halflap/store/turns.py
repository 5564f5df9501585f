"""Fair turns: an equal share for each customer, then for each of its instances.

Executions stand in *lanes*, one for each customer; those of our own flows (`$deploy`) in a lane of
their own, which has no limits. What is chosen here is how many are taken of which instance, in
which order; the stores ask their tables for them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from halflap.model import SYSTEM, CustomerLimits, Micros

Place = tuple[str, str]
"""A lane, and one of its instances."""
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Share:
    """The number of each customer's executions that may be claimed now, within the worker's own
    room.

    `most` is for customers that `of` does not name.
    """

    most: int
    of: Mapping[str, int] = field(default_factory=dict[str, int])

    def allows(self, customer: str) -> int:
        """Return the number of a customer's executions that may be claimed."""
        return self.of.get(customer, self.most)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Up to `limit` due executions of a place, but for the first `skip`: those were taken."""

    place: Place
    limit: int
    skip: int


class TurnRotation:
    """The last served, so that the next turn begins behind it.

    `held_back` has the lanes that may not run what they have due, and `tokens_at` says when the
    first of these may begin another, where only its rate keeps it.
    """

    def __init__(self) -> None:
        self.held_back: frozenset[str] = frozenset()
        self.tokens_at: Micros | None = None
        self._after = ""
        self._within: dict[str, str] = {}

    def all(self) -> None:
        """Everything that is due was taken."""
        self.held_back, self.tokens_at = frozenset(), None

    def choose(
        self, places: Sequence[Place], room: int, allowed: Mapping[str, int]
    ) -> Generator[list[ClaimRequest], list[list[str]], list[str]]:
        """Choose up to `room` executions of `places` (sorted), of a lane no more than is allowed.

        Yields what to look for, and wants the ids that were found for each; returns all of them.
        """
        instances: dict[str, list[str]] = {}
        for lane, instance in places:
            instances.setdefault(lane, []).append(instance)
        lanes: list[_Lane] = [
            _Lane(name, _behind(instances[name], self._within.get(name, "")), allowed.get(name))
            for name in _behind(list(instances), self._after)
        ]
        held_back = {each.name for each in lanes if each.allowed == 0}
        lanes = [each for each in lanes if each.allowed != 0]
        chosen: list[str] = []
        while lanes and len(chosen) < room:
            left = room - len(chosen)
            share = max(1, left // len(lanes))
            asks: list[tuple[_Lane, ClaimRequest]] = []
            served = 0
            for lane in lanes:
                if left == 0:
                    break
                quota = min(share, left) if lane.allowed is None else min(share, left, lane.allowed)
                left -= quota
                served += 1
                asks += [(lane, each) for each in lane.asks(quota)]
            found = yield [each for _, each in asks]
            for (lane, ask), ids in zip(asks, found, strict=True):
                lane.found(ask, len(ids))
                chosen += ids
                if ids:
                    self._after = lane.name
                    self._remember(*ask.place)
            lanes = lanes[served:] + lanes[:served]
            held_back |= {each.name for each in lanes if each.instances and each.allowed == 0}
            lanes = [each for each in lanes if each.instances and each.allowed != 0]
        self.held_back = frozenset(held_back)
        return chosen

    def _remember(self, lane: str, instance: str) -> None:
        if len(self._within) >= MOST_REMEMBERED:
            self._within.clear()
        self._within[lane] = instance


class _Lane:
    """A customer that has something due, as far as is known."""

    __slots__ = ("_taken", "allowed", "instances", "name")

    def __init__(self, name: str, instances: list[str], allowed: int | None) -> None:
        self.name = name
        self.instances = instances
        self.allowed = allowed
        self._taken: dict[str, int] = {}

    def asks(self, quota: int) -> list[ClaimRequest]:
        """Return what to claim, an equal share of each instance; the first one is last the next
        time.
        """
        share = max(1, quota // len(self.instances))
        asked = self.instances[: max(1, min(len(self.instances), quota))]
        self.instances = self.instances[len(asked) :] + asked
        return [ClaimRequest((self.name, each), share, self._taken.get(each, 0)) for each in asked]

    def found(self, ask: ClaimRequest, count: int) -> None:
        """Note what was found."""
        instance = ask.place[1]
        self._taken[instance] = ask.skip + count
        if self.allowed is not None:
            self.allowed -= count
        if count < ask.limit:
            self.instances.remove(instance)


def _behind(names: list[str], after: str) -> list[str]:
    first = bisect_right(names, after)
    return names[first:] + names[:first]


# Limits ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limited:
    """A customer's limits on running, and how far it has used them up.

    `full_at` is when its bucket is full again: the one number of a generic cell rate algorithm.
    """

    customer: str
    concurrency: int | None
    rate: float | None
    burst: int | None
    full_at: Micros

    def allows(self, now: Micros, running: int) -> int | None:
        """Return the number that may begin now; None where nothing limits them."""
        found: list[int] = []
        if self.concurrency is not None:
            found.append(max(self.concurrency - running, 0))
        if self.rate is not None:
            full = max(self.full_at, now)
            found.append(max((now + self._depth - full) // self._interval, 0))
        return min(found, default=None)

    def after(self, now: Micros, begun: int) -> Micros:
        """When the bucket is full again, once so many have begun."""
        return max(self.full_at, now) + begun * self._interval if self.rate else self.full_at

    def next_at(self, full_at: Micros) -> Micros:
        """When the next one may begin, as far as the rate is concerned."""
        return full_at - self._depth + self._interval

    @property
    def _interval(self) -> Micros:
        return max(int(1_000_000 / (self.rate or 1)), 1)

    @property
    def _depth(self) -> Micros:
        return self._interval * burst_of(self.rate, self.burst)


def take(
    full_at: Micros, count: int, rate: float, burst: int, now: Micros
) -> tuple[int, Micros, Micros]:
    """Take up to `count` of a rate; return how many, the new `full_at`, and when the next may be."""
    bucket = Limited("", None, rate, burst, full_at)
    granted = min(bucket.allows(now, 0) or 0, count)
    full_at = bucket.after(now, granted)
    return granted, full_at, max(bucket.next_at(full_at), now)


def burst_of(rate: float | None, burst: int | None) -> int:
    """Return the number that may begin at once: as declared, else as many as the rate allows in a
    second.
    """
    return max(burst or int(rate or 1), 1)


def limited(
    row: tuple[str, int | None, float | None, int | None, Micros], default: CustomerLimits
) -> Limited:
    """A row of `limits` (customer, concurrency, rate, burst, full_at), with the defaults filled in."""
    customer, concurrency, rate, burst, full_at = row
    return Limited(
        customer,
        default.concurrency if concurrency is None else concurrency or None,
        default.rate if rate is None else rate or None,
        default.burst if burst is None else burst or None,
        full_at,
    )


def allowances(
    lanes: Sequence[str],
    limits: Mapping[str, Limited],
    running: Mapping[str, int],
    share: Share | None,
    now: Micros,
) -> dict[str, int]:
    """Return the number that each of these lanes may have claimed, where that is limited."""
    allowed: dict[str, int] = {}
    for lane in lanes:
        if lane == SYSTEM:
            continue
        found = [] if share is None else [share.allows(lane)]
        if (own := limits.get(lane)) is not None:
            by_limit = own.allows(now, running.get(lane, 0))
            found += [] if by_limit is None else [by_limit]
        if found:
            allowed[lane] = min(found)
    return allowed


def spent(
    limits: Mapping[str, Limited],
    begun: Mapping[str, int],
    turns: TurnRotation,
    running: Mapping[str, int],
    now: Micros,
) -> dict[str, Micros]:
    """New `full_at`s of those with a rate that begun some; notes when the held ones may go on."""
    changed: dict[str, Micros] = {}
    soonest: list[Micros] = []
    for each in limits.values():
        if each.rate is None:
            continue
        count = begun.get(each.customer, 0)
        full_at = each.after(now, count) if count else each.full_at
        if count:
            changed[each.customer] = full_at
        busy = running.get(each.customer, 0) + count
        if each.customer in turns.held_back and busy < (each.concurrency or busy + 1):
            soonest.append(each.next_at(max(full_at, now)))
    turns.tokens_at = min(soonest, default=None)
    return changed
