"""Reads a document that is being typed: whatever its text, its values as far as they can be told.

`source.read` is exact and refuses what is not YAML; half of a document is not, and that is when its
author needs help. This reader goes by lines and their indentation, never fails, and takes what it
cannot place as what it most likely is. On a text that is YAML both read the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

from halflap.lowcode.assist.flowing import Closed, Flowing
from halflap.lowcode.assist.offers import NOWHERE, TextCursor
from halflap.lowcode.assist.scalar import Quoted, plain_value, quoted, without_comment
from halflap.lowcode.source import MOST_BYTES, MOST_DEPTH, Path, Place, SourceText

_KEY = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[\]{},"'&*!|>%@`#-][^#]*?|-[^\s#][^#]*?)"""
    r"""\s*:(?=\s|$)"""
)
_BLOCK = re.compile(r"[|>][-+0-9]*\s*(#.*)?$")
_MARKED = re.compile(r"(?:[&!]\S*\s+)+|[&!]\S*$")


@dataclass(slots=True)
class _Open:
    """A list or mapping that lines are still added to; `column` is where its keys or dashes stand."""

    column: int
    path: Path
    data: dict[Any, Any] | list[Any]
    key: Any = None
    """Of a mapping, the last key; of a list, the last place."""

    @property
    def empty(self) -> bool:
        """True if the last member has no value yet, so that deeper lines are it."""
        return bool(self.data) and self.data[self.key] is None

    @property
    def inside(self) -> Path:
        """The path of the last member."""
        return (*self.path, self.key)

    def add(self) -> None:
        """One more item of a list, so far without a value."""
        if isinstance(self.data, list):
            self.data.append(None)
            self.key = len(self.data) - 1

    def put(self, value: Any) -> None:
        """Give the last member its value."""
        self.data[self.key] = value


