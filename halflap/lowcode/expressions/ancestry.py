"""The parent operator `%`: which earlier step of a path it means, found while the path is read."""

from __future__ import annotations

from collections.abc import Iterable

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.error import fail


def hand_up(node: tree.Node, operands: Iterable[tree.Node]) -> None:
    """Have the node look for what its operands look for above themselves."""
    for operand in operands:
        node.seeking += tuple(slot for slot in _sought(operand) if slot not in node.seeking)


def _sought(node: tree.Node) -> tuple[tree.Slot, ...]:
    return (*node.seeking, node.slot) if isinstance(node, tree.Parent) else node.seeking


def resolve(path: tree.Path) -> None:
    """Look in the path for what its last step seeks; what is not there, the path seeks in turn."""
    for slot in _sought(path.steps[-1]):
        index = len(path.steps) - 2
        while slot.level > 0:
            if index < 0:
                path.seeking += (slot,)
                break
            step = path.steps[index]
            index -= 1
            # Steps in a row that only bind a name stay where they are.
            while index >= 0 and step.focus and path.steps[index].focus:
                step = path.steps[index]
                index -= 1
            seek(step, slot)


def seek(node: tree.Node, slot: tree.Slot) -> None:
    """Go one step up for the slot; where it has arrived, have the step remember its parent."""
    match node:
        case tree.FieldName() | tree.Wildcard():
            slot.level -= 1
            if slot.level == 0:
                if node.slot is not None:
                    slot.label = node.slot.label
                node.slot = slot
                node.tuples = True
        case tree.Parent():
            slot.level += 1
        case tree.Parenthesized(expressions=expressions):
            if expressions:
                node.tuples = True
                seek(expressions[-1], slot)
        case tree.Path():
            node.tuples = True
            for step in reversed(node.steps):
                seek(step, slot)
                if slot.level == 0:
                    break
        case _:
            fail("S0217", node.at)
