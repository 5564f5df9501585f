"""Says a JSONata expression in Python, where Python says exactly the same; None where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, cast

from halflap.lowcode.convert.to_python.kind import (
    BOOLEAN,
    CLOSED,
    DECIMAL,
    INTEGER,
    MAYBE,
    NEVER,
    NULL,
    NUMBERS,
    TEXT,
    Kind,
    field_of,
)
from halflap.lowcode.convert.to_python.layout import text
from halflap.lowcode.expressions.tree import Node

LONGEST = 72
"""A longer translation is read less easily than the expression itself."""

ATOM, PRODUCT, SUM, COMPARISON, NOT, AND, OR, CHOICE = range(10, 2, -1)
"""How closely Python's operators bind."""


@dataclass(frozen=True, slots=True)
class Term:
    """An expression of Python, what it gives, and how closely it binds."""

    text: str
    kind: Kind
    level: int = ATOM
    of: str | None = None
    """The text that it is, of a constant."""

    def within(self, level: int) -> str:
        """Its text as an operand of what binds like this."""
        return self.text if self.level >= level else f"({self.text})"


class Scope(Protocol):
    """What an expression sees."""

    def root(self, name: str, path: tuple[str, ...]) -> tuple[Term, tuple[str, ...]] | None:
        """The Python of a name, with as much of the path as is said by it, and the rest."""
        ...

    def uses(self, name: str) -> str:
        """Note that a name of the public API is used; what it is called here."""
        ...


def literal(value: Any, scope: Scope) -> Term | None:
    """A constant of the document."""
    match value:
        case None:
            return Term("None", NULL)
        case bool():
            return Term(str(value), BOOLEAN)
        case int():
            return Term(str(value), INTEGER, ATOM if value >= 0 else PRODUCT)
        case Decimal():
            return Term(f'{scope.uses("Decimal")}("{value}")', DECIMAL)
        case str():
            return Term(text(value), TEXT, of=value)
        case _:
            return None


def say(node: Node, scope: Scope) -> Term | None:
    """The same in Python; None where that is not exactly the same, or too long to be read."""
    found = _say(node, scope)
    return None if found is None or len(found.text) > LONGEST else found


def _say(node: Node, scope: Scope) -> Term | None:
    if node.predicates or node.stages or node.group or node.keep or node.keep_one:
        return None
    if node.focus or node.index or node.tuples:
        return None
    speak = _SPOKEN.get(node.kind)
    return None if speak is None else speak(node, scope)


def _literal(node: Node, scope: Scope) -> Term | None:
    return literal(node.value, scope)


def _path(node: Node, scope: Scope) -> Term | None:
    names: list[str] = []
    for each in node.items:
        bare = not (each.predicates or each.stages or each.group or each.keep or each.focus)
        if each.kind != "name" or not bare or each.index or each.tuples:
            return None
        names.append(cast(str, each.value))
    found = scope.root(names[0], tuple(names[1:]))
    return None if found is None else walked(*found, scope)


def walked(term: Term, path: tuple[str, ...], scope: Scope) -> Term | None:
    """What stands under a path: attributes of models as far as they are known."""
    while path:
        kind = term.kind
        if kind.base == "model" and not kind.null:
            field = field_of(kind.of, path[0])
            if field is None:
                return None
            term = Term(f"{term.text}.{field[0]}", field[1])
            path = path[1:]
        elif kind.base in ("json", "closed", "model", "list"):
            names = ", ".join(map(text, path))
            return Term(f"{scope.uses('at')}({term.text}, {names})", MAYBE)
        else:
            return None
    return term


def _block(node: Node, scope: Scope) -> Term | None:
    return _say(node.items[0], scope) if len(node.items) == 1 else None


