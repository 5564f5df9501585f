"""Read an app's limits from its answer: for how long it is not to be called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from multidict import CIMultiDictProxy

from halflap.sdk.response import MOST_WAIT, Response, retry_after

DELTA_AT_MOST = 1_000_000_000
"""A reset above this is a time (seconds since 1970), and above a thousand times this in milliseconds."""
COUNTS = tuple(
    (f"{prefix}-Remaining", f"{prefix}-Reset")
    for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit")
)
"""The headers of what is left of a limit, and of when it is reset."""
LIMITS = frozenset({"Retry-After", "RateLimit", *dict(COUNTS)})
"""The headers of which an answer has one where it has a limit."""
PARTS = re.compile(r"\b(r|remaining|t|reset)\s*=\s*(\d{1,15})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rest:
    """The app is not to be called for a while; None, where it does not say for how long."""

    wait: timedelta | None


def asked_to_rest(response: Response) -> Rest | None:
    """Return the rest that an answer requests: by 429, by 403 or 503 with `Retry-After`, or by a limit
    that is used up.

    Reads `RateLimit` (of the IETF's draft, old and new), `RateLimit-Remaining` and `-Reset`, and
    `X-RateLimit-…`, whose reset is a number of seconds or a time. An hour at the most is believed.
    """
    headers = response.headers
    if headers.keys().isdisjoint(LIMITS):
        return Rest(None) if response.status == 429 else None
    told = retry_after(headers.get("Retry-After"), response.received_at)
    if response.status == 429 or (response.status in (403, 503) and told is not None):
        return Rest(told if told is not None else _reset(headers, response.received_at))
    wait = _reset(headers, response.received_at)
    return None if wait is None else Rest(wait)


def _reset(headers: CIMultiDictProxy[str], now: datetime) -> timedelta | None:
    """When a limit that is used up is reset; None where none is, or none is told."""
    if (told := headers.get("RateLimit")) is not None:
        found = {name.lower(): value for name, value in PARTS.findall(told)}
        remaining = found.get("r", found.get("remaining"))
        reset = found.get("t", found.get("reset"))
        if remaining is not None:
            return _span(reset, now) if int(remaining) == 0 else None
    for name, reset_name in COUNTS:
        if (remaining := headers.get(name)) is not None:
            used_up = remaining.strip().partition(".")[0] == "0"
            return _span(headers.get(reset_name), now) if used_up else None
    return None


def _span(reset: str | None, now: datetime) -> timedelta | None:
    text = (reset or "").strip().partition(".")[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        return None
    value = int(text)
    if value > DELTA_AT_MOST * 1_000:
        value //= 1_000
    seconds = value - now.timestamp() if value > DELTA_AT_MOST else value
    return min(max(timedelta(seconds=seconds), timedelta(0)), MOST_WAIT)