@dataclass(slots=True)
class Loose:
    """Reads one text. `cursor` says where it ends."""

    text: str
    file: str = ""
    values: dict[Path, Place] = field(default_factory=dict[Path, Place])
    keys: dict[Path, Place] = field(default_factory=dict[Path, Place])
    plain: set[Path] = field(default_factory=set[Path])
    blocks: set[Path] = field(default_factory=set[Path])
    cursor: TextCursor = NOWHERE
    _lines: list[str] = field(default_factory=list[str])
    _stack: list[_Open] = field(default_factory=list[_Open])
    _anchors: dict[str, Any] = field(default_factory=dict[str, Any])
    _anchor: str | None = None
    _at: int = 0

    def read(self) -> SourceText:
        """The values, with their places."""
        self._lines = lines_of(self.text[:MOST_BYTES].removeprefix("\ufeff"))
        while self._at < len(self._lines):
            line = self._lines[self._at]
            self._at += 1
            self._line(line)
        data = self._stack[0].data if self._stack else None
        return SourceText(
            self.file, self.text, data, self.values, self.keys, {},
            frozenset(self.plain), frozenset(self.blocks),
        )  # fmt: skip

    # Lines --------------------------------------------------------------------------------------

    def _line(self, line: str) -> None:
        column = len(line) - len(line.lstrip(" "))
        rest = line[column:]
        if not rest.strip():
            self._blank(column)
            return
        if rest.startswith("#") or (column == 0 and rest.startswith(("---", "...", "%"))):
            self.cursor = TextCursor((), "value", "", column)
            return
        self._content(column, rest.lstrip("\t"))

    def _blank(self, column: int) -> None:
        if self._at < len(self._lines):
            return  # only where the text ends does a line without content say anything
        self.cursor = TextCursor(self._place(column), "key", "", column)

    def _content(self, column: int, rest: str) -> None:
        item = False
        while rest == "-" or rest.startswith("- "):
            opened = self._at_column(column, list)
            after = rest[1:].lstrip(" ")
            column += len(rest) - len(after) if after else 2
            rest, item = after, True
            if opened is None:
                continue
            opened.add()
            self.values[opened.inside] = Place(self._at, column + 1)
            if not rest or rest.startswith("#"):
                self.cursor = TextCursor(opened.inside, "key", "", column, item=True)
                return
        found = _KEY.match(rest)
        if found is not None:
            self._member(column, found, rest)
        elif item and (top := self._stack[-1] if self._stack else None) is not None:
            self.cursor = TextCursor(top.inside, "key", rest, column, item=True)
            self._value(column, rest, top, top.column, item=True)
        else:
            self._bare(column, rest)

    def _member(self, column: int, found: re.Match[str], rest: str) -> None:
        opened = self._at_column(column, dict)
        if opened is None:
            return
        value = plain_value(found["key"]) if found["key"][0] not in "\"'" else quoted(found["key"])
        key: Any = "" if value is None else value.text if isinstance(value, Quoted) else value
        opened.data[key] = None
        opened.key = key
        self.keys[opened.inside] = Place(self._at, column + 1)
        after = rest[found.end() :]
        at = column + found.end() + len(after) - len(after.lstrip(" \t"))
        self.values[opened.inside] = Place(self._at, at + 1)
        self.cursor = TextCursor(opened.inside, "value", after.lstrip(" \t"), at)
        self._value(at, after.lstrip(" \t"), opened, column)

    def _bare(self, column: int, rest: str) -> None:
        """Neither a key nor an item: a text that goes on, or a key that is half typed."""
        top = self._stack[-1] if self._stack else None
        if top is not None and top.empty and column > top.column:
            if not re.fullmatch(r"[\w-]+", rest) or self._at < len(self._lines):
                at = self.values[top.inside] = Place(self._at, column + 1)
                self._value(at.column - 1, rest, top, top.column)
            self.cursor = TextCursor(top.inside, "key", rest, column)
            return
        if top is not None and column > top.column:
            value = top.data[top.key]
            if isinstance(value, str) and top.inside in self.plain:
                top.put(f"{value} {without_comment(rest)}")
                self.cursor = TextCursor(top.inside, "value", rest, column)
                return
        self.cursor = TextCursor(self._place(column), "key", rest, column)

    # Values -------------------------------------------------------------------------------------

    def _value(
        self, column: int, rest: str, opened: _Open, outer: int, *, item: bool = False
    ) -> None:
        """Read the value after a key or a dash. `outer` is the column that it belongs to."""
        if marked := _MARKED.match(rest):
            names = re.findall(r"&(\S+)", marked[0])
            self._anchor = names[-1] if names else None
            column += marked.end()
            rest = rest[marked.end() :]
        anchor, self._anchor = self._anchor, None
        path = opened.inside
        if not rest or rest.startswith("#"):
            return
        if rest[0] == "*":
            name = without_comment(rest)[1:]
            opened.put(self._anchors.get(name))
        elif _BLOCK.match(rest):
            self._block(rest, opened, outer)
        elif rest[0] in "[{":
            self._flowing(column, rest, opened, outer)
        elif rest[0] in "\"'":
            self._quoted(column, rest, opened, outer)
        else:
            text = without_comment(rest)
            opened.put(plain_value(text))
            self.plain.add(path)
            if not item:
                self.cursor = TextCursor(path, "value", rest, column)
            if len(text) < len(rest.rstrip()):
                self.cursor = TextCursor(path, "value", "", column)  # in a comment
        if anchor is not None:
            self._anchors[anchor] = opened.data[opened.key]

    def _block(self, header: str, opened: _Open, outer: int) -> None:
        path = opened.inside
        self.blocks.add(path)
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= outer:
                break
            if not line.strip() and self._at == len(self._lines) - 1 and len(line) <= outer:
                break  # where the text ends, its column says that the block has ended
            lines.append(line)
            self._at += 1
        indent = min((len(x) - len(x.lstrip(" ")) for x in lines if x.strip()), default=outer + 2)
        texts = [each[indent:] for each in lines]
        end = "" if "-" in header else "\n"
        joined = "\n".join(texts).rstrip("\n") + end if any(texts) else ""
        if header.startswith(">"):
            joined = re.sub(r"(?<=[^\n])\n(?=[^\n ])", " ", joined)
        opened.put(joined)
        self.cursor = TextCursor(path, "value", "\n".join(texts), indent, block=True)

    def _flowing(self, column: int, rest: str, opened: _Open, outer: int) -> None:
        """A list or mapping in brackets; one that is never closed ends with its line."""
        lines, ended = [rest], True
        flowing = Flowing(opened.inside, self._at, column, self.values, self.keys, self.plain)
        closed = flowing.read(lines)
        at = self._at
        while closed is Closed.NOT and at < len(self._lines):
            line = self._lines[at]
            if (
                line.strip()
                and len(line) - len(line.lstrip(" ")) <= outer
                and line.lstrip()[0] not in "]}"
            ):
                ended = False
                break
            lines.append(line)
            at += 1
            flowing = Flowing(opened.inside, self._at, column, self.values, self.keys, self.plain)
            closed = flowing.read(lines) if any(sign in line for sign in "]}") else closed
        if closed is Closed.NOT:
            flowing = Flowing(opened.inside, self._at, column, self.values, self.keys, self.plain)
            flowing.read(lines if ended else lines[:1])
        if ended:
            self._at += len(lines) - 1
        opened.put(flowing.data)
        self.cursor = flowing.cursor

    def _quoted(self, column: int, rest: str, opened: _Open, outer: int) -> None:
        """A text in quotes; one that is never closed ends with its line."""
        found, at = quoted(rest), self._at
        text, ended = rest, True
        while not found.closed and at < len(self._lines):
            line = self._lines[at]
            if line.strip() and len(line) - len(line.lstrip(" ")) <= outer:
                ended = False
                break
            text += f"\n{line}"
            at += 1
            found = quoted(text) if rest[0] in line else found
        found = quoted(text if ended else rest)
        if ended:
            self._at = at
        opened.put(found.text)
        if found.closed:
            self.cursor = TextCursor(opened.inside, "value", rest[1 : found.end - 1], column + 1)
        else:
            self.cursor = TextCursor(opened.inside, "value", text[1:], column + 1)

    # Where a line belongs -----------------------------------------------------------------------

    def _at_column(self, column: int, kind: type[dict[Any, Any]] | type[list[Any]]) -> _Open | None:
        """The list that a dash at a column adds to, or the mapping that a key is a member of."""
        stack = self._stack
        while stack and (
            stack[-1].column > column
            or (
                kind is dict
                and stack[-1].column == column
                and isinstance(stack[-1].data, list)
                and len(stack) > 1
            )
        ):
            stack.pop()
        top = stack[-1] if stack else None
        if (
            top is not None
            and isinstance(top.data, kind)
            and (top.column == column or not top.empty)
        ):
            return top
        if len(stack) > MOST_DEPTH or (top is not None and not top.empty):
            return next((each for each in reversed(stack) if isinstance(each.data, kind)), None)
        data = cast("dict[Any, Any] | list[Any]", kind())
        made = _Open(column, () if top is None else top.inside, data)
        if top is not None:
            top.put(made.data)
        self.values[made.path] = Place(self._at, column + 1)
        stack.append(made)
        return made

    def _place(self, column: int) -> Path:
        """The path of the mapping that a key at a column would be a member of; nothing is added."""
        for each in reversed(self._stack):
            if each.column > column or (each.column == column and isinstance(each.data, list)):
                continue
            if each.column < column and each.empty:
                return each.inside
            if isinstance(each.data, dict):
                return each.path
        return ()


def lines_of(text: str) -> list[str]:
    """The lines of a text as YAML and editors count them."""
    return re.split(r"\r\n|\n|\r", text)


def read_loosely(text: str, file: str = "") -> SourceText:
    """A document's values, as far as they can be told."""
    return Loose(text, file).read()


def locate(text: str, line: int, column: int) -> TextCursor:
    """Where a cursor stands, line and column from 0."""
    lines = lines_of(text[:MOST_BYTES])[: line + 1]
    if lines and line < len(lines):
        lines[-1] = lines[-1][:column]
    reader = Loose("\n".join(lines))
    reader.read()
    return reader.cursor
