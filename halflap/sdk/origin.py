"""The origins to which a connection sends its credentials, and their comparison after a change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import SecretStr

from halflap.sdk.connection import Connection

BASE = "base_url"
_URL = re.compile(r"^\s*([A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2}([^/\\?#]*)")
_HOST = re.compile(
    r"^\s*(?:(?:[\w-]+\.)+[A-Za-z][\w-]*\.?|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]|localhost)"
    r"(?::\d+)?(?:[/\\?#]|\s*$)"
)
_NAMED = re.compile(
    r"(?:^|_)(?:url|uri|host|hostname|domain|subdomain|server|endpoint|origin|port|proxy)$"
)


def origins(connection: Connection) -> dict[str, str]:
    """Return where a connection may send its credentials, by the field that says so.

    An address is a field of any depth whose value is an absolute URL or a host name, or whose name
    is that of one (`…_url`, `host`, `domain`, `port`, …), and the `base_url` that a type computes
    of its other fields. Of a URL it is the scheme and the authority, as they are written: what two
    readers of URLs could read differently is another one.
    """
    found = dict(_addresses(connection.model_dump(mode="python"), ""))
    base = origin(str(getattr(connection, BASE, "")))
    return found | ({BASE: base} if base else {})


def changed_origins(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses that are not what they were, by field; '' for one that is gone."""
    fields = dict.fromkeys((*before, *after))
    return {
        name: after.get(name, "") for name in fields if before.get(name, "") != after.get(name, "")
    }


def origin(text: str) -> str:
    """Return the scheme and authority of a URL; '' where the text is none."""
    found = _URL.match(text)
    return found[0].strip().lower() if found is not None else ""


def _addresses(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in cast(Mapping[str, Any], value).items():
            yield from _addresses(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(cast(list[Any], value)):
            yield from _addresses(each, f"{path}.{number}")
    elif isinstance(value, SecretStr):
        if found := origin(value.get_secret_value()):
            yield path, found
    elif value is not None:
        text = str(value)
        if found := origin(text):
            yield path, found
        elif text and (_HOST.match(text) or _NAMED.search(path.rpartition(".")[2])):
            yield path, text.strip().lower()
