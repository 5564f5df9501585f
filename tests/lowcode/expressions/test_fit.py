"""Results become what an input takes, and what is absent reads as null."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, TypeAdapter

from halflap.lowcode.expressions import complete, fit
from halflap.sdk.schema import UNSET
from tests.cases import for_each


class Line(BaseModel):
    sku: str
    tags: list[str] | None = None


class Order(BaseModel):
    number: str
    lines: list[Line]
    note: str | None = None
    size: int = 3


@for_each(
    ("kind", "value", "fitted"),
    [
        (list[str], "a", ["a"]),
        (list[str], ["a"], ["a"]),
        (list[str] | None, "a", ["a"]),
        (list[str] | None, None, None),
        (list[str], UNSET, UNSET),
        (str | list[str], "a", "a"),
        (list[list[int]], 1, [[1]]),
        (dict[str, list[int]], {"a": 1}, {"a": [1]}),
        (Line, {"sku": "a", "tags": "x"}, {"sku": "a", "tags": ["x"]}),
        (Order, {"lines": {"sku": "a", "tags": "x"}}, {"lines": [{"sku": "a", "tags": ["x"]}]}),
        (str, 6, 6),
        (Decimal, Decimal("1.10"), Decimal("1.10")),
        (list[bool], True, [True]),
        (Any, [1], [1]),
    ],
)
def test_one_value_is_a_list_where_the_schema_says_list(kind: Any, value: Any, fitted: Any) -> None:
    assert fit(value, TypeAdapter(kind).json_schema()) == fitted


def test_absent_optional_fields_are_null_or_their_default() -> None:
    schema = TypeAdapter(Order).json_schema()
    assert complete({"number": "1", "lines": [{"sku": "a"}], "extra": {}}, schema) == {
        "number": "1",
        "lines": [{"sku": "a", "tags": None}],
        "note": None,
        "size": 3,
        "extra": {},
    }
    assert complete({}, schema) == {"note": None, "size": 3}


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema: dict[str, Any] = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert fit("x", schema) == "x"
    tree: dict[str, Any] = {
        "$ref": "#/$defs/T",
        "$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
    }
    assert isinstance(fit("x", tree), list)
