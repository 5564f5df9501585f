"""Numbers: rounding, powers, sums, and truth."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from halflap.lowcode.expressions import number as arithmetic
from halflap.lowcode.expressions.error import Fault, fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.lexer import number_of
from halflap.lowcode.expressions.library.declared import function, of_value
from halflap.lowcode.expressions.number import Number
from halflap.lowcode.expressions.value import UNDEFINED, truth

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?")
_BASED = re.compile(r"0[xX][0-9A-Fa-f]+|0[oO][0-7]+|0[bB][01]+")
_LEADING_ZEROS = re.compile(r"^(-?)0+(?=[0-9])")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@of_value("number", "<(nsb)-:n>")
def number(_: VariableFrame, value: Any) -> Number:
    """A number, of a text, of true and false."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, str):
        return value
    if _DECIMAL.fullmatch(value):
        try:
            return number_of(_LEADING_ZEROS.sub(r"\1", value))
        except Fault:
            fail("D3030", value=value)
    if _BASED.fullmatch(value) and len(value) < 300:
        return int(value, 0)
    return fail("D3030", value=value)


@of_value("floor", "<n-:n>")
def floor(_: VariableFrame, value: Number) -> Number:
    """The whole number below."""
    return math.floor(value)


@of_value("ceil", "<n-:n>")
def ceil(_: VariableFrame, value: Number) -> Number:
    """The whole number above."""
    return math.ceil(value)


@of_value("round", "<n-n?:n>")
def rounded(_: VariableFrame, value: Number, places: Any = UNDEFINED) -> Number:
    """To decimal places, halves to the even neighbour."""
    return arithmetic.rounded(value, 0 if places is UNDEFINED else int(places))


@of_value("abs", "<n-:n>")
def absolute(_: VariableFrame, value: Number) -> Number:
    """Without its sign."""
    return -value if value < 0 else value


@of_value("sqrt", "<n-:n>")
def square_root(_: VariableFrame, value: Number) -> Number:
    """The square root."""
    return arithmetic.root(value)


@of_value("power", "<n-n:n>")
def power(_: VariableFrame, base: Number, exponent: Any) -> Any:
    """A power."""
    return exponent if exponent is UNDEFINED else arithmetic.power(base, exponent)


@function("random", "<:n>")
def random(frame: VariableFrame) -> Number:
    """A number from 0 to 1, the same in every replay."""
    if frame.evaluation.random is None:
        fail("H0002")
    return Decimal(repr(frame.evaluation.random.random()))


@of_value("formatBase", "<n-n?:s>")
def format_base(_: VariableFrame, value: Number, radix: Any = UNDEFINED) -> str:
    """A whole number in another base."""
    base = 10 if radix is UNDEFINED else int(arithmetic.rounded(radix))
    if not 2 <= base <= 36:
        fail("D3100", value=base)
    rest = abs(int(arithmetic.rounded(value)))
    digits = ""
    while rest:
        rest, digit = divmod(rest, base)
        digits = _DIGITS[digit] + digits
    return ("-" if value < 0 and digits else "") + (digits or "0")


@of_value("sum", "<a<n>:n>")
def total(frame: VariableFrame, values: list[Number]) -> Number:
    """The sum."""
    frame.evaluation.meter.take(len(values) // 4)
    result: Number = 0
    for value in values:
        result = arithmetic.calculate("+", result, value)
    return result


@function("count", "<a:n>")
def count(_: VariableFrame, values: Any = UNDEFINED) -> int:
    """Return the number of values."""
    return 0 if values is UNDEFINED else len(values)


@of_value("max", "<a<n>:n>")
def greatest(frame: VariableFrame, values: list[Number]) -> Any:
    """The greatest number."""
    frame.evaluation.meter.take(len(values) // 8)
    return max(values, default=UNDEFINED)


@of_value("min", "<a<n>:n>")
def least(frame: VariableFrame, values: list[Number]) -> Any:
    """The least number."""
    frame.evaluation.meter.take(len(values) // 8)
    return min(values, default=UNDEFINED)


@of_value("average", "<a<n>:n>")
def average(frame: VariableFrame, values: list[Number]) -> Any:
    """The mean."""
    return arithmetic.divide(total(frame, values), len(values)) if values else UNDEFINED


@of_value("boolean", "<x-:b>")
def boolean(frame: VariableFrame, value: Any) -> bool:
    """Return whether it counts as true."""
    return truth(value, frame.evaluation.meter)


@of_value("not", "<x-:b>")
def negated(frame: VariableFrame, value: Any) -> bool:
    """Return whether it counts as false."""
    return not truth(value, frame.evaluation.meter)
