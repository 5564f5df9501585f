"""Pictures of times, as other languages write them: `yyyy-MM-dd`, `%Y-%m-%d`, `TT.MM.JJJJ`."""

from __future__ import annotations

import re

_LETTERS = {
    "yyyy": "[Y0001]", "YYYY": "[Y0001]", "JJJJ": "[Y0001]", "yy": "[Y,2-2]", "YY": "[Y,2-2]",
    "JJ": "[Y,2-2]", "MMMM": "[MNn]", "MMM": "[MNn,3-3]", "MM": "[M01]", "M": "[M]",
    "dddd": "[FNn]", "EEEE": "[FNn]", "ddd": "[FNn,3-3]", "EEE": "[FNn,3-3]", "dd": "[D01]",
    "DD": "[D01]", "TT": "[D01]", "d": "[D]", "D": "[D]", "HH": "[H01]", "H": "[H]", "hh": "[h01]",
    "h": "[h]", "mm": "[m01]", "ss": "[s01]", "SSS": "[f001]", "fff": "[f001]", "A": "[PN]",
    "tt": "[PN]", "a": "[P]", "'T'": "T", "'Z'": "Z", "T": "T", "Z": "Z",
}  # fmt: skip
_PERCENT = {
    "%Y": "[Y0001]", "%y": "[Y,2-2]", "%m": "[M01]", "%B": "[MNn]", "%b": "[MNn,3-3]",
    "%d": "[D01]", "%A": "[FNn]", "%a": "[FNn,3-3]", "%H": "[H01]", "%I": "[h01]", "%M": "[m01]",
    "%S": "[s01]", "%p": "[PN]", "%F": "[Y0001]-[M01]-[D01]", "%T": "[H01]:[m01]:[s01]",
    "%%": "%", "T": "T", "Z": "Z",
}  # fmt: skip
_WORD = re.compile(r"'T'|'Z'|%.|([A-Za-z])\1*|[^A-Za-z%]")


def translated(picture: str) -> str | None:
    """Return the picture that is meant; None where a part of it is not known, or none is one."""
    known = _PERCENT if "%" in picture else _LETTERS
    words = [each[0] for each in _WORD.finditer(picture)]
    if "".join(words) != picture or "[" in picture:
        return None
    parts = [known.get(each) if re.match(r"['%A-Za-z]", each) else each for each in words]
    if None in parts or not any(each.startswith("[") for each in map(str, parts)):
        return None
    if not {"MM", "HH", "H", "hh", "h"} & {*words}:  # of a spreadsheet: `dd/mm/yyyy`
        parts = ["[M01]" if word == "mm" else part for word, part in zip(words, parts, strict=True)]
    return "".join(map(str, parts))
