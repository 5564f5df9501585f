"""An expression's text as tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.number import simple

OPERATORS = frozenset(".[]{}(),@#;:?+-*/%|=<>^&!~")
_PAIRS = frozenset(("..", ":=", "!=", ">=", "<=", "**", "~>", "?:", "??"))
_SPACE = re.compile(r"[ \t\n\r\v]+")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(\.[0-9]+)?([Ee][-+]?[0-9]+)?")
_NAME = re.compile(r"[^ \t\n\r\v" + re.escape("".join(sorted(OPERATORS))) + "]*")
_ESCAPES = dict(zip("\"'\\/bfnrt", "\"'\\/\b\f\n\r\t", strict=True))
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_WORDS = {"true": True, "false": False, "null": None}

TokenKind = Literal["operator", "name", "variable", "literal", "regex", "end"]


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A word of the expression; `at` is where it ends for texts, else where it begins."""

    kind: TokenKind
    value: Any
    at: int

    def is_operator(self, *values: str) -> bool:
        """Return whether it is one of these operators."""
        return self.kind == "operator" and self.value in values


class Lexer:
    """Reads one token after another; whether `/` divides depends on what came before."""

    def __init__(self, text: str, at: int = 0) -> None:
        self._text = text
        self._at = at

    def next(self, *, infix: bool) -> Lexeme:
        """The next token; after a value (`infix`), `/` divides and begins no regular expression."""
        text = self._text
        self._skip()
        start = self._at
        if start >= len(text):
            return Lexeme("end", "(end)", len(text))
        char = text[start]
        if char == "/" and not infix:
            return self._regex()
        if text[start : start + 2] in _PAIRS:
            self._at += 2
            return Lexeme("operator", text[start : start + 2], start)
        if char in OPERATORS:
            self._at += 1
            return Lexeme("operator", char, start)
        if char in "\"'":
            return self._string(char)
        if number := _NUMBER.match(text, start):
            self._at = number.end()
            return Lexeme("literal", number_of(number.group(), start), start)
        if char == "`":
            end = text.find("`", start + 1)
            if end < 0:
                fail("S0105", start)
            self._at = end + 1
            return Lexeme("name", text[start + 1 : end], start)
        return self._word()

    def _skip(self) -> None:
        text = self._text
        while self._at < len(text):
            if space := _SPACE.match(text, self._at):
                self._at = space.end()
            elif text.startswith("/*", self._at):
                end = text.find("*/", self._at + 2)
                if end < 0:
                    fail("S0106", self._at)
                self._at = end + 2
            else:
                return

    def _word(self) -> Lexeme:
        start = self._at
        found = _NAME.match(self._text, start)
        word = found.group() if found else ""
        self._at += len(word)
        if word.startswith("$"):
            return Lexeme("variable", word[1:], start)
        if word in ("and", "or", "in"):
            return Lexeme("operator", word, start)
        if word in _WORDS:
            return Lexeme("literal", _WORDS[word], start)
        return Lexeme("name", word, start)

    def _string(self, quote: str) -> Lexeme:
        text, start = self._text, self._at
        parts: list[str] = []
        at = start + 1
        while at < len(text):
            char = text[at]
            if char == quote:
                self._at = at + 1
                return Lexeme("literal", _joined("".join(parts)), start)
            if char == "\\":
                at += 1
                escape = text[at : at + 1]
                if escape == "u":
                    digits = _HEX.match(text, at + 1)
                    if digits is None:
                        fail("S0104", at)
                    parts.append(chr(int(digits.group(), 16)))
                    at += 4
                elif escape in _ESCAPES and escape != "'":
                    parts.append(_ESCAPES[escape])
                else:
                    fail("S0103", at, token=escape)
            else:
                parts.append(char)
            at += 1
        return fail("S0101", start)

    def _regex(self) -> Lexeme:
        text, start = self._text, self._at
        at = start + 1
        depth = 0
        while at < len(text):
            char = text[at]
            if char == "\\":
                at += 2
                continue
            if char == "/" and depth == 0:
                pattern = text[start + 1 : at]
                if not pattern:
                    fail("S0301", start)
                end = at + 1
                while text[end : end + 1] in ("i", "m"):
                    end += 1
                self._at = end
                return Lexeme("regex", (pattern, text[at + 1 : end]), start)
            depth += (char in "([{") - (char in ")]}")
            at += 1
        return fail("S0302", start)


def number_of(text: str, at: int | None = None) -> int | Decimal:
    """The number that is written, with every digit: whole ones are `int`, others `Decimal`."""
    if len(text) > 5_000:
        fail("S0102", at, token=text[:40] + "…")
    if text.lstrip("-").isdecimal():
        if len(text) <= 309:
            return int(text)
    else:
        exponent = text.lower().partition("e")[2]
        if len(exponent.lstrip("+-")) <= 4:
            value = Decimal(text)
            if -400 < value.adjusted() <= 308:
                return simple(value) if exponent and value.adjusted() < 21 else value
            if value.is_zero() or value.adjusted() < 0:
                return 0
    return fail("S0102", at, token=text)


def _joined(text: str) -> str:
    """Two halves of a surrogate pair, each written as \\u, are one character."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
