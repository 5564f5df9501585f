"""Python source as text: constants, calls, blocks, and lines broken as a formatter breaks them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from keyword import iskeyword

WIDTH = 100
_TOKEN = re.compile(r"""[a-z]*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')| for | if |.""", re.DOTALL)


def text(value: str) -> str:
    """Write a text in double quotes, unless that escapes more."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escaped(each, quote) for each in value) + quote


def _escaped(each: str, quote: str) -> str:
    if each in (quote, "\\"):
        return "\\" + each
    return each if each.isprintable() else repr(each)[1:-1]


def call(function: str, args: Iterable[str] = (), named: Iterable[tuple[str, str]] = ()) -> str:
    """Write a call; names that are no identifiers are given by `**`."""
    items, others = list(args), list[tuple[str, str]]()
    for name, value in named:
        if is_parameter(name):
            items.append(f"{name}={value}")
        else:
            others.append((text(name), value))
    if others:
        items.append(f"**{display(others)}")
    return f"{function}({', '.join(items)})"


def is_parameter(name: str) -> bool:
    """Return whether an argument can be given by this name."""
    return name.isidentifier() and not iskeyword(name) and name != "__debug__"


def display(members: Iterable[tuple[str, str]]) -> str:
    """Write a dict."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in members)}}}"


def indented(lines: Iterable[str]) -> list[str]:
    """Return the lines of a block."""
    return [f"    {each}" if each else "" for each in lines]


def laid_out(lines: Iterable[str]) -> list[str]:
    """Break the lines that are too long, and leave out empty ones where a formatter has none."""
    found: list[str] = []
    for each in lines:
        if each or (found and found[-1] and not found[-1].endswith(":")):
            found += _wrapped(each)
    return found


def _wrapped(line: str) -> list[str]:
    bare = line.lstrip()
    indent = len(line) - len(bare)
    if len(line) <= WIDTH or "\n" in line or bare.startswith('"""'):
        return [line]
    if bare.startswith("#"):
        head = " " * indent + "# "
        return textwrap.wrap(bare[2:], WIDTH, initial_indent=head, subsequent_indent=head)
    groups = list(_groups(line))
    for first, last in reversed(groups):  # the last one whose opening is within the line
        before, inside, after = line[:first], line[first:last], line[last:]
        if first <= WIDTH or (first, last) == groups[0]:
            return [before, *_body(before, inside, indent + 4), " " * indent + after]
    return [line]


def _body(before: str, inside: str, indent: int) -> list[str]:
    """Return what stands in brackets: in one line, where a formatter has it so, else part by part."""
    pad, items = " " * indent, _parts(inside, ",")
    if len(items) == 1 and not before.endswith(("[", "{")) and not _is_call(before):
        return _wrapped(pad + inside)  # in parentheses, which a comma would make a tuple
    clauses = _parts(inside, " for ", " if ")
    if len(clauses) > 1 and len(items) == 1:
        whole = pad + inside
        return [whole] if len(whole) <= WIDTH else [y for x in clauses for y in _wrapped(pad + x)]
    if _is_call(before) and len(pad + inside) <= WIDTH:
        return [pad + inside]
    return [line for each in items for line in _wrapped(f"{pad}{each},")]


def _is_call(before: str) -> bool:
    return before[-2:-1].isalnum() or before[-2:-1] in ("_", ")", "]")


def _groups(line: str) -> Iterator[tuple[int, int]]:
    """Yield where the outermost brackets begin and end that hold something."""
    depth = first = 0
    for found in _TOKEN.finditer(line):
        if found[0] in ("(", "[", "{"):
            first = first if depth else found.end()
            depth += 1
        elif found[0] in (")", "]", "}"):
            depth -= 1
            if not depth and found.start() > first:
                yield first, found.start()


def _parts(inside: str, *separators: str) -> list[str]:
    """Split what stands in brackets at separators that stand in no others; a word begins its part."""
    parts, depth = [""], 0
    for found in _TOKEN.finditer(inside):
        token = found[0]
        depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
        if depth or token not in separators:
            parts[-1] += token
        else:
            parts.append(token.lstrip() if token.strip().isalpha() else "")
    return [each.strip() for each in parts if each.strip()]
