"""Durations as people write them: `30s`, `5 min`, `2 h`, `3 days`, `1h 30m`, or seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")
LONGEST = timedelta(days=3650)
PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*[a-z]+\s*)+$"


def duration(value: Any) -> timedelta:
    """A duration of what a person wrote, or of seconds; `ValueError` says what to write."""
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        found = _seconds(Decimal(str(value)), value)
    elif isinstance(value, str):
        found = _seconds(_read(value), value)
    else:
        found = None
    if found is None:
        raise ValueError(f"{value!r} is no duration; write 30s, 5 min, 2 h or 3 days")
    return found


def _read(text: str) -> Decimal:
    total, at = Decimal(0), 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in _UNITS:
            break
        total += Decimal(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at < len(text) or not text.strip():
        raise ValueError(f"{text!r} is no duration; write 30s, 5 min, 2 h, 3 days or 1h 30m")
    return total


def _seconds(seconds: Decimal, value: Any) -> timedelta:
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise ValueError(f"{value!r} is no duration from 0 to {LONGEST.days} days")
    return timedelta(microseconds=int(seconds * 1_000_000))


def written(value: timedelta) -> str:
    """A duration as a document says it: in the largest unit that it is a whole number of."""
    micros = value // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s"):
        whole = _UNITS[unit] * 1_000_000
        if micros and micros % whole == 0:
            return f"{micros // whole}{unit}"
    return f"{Decimal(micros) / 1_000_000:f}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(written),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "number", "minimum": 0}],
            "description": "A duration: 30s, 5 min, 2 h, 3 days, 1h 30m, or a number of seconds.",
        }
    ),
]
"""A duration in a document."""
