"""Infer the type of a result from the text: for lint, before anything runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, cast

from halflap.lowcode.expressions.library import LIBRARY
from halflap.lowcode.expressions.tree import Node

KindName = Literal["string", "number", "boolean", "null", "array", "object", "function"]

RETURNED: dict[str, KindName] = {
    "s": "string",
    "n": "number",
    "b": "boolean",
    "o": "object",
    "a": "array",
}
_OPERATORS: dict[str, KindName] = {
    "&": "string",
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">=", "in", "and", "or"), "boolean"),
    **dict.fromkeys(("+", "-", "*", "/", "%"), "number"),
}
MAY_BE_ONE = frozenset(("map", "filter", "append", "match", "keys", "spread", "each", "distinct"))
"""Functions that give a list, or the one value that would be in it."""


def kind_of_result(node: Node, bound: frozenset[str] = frozenset()) -> KindName | None:
    """The JSON type of the result; None where it depends on the values, or may be nothing else."""
    if node.predicates or node.group:
        return "object" if node.group else None
    match node.kind:
        case "literal":
            return kind_of_literal(node.value)
        case "array":
            return "array"
        case "object":
            return "object"
        case "negation":
            return "number"
        case "lambda" | "regex" | "transform" | "partial":
            return "function"
        case "binary":
            return _OPERATORS.get(cast(str, node.value))
        case "condition":
            kinds: set[KindName | None] = {
                kind_of_result(each, bound) for each in (node.right, node.other) if each
            }
            return kinds.pop() if len(kinds) == 1 else None
        case "block":
            return kind_of_result(node.items[-1], bound) if node.items else None
        case "call":
            return _of_call(cast(Node, node.left), bound)
        case "apply":
            right = cast(Node, node.right)
            callee = cast(Node, right.left) if right.kind == "call" else right
            return _of_call(callee, bound)
        case _:
            return None


def kind_of_literal(value: object) -> KindName:
    """Return the kind of a value that is no list and no object."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | Decimal():
            return "number"
        case _:
            return "string"


def _of_call(callee: Node, bound: frozenset[str]) -> KindName | None:
    name = callee.value if callee.kind == "variable" else None
    function = LIBRARY.get(name) if isinstance(name, str) and name not in bound else None
    if function is None or function.signature is None or name in MAY_BE_ONE:
        return None
    return RETURNED.get(function.signature.returns[:1])
