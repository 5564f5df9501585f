"""Scalars of YAML: plain and quoted texts, also such as are not ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from halflap.lowcode.source import FRACTION, NUMBER, PLAIN_WORDS
from halflap.sdk.codec import MAX_DIGITS

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n\s*|.)", re.DOTALL)
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r",
    "e": "\x1b", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)("|$)', re.DOTALL)
_SINGLE = re.compile(r"'((?:[^']|'')*)('|$)", re.DOTALL)
_FOLD = re.compile(r"[ \t]*\n[ \t]*")


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quoted text, where it ends, and whether its quote is closed."""

    text: str
    end: int
    closed: bool


def quoted(text: str, at: int = 0) -> Quoted:
    """Read a quoted text from its opening quote on."""
    double = text[at] == '"'
    found = (_DOUBLE if double else _SINGLE).match(text, at)
    if found is None:  # it ends in half an escape
        return Quoted(text[at + 1 :], len(text), closed=False)
    inner = _FOLD.sub(" ", found[1]) if "\n" in found[1] else found[1]
    inner = _ESCAPE.sub(_unescaped, inner) if double else inner.replace("''", "'")
    return Quoted(inner, found.end(), closed=bool(found[2]))


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    return "" if code[0] == "\n" else _ESCAPES.get(code, code)


def without_comment(text: str) -> str:
    """A plain text up to ` #`."""
    at = re.search(r"\s#", text)
    return (text if at is None else text[: at.start()]).rstrip()


def plain_value(text: str) -> Any:
    """Return the meaning of a plain text: null, true, a number, or itself."""
    if text in PLAIN_WORDS:
        return PLAIN_WORDS[text]
    if len(text) > MAX_DIGITS:
        return text
    if NUMBER.fullmatch(text):
        return int(text)
    if FRACTION.fullmatch(text):
        number = Decimal(text)
        return number if -MAX_DIGITS < number.adjusted() < MAX_DIGITS else text
    return text
