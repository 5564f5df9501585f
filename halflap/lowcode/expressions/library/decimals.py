"""Numbers by a picture, `#,##0.00`: XPath's format-number, which JSONata's `$formatNumber` is.

https://www.w3.org/TR/xpath-functions-31/#formatting-numbers names the rules that are followed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from halflap.lowcode.expressions import number as arithmetic
from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.library.declared import of_value
from halflap.lowcode.expressions.library.integers import MAX_PICTURE, regular
from halflap.lowcode.expressions.number import Number
from halflap.lowcode.expressions.value import UNDEFINED

_SYMBOLS = {
    "decimal-separator": ".",
    "grouping-separator": ",",
    "exponent-separator": "e",
    "minus-sign": "-",
    "percent": "%",
    "per-mille": "‰",
    "zero-digit": "0",
    "digit": "#",
    "pattern-separator": ";",
}


class _Symbols:
    """The meaning of the characters of a picture."""

    def __init__(self, options: dict[str, Any]) -> None:
        given = _SYMBOLS | {name: value for name, value in options.items() if name in _SYMBOLS}
        for name, value in given.items():
            many = name in ("minus-sign", "percent", "per-mille")
            if type(value) is not str or not 1 <= len(value) <= (8 if many else 1):
                fail("H0113", value=name)
        self.point, self.comma, self.exponent, self.minus, *others = given.values()
        self.percent, self.mille, self.zero, self.digit, self.pattern = others
        self.digits = [chr(ord(self.zero) + number) for number in range(10)]
        self.active = {
            *self.digits,
            self.point,
            self.exponent,
            self.comma,
            self.digit,
            self.pattern,
        }

    def mandatory(self, text: str) -> int:
        """Return the number of digits that a part must have."""
        return sum(character in self.digits for character in text)

    def all(self, text: str) -> int:
        """Return the number of digits that a part may have."""
        return sum(character in self.digits or character == self.digit for character in text)


@dataclass(slots=True)
class _PictureParts:
    """A picture, taken apart."""

    text: str
    prefix: str
    suffix: str
    active: str
    mantissa: str
    whole: str
    fraction: str
    exponent: str | None


@dataclass(slots=True)
class _Form:
    """The parsed form of a picture."""

    parts: _PictureParts
    prefix: str
    places: list[int]
    every: int
    least_whole: int
    scale: int
    fraction_places: list[int]
    least_fraction: int
    most_fraction: int
    least_exponent: int


def _taken_apart(text: str, symbols: _Symbols) -> _PictureParts:
    edges = [
        at
        for at, character in enumerate(text)
        if character in symbols.active and character != symbols.exponent
    ]
    prefix = text[: edges[0]] if edges else ""
    suffix = text[edges[-1] + 1 :] if edges else ""
    active = text[len(prefix) : len(text) - len(suffix)]
    at = text.find(symbols.exponent, len(prefix))
    mantissa, exponent = active, None
    if 0 <= at <= len(text) - len(suffix):
        mantissa, exponent = active[:at], active[at + 1 :]
    whole, point, fraction = mantissa.partition(symbols.point)
    return _PictureParts(
        text, prefix, suffix, active, mantissa, whole, fraction if point else suffix, exponent
    )


def _checked(parts: _PictureParts, symbols: _Symbols) -> None:
    text, whole, fraction = parts.text, parts.whole, parts.fraction
    point = text.find(symbols.point)
    optional_whole = whole.find(symbols.digit)
    optional_fraction = fraction.rfind(symbols.digit)
    exponent = parts.exponent
    percents = symbols.percent in text or symbols.mille in text
    beside = text[max(0, point - 1) : point] + text[point + 1 : point + 2]
    # The last rule that is broken is the one that is reported, as in the reference.
    rules = {
        "D3081": text.count(symbols.point) > 1,
        "D3082": text.count(symbols.percent) > 1,
        "D3083": text.count(symbols.mille) > 1,
        "D3084": symbols.percent in text and symbols.mille in text,
        "D3085": not symbols.all(parts.mantissa),
        "D3086": not set(parts.active) <= symbols.active,
        "D3087": point >= 0 and symbols.comma in beside,
        "D3088": point < 0 and whole.endswith(symbols.comma),
        "D3089": symbols.comma * 2 in text,
        "D3090": optional_whole >= 0 and symbols.mandatory(whole[:optional_whole]) > 0,
        "D3091": optional_fraction >= 0 and symbols.mandatory(fraction[optional_fraction:]) > 0,
        "D3092": bool(exponent) and percents,
        "D3093": exponent is not None
        and (not exponent or symbols.mandatory(exponent) < len(exponent)),
    }
    broken = [code for code, is_broken in rules.items() if is_broken]
    if broken:
        fail(broken[-1])


def _form(parts: _PictureParts, symbols: _Symbols) -> _Form:
    whole, fraction, exponent = parts.whole, parts.fraction, parts.exponent
    places = [
        symbols.all(whole[at:]) for at, character in enumerate(whole) if character == symbols.comma
    ]
    fraction_places = [
        symbols.all(fraction[:at])
        for at, character in enumerate(fraction)
        if character == symbols.comma
    ]
    least_whole = scale = symbols.mandatory(whole)
    least_fraction, most_fraction = symbols.mandatory(fraction), symbols.all(fraction)
    if least_whole == 0 and most_fraction == 0:
        if exponent is not None:
            least_fraction = most_fraction = 1
        else:
            least_whole = 1
    if exponent is not None and least_whole == 0 and symbols.digit in whole:
        least_whole = 1
    if least_whole == 0 and least_fraction == 0:
        least_fraction = 1
    return _Form(
        parts,
        parts.prefix,
        places,
        regular(places) if places else 0,
        least_whole,
        scale,
        fraction_places,
        least_fraction,
        most_fraction,
        symbols.mandatory(exponent or ""),
    )


def _mantissa(number: Decimal, form: _Form) -> tuple[Decimal, int | None]:
    """The number as the picture's exponent scales it, and that exponent."""
    if form.least_exponent == 0:
        return number, None
    if not number:
        return number, 0
    exponent = number.adjusted() + 1 - form.scale
    scaled = number.scaleb(-exponent)
    if exponent > 0 and abs(scaled) == Decimal(10) ** (form.scale - 1):
        scaled, exponent = scaled.scaleb(1), exponent - 1  # 1000 by 0e0 is 10e2, as by the rules
    return scaled, exponent


