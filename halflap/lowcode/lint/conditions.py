"""Infer from a condition which of its paths are surely not null where it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from halflap.lowcode.expressions import tree
from halflap.lowcode.expressions.reads import paths_read

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


def holds(node: tree.Node) -> Holds:
    """Read a condition."""
    return replace(_holds(node), read=paths_read(node))


def _holds(node: tree.Node) -> Holds:
    match node:
        case _ if not node.bare:
            pass
        case tree.Literal():
            return Holds()
        case tree.Path() if (found := tree.field_of(node)) is not None:
            return Holds(true=frozenset((found,)))
        case tree.Parenthesized(expressions=[only]):
            return _holds(only)
        case tree.Binary(operator="and" | "or"):
            return _both(node)
        case tree.Binary():
            return _compared(node)
        case tree.FunctionCall(function=tree.Variable(name=name), arguments=[given]):
            return _called(node, name, given)
        case _:
            pass
    return Holds(asked=paths_read(node))


def _both(node: tree.Binary) -> Holds:
    one, other = _holds(node.left), _holds(node.right)
    asked = one.asked | other.asked
    if node.operator == "and":
        return Holds(one.true | other.true, one.false & other.false, asked)
    return Holds(one.true & other.true, one.false | other.false, asked)


def _compared(node: tree.Binary) -> Holds:
    one, other = tree.field_of(node.left), tree.field_of(node.right)
    if node.operator in ("=", "!="):
        field, value = (one, node.right) if one is not None else (other, node.left)
        if field is None or not isinstance(value, tree.Literal):
            return Holds(asked=paths_read(node))
        there = frozenset((field,))
        same = (value.value is None) == (node.operator == "!=")
        # `x != null` and `x = 1` hold of what is there; `x = null` and `x != 1` of what is not, too.
        return Holds(true=there) if same else Holds(false=there)
    if node.operator == "in" and one and isinstance(node.right, tree.ArrayConstructor):
        items = node.right.items
        if all(isinstance(each, tree.Literal) and each.value is not None for each in items):
            return Holds(true=frozenset((one,)))
    if node.operator in _ORDER:
        there = frozenset(each for each in (one, other) if each is not None)
        return Holds(true=there, asked=paths_read(node))
    return Holds(asked=paths_read(node))


def _called(node: tree.Node, name: str, given: tree.Node) -> Holds:
    field = tree.field_of(given)
    if name == "not":
        found = _holds(given)
        return Holds(found.false, found.true, found.asked)
    if name == "boolean":
        return _holds(given)
    if name == "exists" and field is not None:
        # It is true of null: only what a path goes through is surely there.
        return Holds(true=frozenset((field[:-1],)) if len(field) > 1 else NONE)
    return Holds(asked=paths_read(node))
