"""Show the payloads of executions: numbers exact, secrets hidden, large bodies cut."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, cast

from halflap.model import SEALED
from halflap.sdk import codec
from halflap.sdk.redact import HIDDEN
from halflap.store.blobs.blob import is_reference, referred

LARGEST = 256 * 1024
"""The most bytes of a body, of inputs or of a result that are shown."""

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


def shown(data: bytes | None, most: int = LARGEST) -> Any:
    """Recorded inputs or a recorded result as JSON: secrets hidden, and cut where it is large.

    What was cut is `{"$cut": {"size", "beginning", "note"}}`.
    """
    if not data:
        return None
    if len(data) > most and data[:1] in _BEGINS_JSON:  # it is not decoded whole on the loop
        seen = without_secrets(data[: 2 * most])
        beginning = seen[:most].decode(errors="ignore")
        return {"$cut": {"size": len(data), "beginning": beginning, "note": note(len(data), most)}}
    try:
        return hidden(codec.decode(data))
    except codec.NotJson:
        return {"$bytes": {"size": len(data)}}


def excerpt(data: bytes | None) -> dict[str, Any] | None:
    """Return the beginning of a recorded value as compact JSON, with its size and whether it is cut.

    It is not decoded, however large: recorded values are compact, and keep every digit.
    """
    if not data:
        return None
    if is_reference(data):
        return {"text": "", "size": referred(data).size, "cut": True}
    if data[:1] not in _BEGINS_JSON:
        data = codec.encode(shown(data))
    seen = without_secrets(data[:_EXAMINED]).decode(errors="ignore")
    cut = len(seen) > EXCERPT or len(data) > _EXAMINED
    return {"text": seen[:EXCERPT], "size": len(data), "cut": cut}


EXCERPT = 200
"""The most characters of an excerpt."""
_EXAMINED = 16 * 1024
_BEGINS_JSON = tuple(bytes([each]) for each in b'{["-0123456789tfn')
_SEALED = re.compile(rb'\{"\$secret":(?:true\}|"[^"\\]*(?:"\}|\Z))')
"""A sealed secret as the codec writes it, or the beginning of one."""


def without_secrets(data: bytes) -> bytes:
    """Return recorded JSON with its secrets as `•••`; it may be cut anywhere."""
    return _SEALED.sub(json.dumps(HIDDEN, ensure_ascii=False).encode(), data)


def hidden(value: Any, *, sealed: bool = False) -> Any:
    """Return a value with its secrets as `•••`; with `sealed`, as `{"$secret": "•••"}`."""
    if isinstance(value, dict):
        held = cast(dict[str, Any], value)
        if set(held) == {"$secret"}:
            return (
                HIDDEN if not sealed else held if held["$secret"] is True else {"$secret": HIDDEN}
            )
        return {name: hidden(each, sealed=sealed) for name, each in held.items()}
    if isinstance(value, list):
        return [hidden(each, sealed=sealed) for each in cast(list[Any], value)]
    return value


def headers(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers as they may leave: credentials, and whatever is kept sealed, as `•••`."""
    return [
        (name, HIDDEN if value.startswith(SEALED) or name.lower() in CREDENTIALS else value)
        for name, value in pairs
    ]


def body(data: bytes, most: int = LARGEST, size: int | None = None) -> tuple[str, str, str | None]:
    """A body as (text, encoding, note): text where it is UTF-8, else base64; the note says if cut.

    `size` is that of the whole body, where `data` is its beginning.
    """
    size = len(data) if size is None else size
    said = None if size <= most else note(size, most)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # The end of a beginning may be the middle of a character.
        if size == len(data) or error.start < len(data) - 3:
            return base64.b64encode(data[:most]).decode(), "base64", said
    return data[:most].decode(errors="ignore"), "utf-8", said


def note(size: int, most: int = LARGEST) -> str:
    """Says that something was cut."""
    return f"cut: these are the first {most:,} of {size:,} bytes"
