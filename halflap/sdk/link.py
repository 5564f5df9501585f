"""Links to answer a waiting flow with: what they say, and how that is signed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import astuple, dataclass

import msgspec

from halflap.model import Micros

PREFIX = "/signals/"
LONGEST_TEXT = 300
LONGEST_TOKEN = 4_000


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


def spelt(data: bytes) -> str:
    """Bytes as they may stand in a URL."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
