"""The parent operator `%`: which earlier step of a path it means, found while the path is read."""

from __future__ import annotations

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.tree import Node, Slot


def hand_up(node: Node, *operands: Node) -> None:
    """Have the node look for what its operands look for above themselves."""
    for operand in operands:
        node.seeking += [slot for slot in operand.seeking if slot not in node.seeking]
        if operand.kind == "parent" and operand.slot:
            node.seeking.append(operand.slot)


def resolve(path: Node) -> None:
    """Look in the path for what its last step seeks; what is not there, the path seeks in turn."""
    last = path.items[-1]
    slots = list(last.seeking)
    if last.kind == "parent" and last.slot:
        slots.append(last.slot)
    for slot in slots:
        index = len(path.items) - 2
        while slot.level > 0:
            if index < 0:
                path.seeking.append(slot)
                break
            step = path.items[index]
            index -= 1
            # Steps in a row that only bind a name stay where they are.
            while index >= 0 and step.focus and path.items[index].focus:
                step = path.items[index]
                index -= 1
            seek(step, slot)


def seek(node: Node, slot: Slot) -> None:
    """Go one step up for the slot; where it has arrived, have the step remember its parent."""
    match node.kind:
        case "name" | "wildcard":
            slot.level -= 1
            if slot.level == 0:
                if node.slot is not None:
                    slot.label = node.slot.label
                node.slot = slot
                node.tuples = True
        case "parent":
            slot.level += 1
        case "block":
            if node.items:
                node.tuples = True
                seek(node.items[-1], slot)
        case "path":
            node.tuples = True
            for step in reversed(node.items):
                seek(step, slot)
                if slot.level == 0:
                    break
        case _:
            fail("S0217", node.at)
