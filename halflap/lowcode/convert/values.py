"""Writes the values of a document where they stand: constants, templates, and what a step asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

from pydantic import SecretStr, ValidationError

from halflap.errors import ExpressionError
from halflap.lowcode.asked import as_text
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.layout import Brackets, Piece, call, call_with, joined, text
from halflap.lowcode.convert.terms import (
    INTEGER,
    JSON,
    TEXT,
    Kind,
    Term,
    kind_of,
    literal,
    term_of,
)
from halflap.lowcode.source import Path
from halflap.lowcode.template import expression_at, is_expression
from halflap.sdk.duration import duration
from halflap.sdk.fit import fit_input
from halflap.sdk.schema import InputField, Unset

_CUSTOMER = {"id": TEXT, "name": TEXT, "external_id": replace(TEXT, null=True)}
_UNITS = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class PythonScope:
    """The names in scope at one place of a flow, each with its Python and its kind.

    taken: the names of Python that are in use around this place, in scope or not.
    """

    module: WrittenModule
    names: Mapping[str, Term] = field(default_factory=dict[str, Term])
    taken: frozenset[str] = frozenset()

    def use(self, name: str) -> str:
        """See `terms.Names`."""
        return self.module.names.use(name)

    def root(self, name: str, path: tuple[str, ...]) -> tuple[Term, tuple[str, ...]] | None:
        """See `terms.Names`."""
        if name in self.names:
            return self.names[name], path
        flow = self.module.names.flow
        match name, path:
            case "config", (field, *rest) if field not in self.module.connections:
                found = self.module.config.model_fields.get(field)
                if found is None:
                    return None
                return Term(f"ctx.config.{field}", kind_of(found.annotation)), tuple(rest)
            case "urls", (name,) if self.module.has_url(name):
                return Term(f"ctx.url({flow(name)})", TEXT), ()
            case "secrets", (name,) if self.module.has_url(name):
                return Term(f"ctx.secret({flow(name)})", Kind("secret")), ()
            case "customer", (field,) if field in _CUSTOMER:
                return Term(f"ctx.customer.{field}", _CUSTOMER[field]), ()
            case "instance", ("id" | "name" as field,):
                return Term(f"ctx.instance.{field}", TEXT), ()
            case "execution", ("id",):
                return Term("ctx.execution", TEXT), ()
            case "execution", ("attempt",):
                return Term("ctx.attempt", INTEGER), ()
            case _:
                return None

    def whole(self, name: str) -> Piece | None:
        """Return all that a name stands for; None where there is nothing of that name."""
        if name in self.names:
            return self.names[name].text
        match name:
            case "config" | "customer" | "instance":
                return f"ctx.{name}"
            case "urls":
                return "ctx.flow_urls"
            case "secrets":
                flows = (each for each in self.module.flows if self.module.has_url(each))
                return display(
                    (text(each), f"ctx.secret({self.module.names.flow(each)})") for each in flows
                )
            case "execution":
                return display([('"id"', "ctx.execution"), ('"attempt"', "ctx.attempt")])
            case _:
                return None


def display(members: Any) -> Piece:
    """Return a dict, written out."""
    items = tuple(joined(name, ": ", value) for name, value in members)
    return Brackets("{", items, "}", "display")


def names_read(value: Any, module: WrittenModule, path: Path) -> set[str]:
    """Return the names that the expressions of a template read."""
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value).items()
        return set[str]().union(*(names_read(v, module, (*path, k)) for k, v in members))
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return set[str]().union(*(names_read(each, module, (*path, at)) for at, each in items))
    if not is_expression(value):
        return set()
    expression = expression_at(value, module.source, path).expression
    return {each.path[0] for each in expression.names()}


def evaluated(scope: PythonScope, value: str, path: Path, method: str = "") -> Piece:
    """Return a call of `expr`, which evaluates an expression as the document does."""
    expression = expression_at(value, scope.module.source, path).expression
    names = dict.fromkeys(each.path[0] for each in expression.names())
    named = [(name, found) for name in names if (found := scope.whole(name)) is not None]
    shown = expression.text
    if "\n" in shown and not re.search(r"[\"'`/]", shown):
        shown = " ".join(shown.split())
    return call_with(scope.use("expr") + (f".{method}" if method else ""), [text(shown)], named)


def term(scope: PythonScope, value: Any, path: Path) -> Term | None:
    """Return a constant or an expression in plain Python; None where only `expr` does the same."""
    if is_expression(value):
        return term_of(expression_at(value, scope.module.source, path).expression.tree, scope)
    return literal(value[1:] if _is_quoted(value) else value, scope)


def _is_quoted(value: Any) -> bool:
    """Return whether a text begins with a `=` of its own, which a document doubles."""
    return isinstance(value, str) and value.startswith("==")


def value(scope: PythonScope, given: Any, path: Path, *, maybe: bool = False) -> Piece:
    """Return a template as JSON.

    An expression that finds nothing is None; with `maybe` it is `UNSET`, which leaves its member out.
    """
    if isinstance(given, dict):
        members = cast("dict[Any, Any]", given).items()
        return display(
            (text(name), value(scope, each, (*path, name), maybe=True)) for name, each in members
        )
    if isinstance(given, list):
        items = enumerate(cast("list[Any]", given))
        return Brackets(
            "[", tuple(value(scope, each, (*path, at)) for at, each in items), "]", "display"
        )
    found = term(scope, given, path)
    if found is not None and not (maybe and found.kind.missing):
        if found.literal or found.kind.base in ("text", "integer", "boolean", "json", "secret"):
            return found.text
        if found.text in {each.text for each in scope.names.values()}:
            return call(scope.use("at"), found.text)
    if not maybe:
        return evaluated(scope, given, path)
    expression = expression_at(given, scope.module.source, path).expression
    return evaluated(scope, given, path, "" if expression.always() else "maybe")


def asked(scope: PythonScope, given: Any, path: Path, method: str) -> Piece:
    """Return what `expr` makes of a template that has to be of some sort, or its error."""
    if is_expression(given):
        return evaluated(scope, given, path, method)
    named = [("value", value(scope, given, path))]
    return call_with(f"{scope.use('expr')}.{method}", ['"value"'], named)


def truth(scope: PythonScope, given: Any, path: Path) -> Piece:
    """Return a condition."""
    found = term(scope, given, path)
    if found is not None and found.surely("boolean"):
        return found.text
    return asked(scope, given, path, "truth")


def text_of(scope: PythonScope, given: Any, path: Path) -> Piece:
    """Return a text, or a number as one."""
    if not is_expression(given):
        try:
            return text(as_text(given[1:] if _is_quoted(given) else given, ""))
        except ExpressionError:
            pass  # the step fails when it runs
    found = term(scope, given, path)
    if found is not None and found.surely("text"):
        return found.text
    return asked(scope, given, path, "text")


def items(scope: PythonScope, given: Any, path: Path) -> tuple[Piece, Kind]:
    """Return a list, and the kind of its items."""
    if isinstance(given, list):
        return value(scope, given, path), JSON
    found = term(scope, given, path)
    if found is not None and found.surely("list"):
        return found.text, found.kind.of
    return asked(scope, given, path, "items"), JSON


def scalar(scope: PythonScope, given: Any, path: Path) -> Piece:
    """Return the value that cases are told by."""
    found = term(scope, given, path)
    if found is not None and found.kind.base in ("text", "integer", "boolean"):
        return found.text
    return asked(scope, given, path, "scalar")


def status(scope: PythonScope, given: Any, path: Path) -> Piece:
    """Return the status of an HTTP answer."""
    if type(given) is int and 200 <= given <= 599:
        return str(given)
    return asked(scope, given, path, "status")


def time(scope: PythonScope, given: Any, path: Path) -> Piece:
    """Return how long something takes."""
    if not is_expression(given):
        return span(scope, duration(given))
    return asked(scope, given, path, "duration")


def argument(scope: PythonScope, wanted: InputField, given: Any, path: Path) -> tuple[Piece, bool]:
    """Return what an input is given, and whether that is of the input's type as it is."""
    if _has_expression(given):
        found = term(scope, given, path)
        if found is not None and _takes(wanted.annotation, found):
            return found.text, True
        return value(scope, given, path, maybe=not wanted.required), False
    piece = value(scope, given, path)
    try:
        fit_input(wanted, given[1:] if _is_quoted(given) else given)
    except ValidationError:
        return piece, False
    return piece, _is_of(wanted.annotation, given)


