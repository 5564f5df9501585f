"""The text of a code step as it stands in a Python source: indented with it, between quotes."""

from __future__ import annotations

import ast
import linecache
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FrameType

from halflap.lowcode.code.source import CodePlace
from halflap.sdk.syntax import parse

_OPENING = re.compile(r"[rR]?('''|\"\"\"|'|\")")


def cleaned(text: str) -> str:
    """The text without empty lines around it, and without the indent that all its lines share."""
    lines = text.split("\n")
    ahead, behind = _ahead(lines), _ahead(lines[::-1])
    lines = lines[ahead : len(lines) - behind]
    margin = _margin(lines)
    return "\n".join(each[margin:] for each in lines)


def quoted(text: str) -> list[str]:
    """Write a text over several lines as a literal; once it is indented, `cleaned` gives it back."""
    quote = "'''" if '"""' in text else '"""'
    shown = text.replace("\\", "\\\\").replace(quote, f"\\{quote[0]}" * 3)
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in shown)
    shown = re.sub(r" $", r"\\x20", shown, flags=re.MULTILINE)
    return [quote, *shown.split("\n"), f"{quote},"]


def place_of(text: str, frame: FrameType) -> CodePlace:
    """Where a text stands that is written out in the source which calls with it.

    What is not written out there, line by line, has places of its own.
    """
    file = frame.f_code.co_filename
    written = any(text is each for each in frame.f_code.co_consts)
    if not written:
        return place_in(text)
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    node = _literal(text, "".join(lines), frame.f_lineno)
    if node is None:
        return place_in(text)
    return replace(place_in(text, node, lines), file=_shown(file))


def place_in(text: str, node: ast.Constant | None = None, lines: Sequence[str] = ()) -> CodePlace:
    """Where the code begins: in its text, or in the lines of a source with that literal."""
    inside = text.split("\n")
    ahead, margin = _ahead(inside), _margin(inside)
    if node is None or not _by_line(text, node):
        return CodePlace(line=1 + ahead, column=margin)
    column = margin if len(inside) > 1 else _begins(lines[node.lineno - 1], node)
    return CodePlace(line=node.lineno + ahead, column=column)


def _by_line(text: str, node: ast.Constant) -> bool:
    """Return whether each line of a text is one of its source."""
    return (node.end_lineno or node.lineno) - node.lineno == text.count("\n")


@lru_cache(1_024)
def _literal(text: str, source: str, line: int) -> ast.Constant | None:
    """The first literal from a line on that is this text."""
    for node in _texts(source).get(text, ()):
        if line <= (node.end_lineno or node.lineno) and _by_line(text, node):
            return node
    return None


@lru_cache(64)
def _texts(source: str) -> dict[str, list[ast.Constant]]:
    """The texts that a source calls something with, in their order."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, list[ast.Constant]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=[ast.Constant(value=str(text)) as given, *_]):
                found.setdefault(text, []).append(given)
            case _:
                pass
    return {text: sorted(each, key=lambda node: node.lineno) for text, each in found.items()}


def _begins(line: str, node: ast.Constant) -> int:
    """The column, from 0, of the first character of a text in one line."""
    before = line.encode()[: node.col_offset].decode()
    opening = _OPENING.match(line[len(before) :])
    return len(before) + (opening.end() if opening else 0)


def _ahead(lines: list[str]) -> int:
    """Return the number of lines before one that holds something."""
    return next((at for at, each in enumerate(lines) if each.strip()), 0)


def _margin(lines: list[str]) -> int:
    """Return the indentation of all lines that hold something."""
    return min((len(each) - len(each.lstrip()) for each in lines if each.strip()), default=0)


def _shown(file: str) -> str:
    """A source's path in its project."""
    path = Path(file)
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return path.relative_to(top).as_posix()
