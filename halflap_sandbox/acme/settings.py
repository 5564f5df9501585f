"""Settings for tests: clock, limits, the patience of the webhooks."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this Acme: its time, its memory and its delivery of webhooks.

    `clock` gives Unix seconds: it stamps records and webhooks and paces the rate limit.
    `kept` bounds each workspace's list of effects (and with it the remembered idempotency keys),
    its list of delivery attempts, and each webhook's pending deliveries.
    `backoff` holds the seconds between one delivery's tries, the last one repeating; after `tries`
    of them it is given up. `delivery_timeout` is how many seconds one try may take.
    """

    clock: Callable[[], float] = time.time
    kept: int = 10_000
    backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    tries: int = 100
    delivery_timeout: float = 10.0
