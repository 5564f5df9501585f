"""Says calls of functions in JSONata: those that it has too, and `expr`, which is JSONata."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from halflap.errors import ExpressionError
from halflap.lowcode.convert.to_yaml.inline import Inline
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.terms import ATOM, CHOICE, COMPARISON, PRODUCT, Term, name_of
from halflap.lowcode.convert.to_yaml.types import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    JSON,
    TEXT,
    Kind,
    constant_text,
)
from halflap.lowcode.expressions import Expression
from halflap.lowcode.frame import SCOPE

_NAME = re.compile(r"\$?(`[^`]*`|\w+)")
EXPR = 'write it as expr("…"), in JSONata'
ASKED = ("truth", "text", "items", "scalar", "duration", "status", "maybe")


class Functions(Inline):
    """Says calls."""

    def truth(self, node: ast.expr) -> Term:
        """What Python takes for true, as true or false."""
        raise NotImplementedError

    def looped(self, node: ast.ListComp | ast.GeneratorExp) -> Term:
        """`[each.item for each in items if …]`."""
        raise NotImplementedError

    def function(self, node: ast.Call) -> Term:
        if (given := self.of_context_call(node)) is not None:
            return given
        if self.method_of(node) is not None:
            return self.evaluated(node)
        name = self.meaning(node.func)
        if name == "decimal.Decimal":
            return self._decimal(node)
        if name == "halflap.at":
            return self._at(node)
        if name in _FUNCTIONS and node.args and not node.keywords:
            return _FUNCTIONS[name](self, node)
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func)
        if (body := self.inlined(node)) is not None:
            return self.term(body)
        raise Refused(node, f"YAML has no such function; {EXPR}, or put it in an action")

    def _decimal(self, node: ast.Call) -> Term:
        match node.args:
            case [ast.Constant(value=str(text))]:
                pass
            case [ast.Constant(value=int() as number)]:
                text = str(number)
            case _:
                raise Refused(node, f'a Decimal is written out: Decimal("0.5"); {EXPR}')
        found = Decimal(text)
        if not found.is_finite():
            raise Refused(node, "this is no number")
        return Term(format(found, "f"), DECIMAL, PRODUCT if found < 0 else 7)

    def _at(self, node: ast.Call) -> Term:
        """`at(value, "a", "b")`: a path of an expression."""
        if not node.args:
            raise Refused(node, "at(…) begins with a value")
        first, *names = node.args
        found = self.term(first)
        texts = [each.value for each in names if isinstance(each, ast.Constant)]
        if len(texts) < len(names) or node.keywords:
            raise Refused(node, "the names of a path are written out as texts")
        path = ".".join([found.within(7), *(name_of(str(each)) for each in texts)])
        return Term(path, replace(JSON, missing=True))

    def _method(self, node: ast.Call, function: ast.Attribute) -> Term:
        owner = self.term(function.value)
        match function.attr, node.args:
            case "get", [ast.Constant(value=str(name)), *default] if (
                owner.kind.base == "object" and not owner.kind.null
            ):
                path = f"{owner.within(7)}.{name_of(name)}"
                if not default:
                    return Term(path, replace(JSON, missing=True))
                other = self.term(default[0]).shown
                shown = f"$exists({path}) ? {path} : {other.within(CHOICE)}"
                return Term(shown, JSON, CHOICE)
            case "upper" | "lower" as verb, [] if owner.kind.base == "text" and not owner.kind.null:
                return Term(f"${verb}case({owner.text})", TEXT)
            case "model_dump", [] if owner.kind.base == "model" and not node.keywords:
                fields = self.types.fields(owner.kind)
                renamed = any(name != alias for name, (alias, _) in fields.items())
                if owner.kind.null or owner.kind.promised or renamed or has_more(owner.kind.of):
                    raise Refused(node, "in YAML a model has the app's own names; name each field")
                return Term(owner.text, Kind("object"))
            case "get", [ast.Constant(value=str(name))] if owner.kind.base == "json":
                path = f"at({ast.unparse(function.value)}, {name!r})"
                raise Refused(node, f"this may be no object, and fail; write {path}, or {EXPR[6:]}")
            case _:
                raise Refused(node, f"YAML has no method {function.attr} of this; {EXPR}")

    def _round(self, node: ast.Call) -> Term:
        found = self.term(node.args[0]).shown
        if found.kind.base != "decimal" or found.kind.null:
            raise Refused(node, f"round is the same in YAML for a Decimal; {EXPR}")
        match node.args[1:]:
            case []:
                return Term(f"$round({found.text})", INTEGER)
            case [ast.Constant(value=int() as places)] if 0 < places <= 12:
                return Term(f"$round({found.text}, {places})", DECIMAL)
            case _:
                raise Refused(node, "round takes a number of places from 1 to 12, written out")

    def _length(self, node: ast.Call) -> Term:
        found = self.term(node.args[0]).shown
        function = {"list": "$count", "text": "$length"}.get(found.kind.base)
        if function is None or found.kind.null:
            raise Refused(node, f"len is for a list or a text that is there; {EXPR}")
        return Term(f"{function}({found.text})", INTEGER)

    def _string(self, node: ast.Call) -> Term:
        found = self.term(node.args[0]).shown
        if found.kind.base not in ("text", "integer") or found.kind.null:
            raise Refused(node, f"str is the same in YAML for a text or a whole number; {EXPR}")
        return found if found.kind.base == "text" else Term(f"$string({found.text})", TEXT)

    def _boolean(self, node: ast.Call) -> Term:
        return self.truth(node.args[0])

    def _any(self, node: ast.Call) -> Term:
        return Term(f"true in {self._truths(node)}", BOOLEAN, COMPARISON)

    def _all(self, node: ast.Call) -> Term:
        return Term(f"$not(false in {self._truths(node)})", BOOLEAN)

    def _truths(self, node: ast.Call) -> str:
        """What is true or false of each item."""
        match node.args:
            case [ast.ListComp() | ast.GeneratorExp() as given]:
                name = ast.copy_location(ast.Name("bool", ast.Load()), node)
                asked = ast.copy_location(ast.Call(name, [given.elt], []), given.elt)
                return self.looped(
                    ast.copy_location(ast.ListComp(asked, given.generators), given)
                ).text
            case _:
                raise Refused(node, f"write what is asked of each item: any(… for … in …); {EXPR}")

    def _sum(self, node: ast.Call) -> Term:
        match node.args:
            case [ast.ListComp() | ast.GeneratorExp() as given]:
                found = self.looped(given)
            case [given]:
                found = self.term(given).shown
            case _:
                raise Refused(node, f"sum is of one list; {EXPR}")
        if found.kind.base != "list" or found.kind.null or not found.kind.of.is_number:
            raise Refused(node, f"sum is of a list of numbers that are there; {EXPR}")
        return Term(f"$sum({found.text})", found.kind.of)

    def _least(self, node: ast.Call) -> Term:
        return self._chosen(node, "<")

    def _most(self, node: ast.Call) -> Term:
        return self._chosen(node, ">")

    def _chosen(self, node: ast.Call, sign: str) -> Term:
        """One of two numbers; of two that are equal, the first."""
        found = [self.term(each).shown for each in node.args]
        if len(found) != 2 or not all(each.kind.is_number for each in found):
            raise Refused(node, f"this is the same in YAML for two numbers that are there; {EXPR}")
        one, other = (each.within(COMPARISON + 1) for each in found)
        kind = INTEGER if all(each.kind.base == "integer" for each in found) else DECIMAL
        return Term(f"{other} {sign} {one} ? {other} : {one}", kind, CHOICE)

    # Expressions that are written in JSONata ------------------------------------------------------

    def method_of(self, node: ast.Call) -> tuple[str, str] | None:
        """The method of `expr` that is called, and the expression."""
        function, method = node.func, ""
        if isinstance(function, ast.Attribute) and function.attr in ASKED:
            function, method = function.value, function.attr
        if self.meaning(function) != "halflap.expr":
            return None
        match node.args:
            case [ast.Constant(value=str(text))]:
                return method, text
            case _:
                raise Refused(node, 'the text of an expression is written out: expr("…")')

    def asked(self, node: ast.expr) -> str | None:
        """The method of `expr` that a value calls; None where it is no such call."""
        found = self.method_of(node) if isinstance(node, ast.Call) else None
        return None if found is None else found[0]

    def evaluated(self, node: ast.Call) -> Term:
        """The expression of `expr("…")`, under the names that YAML has."""
        found = self.method_of(node)
        assert found is not None
        method, text = found
        expression = self.parsed(node, text)
        given = self._named_values(node)
        for name in {str(each.path[0]) for each in expression.names()} - given.keys():
            if name in (*SCOPE, "error"):
                raise self.unseen(node, name)
            self.absent.append((node, name, tuple(self.loops)))
        others = {n: self._put(e) for n, e in given.items() if not self.is_named(n, e)}
        self.reads |= given.keys() - others.keys()
        if others:
            for each in expression.names():
                said = others.get(str(each.path[0]), "")
                reads = said and _NAME.fullmatch(said) is None and self.parsed(node, said).names()
                if reads and text.startswith("$", each.offset):
                    raise Refused(node, f"write {each} without $, or give it a variable")
            text = replaced(expression, others)
            expression = self.parsed(node, text)
        kinds: Mapping[str, Kind] = {"string": TEXT, "boolean": BOOLEAN}
        kind = kinds.get(expression.kind() or "", JSON)
        if method == "text":
            kind = TEXT
        elif method == "items":
            kind = Kind("list", of=JSON)
        if kind.null and not expression.always():
            kind = replace(kind, missing=True)
        return Term(text, kind, 0)

    def _named_values(self, node: ast.Call) -> dict[str, ast.expr]:
        """The values that an expression is given, by name; `**{"class": …}` for what Python keeps."""
        given: dict[str, ast.expr] = {}
        for each in node.keywords:
            named = each.value if each.arg is None else None
            if each.arg is not None:
                given[each.arg] = each.value
            elif isinstance(named, ast.Dict) and all(
                key and constant_text(key) for key in named.keys
            ):
                names = [constant_text(key) or "" for key in named.keys if key]
                given |= dict(zip(names, named.values, strict=True))
            else:
                raise Refused(node, "give each value a name of its own")
        return given

    def parsed(self, node: ast.Call, text: str) -> Expression:
        """An expression; `Refused` where it is none."""
        try:
            return Expression.parse(text).named()
        except ExpressionError as error:
            raise Refused(node, error.message) from None

    def unseen(self, node: ast.expr, name: str) -> Refused:
        """What is told of an expression that reads in YAML what it is not given in Python."""
        return Refused(node, f"the expression reads {name}; give it by that name")

    def _put(self, node: ast.expr) -> str:
        """What stands in an expression for a name that has another value in YAML."""
        if (said := self.named(node)) is not None:
            self.reads.add(said)
            return name_of(said)
        found = self.term(node).shown
        if found.kind.base in ("json", "closed") and not found.text.startswith("$"):
            raise Refused(node, f"give {ast.unparse(node)} a name on a line of its own first")
        return found.within(ATOM)


def replaced(expression: Expression, others: Mapping[str, str]) -> str:
    """The text of an expression with others in the place of its names."""
    text = expression.text
    for each in sorted(expression.names(), key=lambda each: each.offset, reverse=True):
        name = str(each.path[0])
        if name in others:
            end = _NAME.match(text, each.offset)
            assert end is not None
            said = others[name]
            if end[0].startswith("$") and _NAME.fullmatch(said):
                said = f"${said.removeprefix('$')}"  # which is the same in a filter, too
            bare = _NAME.fullmatch(said) or not re.match(r"\s*[.\[{(@#^]", text[end.end() :])
            text = text[: each.offset] + (said if bare else f"({said})") + text[end.end() :]
    return text


def has_more(model: Any) -> bool:
    """Whether a model is written with more than its fields."""
    made = getattr(model, "__pydantic_decorators__", None)
    return made is not None and bool(made.computed_fields)


_FUNCTIONS: Mapping[str, Callable[[Functions, ast.Call], Term]] = {
    "round": Functions._round,
    "len": Functions._length,
    "str": Functions._string,
    "bool": Functions._boolean,
    "any": Functions._any,
    "all": Functions._all,
    "sum": Functions._sum,
    "min": Functions._least,
    "max": Functions._most,
}
