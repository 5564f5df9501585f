"""Arithmetic as Python's `decimal` has it: whole numbers exact, fractions to 28 digits, half-even."""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Any

from halflap.lowcode.expressions.error import fail

Number = int | Decimal

_CONTEXT = Context(
    prec=28, rounding=ROUND_HALF_EVEN, traps=[DivisionByZero, InvalidOperation, Overflow]
)
_WIDE = Context(prec=10_000, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_LARGEST = 10**308


def calculate(operator: str, left: Number, right: Number) -> Number:
    """`left operator right`; out of range is an error, as in JSONata."""
    whole = type(left) is int and type(right) is int
    result: Any
    try:
        match operator:
            case "+":
                result = left + right if whole else _CONTEXT.add(left, right)
            case "-":
                result = left - right if whole else _CONTEXT.subtract(left, right)
            case "*":
                result = left * right if whole else _CONTEXT.multiply(left, right)
            case "/":
                return divide(left, right)
            case _:
                result = _remainder(left, right)
    except (DivisionByZero, InvalidOperation, Overflow):
        fail("D1001")
    return in_range(result)


def in_range(number: Number) -> Number:
    """The number, where it is not beyond what JSON's readers can take."""
    if isinstance(number, int):
        if -_LARGEST < number < _LARGEST:
            return number
        fail("D1001")
    if not number.is_finite() or (number.adjusted() > 308 and number):
        fail("D1001")
    return number if number.adjusted() > -400 or not number else 0


def divide(left: Number, right: Number) -> Number:
    """A quotient: whole where two whole numbers divide evenly, else to 28 digits."""
    if not right:
        fail("D1001")
    if type(left) is int and type(right) is int and left % right == 0:
        return left // right
    return in_range(_CONTEXT.divide(Decimal(left), Decimal(right)))


def _remainder(left: Number, right: Number) -> Number:
    if not right:
        fail("D1001")
    if type(left) is int and type(right) is int:
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return _WIDE.remainder(Decimal(left), Decimal(right))


def rounded(number: Number, places: int = 0) -> Number:
    """To a number of decimal places, halves to the even neighbour; to a whole number by default."""
    if places == 0:
        return int(number.to_integral_value(ROUND_HALF_EVEN)) if type(number) is Decimal else number
    if isinstance(number, int):
        return round(number, places) if -400 < places < 0 else number
    places = max(-400, min(places, 400))
    return _WIDE.quantize(Decimal(number), Decimal(1).scaleb(-places))


def power(base: Number, exponent: Number) -> Number:
    """A power: exact where both are whole, else to 28 digits."""
    if type(base) is int and type(exponent) is int and exponent >= 0:
        if base in (0, 1, -1) or exponent * (base.bit_length() - 1) <= 1024:
            result = base**exponent if base not in (1, -1) else base ** (exponent % 2)
            if -_LARGEST < result < _LARGEST:
                return result
        fail("D3061", value=base, exp=exponent)
    try:
        result = _CONTEXT.power(Decimal(base), Decimal(exponent))
    except (DivisionByZero, InvalidOperation, Overflow):
        fail("D3061", value=base, exp=exponent)
    return simple(in_range(result))


def root(number: Number) -> Number:
    """The square root, to 28 digits."""
    if number < 0:
        fail("D3060", value=number)
    return simple(_CONTEXT.sqrt(Decimal(number)))


def simple(number: Number) -> Number:
    """A result that is whole as a whole number."""
    if type(number) is Decimal and number == number.to_integral_value():
        return int(number)
    return number
