"""Says an expression of Python in JSONata, where JSONata says exactly the same; else refuses it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace

from halflap.lowcode.convert.to_yaml.functions import EXPR, Functions
from halflap.lowcode.convert.to_yaml.refusal import Refused
from halflap.lowcode.convert.to_yaml.terms import (
    AND,
    CHOICE,
    COMPARISON,
    OR,
    PRODUCT,
    SUM,
    Term,
    name_of,
    written,
)
from halflap.lowcode.convert.to_yaml.types import (
    BOOLEAN,
    CLOSED,
    DECIMAL,
    INTEGER,
    NULL,
    TEXT,
    Kind,
)

_COMPARED: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "=",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_COMPUTED: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}


class Expressions(Functions):
    """Says expressions of one flow."""

    def term(self, node: ast.expr) -> Term:
        """The same in JSONata; `Refused` where there is none."""
        match node:
            case ast.Constant(value=None | bool() | int() | str() as value):
                return Term(written(value), _constant(value))
            case ast.Constant(value=float()):
                raise Refused(node, f'a float is not exact; write Decimal("{node.value}")')
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return Term(f"-{value}", INTEGER, PRODUCT)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Term(f"$not({self.truth(operand).text})", BOOLEAN)
            case ast.Name() | ast.Attribute():
                return self._narrowed(node, self._read(node))
            case ast.Subscript():
                raise Refused(
                    node, f"where it is not there this fails; write .get(…), or {EXPR[6:]}"
                )
            case ast.Call():
                return self.function(node)
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                return self._either(node)
            case ast.IfExp(test=test, body=body, orelse=other):
                return self._choice(node, test, body, other)
            case ast.BinOp():
                return self._compute(node)
            case ast.JoinedStr():
                return self._joined(node)
            case ast.ListComp():
                return self.looped(node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._list(items)
            case ast.Dict():
                return self._object(node)
            case ast.Await():
                raise Refused(
                    node, "a step within an expression; give its result a name on a line of its own"
                )
            case _:
                raise Refused(node, f"YAML has no expression for this; {EXPR}")

    def truth(self, node: ast.expr) -> Term:
        """What Python takes for true, as true or false."""
        if isinstance(node, ast.Call) and self.asked(node) == "truth":
            return self._within(node)
        if isinstance(node, ast.BoolOp):
            operator, level = ("and", AND) if isinstance(node.op, ast.And) else ("or", OR)
            with self.narrowing():
                parts: list[str] = []
                for each in node.values:
                    parts.append(self.truth(each).within(level))
                    self.learn(each, isinstance(node.op, ast.And))
            return Term(f" {operator} ".join(parts), BOOLEAN, level)
        found = self.term(node)
        shown = found.within(COMPARISON + 1)
        tests = [f"{shown} != null"] if found.kind.null and found.kind.base != "boolean" else []
        match found.kind.base:
            case "boolean":
                if not found.kind.null:
                    return found
                tests = [f"{shown} = true"]
            case "text":
                tests.append(f'{shown} != ""')
            case "integer" | "decimal":
                tests.append(f"{shown} != 0")
            case "list":
                tests.append(f"$count({found.text}) > 0")
            case "model":
                tests = [f"{shown} != null"]
            case _:
                raise Refused(node, "what is true here is not clear; compare it with something")
        return Term(" and ".join(tests), BOOLEAN, COMPARISON if len(tests) == 1 else AND)

    def _within(self, node: ast.Call) -> Term:
        """`expr.truth("…")` within a condition, where JSONata takes other values for true or false."""
        found = self.evaluated(node)
        if found.kind.base != "boolean":
            raise Refused(
                node,
                "this may be neither true nor false; ask it in an `if` of its own, or compare it",
            )
        if self.parsed(node, found.text).always():
            return found
        return Term(f"{found.within(COMPARISON + 1)} = true", BOOLEAN, COMPARISON)

    # Names ------------------------------------------------------------------------------------

    def _narrowed(self, node: ast.expr, term: Term) -> Term:
        known = self.known.get(ast.unparse(node))
        return term if known is None else replace(term, kind=term.kind.sure())

    def _read(self, node: ast.Name | ast.Attribute) -> Term:
        if isinstance(node, ast.Name):
            return self.variable(node)
        if (given := self.of_context(node)) is not None:
            return given
        owner = self.term(node.value)
        if node.attr == "message" and self.is_error(node.value):
            return Term(f"{owner.within(7)}.message", TEXT)
        if owner.kind.base != "model":
            raise Refused(node, f"what has the field {node.attr} is of no known model; {EXPR}")
        if owner.kind.null:
            raise Refused(
                node, f"{ast.unparse(node.value)} may be None here; ask first whether it is"
            )
        found = self.types.field(owner.kind, node.attr)
        if found is None:
            raise Refused(node, f"{node.attr} is no field that its model declares; {EXPR}")
        alias, kind = found
        return Term(f"{owner.within(7)}.{name_of(alias)}", kind)

    # Operators --------------------------------------------------------------------------------

    def _compare(self, node: ast.Compare) -> Term:
        if len(node.ops) > 1:
            raise Refused(node, "compare two values at a time, joined by `and`")
        operator, right = node.ops[0], node.comparators[0]
        if isinstance(operator, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise Refused(node, "`is` is for None; compare by ==")
            sign = "=" if isinstance(operator, ast.Is) else "!="
            found = self.term(node.left).compared
            return Term(f"{found.within(COMPARISON + 1)} {sign} null", BOOLEAN, COMPARISON)
        if isinstance(operator, ast.In | ast.NotIn):
            made = self._included(node, self.term(node.left), right)
            return made if isinstance(operator, ast.In) else Term(f"$not({made.text})", BOOLEAN)
        left, other = self.term(node.left).compared, self.term(right).compared
        self._comparable(node, operator, left, other)
        sign = _COMPARED[type(operator)]
        shown = f"{left.within(COMPARISON + 1)} {sign} {other.within(COMPARISON + 1)}"
        return Term(shown, BOOLEAN, COMPARISON)

    def _comparable(self, node: ast.Compare, operator: ast.cmpop, left: Term, right: Term) -> None:
        one, other = left.kind, right.kind
        if not isinstance(operator, ast.Eq | ast.NotEq):
            alike = one.is_number and other.is_number
            texts = one.base == other.base == "text" and not (one.null or other.null)
            if not (alike or texts):
                raise Refused(node, f"YAML orders two numbers, or two texts that are there; {EXPR}")
            return
        bases = {one.base, other.base}
        constant = any(
            isinstance(each, ast.Constant) and isinstance(each.value, str)
            for each in (node.left, node.comparators[0])
        )
        alike = len(bases) == 1 and bases <= {"text", "integer", "decimal", "boolean"}
        alike = alike or bases == {"integer", "decimal"} or "null" in bases
        if not (alike or (bases == {"json", "text"} and constant)):
            raise Refused(
                node,
                f"== of values of other kinds is not the same in YAML; {EXPR}, or compare texts",
            )

    def _included(self, node: ast.Compare, left: Term, right: ast.expr) -> Term:
        if left.kind.base != "text" or left.kind.null:
            raise Refused(node, f"`in` is for a text that is there; {EXPR}")
        shown = left.within(COMPARISON + 1)
        if self.is_urls(right):
            return Term(f"{shown} in urls.*", BOOLEAN, COMPARISON)
        if isinstance(right, ast.Tuple | ast.List | ast.Set) and len(right.elts) > 1:
            return Term(f"{shown} in {self._list(right.elts).text}", BOOLEAN, COMPARISON)
        found = self.term(right)
        if found.kind.base == "list" and not found.kind.null and found.kind.of.base == "text":
            return Term(f"{shown} in {found.within(COMPARISON + 1)}", BOOLEAN, COMPARISON)
        raise Refused(node, f"`in` is for a list of texts; {EXPR}")

    def _either(self, node: ast.BoolOp) -> Term:
        """`and` and `or` as values: what decides is itself the value."""
        *before, last = node.values
        with self.narrowing():
            steps: list[tuple[Term, Term]] = []
            for each in before:
                asked = self.truth(each)
                with self.narrowing():
                    if isinstance(node.op, ast.Or):
                        self.learn(each, holds=True)
                    value = self.term(each).shown
                self.learn(each, isinstance(node.op, ast.And))
                steps.append((asked, value))
            found = self.term(last).shown
        for asked, value in reversed(steps):
            if asked.kind == value.kind == found.kind == BOOLEAN:
                operator, level = ("and", AND) if isinstance(node.op, ast.And) else ("or", OR)
                shown = f"{value.within(level)} {operator} {found.within(level)}"
                found = Term(shown, BOOLEAN, level)
                continue
            if isinstance(node.op, ast.And):
                one, other = found, value
            else:
                one, other = replace(value, kind=value.kind.sure()), found
            shown = f"{asked.within(OR)} ? {one.within(CHOICE + 1)} : {other.within(CHOICE)}"
            found = Term(shown, self._met(node, one.kind, other.kind), CHOICE)
        return found

    def _choice(self, node: ast.expr, test: ast.expr, body: ast.expr, other: ast.expr) -> Term:
        asked = self.truth(test)
        with self.narrowing():
            self.learn(test, holds=True)
            one = self.term(body).shown
        with self.narrowing():
            self.learn(test, holds=False)
            two = self.term(other).shown
        shown = f"{asked.within(OR)} ? {one.within(CHOICE + 1)} : {two.within(CHOICE)}"
        return Term(shown, self._met(node, one.kind, two.kind), CHOICE)

    def _met(self, node: ast.expr, one: Kind, other: Kind) -> Kind:
        """What a value is that is of one kind or the other."""
        null = one.null or other.null
        if one.base == "null" or other.base == "null":
            return replace(other if one.base == "null" else one, null=True)
        if (one.base, one.of) == (other.base, other.of):
            return replace(one, null=null)
        if {one.base, other.base} == {"integer", "decimal"}:
            return replace(DECIMAL, null=null)
        return replace(CLOSED, null=null)

    def _compute(self, node: ast.BinOp) -> Term:
        operator = _COMPUTED.get(type(node.op))
        if operator is None:
            raise Refused(node, f"this operator is not the same in YAML; {EXPR}")
        left, right = self.term(node.left), self.term(node.right)
        if operator == "+" and left.kind.base == right.kind.base == "text":
            if left.kind.null or right.kind.null:
                raise Refused(node, "one of these texts may be None here; ask first whether it is")
            return Term(f"{left.within(SUM)} & {right.within(SUM + 1)}", TEXT, SUM)
        if not (left.kind.is_number and right.kind.is_number):
            raise Refused(node, f"YAML computes with numbers that are there; {EXPR}")
        left, right = left.shown, right.shown
        decimal = "decimal" in (left.kind.base, right.kind.base)
        if operator == "/" and not (decimal and _is_divisor(node.right)):
            raise Refused(
                node,
                "/ is the same in YAML where a Decimal is divided by a number that is written out, and "
                f"not 0; {EXPR}",
            )
        level = SUM if operator in "+-" else PRODUCT
        shown = f"{left.within(level)} {operator} {right.within(level + 1)}"
        return Term(shown, DECIMAL if decimal else INTEGER, level)

    # Texts, lists, objects ----------------------------------------------------------------------

    def _joined(self, node: ast.JoinedStr) -> Term:
        parts: list[Term] = []
        for each in node.values:
            if isinstance(each, ast.Constant):
                parts.append(Term(written(each.value), TEXT))
                continue
            assert isinstance(each, ast.FormattedValue)
            if each.conversion != -1:
                raise Refused(each.value, f"YAML has no !r, !s and !a; {EXPR}")
            found = self.term(each.value).shown
            if each.format_spec is not None:
                found = self._formatted(each, found)
            if found.kind.base not in ("text", "integer") or found.kind.null:
                raise Refused(
                    each.value,
                    "only a text or a whole number that is there is the same in YAML; say how a Decimal "
                    f"is shown, as in {{price:.2f}}, or {EXPR}",
                )
            parts.append(found)
        if not parts:
            return Term('""', TEXT)
        if len(parts) == 1:
            only = parts[0]
            return only if only.kind.base == "text" else Term(f"$string({only.text})", TEXT)
        shown = " & ".join(each.within(SUM + (at > 0)) for at, each in enumerate(parts))
        return Term(shown, TEXT, SUM)

    def _formatted(self, node: ast.FormattedValue, found: Term) -> Term:
        """A number as it is shown: `{price:.2f}`, `{price:,.2f}`, `{count:,}`."""
        spec = ast.unparse(node.format_spec or node)[2:-1]
        match = re.fullmatch(r"(,?)(?:\.(\d)f)?", spec)
        kind = found.kind.base if not found.kind.null else ""
        if match is None or kind != ("integer" if match[2] is None else "decimal"):
            raise Refused(node.value, f"YAML has no such format of this; {EXPR}")
        places = int(match[2] or 0)
        picture = ("#,##0" if match[1] else "0") + ("." + "0" * places if places else "")
        return Term(f'$formatNumber({found.text}, "{picture}")', TEXT)

    def _list(self, items: list[ast.expr]) -> Term:
        found = [self.term(each).shown for each in items]
        for node, each in zip(items, found, strict=True):
            if isinstance(node, ast.Starred) or (
                each.kind.base in ("list", "json", "closed") and not isinstance(node, ast.List)
            ):
                raise Refused(node, f"a list within a list may be taken apart in YAML; {EXPR}")
        kind = found[0].kind if found else CLOSED
        if any(each.kind != kind for each in found):
            kind = CLOSED
        return Term(f"[{', '.join(each.text for each in found)}]", Kind("list", of=kind))

    def _object(self, node: ast.Dict) -> Term:
        members: list[str] = []
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                raise Refused(key or value, "the names of an object are written out as texts")
            members.append(f"{written(key.value)}: {self.term(value).shown.text}")
        return Term("{" + ", ".join(members) + "}", Kind("object"))

    def looped(self, node: ast.ListComp | ast.GeneratorExp) -> Term:
        """`[each.item for each in items if …]`."""
        (first, *more) = node.generators
        if more or first.is_async or not isinstance(first.target, ast.Name):
            raise Refused(node, f"YAML has a list of one loop over one name; {EXPR}")
        items = self.term(first.iter).shown
        if items.kind.base != "list" or items.kind.null:
            raise Refused(first.iter, f"this is not known to be a list; {EXPR}")
        name, shown = first.target.id, items.text
        with self.lambda_of(name, items.kind.of):
            if first.ifs:
                test = self.truth(
                    ast.BoolOp(ast.And(), first.ifs) if len(first.ifs) > 1 else first.ifs[0]
                )
                shown = f"$filter({shown}, function(${name}) {{ {test.text} }})"
                for each in first.ifs:
                    self.learn(each, holds=True)
            element = self.term(node.elt).shown
        if element.kind.base in ("list", "json", "closed"):
            raise Refused(node.elt, f"a list within a list may be taken apart in YAML; {EXPR}")
        if element.text != f"${name}":
            shown = f"$map({shown}, function(${name}) {{ {element.text} }})"
        return Term(f"[{shown}]", Kind("list", of=element.kind))


def _constant(value: object) -> Kind:
    match value:
        case None:
            return NULL
        case bool():
            return BOOLEAN
        case int():
            return INTEGER
        case _:
            return TEXT


def _is_divisor(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=int() as value):
            return value != 0
        case ast.Call(args=[ast.Constant(value=str(text))]):
            return any(each in "123456789" for each in text)
        case _:
            return False
