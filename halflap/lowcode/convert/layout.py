"""Lays out Python as its formatter would: in one line where it fits, else broken at its brackets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from keyword import iskeyword
from typing import Literal, Union

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Brackets:
    """Brackets with items, which may stand on lines of their own.

    kind: the arguments of a `call`, the items of a `display` (a list, a dict), or `one` thing that
    takes no comma after it: the clauses of a comprehension.
    """

    opening: str
    items: tuple[Piece, ...]
    closing: str
    kind: Literal["call", "display", "clauses"] = "call"


@dataclass(frozen=True, slots=True)
class Joined:
    """Pieces that stand side by side."""

    parts: tuple[Piece, ...]


Piece = Union[str, Brackets, Joined]  # noqa: UP007 (it refers to itself)


def joined(*parts: Piece) -> Piece:
    """Pieces side by side."""
    return Joined(parts)


def call(function: Piece, *args: Piece, **kwargs: Piece) -> Piece:
    """A call."""
    return call_with(function, args, kwargs.items())


def call_with(function: Piece, args: Iterable[Piece], named: Iterable[tuple[str, Piece]]) -> Piece:
    """A call; names that are no identifiers are given by `**`."""
    items, others = list(args), list[Piece]()
    for name, each in named:
        if is_parameter(name):
            items.append(joined(f"{name}=", each))
        else:
            others.append(joined(f"{text(name)}: ", each))
    if others:
        items.append(joined("**", Brackets("{", tuple(others), "}", "display")))
    return joined(function, Brackets("(", tuple(items), ")"))


def is_parameter(name: str) -> bool:
    """Return whether an argument can be given by this name."""
    return name.isidentifier() and not iskeyword(name) and name != "__debug__"


def flat(piece: Piece) -> str:
    """A piece in one line."""
    match piece:
        case str():
            return piece
        case Joined():
            return "".join(map(flat, piece.parts))
        case Brackets():
            between = " " if piece.kind == "clauses" else ", "
            return f"{piece.opening}{between.join(map(flat, piece.items))}{piece.closing}"


def lines(piece: Piece, indent: int = 0, tail: str = "") -> list[str]:
    """A piece at an indent, with what follows it on its last line."""
    head = " " * indent
    whole = flat(piece)
    if "\n" not in whole and len(head + whole + tail) <= WIDTH:
        return [head + whole + tail]
    parts = list(_parts(piece))
    groups = [at for at, each in enumerate(parts) if isinstance(each, Brackets) and each.items]
    for at in reversed(groups):  # the last one that can be opened in the line
        group = parts[at]
        assert isinstance(group, Brackets)
        before = head + "".join(map(flat, parts[:at])) + group.opening
        after = head + group.closing + "".join(map(flat, parts[at + 1 :])) + tail
        if len(before) <= WIDTH or at == groups[0]:
            return [before, *_body(group, indent + 4), after]
    return [head + whole + tail]


def _body(group: Brackets, indent: int) -> list[str]:
    if group.kind != "display":
        between = " " if group.kind == "clauses" else ", "
        body = " " * indent + between.join(map(flat, group.items))
        if len(body) <= WIDTH and "\n" not in body:
            return [body]
    comma = "" if group.kind == "clauses" else ","
    return [line for each in group.items for line in lines(each, indent, comma)]


def _parts(piece: Piece) -> Iterable[str | Brackets]:
    match piece:
        case Joined():
            for each in piece.parts:
                yield from _parts(each)
        case _:
            yield piece


def text(value: str) -> str:
    """A text as Python's formatter writes it: in double quotes, unless that escapes more."""
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(_escaped(each, quote) for each in value) + quote


def _escaped(each: str, quote: str) -> str:
    if each in (quote, "\\"):
        return "\\" + each
    return each if each.isprintable() else repr(each)[1:-1]
