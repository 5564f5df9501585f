"""A document as it stands between two edits: its text, and where in it each value is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from halflap.lowcode.rewrite.text import Patch, Text, UnwritableEdit, shifted
from halflap.lowcode.rewrite.tree import Entry, TextNode, tree_of
from halflap.lowcode.source import Path, SourceText

COMMENT = re.compile(r"#[^\r\n]*")
"""A comment between values."""


class Layout:
    """Finds values by their paths, and the lines that they take."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = Text(source.text)

    @cached_property
    def root(self) -> TextNode | None:
        """The places of all values, found once they are asked for."""
        return tree_of(self.source.text, self.source.data)

    def refused(self, said: str, path: Path) -> UnwritableEdit:
        """An edit that cannot be made, with its place."""
        return UnwritableEdit(said, where=self.source.at(path))

    def lines(self, path: Path) -> list[str]:
        """The text of an item of a block, with its comments, from the first column on."""
        entry, text = self.entry(path), self.text
        start = text.first(entry) if text.leads(entry.start) else entry.start
        lines = text.text[start : text.last(entry)].splitlines()
        column = text.column(entry.start)
        if start == entry.start:
            lines[0] = " " * column + lines[0]
        return shifted(lines, -column)

    def below(self, entry: Entry, lines: Sequence[str], *, apart: bool) -> Patch:
        """Lines after an entry."""
        return self.text.below(self.text.last(entry), [*([""] if apart else []), *lines])

    def above(self, entry: Entry, lines: Sequence[str], *, apart: bool) -> Patch:
        """Lines before an entry, and the comments that belong to it."""
        text = self.text
        lines = [*lines, *([""] if apart else [])]
        if text.leads(entry.start):
            start = text.first(entry)
            return Patch(start, start, text.joined([*lines, ""]))
        indent = " " * text.column(entry.start)
        return Patch(entry.start, entry.start, text.joined([*lines, indent]).lstrip(" "))

    def apart(self, path: Path, node: TextNode, at: int) -> bool:
        """Return whether a new item is set apart by a blank line; a second test, as the whole
        document is.
        """
        if path == ("tests",) and len(node.entries) == 1:
            assert self.root is not None
            return self.text.apart(self.root.entries, len(self.root.entries))
        return self.text.apart(node.entries, at)

    def at(self, path: Path) -> TextNode | None:
        """The place of a value, where there is one of its own."""
        node = self.root
        for name in path:
            if node is None:
                return None
            if node.kind == "alias":
                raise self.refused("this is written elsewhere (*…); write it out first", path)
            found = (each.value for each in node.entries if _is(each.name, name))
            node = next(found, None)
        return node

    def node(self, path: Path) -> TextNode:
        """The place of a value, which has to be there."""
        node = self.at(path)
        if node is None:
            raise self.refused(f"there is no {'.'.join(map(str, path)) or 'document'} here", path)
        return node

    def entry(self, path: Path) -> Entry:
        """The member or item that holds a value."""
        if not path:
            raise self.refused("the whole document cannot be replaced; set its members", path)
        self.node(path)
        holder = self.node(path[:-1])
        return next(each for each in holder.entries if _is(each.name, path[-1]))

    def in_flow(self, path: Path) -> bool:
        """Return whether a value stands in braces or brackets; of `()`, whether the document does."""
        nodes = (self.at(path[:length]) for length in range(max(1, len(path))))
        return any(each is not None and each.flow for each in nodes)

    def unfolded(self, path: Path, node: TextNode) -> list[Patch]:
        """Write what stands in braces or brackets as a block, the comments between above the next."""
        entry, text = self.entry(path), self.text
        if text.text[node.start] not in "[{":
            raise self.refused("this has an anchor; write it as a block first", path)
        lines = _below_each_other(text, node, text.column(entry.start) + 2)
        on_dash = self.node(path[:-1]).kind == "list" and not lines[0].lstrip().startswith("#")
        if not on_dash:
            start = max(entry.marker, len(text.text[: node.start].rstrip(" \r\n")))
            return [Patch(start, node.end, ""), text.below(node.end, lines)]
        end = text.line_end(node.end)  # a comment behind the braces goes to the first member's line
        behind = text.text[node.end : end].strip()
        first = f"{lines[0].lstrip()} {behind}".rstrip()
        return [Patch(node.start, end, text.joined([first, *lines[1:]]))]


def _is(one: Any, other: Any) -> bool:
    """Return whether two keys are one: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _below_each_other(text: Text, node: TextNode, column: int) -> list[str]:
    lines: list[str] = []
    before = node.start + 1
    for each in node.entries:
        lines += COMMENT.findall(text.text[before : each.start])
        before = max(each.value.end, each.marker)
        first, *rest = text.text[each.start : before].splitlines()
        if node.kind == "list":
            first = f"- {first}"
        elif each.marker == each.key_end:  # a member without a value
            first += ":"
        indents = (len(line) - len(line.lstrip(" ")) for line in rest if line.strip())
        lines += [first, *shifted(rest, 2 - min(indents, default=0))]
    lines += COMMENT.findall(text.text[before : node.end])
    return shifted(lines, column)
