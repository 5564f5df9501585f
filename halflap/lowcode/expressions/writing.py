"""Values as text: what `$string` and `&` make of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, cast

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.meter import Meter
from halflap.lowcode.expressions.value import Function, is_secret


def written(value: Any, meter: Meter, indent: int = 0) -> str:
    """A value as text: a text as it is, a function as nothing, the rest as JSON."""
    if type(value) is str:
        return value
    if isinstance(value, Function):
        return ""
    writer = _ExpressionWriter(meter, indent)
    writer.write(value, "\n")
    text = "".join(writer.parts)
    meter.text(len(text), text)
    return text


def digits(number: int | Decimal) -> str:
    """A number with every digit that it has: `22.00` stays `22.00`."""
    if isinstance(number, int):
        return str(number)
    if -7 < number.adjusted() < 21 or number.is_zero():
        return f"{number:f}"
    mantissa, exponent = f"{number:e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{exponent}"


class _ExpressionWriter:
    def __init__(self, meter: Meter, indent: int) -> None:
        self.parts: list[str] = []
        self._meter = meter
        self._indent = indent

    def write(self, value: Any, line: str) -> None:
        self._meter.take()
        match value:
            case None | bool():
                self._add("null" if value is None else str(value).lower())
            case str():
                self._add(json.dumps(value, ensure_ascii=False))
            case int() | Decimal():
                self._add(digits(value))
            case Function():
                self._add('""')
            case dict():
                fields = cast(dict[str, Any], value).items()
                between = ": " if self._indent else ":"
                named = [
                    (json.dumps(name, ensure_ascii=False) + between, each) for name, each in fields
                ]
                self._many("{}", named, line)
            case list():
                self._many("[]", [("", each) for each in cast(list[Any], value)], line)
            case _:
                fail("H0003" if is_secret(value) else "H0005", type=type(value).__name__)

    def _many(self, brackets: str, items: list[tuple[str, Any]], line: str) -> None:
        inner = line + " " * self._indent if self._indent else ""
        self._add(brackets[0])
        for number, (name, value) in enumerate(items):
            self._add(("," if number else "") + inner + name)
            self.write(value, inner)
        self._add((line if self._indent and items else "") + brackets[1])

    def _add(self, text: str) -> None:
        self._meter.bytes(60 + (len(text) if text.isascii() else 4 * len(text)))
        self.parts.append(text)
