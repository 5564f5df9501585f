"""Records that a replay copies from another execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from halflap.model import Record, Start


def with_copies(start: Start) -> Start:
    """The start with its copies marked: their `seq` is negative, and their order stays.

    So the recorder tells them from the execution's own records, which they come before and which
    overwrite them.
    """
    return replace(start, copied=copies(start.copied)) if start.copied else start


def copies(records: Sequence[Record]) -> tuple[Record, ...]:
    """Records, marked as copied from another execution."""
    return tuple(replace(each, seq=place - len(records)) for place, each in enumerate(records))
