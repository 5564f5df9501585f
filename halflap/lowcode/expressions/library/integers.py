"""Whole numbers by a picture: `#,##0`, `I`, `w`, `Ww;o`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from math import gcd
from typing import Any, Literal

from halflap.lowcode.expressions import number as arithmetic
from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.library import words
from halflap.lowcode.expressions.library.declared import of_value
from halflap.lowcode.expressions.number import Number
from halflap.lowcode.expressions.value import UNDEFINED

MAX_PICTURE = 200
"""The most characters of a picture."""

_ZEROS = (
    0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6,
    0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80,
    0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0,
    0xFF10,
)  # fmt: skip
_LEADING = re.compile(r"\s*[-+]?[0-9]+")

Style = Literal["decimal", "letters", "roman", "words", "sequence"]
_STYLES: dict[str, tuple[Style, str]] = {
    "A": ("letters", "upper"),
    "a": ("letters", "lower"),
    "I": ("roman", "upper"),
    "i": ("roman", "lower"),
    "W": ("words", "upper"),
    "w": ("words", "lower"),
    "Ww": ("words", "title"),
}


@dataclass(slots=True)
class Picture:
    """A picture that was read: how a whole number is written."""

    style: Style = "decimal"
    case: str = "lower"
    ordinal: bool = False
    token: str = ""
    zero: int = 0x30
    digits: int = 0
    optional: int = 0
    every: int = 0
    """Where a separator stands every so many digits; 0 where they stand at `separators`."""
    separators: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    width: int = 0
    """The number of digits that are read, where another number follows at once."""


def read(text: str) -> Picture:
    """A picture, of its text."""
    if len(text) > MAX_PICTURE:
        fail("H0112", limit=MAX_PICTURE)
    primary, semicolon, modifier = text.rpartition(";")
    if not semicolon:
        primary, modifier = text, ""
    picture = Picture(ordinal=modifier.startswith("o"))
    if primary in _STYLES:
        picture.style, picture.case = _STYLES[primary]
        return picture
    zero: int | None = None
    at = 0
    for character in reversed(primary):
        code = ord(character)
        group = next((each for each in _ZEROS if each <= code <= each + 9), None)
        if group is not None:
            if zero not in (None, group):
                fail("D3131")
            zero = group
            picture.digits += 1
            at += 1
        elif character == "#":
            picture.optional += 1
            at += 1
        else:
            picture.separators.append((at, character))
    if zero is None:
        picture.style, picture.token = "sequence", primary
        return picture
    picture.zero = zero
    if len({character for _, character in picture.separators}) == 1:
        picture.every = regular([place for place, _ in picture.separators])
    return picture


def regular(places: list[int]) -> int:
    """Return the distance of the separators in digits; 0 where that differs."""
    factor = gcd(*places)
    every = places and all(number * factor in places for number in range(1, len(places) + 1))
    return factor if every else 0


def written(value: int, picture: Picture) -> str:
    """A whole number by a picture."""
    number = abs(value)
    match picture.style:
        case "letters":
            text = words.in_letters(number, "A" if picture.case == "upper" else "a")
        case "roman":
            if number > words.LARGEST_ROMAN:
                fail("D1001")
            text = words.in_roman(number)
            text = text.upper() if picture.case == "upper" else text
        case "words":
            text = words.in_words(number, ordinal=picture.ordinal)
            text = {"upper": text.upper(), "lower": text.lower()}.get(picture.case, text)
        case "decimal":
            text = _decimal(number, picture)
        case "sequence":
            fail("D3130", value=picture.token)
    return f"-{text}" if value < 0 else text


def _decimal(number: int, picture: Picture) -> str:
    text = str(number).rjust(picture.digits, "0")
    if picture.zero != 0x30:
        text = "".join(chr(ord(digit) - 0x30 + picture.zero) for digit in text)
    if picture.every:
        character = picture.separators[0][1]
        for place in range((len(text) - 1) // picture.every, 0, -1):
            cut = len(text) - place * picture.every
            text = text[:cut] + character + text[cut:]
    else:
        for place, character in reversed(picture.separators):
            if place >= len(text):
                continue
            cut = len(text) - place
            text = text[:cut] + character + text[cut:]
    return text + _suffix(text) if picture.ordinal else text


def _suffix(text: str) -> str:
    teen = len(text) > 1 and text[-2] == "1"
    return "th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")


def pattern(picture: Picture) -> str:
    """A regular expression for what is written by the picture."""
    upper = picture.case == "upper"
    match picture.style:
        case "letters":
            return "[A-Z]+" if upper else "[a-z]+"
        case "roman":
            return "[MDCLXVI]+" if upper else "[mdclxvi]+"
        case "words":
            return "(?:" + "|".join([*words.WORDS, "and", r"[\-, ]"]) + ")+"
        case "decimal":
            many = f"{{{picture.width}}}" if picture.width else "+"
            return f"[0-9]{many}" + ("(?:th|st|nd|rd)" if picture.ordinal else "")
        case "sequence":
            return fail("D3130", value=picture.token)


def parsed(text: str, picture: Picture) -> int | None:
    """The whole number that is written by a picture; None where it is none."""
    match picture.style:
        case "letters":
            return words.of_letters(text, "A" if picture.case == "upper" else "a")
        case "roman":
            return words.of_roman(text.upper())
        case "words":
            return words.of_words(text.lower())
        case "sequence":
            return fail("D3130", value=picture.token)
        case "decimal":
            pass
    digits = text[:-2] if picture.ordinal else text
    characters = [","] if picture.every else [character for _, character in picture.separators]
    for character in characters:
        digits = digits.replace(character, "")
    if picture.zero != 0x30:
        digits = "".join(chr(max(0, ord(digit) - picture.zero + 0x30)) for digit in digits)
    found = _LEADING.match(digits)
    return int(found.group()) if found and len(found.group()) < 309 else None


@of_value("formatInteger", "<n-s:s>")
def format_integer(_: VariableFrame, value: Number, picture: Any) -> Any:
    """A whole number by a picture."""
    if picture is UNDEFINED:
        return UNDEFINED
    return written(math.floor(value), read(picture))


@of_value("parseInteger", "<s-s:n>")
def parse_integer(frame: VariableFrame, text: str, picture: Any) -> Any:
    """The whole number that a text says by a picture."""
    if picture is UNDEFINED:
        return UNDEFINED
    frame.evaluation.meter.take(1 + len(text) // 64)
    number = parsed(text, read(picture)) if len(text) <= 10_000 else None
    return fail("D3030", value=text) if number is None else arithmetic.in_range(number)
