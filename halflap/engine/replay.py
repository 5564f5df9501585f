"""Records that a replay copies from another execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from halflap.model import Record, Start
from halflap.sdk import codec


def with_copies(start: Start) -> Start:
    """The start with its copies marked: their `seq` is negative, and their order stays.

    So the recorder tells them from the execution's own records, which they come before and which
    overwrite them.
    """
    return replace(start, copied=copies(start.copied)) if start.copied else start


def copies(records: Sequence[Record]) -> tuple[Record, ...]:
    """Records, marked as copied from another execution.

    A check that took its event for a loop is not copied: whoever replays it wants it run.
    """
    kept = [each for each in records if not is_loop(each)]
    return tuple(replace(each, seq=place - len(kept)) for place, each in enumerate(kept))


def is_loop(record: Record) -> bool:
    """Return whether this is the check at which an execution failed as `TooManyHops`."""
    return record.kind == "check" and codec.decode(record.result or b"{}").get("how") == "loop"
