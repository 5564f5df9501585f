"""Python source as text: constants, calls, blocks."""

from __future__ import annotations

from collections.abc import Iterable
from keyword import iskeyword


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


def spaced(lines: Iterable[str]) -> list[str]:
    """Return lines without the empty ones at the beginning of a block."""
    found: list[str] = []
    for each in lines:
        if each or (found and found[-1] and not found[-1].endswith(":")):
            found.append(each)
    return found
