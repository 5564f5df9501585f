"""Links to answer a waiting flow with: what they say, how that is signed, and how they are masked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
from pydantic import TypeAdapter

from halflap.model import Micros
from halflap.sdk.codec import encode

PREFIX = "/signals/"
LONGEST_TEXT = 300
LONGEST_TOKEN = 4_000
# In JSON a slash may be escaped, and a link may stand percent-encoded in another address.
LINK = re.compile(
    rb"((?:/|%2[Ff])signals(?:\\?/|%2[Ff]))([A-Za-z0-9_-]+(?:(?:\.|%2[Ee])[A-Za-z0-9_-]+){2,})"
)


@dataclass(frozen=True, slots=True)
class SignalLink:
    """A link that sends an execution a signal. Of those with the same `once`, one counts."""

    execution: str
    name: str
    choice: str
    once: str
    expires_at: Micros
    text: str = ""


def write_link(link: SignalLink, sign: Callable[[bytes], str]) -> str:
    """A link as its token: what it says, and the signature of that."""
    data = msgspec.msgpack.encode(astuple(link))
    return f"{spelt(data)}.{sign(data)}"


def read_link(token: str, verify: Callable[[bytes, str], bool]) -> SignalLink | None:
    """The link of a token; None where it was not signed by us, whatever it is."""
    said, dot, signature = token.partition(".")
    if not dot or len(token) > LONGEST_TOKEN or not token.isascii():
        return None
    try:
        data = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
    except (binascii.Error, ValueError):
        return None
    if spelt(data) != said or not verify(data, signature):
        return None
    return SignalLink(*msgspec.msgpack.decode(data, type=tuple[str, str, str, str, int, str]))


def answer_schema(adapter: TypeAdapter[Any] | None, choices: Sequence[str]) -> bytes | None:
    """Return the JSON Schema of what a waiting flow takes as its answer; None where it does not say.

    choices: those of the links that were made for it, which are offered where its type takes any text.
    """
    chosen = {"type": "string", "enum": list(dict.fromkeys(filter(None, choices)))}
    if adapter is None:
        if not chosen["enum"]:
            return None
        return encode({"type": "object", "properties": {"choice": chosen}, "required": ["choice"]})
    try:
        schema = adapter.json_schema()
        known = schema.get("properties", {}).get("choice")
        if chosen["enum"] and known is not None and known.get("type") == "string":
            known.setdefault("enum", chosen["enum"])
        return encode(schema)
    except Exception:  # of a type that has no schema, or one that is no JSON: a default of infinity
        return None


def mask_links(data: bytes) -> bytes:
    """Return data with the tokens of links as asterisks, as many as each has characters."""
    return LINK.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def spelt(data: bytes) -> str:
    """Bytes as they may stand in a URL."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
