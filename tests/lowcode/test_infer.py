"""The types of expressions: inferred where they are sure, unknown otherwise, and never wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from halflap.errors import ExpressionError
from halflap.lowcode.expressions import Expression, Scope
from halflap.lowcode.lint.fitting import misfit
from halflap.lowcode.lint.infer import Inference
from halflap.lowcode.lint.scope import Schema, ScopedName, carried, forms_of
from halflap.lowcode.lint.words import words
from halflap.sdk.fit import fit
from halflap.sdk.schema import UNSET
from tests.cases import for_each

ORDER: Schema = {
    "$defs": {
        "Line": {
            "type": "object",
            "properties": {
                "sku": {"type": "string"},
                "count": {"type": "integer"},
                "price": {"type": "number"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
        }
    },
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "open": {"type": "boolean"},
        "state": {"enum": ["new", "paid"], "type": "string"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "first": {"$ref": "#/$defs/Line"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "any": {},
    },
}
VALUE: dict[str, Any] = {
    "id": "o1",
    "open": True,
    "state": "new",
    "note": None,
    "first": {"sku": "a", "count": 2, "price": Decimal("1.50"), "tags": ["x"]},
    "lines": [
        {"sku": "a", "count": 2, "price": Decimal("1.50"), "tags": ["x", "y"]},
        {"sku": "b", "count": 1, "price": Decimal(3), "tags": []},
    ],
    "any": {"a": [1, "b"]},
}
NAMES = {
    "order": ScopedName(schema=ORDER),
    "count": ScopedName(schema={"type": "integer"}),
    "what": ScopedName(),
}


def inferred(text: str) -> Schema | None:
    return Inference(NAMES).of(Expression.parse(text).tree)


@for_each(
    ("text", "said"),
    [
        ("order.id", "a text"),
        ("order.first.count", "a whole number"),
        ("order.lines", "a list of objects with sku, count, price, tags"),
        ("order.lines.sku", "a text or a list of texts"),
        ("order.lines.sku[]", "a list of texts"),
        ("order.lines[0].sku", "a text"),
        ("order.lines[sku = 'a'].price", "a number or a list of numbers"),
        ("order.lines.tags", "a text or a list of texts"),
        ("order.state", 'one of "new", "paid"'),
        ("order.note", "a text or null"),
        ("order.open ? 'yes' : 'no'", '"yes" or "no"'),
        ("order.open ? order.id : 2", "a text or 2"),
        ("order.id & '-' & count", "a text"),
        ("order.first.count * order.first.price", "a number"),
        ("count > 3 and order.open", "true or false"),
        ("$sum(order.lines.(count * price))", "a number"),
        ("$count(order.lines)", "a number"),
        ("$string(count)", "a text"),
        ("$map(order.lines, function($l) { $l.sku })", "a text or a list of texts"),
        ("$filter(order.lines, function($l) { $l.count > 1 }).sku", "a text or a list of texts"),
        ("order.lines ~> $map(function($l) { $l.price })", "a number or a list of numbers"),
        ("order.lines.{'a': sku}", "an object with a or a list of objects with a"),
        ("{'id': order.id, 'lines': $count(order.lines)}", "an object with id, lines"),
        ("[order.id, order.lines.sku]", "a list of texts"),
        ("[1..count]", "a list of whole numbers"),
        ("($n := order.first; $n.price)", "a number"),
        ("($twice := function($x) { $x * 2 }; $twice(count))", "a number"),
        ("$merge([order.first, {'more': order.id}]).more", "a text"),
        ("$lookup(order.first, 'sku')", "a text"),
        ("$sort(order.lines, function($a, $b) { $a.count > $b.count })[0].sku", "a text"),
        ("order.any", ""),
        ("order.any.a", ""),
        ("what.ever", ""),
        ("order.*", ""),
        ("order.lines@$l.sku", ""),
        ("order.open ? order.any : 1", ""),
        ("$reduce(order.lines.count, function($a, $b) { $a + $b })", ""),
    ],
)  # fmt: skip
def test_what_an_expression_gives_is_said_in_words(text: str, said: str) -> None:
    assert words(inferred(text)) == said


@for_each(
    ("text", "said"),
    [
        ("order.id * 2", "what stands left of * is a text, not a number; use $number()"),
        (
            "2 + order.first",
            "what stands right of + is an object with sku, count, price, tags, not",
        ),
        ("order.open < 1", "what stands left of < is true or false, not a number or a text"),
        ("order.id > 3", "a text and 3 cannot be compared by >; use $number() or $string()"),
        ("$uppercase(count)", "$uppercase does not take a whole number as its argument 1"),
        ("$map(order.lines, function($l) { $l.sku - 1 })", "left of - is a text"),
        ("order.lines[sku * 2 = 4]", "left of * is a text"),
    ],
)
def test_what_can_never_be_evaluated_is_told(text: str, said: str) -> None:
    inference = Inference(NAMES)
    inference.of(Expression.parse(text).tree)

    assert [each.said for each in inference.problems if said in each.said]
    with pytest.raises(ExpressionError):
        Expression.parse(text).evaluate(Scope({"order": VALUE, "count": 2}))


# Never wrong ----------------------------------------------------------------------------------


def is_one(value: Any, schema: Schema | None, depth: int = 0) -> bool:
    """Return whether a value fits a schema; null, which may stand for anything missing, does."""
    if value is None or schema is None:
        return True
    return any(_is(value, form, depth) for form in forms_of(schema))


def _is(value: Any, form: Schema, depth: int) -> bool:
    if "const" in form or "enum" in form:
        return value in ([form["const"]] if "const" in form else form["enum"])
    match form.get("type"):
        case None:
            return True
        case "string":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int | Decimal) and not isinstance(value, bool)
        case "integer":
            return isinstance(value, int | Decimal) and value == int(value)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            items = carried(form["items"], form) if "items" in form else None
            return isinstance(value, list) and all(is_one(each, items, depth + 1) for each in value)
        case "object" if isinstance(value, dict):
            fields = form.get("properties", {})
            return all(
                is_one(each, carried(fields[name], form))
                for name, each in value.items()
                if name in fields
            )
        case _:
            return False


PATHS = st.sampled_from(
    [
        "order", "count", "order.id", "order.first", "order.lines", "order.lines.sku", "order.state",
        "order.lines.tags", "order.first.tags", "order.lines[0]", "order.note",
        "order.lines[count > 1]",
        "order.lines[-1].price", "order.any.a", "what", "1", "'a'", "true", "null", "[]",
        "order.lines.count",
        "order.lines^(price)", "order.first.tags[]", "order.lines[sku='b'].tags", "order.lines.tags[0]",
    ]
)  # fmt: skip


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda it: f"({it[0]} & {it[1]})"),
        two.map(lambda it: f"({it[0]} = {it[1]})"),
        two.map(lambda it: f"(order.open ? {it[0]} : {it[1]})"),
        two.map(lambda it: f"[{it[0]}, {it[1]}]"),
        two.map(lambda it: f"{{'sku': {it[0]}, 'b': {it[1]}}}"),
        two.map(lambda it: f"$append({it[0]}, {it[1]})"),
        two.map(lambda it: f"($x := {it[0]}; [$x, {it[1]}])"),
        inner.map(lambda it: f"$map({it}, function($v, $i) {{ [$v, $i] }})"),
        inner.map(lambda it: f"$map({it}, function($v) {{ $v }})"),
        inner.map(lambda it: f"$filter({it}, function($v) {{ true }})"),
        inner.map(lambda it: f"({it}).sku"),
        inner.map(lambda it: f"({it})[0]"),
        inner.map(lambda it: f"({it})[]"),
        inner.map(lambda it: f"({it}).(sku)"),
        inner.map(lambda it: f"({it}).{{'sku': sku}}"),
        inner.map(lambda it: f"({it}).[sku]"),
        inner.map(lambda it: f"$reverse({it})"),
        inner.map(lambda it: f"$distinct({it})"),
        inner.map(lambda it: f"$string({it})"),
        inner.map(lambda it: f"$count({it})"),
        inner.map(lambda it: f"$sum({it})"),
        inner.map(lambda it: f"$keys({it})"),
        inner.map(lambda it: f"$single({it}, function($v) {{ true }})"),
        inner.map(lambda it: f"$lookup({it}, 'sku')"),
        inner.map(lambda it: f"$merge([{it}, {{'more': 1}}])"),
        inner.map(lambda it: f"({it} ~> $map(function($v) {{ $v }}))"),
        inner.map(lambda it: f"$max({it})"),
    )


EXPRESSIONS = st.recursive(PATHS, _wider, max_leaves=5)


def evaluated(text: str) -> Any:
    """The value of an expression, where it has one."""
    try:
        found = Expression.parse(text).evaluate(Scope({"order": VALUE, "count": 2, "what": ["x"]}))
    except ExpressionError:
        assume(False)
        raise
    assume(found is not None and found is not UNSET)
    return found


@example("(({'sku': order.lines^(price), 'b': order}).[sku]).{'sku': sku}")
@given(EXPRESSIONS)
def test_an_expression_gives_what_was_inferred(text: str) -> None:
    schema = inferred(text)
    assume(schema is not None)
    value = evaluated(text)

    assert not value or is_one(value, schema), (text, words(schema), value)


class Line(BaseModel):
    sku: str
    b: int | None = None


WANTED: list[Any] = [
    str,
    int,
    Decimal,
    bool,
    list[str],
    list[int],
    dict[str, Any],
    dict[str, str],
    Line,
]
WANTED += [list[Line], str | None, int | str, list[str] | int]


@given(EXPRESSIONS, st.sampled_from(WANTED))
def test_what_is_said_not_to_fit_does_not(text: str, wanted: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(wanted)
    takes, gives = adapter.json_schema(), inferred(text)
    assume(gives is not None)
    assert gives is not None
    assume(misfit(gives, takes) is not None)
    value = evaluated(text)
    assume(value != [] and value != {})

    with pytest.raises(ValidationError):
        adapter.validate_python(fit(value, takes))
