"""A text that is edited: its lines, the comments that belong to a value, and patches of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import Any

from halflap.errors import DefinitionError
from halflap.lowcode.rewrite.tree import Entry

_COMMENT = re.compile(r"([ ]*)#")


class UnwritableEdit(DefinitionError):
    """An edit cannot be made in the text as it stands; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch: the text from `start` to `end` becomes `text`."""

    start: int
    end: int
    text: str

    @property
    def by(self) -> int:
        """The number of characters by which it moves what stands behind it."""
        return len(self.text) - (self.end - self.start)


class Text:
    """A document's text, with its own line ends."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"

    def patched(self, patches: Iterable[Patch]) -> str:
        """The text with patches, which do not overlap."""
        text = self.text
        for each in sorted(patches, key=lambda each: (each.start, each.end), reverse=True):
            text = text[: each.start] + each.text + text[each.end :]
        return text

    def below(self, at: int, lines: Sequence[str]) -> Patch:
        """Lines after the line that holds a place."""
        end = self.line_end(at)
        return Patch(end, end, "".join(self.newline + each for each in lines))

    def joined(self, lines: Sequence[str]) -> str:
        """Lines as one text."""
        return self.newline.join(lines)

    def line_start(self, at: int) -> int:
        """Where the line of a place begins."""
        return self.text.rfind("\n", 0, at) + 1

    def line_end(self, at: int) -> int:
        """Where the line of a place ends, before what ends it."""
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        return end - 1 if end > at and self.text[end - 1] == "\r" else end

    def next_line(self, at: int) -> int:
        """Where the line after that of a place begins; the text's end where there is none."""
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def column(self, at: int) -> int:
        """Return the column of a place."""
        return at - self.line_start(at)

    def leads(self, at: int) -> bool:
        """Return whether a place is the first of its line that is not blank."""
        return not self.text[self.line_start(at) : at].strip(" ")

    def line(self, start: int) -> str:
        """The line that begins at a place."""
        return self.text[start : self.line_end(start)]

    def first(self, entry: Entry) -> int:
        """Where an entry begins, with the comments that stand directly above it."""
        start = self.line_start(entry.start)
        column = self.column(entry.start)
        while start > 0:
            above = self.line_start(start - 1)
            found = _COMMENT.match(self.line(above))
            if found is None or len(found[1]) != column:
                break
            start = above
        return start

    def last(self, entry: Entry) -> int:
        """Where an entry's last line ends: one of its own, or a comment further in than itself."""
        column = self.column(entry.start)
        end = self.line_end(max(entry.value.end, entry.marker))
        while (start := self.next_line(end)) < len(self.text):
            found = _COMMENT.match(self.line(start))
            if found is None or len(found[1]) <= column:
                break
            end = self.line_end(start)
        return end

    def apart(self, entries: Sequence[Entry], at: int) -> bool:
        """Return whether a new entry is set apart by a blank line, as those around its place are."""
        before = min(max(at, 1), len(entries) - 1)
        return before > 0 and self.blank_above(self.first(entries[before]))

    def blank_above(self, start: int) -> bool:
        """Return whether the line above the one that begins here is blank."""
        return start > 0 and not self.line(self.line_start(start - 1)).strip()

    def without(self, start: int, end: int) -> Patch:
        """Take whole lines out."""
        after = self.next_line(end)
        if after == len(self.text) and self.line_end(end) == after and start > 0:
            start -= len(self.newline)  # the text did not end with a line end
        return Patch(start, after, "")

    def without_entry(self, entries: Sequence[Entry], at: int) -> Patch:
        """Take an entry out, with its comments, and the blank line that set it apart."""
        start, end = self.first(entries[at]), self.last(entries[at])
        after = self.next_line(end)
        below = after < len(self.text) and not self.line(after).strip()
        if at == 0 and below and len(entries) > 1:
            end = after
        elif at > 0 and self.blank_above(start) and (below or at == len(entries) - 1):
            start = self.line_start(start - 1)
        return self.without(start, end)


def shared_ends(
    one: Sequence[Any], other: Sequence[Any], same: Callable[[Any, Any], bool] = eq
) -> tuple[int, int]:
    """Return how many items two texts or lists share at their beginning, and then at their end."""
    most = min(len(one), len(other))
    first = next((at for at in range(most) if not same(one[at], other[at])), most)
    rest = most - first
    last = next((at for at in range(rest) if not same(one[~at], other[~at])), rest)
    return first, last


def shifted(lines: Iterable[str], by: int) -> list[str]:
    """Lines further in, or further out."""
    if by >= 0:
        return [" " * by + each if each.strip() else each for each in lines]
    return [each[min(-by, len(each) - len(each.lstrip(" "))) :] for each in lines]
