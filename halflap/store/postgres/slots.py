"""Slots: the partitions of the history, two for a day on which executions ended.

A slot is a day, counted from 1970, times 64. What ended on it is in the first slot of the day until
its payload is removed, and then in its last one, so that the first can be dropped. (0.1.0 had a slot
for each of some classes of retention in between.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from halflap.model import Micros
from halflap.store.retention import DAY

OF_A_DAY = 64
BARE = OF_A_DAY - 1
OTHER = "history_other"
"""The partition for rows whose slot has none."""
_NAME = re.compile(r"history_(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class SlotPartition:
    """The partition of a slot."""

    slot: int

    @property
    def name(self) -> str:
        return f"history_{self.slot}"

    @property
    def day(self) -> int:
        """The day on which its executions ended, counted from 1970."""
        return self.slot // OF_A_DAY

    @property
    def bare(self) -> bool:
        """True if its executions have no payload any more."""
        return self.slot % OF_A_DAY == BARE

    @property
    def beside(self) -> SlotPartition:
        """The one that its executions move to without their payload."""
        return SlotPartition(self.day * OF_A_DAY + BARE)

    @classmethod
    def named(cls, name: str) -> SlotPartition | None:
        """Return the leaf that a table is; `None` where it is none."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(int(found[1]))


def first_slot(at: Micros) -> int:
    """Return the first slot of a time's day."""
    return at // DAY * OF_A_DAY
