"""Whole numbers in words, Roman numerals and letters, and back."""

from __future__ import annotations

import re

_UNITS = (
    *("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"),
    *("Eleven", "Twelve", "Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen"),
    "Nineteen",
)
_ORDINALS = (
    *("Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth"),
    *("Ninth", "Tenth", "Eleventh", "Twelfth", "Thirteenth", "Fourteenth", "Fifteenth"),
    *("Sixteenth", "Seventeenth", "Eighteenth", "Nineteenth"),
)
_TENS = ("Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety")
_LARGE = ("Thousand", "Million", "Billion", "Trillion")
_ROMAN = {
    1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc", 50: "l", 40: "xl", 10: "x", 9: "ix",
    5: "v", 4: "iv", 1: "i",
}  # fmt: skip
_ROMAN_DIGITS = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}

LARGEST_ROMAN = 1_000_000
"""The largest Roman numeral; what is larger would be written as thousands of m."""


def in_words(number: int, *, ordinal: bool = False, prefix: str = "") -> str:
    """`One Hundred and Twelve`; as an ordinal, `One Hundred and Twelfth`."""
    if number < 20:
        return (" and " if prefix else "") + (_ORDINALS if ordinal else _UNITS)[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        word = (" and " if prefix else "") + _TENS[tens - 2]
        if rest:
            return f"{word}-{in_words(rest, ordinal=ordinal)}"
        return word[:-1] + "ieth" if ordinal else word
    if number < 1000:
        count, rest = divmod(number, 100)
        word = (", " if prefix else "") + f"{_UNITS[count]} Hundred"
    else:
        size = min((len(str(number)) - 1) // 3, len(_LARGE))
        count, rest = divmod(number, 1000**size)
        word = (", " if prefix else "") + f"{in_words(count)} {_LARGE[size - 1]}"
    if rest:
        return word + in_words(rest, ordinal=ordinal, prefix="and")
    return word + ("th" if ordinal else "")


def _values() -> dict[str, int]:
    values = {word.lower(): number for number, word in enumerate(_UNITS)}
    values |= {word.lower(): number for number, word in enumerate(_ORDINALS)}
    for number, word in enumerate((*_TENS, "Hundred"), 2):
        values[word.lower()] = number * 10
        values[word.lower()[:-1] + "ieth"] = number * 10
    values["hundredth"] = 100
    for power, word in enumerate(_LARGE, 1):
        values[word.lower()] = values[word.lower() + "th"] = 1000**power
    return values


WORDS = _values()
"""Every word of a number, and its worth."""


def of_words(text: str) -> int | None:
    """The number that the words say."""
    parts = [0]
    for word in re.split(r",\s|\sand\s|[\s\\-]", text):
        value = WORDS.get(word)
        if value is None:
            return None
        if value >= 100:
            parts[-1] *= value
            continue
        if parts[-1] >= 1000:
            parts.append(0)
        parts[-1] += value
    return sum(parts)


def in_roman(number: int) -> str:
    """`mcmlxxxiv`."""
    text = ""
    for value, numeral in _ROMAN.items():
        count, number = divmod(number, value)
        text += numeral * count
    return text


def of_roman(text: str) -> int | None:
    """The number that the numerals say."""
    number, most = 0, 1
    for numeral in reversed(text):
        value = _ROMAN_DIGITS.get(numeral)
        if value is None:
            return None
        if value < most:
            number -= value
        else:
            most = value
            number += value
    return number


def in_letters(number: int, first: str) -> str:
    """`a` to `z`, then `aa`, as a spreadsheet counts."""
    letters = ""
    while number > 0:
        number, letter = divmod(number - 1, 26)
        letters = chr(letter + ord(first)) + letters
    return letters


def of_letters(text: str, first: str) -> int:
    """The number that the letters say."""
    number = 0
    for letter in text:
        number = number * 26 + ord(letter) - ord(first) + 1
    return number
