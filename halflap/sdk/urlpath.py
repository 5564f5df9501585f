"""URL paths that hold data: each value is one encoded segment, and no path leaves its base."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from halflap.errors import DefinitionError, EgressRefused, Unauthorized
from halflap.sdk.outgoing import text_of
from halflap.sdk.schema import UNSET

PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SUSPECT = re.compile(r"[%\\]|(?:^|/)\s*\.")
_SEPARATOR = re.compile(r"[/\\]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\\]*")
_DECODINGS = 3
"""Rounds of decoding: a proxy and the server behind it may each decode a path once."""


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """Return a path whose places are filled: `/customers/{id}` with `{"id": 7}` is `/customers/7`.

    Each value (a text, number, boolean, date or UUID) becomes one segment, as `encode_segment`
    says. Raises `DefinitionError` where a value has no place.
    """
    names = PLACE.findall(template)
    if unused := sorted(values.keys() - set(names)):
        raise DefinitionError(
            f"the path {template} has no place {{{unused[0]}}}; add it, or leave the value out",
            where=f"values.{unused[0]}",
        )
    return PLACE.sub(lambda place: encode_segment(values.get(place[1]), place[1]), template)


def encode_segment(value: Any, name: str = "value") -> str:
    """Return a value as one percent-encoded segment of a URL's path: `a/b` is `a%2Fb`.

    Raises `EgressRefused` where it is missing or empty, or where a server could read `..` in it.
    Prefer `values=` of a connection's requests; this is for a path that goes elsewhere, as into a
    body.
    """
    text = "" if value is None or value is UNSET else text_of(value, f"values.{name}")
    try:
        segment = quote(text.encode(), safe="")
    except UnicodeEncodeError:
        raise EgressRefused(
            f"the path's value {name} has half of a surrogate pair, which no URL can carry; "
            "correct it at its source"
        ) from None
    if not segment or climbs(segment):
        problem = "can be read as a way to another place" if segment else "is empty"
        raise EgressRefused(
            f"the path's value {name} {problem}, and would name another resource; check it before "
            "the call"
        )
    return segment


def climbs(path: str) -> bool:
    """Return whether a path has a segment `.` or `..`, however it is encoded."""
    if not _SUSPECT.search(path):
        return False
    path = path.partition("#")[0].partition("?")[0]
    for _ in range(_DECODINGS + 1):
        # `..;x` is `..` with a parameter to some servers.
        if any(each.partition(";")[0].strip() in (".", "..") for each in _SEPARATOR.split(path)):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return False


@lru_cache(maxsize=1024)
def join_path(base: str, path: str) -> str:
    """Return the absolute URL of a path below `base`, or of a URL that is below it already.

    Raises `Unauthorized` for another origin and `EgressRefused` for another place of this one: the
    credentials of a connection stay below its `base_url`.
    """
    absolute = _ABSOLUTE.match(path)
    if climbs(path[absolute.end() :] if absolute else path):
        raise EgressRefused(
            "the path has a segment . or .., perhaps encoded, by which it could leave the API's "
            "base path; correct the value that it is made of, and give values to places of the "
            "path (/customers/{id}) in `values`"
        )
    if not base:
        return path
    base = base.rstrip("/")
    if absolute is None:
        return f"{base}/{path.lstrip('/')}"
    if urlsplit(path)[:2] != urlsplit(base)[:2]:
        raise Unauthorized(
            f"{urlsplit(path).hostname} is not the app of this connection "
            f"({urlsplit(base).hostname}); its credentials are not sent there",
            status=None,
        )
    if not path.startswith(base) or path[len(base) : len(base) + 1] not in ("", "/", "?", "#"):
        raise EgressRefused(
            f"the URL is not below the base_url of this connection ({base}), and its credentials "
            "are sent nowhere else; call a path below it, or shorten the base_url"
        )
    return path
