"""Places of a text as the protocol counts them: lines from 0, and columns in UTF-16."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from lsprotocol.types import Position, Range

from halflap.lowcode.assist.loose import lines_of

_LSP_BREAK = re.compile(r"\r\n|\n|\r")
_YAML_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_WORD = re.compile(r"[^\s,\[\]{}]+")


class Positions:
    """Converts places of one text. YAML breaks lines at more characters than the protocol does."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines as the protocol has them."""
        return lines_of(self.text)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(each.end() for each in _LSP_BREAK.finditer(self.text))]

    @cached_property
    def _yaml_starts(self) -> list[int]:
        return [0, *(each.end() for each in _YAML_BREAK.finditer(self.text))]

    def position(self, line: int, column: int) -> Position:
        """A place of the editing room (from 0, in characters) as a position."""
        line = max(0, min(line, len(self.lines) - 1))
        return Position(line, units(self.lines[line][: max(0, column)]))

    def range(self, line: int, start: int, end: int) -> Range:
        """A part of a line as a range."""
        return Range(self.position(line, start), self.position(line, end))

    def column(self, position: Position) -> int:
        """The column in characters; one within a character is before it."""
        line = self.lines[position.line] if position.line < len(self.lines) else ""
        left = position.character
        for at, char in enumerate(line):
            left -= 2 if char > "\uffff" else 1
            if left < 0:
                return at
        return len(line)

    def part(self, line: int, column: int, length: int) -> Range:
        """A part of a line, at a place of lint (from 1, as YAML counts)."""
        at, here = self._found(line, column)
        return self.range(at, here, here + length)

    def of_yaml(self, line: int, column: int) -> Range:
        """The word at a place of lint (from 1, as YAML counts)."""
        at, here = self._found(line, column)
        found = _WORD.match(self.lines[at], here)
        return self.range(at, here, found.end() if found else here + 1)

    def _found(self, line: int, column: int) -> tuple[int, int]:
        starts = self._yaml_starts
        offset = min(starts[min(line, len(starts)) - 1] + column - 1, len(self.text))
        at = bisect_right(self._starts, offset) - 1
        return at, offset - self._starts[at]


def units(text: str) -> int:
    """Return the length of a text in UTF-16 units."""
    return len(text) + sum(char > "\uffff" for char in text)
