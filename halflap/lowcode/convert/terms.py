"""Writes a JSONata expression as Python, where Python does exactly the same; None where it does not.

Names, paths, literals, comparisons, null tests, and conditions made of these are written; all else
stays `expr("…")`. An expression and Python compare alike only where the types are known, so each
term carries its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from halflap.lowcode.expressions import tree
from halflap.lowcode.python import text

if TYPE_CHECKING:
    from halflap.lowcode.convert.flow import PythonScope

LONGEST = 72
"""A longer translation is read less easily than the expression itself."""
ATOM, COMPARISON, NOT, AND, OR = 10, 7, 6, 5, 4
"""The precedence of Python's operators."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a value, as far as it is known.

    `json` is any value of JSON; `closed` is any object of Python, which only `expr` and `at` read as
    JSON. null: it may be None. missing: an expression may find nothing where Python has None. of: the
    class of a model, the kind of a list's items, the terms of a record's members.
    """

    base: Literal[
        "text",
        "integer",
        "decimal",
        "boolean",
        "null",
        "secret",
        "list",
        "model",
        "record",
        "json",
        "closed",
    ]
    null: bool = False
    missing: bool = False
    of: Any = None


TEXT, INTEGER, DECIMAL, BOOLEAN = Kind("text"), Kind("integer"), Kind("decimal"), Kind("boolean")
JSON, CLOSED = Kind("json", null=True), Kind("closed", null=True)
MAYBE = replace(JSON, missing=True)
NUMBERS = ("integer", "decimal")
_SCALARS: dict[Any, Kind] = {str: TEXT, int: INTEGER, Decimal: DECIMAL, bool: BOOLEAN}


def kind_of(annotation: Any) -> Kind:
    """Return the kind of the values that an annotation admits."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(args[0])
    if origin in (Union, UnionType):
        others = [each for each in args if each is not NoneType]
        null = len(others) < len(args)
        return replace(kind_of(others[0]), null=null) if len(others) == 1 else CLOSED
    if origin is Literal and all(isinstance(each, str) for each in args):
        return TEXT
    if origin is list:
        return Kind("list", of=kind_of(args[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and _is_plain(annotation):
        return Kind("model", of=annotation)
    return _SCALARS.get(annotation, CLOSED)


def _is_plain(model: type[BaseModel]) -> bool:
    """Return whether a model is written as its fields say, and no other way."""
    made = model.__pydantic_decorators__
    return not (made.model_serializers or made.field_serializers or made.computed_fields)


def _field_of(model: type[BaseModel], name: str) -> tuple[str, Kind] | None:
    """Return the attribute that holds a field, by the app's name for it, and its kind."""
    for attribute, field in model.model_fields.items():
        if (field.serialization_alias or field.alias or attribute) == name:
            return attribute, kind_of(field.annotation)
    return None


@dataclass(frozen=True, slots=True)
class Term:
    """An expression of Python, the kind of its value, and how closely it binds."""

    text: str
    kind: Kind
    level: int = ATOM
    literal: bool = False
    value: Any = None
    """The value of a literal."""

    def within(self, level: int) -> str:
        """Return its text as an operand of an operator with this level."""
        return self.text if self.level > level else f"({self.text})"

    def surely(self, *bases: str) -> bool:
        """Return whether its value is of one of these kinds, and never None."""
        return self.kind.base in bases and not (self.kind.null or self.kind.missing)


def literal(value: Any, scope: PythonScope) -> Term | None:
    """Return a constant of the document; None of an object or a list."""
    match value:
        case None:
            return Term("None", Kind("null", null=True), literal=True, value=value)
        case bool():
            return Term(str(value), BOOLEAN, literal=True, value=value)
        case int():
            return Term(
                str(value),
                INTEGER,
                ATOM if value >= 0 else COMPARISON + 1,
                literal=True,
                value=value,
            )
        case Decimal():
            return Term(f'{scope.use("Decimal")}("{value}")', DECIMAL, literal=True, value=value)
        case str():
            return Term(text(value), TEXT, literal=True, value=value)
        case _:
            return None


def term_of(node: tree.Node, scope: PythonScope) -> Term | None:
    """Return an expression as Python; None where that is not exactly the same, or too long."""
    found = _term(node, scope)
    return None if found is None or len(found.text) > LONGEST else found


def _term(node: tree.Node, scope: PythonScope) -> Term | None:
    match node:
        case _ if node.keep or not node.bare:
            return None
        case tree.Literal(value=value):
            return literal(value, scope)
        case tree.Path(keep_one=False) if (field := tree.field_of(node)) is not None:
            return _path(field, scope)
        case tree.Parenthesized(expressions=[only]):
            return _term(only, scope)
        case tree.Binary():
            return _binary(node, scope)
        case tree.FunctionCall(function=tree.Variable(name="not"), arguments=[only]):
            given = _term(only, scope)
            if given is None or not given.surely("boolean"):
                return None
            return Term(f"not {given.within(NOT - 1)}", BOOLEAN, NOT)
        case _:
            return None


def _path(names: tuple[str, ...], scope: PythonScope) -> Term | None:
    first, *path = names
    term = scope.names.get(first)
    for at, name in enumerate(path):
        if term is None:
            return None
        kind = term.kind
        if kind.base == "record":
            term = kind.of.get(name)
        elif kind.base == "model" and not kind.null and (field := _field_of(kind.of, name)):
            term = Term(f"{term.text}.{field[0]}", field[1])
        elif kind.base in ("json", "closed", "model", "list"):
            under = ", ".join(map(text, path[at:]))
            return Term(f"{scope.use('at')}({term.text}, {under})", MAYBE)
        else:
            return None
    return term


def _binary(node: tree.Binary, scope: PythonScope) -> Term | None:
    left, right = _term(node.left, scope), _term(node.right, scope)
    if left is None or right is None:
        return None
    match node.operator:
        case "=" | "!=" as sign:
            return _equality(left, right, equal=sign == "=")
        case "and" | "or" as word:
            if not (left.surely("boolean") and right.surely("boolean")):
                return None
            level = AND if word == "and" else OR
            shown = f"{left.within(level - 1)} {word} {right.within(level - 1)}"
            return Term(shown, BOOLEAN, level)
        case "<" | "<=" | ">" | ">=" as sign:
            if not (left.surely(*NUMBERS) and right.surely(*NUMBERS)):
                return None
            return _comparison(left, sign, right)
        case _:
            return None


def _comparison(left: Term, sign: str, right: Term) -> Term:
    shown = f"{left.within(COMPARISON)} {sign} {right.within(COMPARISON)}"
    return Term(shown, BOOLEAN, COMPARISON)


def _equality(left: Term, right: Term, *, equal: bool) -> Term | None:
    if left.literal:
        left, right = right, left
    if left.literal:
        return None
    if right.literal and right.text in ("None", "True", "False"):
        if right.text != "None" and left.kind.base not in ("boolean", "json"):
            return None
        return _comparison(left, "is" if equal else "is not", right)
    if not _compares_alike(left, right):
        return None
    return _comparison(left, "==" if equal else "!=", right)


def _compares_alike(left: Term, right: Term) -> bool:
    """Return whether Python's `==` gives what JSONata's `=` gives."""
    one, other = left.kind.base, right.kind.base
    if one == "json" and right.literal:  # a text equals only that text, while 1 equals True
        return other == "text" or (other == "integer" and right.text not in ("0", "1"))
    return (one == other and one in ("text", "boolean")) or {one, other} <= set(NUMBERS)
