"""Durations as people write them: `30s`, `5 min`, `1h 30m`, ISO 8601's `PT5M`, or seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800,
}  # fmt: skip
_FOREIGN = {
    "ms": Decimal("0.001"), "millisecond": Decimal("0.001"), "milliseconds": Decimal("0.001"),
    "secs": 1, "mins": 60, "hr": 3600, "hrs": 3600, "month": 2592000, "months": 2592000,
}  # fmt: skip
"""Units that are no units here, and what they mean."""
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_ISO = re.compile(
    r"P(?:(?P<w>[0-9]+)W)?(?:(?P<d>[0-9]+)D)?"
    r"(?:T(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+(?:\.[0-9]+)?)S)?)?"
)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
LONGEST = timedelta(days=3650)
PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*[a-z]+\s*)+$|^P[0-9DHMSTW.]+$"


def duration(value: Any) -> timedelta:
    """Return the duration that a person wrote, or of seconds; `ValueError` says what to write."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _seconds(Decimal(str(value)), value)
    if isinstance(value, str) and (seconds := _read(value, _UNITS)) is not None:
        return _seconds(seconds, value)
    meant = meant_by(value)
    text = "nothing" if value is None else f"{value!r}" if isinstance(value, str) else "this"
    write = "30s, 5 min, 2 h, 3 days or 1h 30m" if meant is None else meant
    raise ValueError(f"{text} is no duration; write {write}")


def meant_by(value: Any) -> str | None:
    """Return the duration that was meant by what is none."""
    if isinstance(value, Mapping):
        parts = cast("Mapping[Any, Any]", value).items()
        value = " ".join(f"{each} {unit}" for unit, each in parts)
    if not isinstance(value, str):
        return None
    text = value.strip().lower().removeprefix("-")
    text = f"{text}s" if _NUMBER.fullmatch(text) else text
    seconds = _read(text, {**_UNITS, **_FOREIGN})
    if seconds is None and (clock := _CLOCK.fullmatch(value.strip())) is not None:
        hours, minutes, rest = (int(each or 0) for each in clock.groups())
        seconds = Decimal(hours * 3600 + minutes * 60 + rest)
    return None if seconds is None else written(_seconds(seconds, value))


def _read(text: str, units: Mapping[str, int | Decimal]) -> Decimal | None:
    if text.startswith("P") and len(text) > 2 and (found := _ISO.fullmatch(text)) is not None:
        return sum(
            (Decimal(n) * _UNITS[unit] for unit, n in found.groupdict().items() if n), Decimal(0)
        )
    total, at = Decimal(0), 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in units:
            return None
        total += Decimal(part[1]) * units[part[2]]
        at = part.end()
    return total if text.strip() else None


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


def _validated(value: Any) -> timedelta:
    try:
        return duration(value)
    except ValueError as error:
        raise refused(str(error), meant_by(value)) from None


def refused(message: str, meant: str | None = None, *, raw: bool = False) -> PydanticCustomError:
    """Return the error of a document's value, with what is written instead; `raw`: as it stands."""
    context = {"message": message, "meant": meant or "", "raw": raw}
    return PydanticCustomError("halflap", "{message}", context)


Duration = Annotated[
    timedelta,
    BeforeValidator(_validated),
    PlainSerializer(written),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": PATTERN}, {"type": "number", "minimum": 0}],
            "description": "A duration: 30s, 5 min, 2 h, 3 days, 1h 30m, or a number of seconds.",
        }
    ),
]
"""A duration in a document."""

Worded = Annotated[timedelta, BeforeValidator(duration)]
"""A duration that is given to an input, in words or as it is."""