def _has_expression(given: Any) -> bool:
    if isinstance(given, dict):
        return any(map(_has_expression, cast("dict[Any, Any]", given).values()))
    if isinstance(given, list):
        return any(map(_has_expression, cast("list[Any]", given)))
    return is_expression(given)


def _takes(annotation: Any, found: Term) -> bool:
    """Return whether every value of a term fits an input of this type, and is the same in it."""
    if get_origin(annotation) in (Union, UnionType):
        options = get_args(annotation)
        if found.kind.null and NoneType not in options:
            return False
        known = replace(found, kind=replace(found.kind, null=False))
        return any(_takes(each, known) for each in options if each not in (NoneType, Unset))
    if found.kind.base == "secret":
        return annotation is SecretStr
    if annotation not in (str, int, bool) and annotation is not Any:
        return found.surely("decimal") and kind_of(annotation) == found.kind
    return found.surely("text", "integer", "boolean") and (
        annotation is Any or kind_of(annotation) == found.kind
    )


def _is_of(annotation: Any, given: Any) -> bool:
    """Return whether a constant that fits an input is of its type already."""
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_of(each, given) for each in get_args(annotation))
    if given is None:
        return annotation in (NoneType, Any)
    return annotation is Any or (get_origin(annotation) or annotation) is type(given)


def span(scope: PythonScope, given: timedelta) -> str:
    """Return a time."""
    micros = given // timedelta(microseconds=1)
    for unit, each in _UNITS.items():
        if micros % each == 0 and (micros or unit == "seconds"):
            return f"{scope.use('timedelta')}({unit}={micros // each})"
    return f"{scope.use('timedelta')}(microseconds={micros})"


def constant(scope: PythonScope, given: Any) -> Piece:
    """Return a value of Python, written out."""
    match given:
        case timedelta():
            return span(scope, given)
        case list() | tuple():
            shown = tuple(constant(scope, each) for each in cast("list[Any]", given))
            if isinstance(given, tuple) and len(shown) == 1:
                return joined("(", shown[0], ",)")
            opening, closing = ("[", "]") if isinstance(given, list) else ("(", ")")
            return Brackets(opening, shown, closing, "display")
        case dict():
            members = cast("dict[Any, Any]", given).items()
            return display((constant(scope, k), constant(scope, v)) for k, v in members)
        case _:
            found = literal(given, scope)
            return repr(given) if found is None else found.text
