"""Infer from a condition which of its paths are surely not null where it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from halflap.lowcode.expressions.reads import paths_read
from halflap.lowcode.expressions.tree import Node

Field = tuple[str, ...]
"""A path from the scope: `account.id`."""
Fields = frozenset[Field]
NONE: Fields = frozenset()
_ORDER = ("<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class Holds:
    """The paths that are not null where it holds, and where it does not; `asked` are those that it
    says something of which is not understood, `read` all of them."""

    true: Fields = NONE
    false: Fields = NONE
    asked: Fields = NONE
    read: Fields = NONE


def holds(node: Node) -> Holds:
    """Read a condition."""
    return replace(_holds(node), read=paths_read(node))


def _holds(node: Node) -> Holds:
    if node.predicates or node.group:
        return Holds(asked=paths_read(node))
    match node.kind:
        case "literal":
            return Holds()
        case "path" if (found := field_of(node)) is not None:
            return Holds(true=frozenset((found,)))
        case "block" if len(node.items) == 1:
            return _holds(node.items[0])
        case "binary" if node.value in ("and", "or"):
            return _both(node)
        case "binary":
            return _compared(node)
        case "call":
            return _called(node)
        case _:
            return Holds(asked=paths_read(node))


def _both(node: Node) -> Holds:
    one, other = _holds(cast("Node", node.left)), _holds(cast("Node", node.right))
    asked = one.asked | other.asked
    if node.value == "and":
        return Holds(one.true | other.true, one.false & other.false, asked)
    return Holds(one.true & other.true, one.false | other.false, asked)


def _compared(node: Node) -> Holds:
    left, right = cast("Node", node.left), cast("Node", node.right)
    one, other = field_of(left), field_of(right)
    if node.value in ("=", "!="):
        field, value = (one, right) if one is not None else (other, left)
        if field is None or value.kind != "literal":
            return Holds(asked=paths_read(node))
        there = frozenset((field,))
        same = (value.value is None) == (node.value == "!=")
        # `x != null` and `x = 1` hold of what is there; `x = null` and `x != 1` of what is not, too.
        return Holds(true=there) if same else Holds(false=there)
    if node.value == "in" and one is not None and right.kind == "array":
        written = all(each.kind == "literal" and each.value is not None for each in right.items)
        return Holds(true=frozenset((one,))) if written else Holds(asked=paths_read(node))
    if node.value in _ORDER:
        there = frozenset(each for each in (one, other) if each is not None)
        return Holds(true=there, asked=paths_read(node))
    return Holds(asked=paths_read(node))


def _called(node: Node) -> Holds:
    callee = cast("Node", node.left)
    name = callee.value if callee.kind == "variable" and len(node.items) == 1 else ""
    given = node.items[0] if node.items else node
    field = field_of(given)
    if name == "not":
        found = _holds(given)
        return Holds(found.false, found.true, found.asked)
    if name == "boolean":
        return _holds(given)
    if name == "exists" and field is not None:
        # It is true of null: only what a path goes through is surely there.
        return Holds(true=frozenset((field[:-1],)) if len(field) > 1 else NONE)
    return Holds(asked=paths_read(node))


def field_of(node: Node) -> Field | None:
    """The path that an expression is, where it is nothing but names."""
    if node.kind == "block" and len(node.items) == 1 and not node.predicates:
        return field_of(node.items[0])
    if node.kind != "path" or node.predicates or node.group or node.keep or node.tuples:
        return None
    names: list[str] = []
    for each in node.items:
        if each.kind != "name" or each.stages or each.predicates or each.focus or each.index:
            return None
        names.append(str(each.value))
    return tuple(names)
