"""Bodies that are too large to be held: read in pieces, measured and verified as they pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from halflap.errors import Rejected
from halflap.gateway.route import EndpointRoute
from halflap.sdk.proof import Proof
from halflap.sdk.request import Request

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Gone(Exception):
    """The sender went away before the end of its request."""


async def read_body(receive: Receive, most: int) -> tuple[bytes, bool]:
    """The body, and whether there is more: it stops where that is longer than `most`."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    if not message.get("more_body"):
        return message.get("body", b""), False
    parts = [message.get("body", b"")]
    size = len(parts[0])
    while message.get("more_body") and size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts), bool(message.get("more_body"))


async def rest_of(beginning: bytes, receive: Receive) -> AsyncIterator[bytes]:
    """A body whose beginning was read, piece by piece."""
    yield beginning
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if message.get("body"):
            yield bytes(message["body"])
        more = message.get("more_body", False)


async def taken(
    chunks: AsyncIterator[bytes], proof: Proof, limit: int, of_trigger: int | None
) -> AsyncIterator[bytes]:
    """The chunks, as they are verified; `Rejected` where they are more than the limit."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise too_large(None, limit, of_trigger)
        proof.update(chunk)
        yield chunk


def check_large(route: EndpointRoute, head: Request, limit: int) -> int:
    """Refuse what cannot be taken in pieces; returns the size that the sender names, or 0."""
    named = head.headers.get("content-length", "0")
    size = int(named) if named.isdigit() else 0
    if size > limit:
        raise too_large(size, limit, route.declaration.body_limit)
    if route.definition.keep is not None:
        raise Rejected(
            "the flow keeps some fields of the body only, and this one is too large to be read whole",
            status=413,
        )
    if head.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Rejected("a body this large may have no Content-Encoding", status=415)
    return size


def too_large(size: int | None, limit: int, of_trigger: int | None) -> Rejected:
    """Return the refusal of a body that has more bytes than the limit, and what raises that."""
    has = f"{size:,} bytes" if size else "more bytes"
    mend = (
        "raise HALFLAP_BODY_BYTES, or set the trigger's `body_limit`"
        if of_trigger is None
        else "raise the trigger's `body_limit`"
    )
    return Rejected(f"the body has {has}, and {limit:,} are allowed; {mend}", status=413)
