"""Apply a trigger's declared functions to a request: its parts, and each one's identity.

A request that cannot be cut is one event, and an event whose id cannot be read has no duplicate. Where
some of its parts are no JSON, the whole is one more event in their place, which fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from halflap.errors import HalflapError, Rejected
from halflap.sdk import codec
from halflap.sdk.declared import pick
from halflap.sdk.request import Request, copied

log = structlog.get_logger("halflap.gateway")


MAX_PARTS = 10_000
"""The most events that one request may hold; they are accepted in one transaction."""


def cut(split: Callable[[Request], Sequence[Any]] | None, request: Request) -> list[Request]:
    """The request's events, each as a request with its part of the body."""
    parts = pick(split, request) if split is not None else None
    if parts is None:
        return [request]
    if len(parts) > MAX_PARTS:
        raise Rejected(
            f"the request holds {len(parts):,} events, more than {MAX_PARTS:,}", status=413
        )
    events: list[Request] = []
    whole: list[Request] = []
    for number, each in enumerate(parts):
        try:
            body = each if isinstance(each, bytes) else codec.encode(each)
        except (TypeError, ValueError, HalflapError):
            if not whole:
                log.exception("what a trigger split a request into is not JSON", part=number)
                whole.append(request)
        else:
            events.append(copied(request, body, part=number))
    return events + whole
