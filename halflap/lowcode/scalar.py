"""Writes a value as YAML on one line: a text in quotes where it would not stay one without."""

from __future__ import annotations

import re
from typing import Any

from halflap.lowcode.source import is_plain
from halflap.lowcode.template import is_expression

_NOT_FIRST = frozenset("-?:,[]{}#&*!|>'\"%@`")
_AMBIGUOUS = re.compile(r"[0-9.][0-9:.\-/TtZz+ ]*|(?i:yes|no|on|off|=)")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def scalar(value: Any, *, flow: bool = False, style: str | None = None) -> str:
    """A value on one line; a text in the quotes of `style`, where that can be."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value, flow=flow, style=style)
        case _:
            return str(value)


def _text(text: str, *, flow: bool, style: str | None) -> str:
    printable = text.isprintable()
    if style is None and printable and _plain(text, flow=flow):
        return text
    single = printable and (style == "'" or (style is None and ('"' in text or "\\" in text)))
    if single:
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, text)) + '"'


def _plain(text: str, *, flow: bool) -> bool:
    """Return whether a text needs no quotes. An expression gets them wherever a writer may slip."""
    if text != text.strip() or not text or text[0] in _NOT_FIRST or text.startswith("..."):
        return False
    if ": " in text or " #" in text or text.endswith(":"):
        return False
    if (flow or is_expression(text)) and any(each in text for each in ",[]{}"):
        return False
    if flow and any(each in text for each in ":?"):
        return False
    return is_plain(text) and _AMBIGUOUS.fullmatch(text) is None


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
