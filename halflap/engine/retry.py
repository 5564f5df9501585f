"""Decide whether and when a failed step is tried again, and at the cost of which budget."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from halflap.errors import RateLimited, RetryLater, UpstreamError
from halflap.model import Micros
from halflap.sdk.action import Retry
from halflap.sdk.gate import Away, Blocked, Parked


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Try again after `wait` microseconds. `later` and `park` spend no attempt.

    What is parked goes on once its connection is mended; `wait` is for how long at the most, 0 for
    as long as its flow's maximum age.
    """

    how: Literal["retry", "later", "park"]
    wait: Micros


def again(
    error: Exception,
    retry: Retry,
    tries: int,
    elapsed: Micros,
    chance: random.Random,
    *,
    in_doubt: bool = False,
) -> TryAgain | None:
    """Decide whether a step is tried again after `tries` tries; None where it failed for good.

    `elapsed` is the time since the first try: an app that asks us to slow down without saying for
    how long is asked ever more rarely. `in_doubt` means that the step sent a request which may have
    been carried out and must not be sent twice: it fails at once.
    """
    match error:
        case RetryLater(after=after):
            return TryAgain("later", micros(after))
        case Parked():
            return TryAgain("park", 0)
        case Away():
            left = micros(retry.away) - elapsed
            return TryAgain("park", left) if left > 0 else None
        case UpstreamError(retryable=False):
            return None
        case RateLimited(retry_after=timedelta() as after):
            return TryAgain("later", micros(after))
        case RateLimited():
            wait = max(micros(retry.wait(tries, chance)), elapsed // 2)
            return TryAgain("later", min(wait, micros(retry.longest)))
        case UpstreamError() | TimeoutError() | ConnectionError() if in_doubt:
            return None
        case UpstreamError() | TimeoutError() | ConnectionError() if tries < retry.attempts:
            return TryAgain("retry", micros(retry.wait(tries, chance)))
        case _:
            return None


def classified(
    error: Exception, caught: Exception, retry: Retry, *, repeated: bool = False
) -> Exception:
    """Return a step's error as its retry rule takes the status that the app answered.

    `caught` is what the step raised, `error` what the gate of its connection made of it. What was
    not sent (the connection rests, is away or is parked) has no status. `repeated` means that the
    request was sent before, with a key that the app honours: a 409 says that it is still at work on
    the former one.
    """
    if not isinstance(caught, UpstreamError) or isinstance(caught, Blocked | Away | Parked):
        return error
    if caught.status in retry.not_on:
        caught.retryable = False
        return caught
    again = caught.status in retry.on or (repeated and caught.status == 409)
    if again and isinstance(error, UpstreamError):
        error.retryable = True
    return error


def micros(time: timedelta) -> Micros:
    """A span of time in microseconds."""
    return time // timedelta(microseconds=1)
