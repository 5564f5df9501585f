"""YAML's expressions and Python compute the same numbers, and send the same bytes."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from halflap.lowcode.expressions import Expression, ExpressionError, Scope
from halflap.sdk import codec
from tests.cases import for_each

prices = st.decimals(-(10**9), 10**9, places=2) | st.decimals(0, 10**6, places=4)
seats = st.integers(0, 10**6)
discounts = st.integers(0, 100) | st.decimals(0, 100, places=1)
numbers = st.integers(-(10**30), 10**30) | st.decimals(
    -(10**15), 10**15, allow_nan=False, allow_infinity=False
)

AMOUNT = Expression.parse("$round(event.seats * event.price * (1 - config.discount / 100), 2)")


@given(seats, prices, discounts)
@example(10, Decimal("22.00"), 10)
def test_an_amount_is_the_one_that_python_sends(seats: int, price: Decimal, discount: Any) -> None:
    discount = Decimal(discount)
    sent = codec.encode({"Amount": round(seats * price * (1 - discount / 100), 2)})
    event, config = codec.encode({"seats": seats, "price": price}), {"discount": discount}
    scope = Scope({"event": codec.decode(event), "config": config})
    assert codec.encode({"Amount": AMOUNT.evaluate(scope)}) == sent


@given(numbers, numbers)
def test_arithmetic_is_that_of_python(left: int | Decimal, right: int | Decimal) -> None:
    scope = Scope({"a": left, "b": right})
    for operator, expected in {
        "+": left + right,
        "-": left - right,
        "*": left * right,
        "<": left < right,
        "=": left == right,
        ">=": left >= right,
    }.items():
        value = Expression.parse(f"a {operator} b").evaluate(scope)
        assert value == expected, operator
        assert type(value) is type(expected) or value == 0, operator
    if right:
        quotient = Expression.parse("a / b").evaluate(scope)
        assert quotient == Decimal(left) / Decimal(right) or quotient * right == left


@given(st.integers() | numbers)
def test_a_number_keeps_every_digit(number: int | Decimal) -> None:
    event = codec.decode(codec.encode({"n": number}))
    assert str(Expression.parse("event.n").evaluate(Scope({"event": event}))) == str(event["n"])


@given(numbers, st.integers(-5, 20))
@example(Decimal(175366268921), 17)
def test_rounding_is_half_to_even(number: int | Decimal, places: int) -> None:
    rounded = Expression.parse("$round(a, b)").evaluate(Scope({"a": number, "b": places}))
    with localcontext(prec=100):  # as many digits as it takes: Python's `round` refuses otherwise
        assert rounded == (round(number, places) if places else round(number))


@for_each("text", ["1e300 * 1e300", "1 / 0", "1 % 0", "-1e308 * 10", "$power(0, -1)"])
def test_what_is_out_of_range_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError, match="out of range"):
        Expression.parse(text).evaluate(Scope())


def test_any_number_of_the_codec_can_be_worked_with() -> None:
    long = Decimal("1." + "3" * 4_000)
    scope = Scope({"long": long, "great": 10**4_000, "small": Decimal("1e-4000")})
    for text in ("$round(long, 2)", "$floor(long)", "long % 1", "$string(long)", "long = long"):
        Expression.parse(text).evaluate(scope)
    assert Expression.parse("great").evaluate(scope) == 10**4_000
    assert Expression.parse("small + 1").evaluate(scope) == 1
    assert Expression.parse("$formatNumber(long, '0.00')").evaluate(scope) == "1.33"
    with pytest.raises(ExpressionError, match="out of range"):
        Expression.parse("great + 1").evaluate(scope)


@for_each(
    ("text", "written"),
    [
        ('$formatNumber(9007199254740993, "0")', "9007199254740993"),
        ('$formatNumber(9007199254740993, "#,##0")', "9,007,199,254,740,993"),
        ('$formatNumber(-9007199254740993, "0;(0)")', "(9007199254740993)"),
        ('$formatNumber(9007199254740993, "0%")', "900719925474099300%"),
        (f'$formatNumber({"123456789" * 5}, "0")', "123456789" * 5),
        (f'$formatNumber({"123456789" * 5}.25, "0.00")', "123456789" * 5 + ".25"),
        ('$formatNumber(1234567, "#,##,##0")', "12,34,567"),
        ('$formatNumber(123456789, "#,##,##0")', "1234,56,789"),
        ('$formatNumber(1234, "#,##,##0")', "1,234"),
        ('$formatNumber(12, "#,##,##0")', "12"),
        ('$formatNumber(123, "#,##,##0.00")', "123.00"),
        ('$formatNumber(12, "0,00,000")', "0,00,012"),
        ('$formatInteger(12, "#,##,##0")', "12"),
        ('$formatInteger(123456, "#,##,##0")', "1,23,456"),
    ],
)
def test_a_picture_keeps_every_digit_and_separates_only_digits(text: str, written: str) -> None:
    assert Expression.parse(text).evaluate(Scope()) == written
