"""Reads a document that is being typed: whatever its text, its values as far as they can be told.

`source.read` is exact and refuses what is not YAML; half of a document is not, and that is when its
author needs help. A line that cannot be read is mended, quoted or left out, until the rest can be; a
cursor is found by a word that is put there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from ruamel.yaml.error import MarkedYAMLError

from halflap.lowcode.assist.offers import TextCursor
from halflap.lowcode.source import MOST_BYTES, Path, SourceText, Unreadable, held, read

MOST_MENDS = 25
"""The number of mends of one text; what cannot be read then ends where it could not be at first."""
MOST_CLOSED = 4
"""The number of quotes and brackets that are closed at the end of one line."""
MARK = "itsCursorStandsHere"

_LINE = re.compile(
    r"""(?P<head>\s*(?:-\s+)*(?:(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'\[\]{},#&*!|>%@`][^#:]*):(?=\s|$)\s*)?)"""
    r"""(?P<value>.*)"""
)
_WORD = re.compile(r"\s*(?:-\s+)*[\w-]+\s*")
_ODD_ENDS = re.compile("[\x85\u2028\u2029]")
_PAIRS = {"[": "]", "{": "}"}


def lines_of(text: str) -> list[str]:
    """The lines of a text as YAML and editors count them."""
    return re.split(r"\r\n|\n|\r", text)


def read_loosely(text: str, file: str = "") -> SourceText:
    """A document's values, as far as they can be told."""
    try:
        return read(text, file)
    except Unreadable:
        found = _mended(_lines_of(text), file) or read("", file)
        return replace(found, text=text)


def _lines_of(text: str) -> list[str]:
    """Return the lines of a text, in which nothing else ends a line for YAML."""
    return lines_of(_ODD_ENDS.sub(" ", text[:MOST_BYTES].removeprefix("\ufeff")))


def _mended(lines: list[str], file: str, last: int | None = None) -> SourceText | None:
    """Return what lines say once they are mended; None where that is the line `last`."""
    lines, tried, closed, first = [*lines], Counter[int](), Counter[int](), len(lines)
    for _ in range(MOST_MENDS):
        try:
            return read("\n".join(lines), file)
        except Unreadable as error:
            at, closing = _culprit(error, lines)
            first = min(first, at)
            open_at = at if last is None else last
            if closing and closed[open_at] < MOST_CLOSED:
                closed[open_at] += 1
                lines[open_at] += closing
                continue
            if at == last:
                return None
            tried[at] += 1
            lines[at] = _mend(lines[at], tried[at], _deeper(lines, at))
    with suppress(Unreadable):
        return None if last is not None else read("\n".join(lines[:first]), file)
    return None


def _culprit(error: Unreadable, lines: list[str]) -> tuple[int, str]:
    """Return the line to be mended (from 0), and what closes the quote or bracket that it leaves open."""
    cause: Any = error.__cause__
    at = min(error.place.line, len(lines)) - 1
    if isinstance(cause, MarkedYAMLError):
        told = cast(Any, cause)
        context, begun = str(told.context or ""), told.context_mark
        if "flow node" in context:  # whose brackets are those of the line
            while at > 0 and not lines[at].strip():
                at -= 1
            found = _LINE.match(lines[at])
            return at, _closing(found["value"] if found is not None else "")
        if begun is not None and ("flow" in context or "quoted" in context):
            line, column = min(int(begun.line), len(lines) - 1), int(begun.column)
            return line, _closing("\n".join([lines[line][column:], *lines[line + 1 :]]))
        if begun is not None and "simple key" in context:
            at = min(int(begun.line), len(lines) - 1)
        elif "mapping values are not allowed" in str(told.problem):
            before = next((n for n in range(at - 1, -1, -1) if lines[n].strip()), at)
            at = before if _WORD.fullmatch(lines[before]) else at
    while at > 0 and not lines[at].strip():
        at -= 1
    return at, ""


def _mend(line: str, times: int, deeper: bool) -> str:
    """Return a line that can be read sooner: with its value in quotes, then without it, then empty."""
    found = _LINE.match(line)
    assert found is not None
    head, value = found["head"], found["value"].rstrip()
    if times == 1 and deeper and _WORD.fullmatch(line):
        return f"{line.rstrip()}:"
    if times == 1 and value and head.rstrip().endswith((":", "-")):
        return head + "'" + value.replace("'", "''") + "'"
    return head if times <= 2 and head.rstrip().endswith(":") else ""


def _deeper(lines: list[str], at: int) -> bool:
    """Return whether the next line stands deeper than a line."""
    following = next((each for each in lines[at + 1 :] if each.strip()), "")
    return _indent(following) > _indent(lines[at])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _closing(text: str) -> str:
    """Return what closes the quotes and brackets of a text in brackets, or of one in quotes."""
    stack, quote, at = list[str](), "", 0
    while at < len(text):
        char = text[at]
        if quote:
            at += quote == '"' and char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'" and re.search(r"(?:^|[\[{,:]\s*)$", text[:at][-20:]):
            quote = char
        elif char in _PAIRS:
            stack.append(_PAIRS[char])
        elif stack and char == stack[-1]:
            stack.pop()
        at += 1
    return quote + "".join(reversed(stack))


# Where a cursor stands --------------------------------------------------------------------------


def locate(text: str, line: int, column: int) -> TextCursor:
    """Where a cursor stands, line and column from 0."""
    lines = _lines_of(text)[: line + 1]
    lines += [""] * (line + 1 - len(lines))
    lines[-1] = here = lines[-1][:column]
    nowhere = TextCursor((), "value", "", len(here))
    if here.startswith(("---", "...", "%")):
        return nowhere
    indents: Iterator[str] = iter(()) if here.strip() else _outer(lines)
    for typed in (here, *indents):
        gap = " " if re.search(r"(?:^|\s)-$|:$", typed) else ""
        for end in (MARK, f"{MARK}:"):
            source = _mended([*lines[:-1], typed + gap + end], "", line)
            found = None if source is None else _found(source, here)
            if found is not None:
                return found
    return nowhere


def _outer(lines: list[str]) -> Iterator[str]:
    """Yield the indents to the left of a line's own at which something else stands."""
    column = len(lines[-1])
    yield from (
        " " * each for each in sorted({*map(_indent, lines)}, reverse=True) if each < column
    )


def _found(source: SourceText, here: str) -> TextCursor | None:
    """Return where the mark stands, with what is typed before it on its line."""
    last = source.text.count("\n") + 1
    for path, place in source.keys.items():
        if MARK in str(path[-1]):
            start = min(place.column - 1, len(here))
            return TextCursor(path[:-1], "key", here[start:].lstrip("\"'"), start)
    marked = (each for each in held(source.data) if isinstance(each[0], str) and MARK in each[0])
    value, path = next(marked, (None, ()))
    if value is None:
        return None
    if path in source.blocks:
        return TextCursor(path, "value", value.partition(MARK)[0], _indent(here), block=True)
    place = source.values[path]
    start, in_list = place.column - 1, bool(path) and isinstance(path[-1], int)
    if place.line < last:  # it has begun on a line above
        lines = lines_of(source.text)
        begun = "\n".join([lines[place.line - 1][start:], *lines[place.line : -1], here])
        whole = begun[1:] if begun[0] in "\"'" else here.lstrip(" ")
        return TextCursor(path, "value", whole, _indent(here))
    typed = here[start:]
    if typed[:1] in ("'", '"'):
        return TextCursor(path, "value", typed[1:], start + 1)
    if in_list:
        part = "value" if _in_flow(source, path) else "key"
        return TextCursor(path, part, typed, start, item=True)
    key = source.keys.get(path)
    below = key is None or key.line < place.line
    return TextCursor(path, "key" if below else "value", typed, start)


def _in_flow(source: SourceText, path: Path) -> bool:
    """Return whether a value stands in brackets."""
    place = source.values[path[:-1]]
    return source.text.split("\n")[place.line - 1][place.column - 1 :][:1] == "["
