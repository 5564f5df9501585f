"""What of a Python flow's outline is kept: what may happen in it, and the way there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halflap.lowcode.outline.nodes import (
    CodeNode,
    ForNode,
    GroupNode,
    IfNode,
    LeaveNode,
    LogNode,
    Node,
    StopNode,
    SwitchNode,
    ThrowNode,
    TryNode,
    WhileNode,
)

LIGHT = (LeaveNode, LogNode)
"""What matters beside steps only."""

WAYS = (IfNode, SwitchNode, TryNode, ForNode, WhileNode, GroupNode)
"""What only leads to steps."""


def kept(nodes: Sequence[Node]) -> list[Node]:
    """Without the branches, loops and functions in which nothing happens that an outline shows."""
    return [found for each in nodes if (found := _kept(each)) is not None]


def _kept(node: Node) -> Node | None:
    match node:
        case IfNode():
            node = node.model_copy(
                update={"then": kept(node.then), "otherwise": kept(node.otherwise)}
            )
        case SwitchNode():
            cases = [each.model_copy(update={"steps": kept(each.steps)}) for each in node.cases]
            node = node.model_copy(update={"cases": cases, "default": kept(node.default)})
        case TryNode():
            catches = [each.model_copy(update={"steps": kept(each.steps)}) for each in node.catches]
            node = node.model_copy(
                update={
                    "steps": kept(node.steps),
                    "catches": catches,
                    "otherwise": kept(node.otherwise),
                    "always": kept(node.always),
                }
            )
        case ForNode() | WhileNode() | GroupNode():
            node = node.model_copy(update={"steps": kept(node.steps)})
            return node if any(not isinstance(each, LIGHT) for each in _ends(node)) else None
        case _:
            return node
    return node if any(True for _ in _ends(node)) else None


def _ends(node: Node) -> Iterator[Node]:
    """Where the ways of a node lead."""
    for each in within([node]):
        if not isinstance(each, WAYS) or (isinstance(each, GroupNode) and each.folded):
            yield each


def holds_step(nodes: Sequence[Node]) -> bool:
    """Whether there is a step among these, or what may be one."""
    others = (StopNode, ThrowNode, *LIGHT)
    return any(not isinstance(end, others) for each in nodes for end in _ends(each))


def within(nodes: Sequence[Node]) -> Iterator[Node]:
    """These nodes and all that are in them, in the order of the text."""
    stack = list(reversed(nodes))
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed([each for part in parts(node) for each in part]))


def parts(node: Node) -> Iterator[Sequence[Node]]:
    """The lists of nodes that a node has."""
    match node:
        case IfNode(then=then, otherwise=otherwise):
            yield from (then, otherwise)
        case SwitchNode(cases=cases, default=default):
            yield from (*(each.steps for each in cases), default)
        case TryNode(steps=steps, catches=catches, otherwise=otherwise, always=always):
            yield from (steps, *(each.steps for each in catches), otherwise, always)
        case ForNode() | WhileNode() | GroupNode() | CodeNode():
            yield node.steps
        case _:
            pass
