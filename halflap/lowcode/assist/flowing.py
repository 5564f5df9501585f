"""Lists and mappings in brackets, also such as are not closed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, cast

from halflap.lowcode.assist.offers import NOWHERE, TextCursor
from halflap.lowcode.assist.scalar import plain_value, quoted
from halflap.lowcode.source import MOST_DEPTH, Path, Place

_PLAIN = re.compile(r"(?:[^\s,\[\]{}:#]|:(?![\s,\[\]{}]|$)|(?<=\S)#|[ \t]+(?![#\s,\[\]{}:]|$))+")


class Closed(Enum):
    """A text whose outermost bracket is closed."""

    YES = "yes"
    NOT = "not"


@dataclass(slots=True)
class _Level:
    data: dict[Any, Any] | list[Any]
    path: Path
    key: Any = None
    valued: bool = False
    """Of a mapping: the key has had its colon."""


@dataclass(slots=True)
class Flowing:
    """Reads one value in brackets, from lines of which the first begins at `column`."""

    path: Path
    line: int
    column: int
    values: dict[Path, Place]
    keys: dict[Path, Place]
    plain: set[Path]
    data: Any = None
    cursor: TextCursor = NOWHERE
    _levels: list[_Level] = field(default_factory=list[_Level])

    def read(self, lines: list[str]) -> Closed:
        """Read the lines; what stands after the last bracket is left alone."""
        for number, line in enumerate(lines):
            at = 0
            shift = self.column if number == 0 else 0
            while at < len(line):
                char = line[at]
                if char in " \t":
                    at += 1
                    if not self.cursor.text:
                        self._here("", at + shift)
                    elif at == len(line):
                        self.cursor = replace(self.cursor, text=f"{self.cursor.text} ")
                    continue
                if char == "#" and (at == 0 or line[at - 1] in " \t"):
                    break
                if char in "[{":
                    self._open(char, number, at + shift)
                    at += 1
                    self._here("", at + shift)
                elif char in "]}":
                    at += 1
                    self._close()
                    if not self._levels:
                        self._here("", at + shift, ended=True)
                        return Closed.YES
                    self._here("", at + shift, ended=True)
                elif char == ",":
                    at += 1
                    self._next()
                    self._here("", at + shift)
                elif char == ":" and self._keyed():
                    at += 1
                    self._levels[-1].valued = True
                    self._here("", at + shift)
                else:
                    at = self._scalar(line, at, number, shift)
        return Closed.NOT

    def _keyed(self) -> bool:
        level = self._levels[-1]
        return isinstance(level.data, dict) and level.key is not None

    def _target(self) -> Path:
        level = self._levels[-1]
        if isinstance(level.data, list):
            return (*level.path, len(level.data))
        return (*level.path, level.key)

    def _put(self, value: Any) -> None:
        level = self._levels[-1]
        if isinstance(level.data, list):
            level.data.append(value)
        elif level.valued:
            level.data[level.key] = value

    def _open(self, char: str, number: int, column: int) -> None:
        path = self._target() if self._levels else self.path
        data: Any = {} if char == "{" else []
        self.values[path] = Place(self.line + number, column + 1)
        if self._levels:
            self._put(data)
        else:
            self.data = data
        if len(self._levels) < MOST_DEPTH:
            self._levels.append(_Level(data, path))

    def _close(self) -> None:
        self._next()
        self._levels.pop()

    def _next(self) -> None:
        level = self._levels[-1]
        if isinstance(level.data, dict):
            if level.key is not None and not level.valued:
                level.data[level.key] = None
            level.key, level.valued = None, False

    def _scalar(self, line: str, at: int, number: int, shift: int) -> int:
        start = at
        if line[at] in "\"'":
            found = quoted(line, at)
            value: Any = found.text
            at, plain = found.end, False
            typed, begin = line[start + 1 : at - found.closed], start + 1
        else:
            match = _PLAIN.match(line, at)
            at = max(at + 1, match.end() if match else at + 1)
            value, plain = plain_value(line[start:at]), True
            typed, begin = line[start:at], start
        level = self._levels[-1]
        place = Place(self.line + number, start + shift + 1)
        if isinstance(level.data, dict) and not level.valued:
            level.key = cast("Any", "" if value is None else value)
            path = (*level.path, level.key)
            level.data.setdefault(level.key, None)
            self.keys[path] = place
            self.values.setdefault(path, place)
            self._here(typed, begin + shift, key=True)
            return at
        path = self._target()
        if isinstance(level.data, dict) and isinstance(level.data.get(level.key), str):
            self._put(f"{level.data[level.key]} {line[start:at]}")  # it goes on on this line
            return at
        self.values[path] = place
        if plain:
            self.plain.add(path)
        self._here(typed, begin + shift)
        self._put(value)
        return at

    def _here(self, text: str, start: int, *, key: bool = False, ended: bool = False) -> None:
        if ended or not self._levels:
            level = self._levels[-1] if self._levels else None
            self.cursor = TextCursor(self.path if level is None else level.path, "value", "", start)
            return
        level = self._levels[-1]
        if isinstance(level.data, list):
            self.cursor = TextCursor(
                (*level.path, len(level.data)), "value", text, start, item=True
            )
        elif level.valued and not key:
            self.cursor = TextCursor((*level.path, level.key), "value", text, start)
        else:
            self.cursor = TextCursor(level.path, "key", text, start)
