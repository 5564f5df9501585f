"""Links to answer a waiting flow with: what they say, how that is signed, and how they are masked."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass

import msgspec

from halflap.model import Micros

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


def mask_links(data: bytes) -> bytes:
    """Return data with the tokens of links as asterisks, as many as each has characters."""
    return LINK.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def spelt(data: bytes) -> str:
    """Bytes as they may stand in a URL."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
