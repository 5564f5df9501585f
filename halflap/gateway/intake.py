"""Apply a trigger's declared functions to a request: its parts, and each one's identity.

A request that cannot be cut is one event, and an event whose id cannot be read has no duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import structlog

from halflap.errors import HalflapError, Rejected
from halflap.model import Dedupe
from halflap.sdk import codec
from halflap.sdk.declared import pick, said
from halflap.sdk.request import Headers, Request, copied
from halflap.sdk.signature import Signature
from halflap.sdk.trigger import Declaration

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
    try:
        bodies = [each if isinstance(each, bytes) else codec.encode(each) for each in parts]
    except (TypeError, ValueError, HalflapError):
        log.exception("what a trigger split a request into is not JSON")
        return [request]
    return [with_body(request, body, number) for number, body in enumerate(bodies)]


def with_body(request: Request, body: bytes, part: int = 0) -> Request:
    """The same request with another body."""
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=body,
        url=request.url,
        received_at=request.received_at,
        part=part,
    )


def is_covered(declared: Declaration, request: Request) -> bool:
    """Return whether the signature covers what the delivery's identity is read of."""
    assert isinstance(declared.verify, Signature)
    layout = declared.verify
    named = {
        each.lower() for each in (layout.id_header, layout.timestamp_header, layout.token_header)
    }
    headers = [(n, v) for n, v in request.headers.raw if n.lower() in named | {"content-type"}]
    view = copied(
        request, headers=Headers(headers), query=request.query if "url" in layout.template else ""
    )
    return said(declared.dedupe, view) == said(declared.dedupe, request)


def digest_of(request: Request) -> str:
    """Return a digest of the body."""
    if request.payload is not None:
        return request.payload.blob.digest.hex()
    return blake2b(request.body, digest_size=16).hexdigest()


def dedupe_of(declared: Declaration, part: Request, whole: Request) -> Dedupe | None:
    """Return the delivery's identity; a part without one is known by its place in the whole.

    Where the signature does not cover that identity, whoever has one genuine request could send it
    again under the identity of another, and so have that one dropped: the body is then part of it.
    """
    if declared.dedupe is None:
        return None
    key = said(declared.dedupe, part)
    if not key:
        return None
    if part is not whole and key == said(declared.dedupe, whole):
        key = f"{key}#{part.part}"
    if isinstance(declared.verify, Signature) and not is_covered(declared, whole):
        key = f"{key}#{digest_of(part)}"
    return Dedupe(key, int(declared.dedupe_for.total_seconds() * 1e6))