def _binary(node: Node, scope: Scope) -> Term | None:
    operator = cast(str, node.value)
    if operator == "in":
        return _inclusion(node, scope)
    left, right = _say(cast(Node, node.left), scope), _say(cast(Node, node.right), scope)
    if left is None or right is None:
        return None
    if operator in ("=", "!="):
        return _equality(node, left, right)
    if operator in ("and", "or"):
        if not (_sure(left, "boolean") and _sure(right, "boolean")):
            return None
        level = AND if operator == "and" else OR
        return Term(f"{left.within(level)} {operator} {right.within(level)}", BOOLEAN, level)
    if operator == "&":
        return _concatenation(left, right)
    if not (_sure(left, *NUMBERS) and _sure(right, *NUMBERS)):
        return None
    if operator in ("<", "<=", ">", ">="):
        shown = f"{left.within(COMPARISON + 1)} {operator} {right.within(COMPARISON + 1)}"
        return Term(shown, BOOLEAN, COMPARISON)
    return _arithmetic(node, left, right)


def _arithmetic(node: Node, left: Term, right: Term) -> Term | None:
    operator = cast(str, node.value)
    decimal = "decimal" in (left.kind.base, right.kind.base)
    if operator == "/":
        divisor = cast(Node, node.right)
        decimal = decimal or left.kind.base == "never"
        if not decimal or divisor.kind != "literal" or not divisor.value:
            return None
    elif operator not in ("+", "-", "*"):
        return None
    level = SUM if operator in ("+", "-") else PRODUCT
    shown = f"{left.within(level)} {operator} {right.within(level + 1)}"
    if "never" in (left.kind.base, right.kind.base):
        return Term(shown, NEVER, level)
    return Term(shown, DECIMAL if decimal else INTEGER, level)


def _equality(node: Node, left: Term, right: Term) -> Term | None:
    same = node.value == "="
    if left.text == "None":
        left, right = right, left
    if right.text == "None":
        return Term(
            f"{left.within(COMPARISON + 1)} is {'' if same else 'not '}None", BOOLEAN, COMPARISON
        )
    ones, others = left.kind.base, right.kind.base
    sign = "==" if same else "!="
    fits = (
        "never" in (ones, others)
        or (ones == others and ones in ("text", "boolean", "integer", "decimal"))
        or {ones, others} == set(NUMBERS)
        or _text_beside(node.right, ones, others)
        or _text_beside(node.left, others, ones)
    )  # fmt: skip
    if not fits:
        return None
    shown = f"{left.within(COMPARISON + 1)} {sign} {right.within(COMPARISON + 1)}"
    return Term(shown, BOOLEAN, COMPARISON)


def _text_beside(node: Node | None, unknown: str, known: str) -> bool:
    """Whether a value of JSON stands beside a text: all but that text differ from it, as in JSON."""
    assert node is not None
    return unknown == "json" and known == "text" and node.kind == "literal"


def _concatenation(left: Term, right: Term) -> Term | None:
    parts: list[str] = []
    for each in (left, right):
        if not (_sure(each, "text") or _sure(each, "integer")):
            return None
        if each.text.startswith('f"') and each.text.endswith('"') and each.text.count('"') == 2:
            parts.append(each.text[2:-1])
        elif each.of is not None:
            parts.append(text(each.of.replace("{", "{{").replace("}", "}}"))[1:-1])
            if '"' in each.of or "\\" in parts[-1] or "'" in parts[-1]:
                return None
        elif '"' in each.text or "\\" in each.text:
            return None  # not before Python 3.12
        else:
            parts.append("{" + each.text + "}")
    return Term(f'f"{"".join(parts)}"', TEXT)


