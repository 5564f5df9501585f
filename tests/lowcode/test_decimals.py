"""The decimals of a declared type are decimals in its JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from halflap import Model
from halflap.lowcode.decimals import decimals_of
from tests.cases import for_each


class Line(Model):
    price: Annotated[Decimal, Field(alias="Price")]
    count: int
    parts: list[Line] = []


class Order(Model):
    lines: list[Line]
    total: Decimal | None = None
    by_kind: dict[str, Decimal] = {}
    note: Decimal | str = ""


JSON = {"lines": [{"Price": 1, "count": 2, "parts": [{"Price": 3, "more": 4}]}], "total": 5}
READ = {
    "lines": [{"Price": Decimal(1), "count": 2, "parts": [{"Price": Decimal(3), "more": 4}]}],
    "total": Decimal(5),
}


@for_each(
    ("kind", "value", "found"),
    [
        (Order, JSON, READ),
        (Order | None, JSON, READ),
        (Order | None, None, None),
        (list[Order], [JSON, "x"], [READ, "x"]),
        (Order, {"by_kind": {"a": 1, "b": "x"}}, {"by_kind": {"a": Decimal(1), "b": "x"}}),
        (Order, {"total": True, "note": 1}, {"total": True, "note": 1}),
        (Decimal, Decimal("1.0"), Decimal("1.0")),
    ],
)
def test_a_whole_number_is_a_decimal_where_one_is_declared(
    kind: Any, value: Any, found: Any
) -> None:
    read = decimals_of(kind)
    assert read is not None
    assert repr(read(value)) == repr(found)


@for_each("kind", [int, Any, str | None, list[int], dict[str, int], Decimal | str])
def test_nothing_is_read_of_a_type_that_has_none(kind: Any) -> None:
    assert decimals_of(kind) is None
