"""Writes values as YAML that a person would write: short ones in braces, steps as blocks."""

from __future__ import annotations

from typing import Any, cast

from halflap.lowcode.kinds import kind_of
from halflap.lowcode.kinds.raw import needed_blocks
from halflap.lowcode.scalar import scalar

WIDTH = 100
"""The width at which a line is broken, where it can be."""


def inline(value: Any) -> str:
    """A value on one line, with its members in braces and its items in brackets."""
    match value:
        case dict():
            held = cast("dict[Any, Any]", value).items()
            return (
                "{" + ", ".join(f"{scalar(name, flow=True)}: {inline(v)}" for name, v in held) + "}"
            )
        case list():
            return "[" + ", ".join(map(inline, cast("list[Any]", value))) + "]"
        case _:
            return scalar(value, flow=True)


class LineWriter:
    """Writes values as lines; with `blocks`, a text of several lines as a block."""

    def __init__(self, *, blocks: bool = True) -> None:
        self._blocks = blocks

    def placed(
        self, value: Any, indent: int, used: int, style: str | None = None
    ) -> tuple[str, list[str]]:
        """A value behind a `key:` or a dash that stands at `indent`: what is on its line, and below.

        used: how much of the line is taken. style: how a text was written before.
        """
        if self._blocks and isinstance(value, str) and _as_block(value, style):
            return _block_text(value, " " * (indent + 2))
        if not isinstance(value, dict | list):
            return scalar(value, style=style if style in ("'", '"') else None), []
        if fits(value, used + 1):
            return inline(value), []
        return "", self.below(value, indent + 2)

    def below(self, value: Any, indent: int) -> list[str]:
        """The lines of a mapping or a list."""
        lines: list[str] = []
        if isinstance(value, dict):
            for name, each in cast("dict[Any, Any]", value).items():
                lines += self.member(name, each, indent)
        else:
            for each in cast("list[Any]", value):
                lines += self.item(each, indent)
        return lines

    def member(self, name: Any, value: Any, indent: int) -> list[str]:
        """The lines of one member."""
        before = " " * indent + scalar(name) + ":"
        head, below = self.placed(value, indent, len(before))
        return [f"{before} {head}" if head else before, *below]

    def item(self, value: Any, indent: int) -> list[str]:
        """The lines of one item: a step's members stand below each other."""
        before = " " * indent + "- "
        if isinstance(value, dict | list) and value and not _short(cast(Any, value), len(before)):
            return self.behind(value, indent + 2, before)
        head, rest = self.placed(value, indent, len(before))
        return [before + head, *rest]

    def behind(self, value: Any, indent: int, before: str = "") -> list[str]:
        """The lines of what begins on the line of its dash."""
        first, *rest = self.below(value, indent)
        return [before + first.lstrip(" "), *rest]


def _short(value: Any, used: int) -> bool:
    """Return whether an item is data that fits its line; a step, or what has a single member, is
    not.
    """
    if isinstance(value, dict) and (is_step(value) or len(cast(Any, value)) == 1):
        return False
    return fits(value, used)


def fits(value: Any, used: int) -> bool:
    """Return whether a value is written on one line: it is short, holds no steps and no text of
    lines.
    """
    return not value or (not _tall(value) and len(inline(value)) + used <= WIDTH)


def is_step(value: Any) -> bool:
    """Return whether a value is a step, and not data that has a member of such a name."""
    match kind := kind_of(value):
        case None:
            return False
        case "action":
            return "." in str(value["action"])
        case "set" | "stop":
            return isinstance(value[kind], dict | bool)
        case _:
            return (needed_blocks(kind) or (kind,))[-1] in value


def _tall(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_tall, cast("dict[Any, Any]", value).values()))
        case list():
            held = cast("list[Any]", value)
            single = (isinstance(each, dict) and len(cast(Any, each)) == 1 for each in held)
            return any(map(is_step, held)) or all(single) or any(map(_tall, held))
        case str():
            return "\n" in value
        case _:
            return False


def _as_block(text: str, style: str | None) -> bool:
    """Return whether a text is written as a block: it has several lines, and nothing that one would
    lose.
    """
    if "\n" not in text.rstrip("\n") and style not in ("|", ">"):
        return False
    lines = text.split("\n")
    sound = all(each.replace("\t", "").isprintable() for each in lines)
    blank = any(each and not each.strip() for each in lines)
    return sound and not blank and bool(text.strip()) and text[0] not in " \t\n"


def _block_text(text: str, indent: str) -> tuple[str, list[str]]:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    head = "|" + ("-" if ends == 0 else "" if ends == 1 else "+")
    lines = [indent + each if each else "" for each in body.split("\n")]
    return head, lines + [""] * (ends - 1)
