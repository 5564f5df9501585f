"""Settings for tests: clock, sessions, page sizes, the patience of outbound messages."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of this Salesforce: its time, its sessions and its retries of outbound messages.

    `clock` gives Unix seconds: it stamps records, ends sessions and drops messages that are too old.
    `session_lasts` and `code_lasts` are seconds: of a session (an access token), of an OAuth code.
    `page` is how many records a query answers with where the request does not say (at most 2,000).
    `backoff` holds the seconds between one message's tries, the last one repeating; a message is
    dropped when it is older than `message_lasts`. `delivery_timeout` is how long one try may take.
    `batch` is how many notifications one message holds at most.
    `kept` bounds the list of deliveries that the backstage shows.
    `deploy_takes` is the seconds that a deploy or a retrieve of metadata is in progress.
    `pubsub_port` is where the Pub/Sub API listens (0: a free port; None: nowhere), and
    `pubsub_keepalive` the seconds after which a stream on which nothing comes says that it is alive.
    """

    clock: Callable[[], float] = time.time
    session_lasts: float = 7200.0
    code_lasts: float = 900.0
    page: int = 2000
    backoff: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    message_lasts: float = 24 * 3600.0
    delivery_timeout: float = 10.0
    batch: int = 100
    kept: int = 10_000
    deploy_takes: float = 0.05
    pubsub_port: int | None = None
    pubsub_keepalive: float = 270.0