def _inclusion(node: Node, scope: Scope) -> Term | None:
    left, right = _say(cast(Node, node.left), scope), cast(Node, node.right)
    if left is None or not _sure(left, "text"):
        return None
    names = [each.value if each.kind == "name" else each.kind for each in right.items]
    if right.kind == "path" and names == ["urls", "wildcard"] and not right.keep_one:
        return Term(f"{left.within(COMPARISON + 1)} in ctx.urls", BOOLEAN, COMPARISON)
    if right.kind != "array" or len(right.items) < 2:
        return None
    if not all(each.kind == "literal" and isinstance(each.value, str) for each in right.items):
        return None
    choices = ", ".join(text(each.value) for each in right.items)
    return Term(f"{left.within(COMPARISON + 1)} in ({choices})", BOOLEAN, COMPARISON)


def _condition(node: Node, scope: Scope) -> Term | None:
    if node.other is None:
        return None
    condition = _say(cast(Node, node.left), scope)
    then, otherwise = _say(cast(Node, node.right), scope), _say(node.other, scope)
    if condition is None or then is None or otherwise is None or not _sure(condition, "boolean"):
        return None
    missing = then.kind.missing or otherwise.kind.missing
    kind = then.kind.joined(otherwise.kind)
    if missing:
        kind = MAYBE if kind.base == "json" else CLOSED
    shown = f"{then.within(CHOICE + 1)} if {condition.within(CHOICE + 1)} else {otherwise.within(CHOICE)}"
    return Term(shown, kind, CHOICE)


def _call(node: Node, scope: Scope) -> Term | None:
    callee = cast(Node, node.left)
    if callee.kind != "variable":
        return None
    said = [_say(each, scope) for each in node.items]
    if any(each is None for each in said):
        return None
    speak = _FUNCTIONS.get(cast(str, callee.value))
    return None if speak is None else speak(node, cast("list[Term]", said))


def _round(node: Node, given: list[Term]) -> Term | None:
    if not given or not _sure(given[0], "decimal") or len(given) > 2:
        return None
    if len(given) == 1:
        return Term(f"round({given[0].text})", INTEGER)
    places = node.items[1].value
    if node.items[1].kind != "literal" or type(places) is not int or not 0 < places <= 12:
        return None
    return Term(f"round({given[0].text}, {places})", DECIMAL)


def _string(_: Node, given: list[Term]) -> Term | None:
    if len(given) != 1:
        return None
    if _sure(given[0], "text"):
        return given[0]
    return Term(f"str({given[0].text})", TEXT) if _sure(given[0], "integer") else None


def _count(_: Node, given: list[Term]) -> Term | None:
    if len(given) != 1 or not _sure(given[0], "list"):
        return None
    return Term(f"len({given[0].text})", INTEGER)


def _method(name: str) -> Callable[[Node, list[Term]], Term | None]:
    def speak(_: Node, given: list[Term]) -> Term | None:
        if len(given) != 1 or not _sure(given[0], "text") or given[0].level != ATOM:
            return None
        return Term(f"{given[0].text}.{name}()", TEXT)

    return speak


def _not(_: Node, given: list[Term]) -> Term | None:
    if len(given) != 1 or not _sure(given[0], "boolean"):
        return None
    return Term(f"not {given[0].within(NOT)}", BOOLEAN, NOT)


def _length(_: Node, given: list[Term]) -> Term | None:
    if len(given) != 1 or not _sure(given[0], "text"):
        return None
    return Term(f"len({given[0].text})", INTEGER)


def _sure(term: Term, *bases: str) -> bool:
    """Whether a value is one of these for certain, and never None."""
    kind = term.kind
    return (kind.base in bases or kind.base == "never") and not (kind.null or kind.missing)


_SPOKEN: Mapping[str, Callable[[Node, Scope], Term | None]] = {
    "literal": _literal,
    "path": _path,
    "block": _block,
    "binary": _binary,
    "condition": _condition,
    "call": _call,
}
_FUNCTIONS: Mapping[str, Callable[[Node, list[Term]], Term | None]] = {
    "round": _round,
    "string": _string,
    "count": _count,
    "uppercase": _method("upper"),
    "lowercase": _method("lower"),
    "length": _length,
    "not": _not,
}
