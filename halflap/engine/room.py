"""The room for executions in a process, and each customer's share of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

from halflap.model import SYSTEM, Start
from halflap.store.turns import Share


@dataclass(frozen=True, slots=True)
class Room:
    """The number of executions that this process runs at once, and the share that one customer may
    take.

    A customer may take `share` of what is free: a half of an empty room, a third where another one
    has as much. So some room is always left for who comes next, however many hang.
    """

    turns: int = 500
    share: float = 0.5

    def left(self, free: int, running: int) -> int:
        """Return the number that a customer may take that has so many running."""
        return min(max(ceil(self.share * free - (1 - self.share) * running), 0), free)


USUAL = Room()


class Shares:
    """Each customer's share of the room.

    `short` has those that could not be claimed at once, because they have their share; `ended` those
    of whom a turn has ended since the last claim began.
    """

    def __init__(self, room: Room) -> None:
        self.short: set[str] = set()
        self.ended: set[str] = set()
        self._room = room
        self._busy: dict[str, int] = {}

    def add(self, customers: Collection[str], count: int) -> None:
        """So many more of these customers' run, or are being claimed."""
        busy = self._busy
        for each in customers:
            if left := busy.get(each, 0) + count:
                busy[each] = left
            else:
                busy.pop(each, None)

    def leave(self, customer: str) -> None:
        """A turn of this customer's has ended."""
        self.ended.add(customer)
        self.add([customer], -1)

    def at_once(self, count: int, free: int, customers: Collection[str]) -> int:
        """Return the number of `count` executions of these customers that may be claimed as they
        are accepted.
        """
        claim = min(free, count)
        for each in customers:
            left = self._room.left(free, self._busy.get(each, 0))
            if left < claim:
                claim = left
                self.short.add(each)
        return claim

    def now(self, free: int) -> Share:
        """Return the number of each customer's executions that may be claimed now."""
        busy = {each: self._room.left(free, count) for each, count in self._busy.items()}
        return Share(self._room.left(free, 0), busy)


def is_ours(start: Start) -> bool:
    """Return whether it runs a flow of Halflap's own, which no customer's limits are for."""
    return start.flow.flow.startswith(SYSTEM)
