"""The tokens of links that approve as asterisks, in what leaves the API: whoever has one may use it."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from typing import Any, cast

from halflap.sdk.link import mask_links

LINK_BEGUN = re.compile(
    rb"(?:/|%)(?:[A-Za-z0-9%\\]{0,12}|(?:2[Ff])?signals(?:\\?/|%2[Ff])[A-Za-z0-9_.%-]{0,4000})\Z"
)


def without_links(value: Any) -> Any:
    """Return a value with the tokens of links in its texts masked, also in those that are base64."""
    match value:
        case str():
            return mask_links(value.encode("utf-8", "surrogatepass")).decode(
                "utf-8", "surrogatepass"
            )
        case dict():
            held = cast("dict[Any, Any]", value)
            if held.get("encoding") == "base64" and isinstance(held.get("body"), str):
                body = mask_links(base64.b64decode(held["body"]))
                held = {**held, "body": base64.b64encode(body).decode()}
            return {without_links(key): without_links(each) for key, each in held.items()}
        case list() | tuple():
            return [without_links(each) for each in cast("list[Any]", value)]
        case _:
            return value


class LinkMask:
    """Masks the tokens of links in bytes that come in parts."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes, *, more: bool) -> bytes:
        """Return what may leave by now: what could be the beginning of a link waits for the next part."""
        data = mask_links(self._rest + data)
        begun = LINK_BEGUN.search(data) if more else None
        at = len(data) if begun is None else begun.start()
        self._rest = data[at:]
        return data[:at]


async def masked(chunks: AsyncIterator[bytes], begin: int, end: int) -> AsyncIterator[bytes]:
    """Yield the bytes from `begin` to `end` (exclusive) of what is read, masked before it is cut."""
    mask, at = LinkMask(), 0

    async def parts() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield mask.feed(chunk, more=True)
        yield mask.feed(b"", more=False)

    async for part in parts():
        yield part[max(begin - at, 0) : max(end - at, 0)]
        at += len(part)
