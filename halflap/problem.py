"""Problem documents (RFC 9457): the body of each refusal, of the edge, the gateway and the API."""

from __future__ import annotations

import json
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"
PHRASES = {each.value: each.phrase for each in HTTPStatus}


def title_of(status: int) -> str:
    """Return the title of a status: its phrase."""
    return PHRASES.get(status, "Refused")


def encode_problem(status: int, **members: str) -> bytes:
    """Return a problem without a type of its own; members that are empty are left out."""
    shown = {name: text for name, text in members.items() if text}
    return json.dumps(
        {"type": "about:blank", "title": title_of(status), "status": status, **shown},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
