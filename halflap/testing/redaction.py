"""Takes secrets out of recordings: what is named like one, wherever it is repeated."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, cast

from halflap.sdk import codec

HIDDEN = "•••"
SECRET = re.compile(
    r"secret|token|passw|pwd|authorization|api[-_]?key|apikey|access[-_]?key|private[-_]?key"
    r"|credential|cookie|session[-_]?id|(^|[-_])signature|^x-.*-signature",
    re.IGNORECASE,
)


def without(value: Any, secrets: Collection[str]) -> Any:
    """JSON without these secrets, wherever else in it an app or a flow has repeated them."""
    text = codec.encode(value).decode()
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(codec.encode(secret).decode()[1:-1], HIDDEN)
    return codec.decode(text)


def redacted(value: Any, *, found: set[str] | None = None) -> Any:
    """JSON with what is named like a secret as `•••`; `found` gathers what was hidden."""
    found = set() if found is None else found
    match value:
        case dict():
            held = cast(dict[str, Any], value)
            if set(held) == {"$secret"}:
                return HIDDEN
            found |= {each for name, each in held.items() if is_secret(name, each)}
            return {
                name: HIDDEN if is_secret(name, each) else redacted(each, found=found)
                for name, each in held.items()
            }
        case list() | tuple():
            items = list(cast(list[Any], value))
            if len(items) == 2 and isinstance(items[0], str) and is_secret(items[0], items[1]):
                found.add(items[1])
                return [items[0], HIDDEN]
            return [redacted(each, found=found) for each in items]
        case _:
            return value


def is_secret(name: str, value: Any) -> bool:
    """Return whether a field is named like a secret, and holds what could be one."""
    return isinstance(value, str) and bool(value) and SECRET.search(name) is not None
