"""Requests whose body is too large for memory, as a test has them: the body is in memory after all."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from halflap.model import Blob
from halflap.sdk.payload import Payload
from halflap.sdk.request import Headers, LargeRequest
from halflap.testing.instance import CUSTOMER


class Kept:
    """Keeps bodies for as long as the tests run."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    def keep(self, body: bytes) -> Blob:
        """Keep a body."""
        key = f"{CUSTOMER.id}/{secrets.token_hex(16)}"
        self._bodies[key] = body
        return Blob(key, len(body), b"")

    async def read(
        self, blob: Blob, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """A body in two chunks, as a large one comes in more than one."""
        body = self._bodies[blob.key][start:end]
        yield body[: len(body) // 2]
        yield body[len(body) // 2 :]


kept = Kept()


def make_large_request(body: bytes, headers: Mapping[str, str] | None = None) -> LargeRequest:
    """A request whose body a flow reads in pieces, whatever its size: `run(flow, it)`."""
    sent = Headers((headers or {}).items())
    return LargeRequest(
        Payload(kept.keep(body), sent.get("content-type", "application/octet-stream")),
        method="POST",
        path="",
        query="",
        headers=sent,
        url="",
        received_at=datetime.now(UTC),
    )
