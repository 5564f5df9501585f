"""Prune a Python flow's outline to what may happen in it, and the way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halflap.lowcode.outline.nodes import OutlineNode, within

LIGHT = frozenset({"break", "continue", "return", "log"})
"""Kinds that matter beside steps only."""

LOOPS = frozenset({"for", "while", "group"})
WAYS = LOOPS | {"if", "switch", "try"}
"""Kinds that only lead to steps."""


def pruned(nodes: Sequence[OutlineNode]) -> list[OutlineNode]:
    """Return nodes without the branches, loops and functions in which nothing happens."""
    return [found for each in nodes if (found := _pruned(each)) is not None]


def _pruned(node: OutlineNode) -> OutlineNode | None:
    if node.kind not in WAYS:
        return node
    node = node.with_blocks(each.with_nodes(pruned(each.nodes)) for each in node.blocks)
    light = LIGHT if node.kind in LOOPS else ()
    return node if any(each.kind not in light for each in _ends(node)) else None


def _ends(node: OutlineNode) -> Iterator[OutlineNode]:
    """Yield where the ways of a node lead."""
    for each in within([node]):
        if each.kind not in WAYS or "folded" in each.fields:
            yield each


def holds_step(nodes: Sequence[OutlineNode]) -> bool:
    """Return whether there is a step among these, or what may be one."""
    others = LIGHT | {"stop", "continue_with", "throw"}
    return any(end.kind not in others for each in nodes for end in _ends(each))
