"""Says values as templates: constants as they are, all else as expressions that begin with `=`."""

from __future__ import annotations

import ast
import datetime as dt
from decimal import Decimal
from typing import Any

from halflap.lowcode.convert.to_yaml.expressions import Expressions
from halflap.lowcode.convert.to_yaml.functions import EXPR
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.terms import Term
from halflap.lowcode.duration import written as written_duration

_UNITS = ("days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks")


class Values(Expressions):
    """Says the values that steps are given."""

    def template(self, node: ast.expr, *, omits: bool = False, maybe: bool = False) -> Any:
        """A value. Where it `omits`, an expression that gives nothing leaves its member or input out,
        as `expr.maybe` does; else that is null. maybe: `expr.maybe` may stand here all the same.
        """
        node = self.constant_of(node)
        match node:
            case ast.Constant(value=None | bool() | int() as value):
                return value
            case ast.Constant(value=str(text)):
                return f"={text}" if text.startswith("=") else text
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return -value
            case ast.Call() if self.meaning(node.func) == "decimal.Decimal":
                return Decimal(self.term(node).text)
            case ast.Dict(keys=keys, values=values):
                return {
                    self._key(key, each): self.template(each, omits=True)
                    for key, each in zip(keys, values, strict=True)
                }
            case ast.List(elts=items):
                return [self.template(each) for each in items]
            case _:
                pass
        asked = self.asked(node)
        if asked == "maybe" and not (omits or maybe):
            raise Refused(node, 'an expression that gives nothing is None here; write expr("…")')
        if asked in ("truth", "scalar", "items", "duration", "status"):
            raise Refused(
                node, f"expr.{asked} is no value; write expr, or expr.maybe to leave it out"
            )
        found = self.term(node)
        return self.said(found.shown if omits and asked != "maybe" else found.compared)

    def _key(self, key: ast.expr | None, value: ast.expr) -> str:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            return key.value
        raise Refused(key or value, f"the names of an object are written out as texts; {EXPR}")

    def said(self, term: Term) -> str:
        """An expression as a document has it."""
        return f"={term.text}"

    def condition(self, node: ast.expr) -> str:
        """A condition."""
        return self.said(self.term(node) if self.asked(node) == "truth" else self.truth(node))

    def text(self, node: ast.expr) -> Any:
        """A text, or a whole number as one."""
        if self.asked(node) == "text":
            return self.said(self.term(node))
        found = self.template(node)
        if isinstance(found, str) and found.startswith("=") and not found.startswith("=="):
            kind = self.term(node).kind
            if kind.base not in ("text", "integer") or kind.null:
                raise Refused(node, "this is not known to be a text; write expr.text(…)")
        elif not isinstance(found, str):
            raise Refused(node, "this is a text; write one")
        return found

    def items(self, node: ast.expr) -> Any:
        """A list to go through."""
        if self.asked(node) == "items":
            return self.said(self.term(node))
        match node:
            case ast.BoolOp(op=ast.Or(), values=[first, ast.List(elts=[])]):
                node = first  # in YAML, null is a list of nothing
                null = True
            case ast.List() | ast.Tuple():
                return self.template(ast.List(node.elts, ast.Load()))
            case _:
                null = False
        found = self.term(node)
        if found.kind.base not in (("list", "null") if null else ("list",)) or (
            found.kind.null and not null
        ):
            raise Refused(node, "this is not known to be a list; write expr.items(…)")
        return self.said(found if found.kind.default in (None, []) else found.shown)

    def duration(self, node: ast.expr) -> Any:
        """A time."""
        if self.asked(node) == "duration":
            return self.said(self.term(node))
        found = self.span(node)
        if found is not None:
            return written_duration(found)
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        term = self.term(node)
        if term.kind.base != "integer" or term.kind.null:
            raise Refused(node, "write a timedelta, a whole number of seconds, or expr.duration(…)")
        return self.said(term)

    def span(self, node: ast.expr) -> dt.timedelta | None:
        """A `timedelta` that is written out."""
        node = self.constant_of(node)
        if not isinstance(node, ast.Call) or self.meaning(node.func) != "datetime.timedelta":
            return None
        given = dict(zip(_UNITS, node.args, strict=False))
        given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
        try:
            return dt.timedelta(**{name: ast.literal_eval(each) for name, each in given.items()})
        except (ValueError, TypeError):
            raise Refused(node, "a timedelta is written out: timedelta(days=3)") from None

    def constant(self, node: ast.expr) -> Any:
        """A value that is written out."""
        node = self.constant_of(node)
        if (found := self.span(node)) is not None:
            return written_duration(found)
        if isinstance(node, ast.Call) and self.meaning(node.func) == "decimal.Decimal":
            return self.template(node)
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            raise Refused(node, "this is written out in YAML; write the value itself") from None
