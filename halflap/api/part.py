"""A payload as an answer: streamed, whole or one range of it (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from halflap.api.masking import masked
from halflap.api.problem import documented
from halflap.sdk.link import LONGEST_TOKEN
from halflap.store.blobs.viewing import Content

ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# Never as what it says it is: a page that somebody sent must not run from our address.
KIND = "application/octet-stream"
OCTETS = {"content": {KIND: {"schema": {"type": "string", "format": "binary"}}}}
"""Bytes as a body, for OpenAPI."""
WHOLE: dict[int | str, dict[str, Any]] = {200: {"description": "The bytes.", **OCTETS}}
RANGED = {
    **WHOLE,
    206: {"description": "The range of the bytes that was asked for.", **OCTETS},
    **documented(416),
}
"""The answers of `streamed`, for OpenAPI."""
MARGIN = 2 * LONGEST_TOKEN
"""Bytes on either side of a range in which a link may begin, or end."""


async def streamed(content: Content, asked: str | None, *, mask: bool) -> Response:
    """The bytes of a payload, or the range that is asked for; more than one range is ignored.

    With `mask`, tokens of links that stand on both sides of where it is cut are asterisks, too.
    """
    size = content.size
    headers = {"Accept-Ranges": "bytes"}
    begin, end, status = 0, size, 200
    if asked is not None and (found := ONE.fullmatch(asked.strip())) and found[0] != "bytes=-":
        begin, end = _range(found[1], found[2], size)
        if begin >= end:
            raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
        status = 206
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - begin)
    margin = MARGIN if mask else 0
    first, last = max(0, begin - margin), min(size, end + margin)
    chunks = content.read(first, None if last == size else last)
    if mask:
        chunks = masked(chunks, begin - first, end - first)
    # What is lost is found out before the answer begins, while it can still be an error.
    beginning = await anext(chunks, b"")
    return StreamingResponse(_with(beginning, chunks), status, headers, KIND)


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:  # so many from the end
        return max(0, size - int(last)), size
    end = size if not last else min(size, int(last) + 1)
    return int(first), end


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
