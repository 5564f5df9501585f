"""Writes what stands in braces or brackets as a block, with all that it holds as it is."""

from __future__ import annotations

import re

from halflap.lowcode.rewrite.layout import Layout
from halflap.lowcode.rewrite.text import Patch, Text, shifted
from halflap.lowcode.rewrite.tree import TextNode
from halflap.lowcode.source import Path

COMMENT = re.compile(r"#[^\r\n]*")
"""A comment between values."""


def unfolded(here: Layout, path: Path, node: TextNode) -> list[Patch]:
    """Write members or items below each other, and the comments between them above the next one."""
    entry, text = here.entry(path), here.text
    if text.text[node.start] not in "[{":
        raise here.refused("this has an anchor; write it as a block first", path)
    lines = _below_each_other(text, node, text.column(entry.start) + 2)
    on_dash = here.node(path[:-1]).kind == "list" and not lines[0].lstrip().startswith("#")
    if not on_dash:
        start = max(entry.marker, len(text.text[: node.start].rstrip(" \r\n")))
        return [Patch(start, node.end, ""), text.below(node.end, lines)]
    end = text.line_end(node.end)  # a comment behind the braces goes to the first member's line
    behind = text.text[node.end : end].strip()
    first = f"{lines[0].lstrip()} {behind}".rstrip()
    return [Patch(node.start, end, text.joined([first, *lines[1:]]))]


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