def _digits(number: Number, places: int, symbols: _Symbols) -> str:
    text = f"{Decimal(number).copy_abs():.{places}f}"
    return "".join(symbols.digits[int(each)] if each.isdigit() else each for each in text)


@of_value("formatNumber", "<n-so?:s>")
def format_number(_: VariableFrame, value: Number, picture: Any, options: Any = UNDEFINED) -> Any:
    """A number by a picture."""
    if picture is UNDEFINED:
        return UNDEFINED
    if len(picture) > MAX_PICTURE:
        fail("H0112", limit=MAX_PICTURE)
    symbols = _Symbols({} if options is UNDEFINED else cast(dict[str, Any], options))
    pictures = cast(list[str], picture.split(symbols.pattern))
    if len(pictures) > 2:
        fail("D3080")
    parts = [_taken_apart(each, symbols) for each in pictures]
    for each in parts:
        _checked(each, symbols)
    form = _form(parts[0 if value >= 0 else -1], symbols)
    if value < 0 and len(parts) == 1:
        form.prefix = symbols.minus + form.prefix
    if symbols.percent in form.parts.text:
        value = arithmetic.calculate("*", value, 100)
    elif symbols.mille in form.parts.text:
        value = arithmetic.calculate("*", value, 1000)
    mantissa, exponent = _mantissa(Decimal(value), form)
    text = _grouped(arithmetic.rounded(mantissa, form.most_fraction), form, symbols)
    if exponent is not None:
        sign = symbols.minus if exponent < 0 else ""
        digits = _digits(exponent, 0, symbols).rjust(form.least_exponent, symbols.zero)
        text += symbols.exponent + sign + digits
    return form.prefix + text + form.parts.suffix


def _grouped(number: Number, form: _Form, symbols: _Symbols) -> str:
    whole, _, fraction = _digits(number, form.most_fraction, symbols).partition(".")
    whole = whole.lstrip(symbols.zero).rjust(form.least_whole, symbols.zero)
    fraction = fraction.rstrip(symbols.zero).ljust(form.least_fraction, symbols.zero)
    size = len(whole)
    if form.every:
        places = [each * form.every for each in range(1, (size - 1) // form.every + 1)]
    else:
        places = sorted(form.places)
    for done, place in enumerate(each for each in places if each < size):
        cut = len(whole) - done - place
        whole = whole[:cut] + symbols.comma + whole[cut:]
    for place in form.fraction_places:
        if place <= len(fraction):
            fraction = fraction[:place] + symbols.comma + fraction[place:]
    if symbols.point in form.parts.text and fraction:
        return whole + symbols.point + fraction
    return whole
