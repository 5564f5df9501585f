"""Slots: where what is left of the executions is that ended on one day in one retention class."""

from __future__ import annotations

import re
from dataclasses import dataclass

from halflap.model import PARTS, Micros, Part
from halflap.store.classes import DAY

CLASSES = 64
OTHER = "history_other"
"""Where what has no slot is."""
KINDS: dict[Part, int] = {part: number for number, part in enumerate(PARTS, 1)}
_NAME = re.compile(r"history_(\d+)|parts_(\d+)_([123])")


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """The partition of a slot: of the executions, or of one part of them."""

    slot: int
    part: Part | None

    @property
    def name(self) -> str:
        return f"parts_{self.slot}_{KINDS[self.part]}" if self.part else f"history_{self.slot}"

    @property
    def parent(self) -> str:
        return "parts" if self.part else "history"

    @property
    def values(self) -> str:
        """What of its parent it has, in SQL."""
        if self.part is None:
            return f"IN ({self.slot})"
        kind = KINDS[self.part]
        return f"FROM ({self.slot}, {kind}) TO ({self.slot}, {kind + 1})"

    @property
    def retention(self) -> int:
        """The number of its class."""
        return self.slot % CLASSES

    @property
    def day(self) -> int:
        """The day on which what it has ended, counted from 1970."""
        return self.slot // CLASSES

    @classmethod
    def named(cls, name: str) -> Leaf | None:
        """The leaf that a table is; None where it is none."""
        if (found := _NAME.fullmatch(name)) is None:
            return None
        if found[1]:
            return cls(int(found[1]), None)
        return cls(int(found[2]), PARTS[int(found[3]) - 1])


def leaves(slot: int) -> list[Leaf]:
    """All leaves of a slot."""
    return [Leaf(slot, part) for part in (None, *PARTS)]


def first_slot(at: Micros) -> int:
    """The first slot of a time's day."""
    return at // DAY * CLASSES


_digits = {digit: value for value, digit in enumerate("0123456789abcdefghjkmnpqrstvwxyz")}


def made_at(execution: str, now: Micros) -> Micros:
    """When an id was made, as it says itself; 0 where it says nothing, or the future."""
    digits = execution.rpartition("_")[2]
    if len(digits) != 26 or not set(digits) <= _digits.keys():
        return 0
    stamp = 0
    for digit in digits[:10]:
        stamp = stamp << 5 | _digits[digit]
    made = stamp * 1000
    return made if made <= now + DAY else 0
