"""The errors of expressions: JSONata's codes, each with its message."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Never, cast

from halflap.errors import ExpressionError
from halflap.sdk.schema import UNSET

MESSAGES = {
    "S0101": "a text has no closing quote",
    "S0102": "the number {token} is out of range",
    "S0103": "\\{token} is no escape in a text; write \\\\ for a backslash",
    "S0104": "\\u is followed by 4 hexadecimal digits",
    "S0105": "a quoted name has no closing `",
    "S0106": "a comment has no closing */",
    "S0201": "{token} is not expected here",
    "S0202": "{value} is expected here, not {token}",
    "S0203": "{value} is missing at the end",
    "S0204": "{token} is no operator",
    "S0207": "the expression ends too early",
    "S0208": "parameter {value} of a function is a variable ($name), not {token}",
    "S0209": "a filter cannot follow a grouping; put brackets round the grouping",
    "S0210": "a step has one grouping only",
    "S0211": "{token} cannot stand here",
    "S0212": "what stands left of := is a variable ($name)",
    "S0213": "{value} cannot be a step of a path; quote a name of digits with backquotes",
    "S0214": "what stands right of {token} is a variable ($name)",
    "S0215": "@ comes before the filters of a step",
    "S0216": "@ comes before the sorting of a step",
    "S0217": "there is nothing that % could be the parent of",
    "S0301": "a regular expression is empty",
    "S0302": "a regular expression has no closing /",
    "S0303": "the regular expression is not understood: {value}",
    "S0401": "only arrays (a) and functions (f) take a type in a signature, not {value}",
    "S0402": "a choice in a signature takes no types of its own: {value}",
    "T0410": "${token} was given {found} as its argument {index}, and takes {wanted}{mend}",
    "T0411": "${token} was given no argument {index}, and cannot take {found} before it for that",
    "T0412": "${token} takes {type}, one or a list of them, and was given {found}{mend}",
    "D1001": "a number is out of range: beyond 1e±308, or divided by zero; test the divisor before:"
    " b = 0 ? 0 : a / b",
    "D1002": "{left} is {found}, and only a number can have a - before it{mend}",
    "T1003": "the name of a field is a text, and here it is {found}; use $string()",
    "D1004": "a regular expression that matches nothing (zero characters) never ends",
    "T1005": "{token} is no function here; did you mean ${token}?",
    "T1006": "there is no function ${token}",
    "T1007": "{token} is no function here; did you mean ${token}?",
    "T1008": "there is no function ${token}",
    "D1009": "two fields of an object have the same name, {value}",
    "T1010": "a function that matches returns match, start, end, groups and next",
    "T2001": "{left} is {found}, and {token} takes numbers{mend}",
    "T2002": "{right} is {found}, and {token} takes numbers{mend}",
    "T2003": "a range begins at a whole number, and {left} is {found}{mend}",
    "T2004": "a range ends at a whole number, and {right} is {found}{mend}",
    "T2006": "what stands right of ~> is a function, not {value}",
    "T2007": "{value} and {value2} cannot be sorted among each other",
    "T2008": "only numbers and texts can be sorted by, not {value}",
    "T2009": "{left} is {found} and {right} is {found2}: a text and a number cannot be compared by"
    " {token}{mend}",
    "T2010": "{side} is {found}, and {token} compares numbers or texts{mend}",
    "T2011": "a transformation changes by an object, not {value}",
    "T2012": "a transformation deletes by a name or a list of names, not {value}",
    "D2014": "a range would hold more than {limit} numbers; take fewer at once",
    "D3010": "$replace cannot look for an empty text",
    "D3011": "how often $replace replaces is 0 or more",
    "D3012": "$replace replaces by a text, not {value}",
    "D3020": "how often $split splits is 0 or more",
    "D3030": "{found} is not a number; correct it where it comes from, or test it before:"
    " $contains(x, /^-?\\d+(\\.\\d+)?$/) ? $number(x) : 0",
    "D3040": "how often $match matches is 0 or more",
    "D3050": "$reduce takes a function of two arguments or more",
    "D3060": "the root of a negative number, {value}",
    "D3061": "{value} to the power of {exp} is out of range",
    "D3070": "without a function, $sort sorts numbers or texts only",
    "D3080": "a picture has two parts at most, divided by ;",
    "D3081": "a picture has one decimal separator at most",
    "D3082": "a picture has one % at most",
    "D3083": "a picture has one ‰ at most",
    "D3084": "a picture has % or ‰, not both",
    "D3085": "a picture needs a digit: 0 or #",
    "D3086": "a picture has other characters only before and after its digits",
    "D3087": "a picture has no grouping separator beside its decimal separator",
    "D3088": "a picture's whole part does not end with a grouping separator",
    "D3089": "a picture has no two grouping separators side by side",
    "D3090": "before the decimal separator, # comes before 0",
    "D3091": "after the decimal separator, 0 comes before #",
    "D3092": "a picture with % or ‰ has no exponent",
    "D3093": "the exponent of a picture is made of 0",
    "D3100": "$formatBase takes a base from 2 to 36, not {value}",
    "D3110": "{found} is no time such as 2026-03-01T12:00:00Z; say how it is written: "
    "$toMillis(x, '[D]/[M]/[Y]')",
    "D3130": "a sequence that begins with {value} is not known",
    "D3131": "the digits of a picture are of one script",
    "D3132": "{value} is no part of a date or time picture",
    "D3133": "only months and days have names, not {value}",
    "D3134": "the picture of a time zone has four digits at most",
    "D3135": "a [ in a date or time picture has no closing ]",
    "D3136": "the picture says too little for a time",
    "D3137": "{value}",
    "D3138": "$single() found more than one; take the first by [0], or look for it by more",
    "D3139": "$single() found none; look by [condition] where there may be none",
    "D3140": "{value} is no URL that ${token} understands",
    "D3141": "{value}",
    "H0001": "${token} is not offered in Halflap",
    "H0002": "${token} needs the time or the chance of an execution; here there is none",
    "H0003": "a secret can only be handed on whole, to an input that takes one",
    "H0004": "a function is no result; call it, by (…) behind its name",
    "H0005": "a Python {type} is no value of JSON",
    "H0006": "the result holds half a surrogate pair",
    "H0101": "more than {limit} steps were taken; look for a recursion or a loop without an end,"
    " or move the work into a code step",
    "H0102": "it calls itself too deeply (limit: {limit} nested operations); end the recursion"
    " earlier, or write it tail-recursively",
    "H0103": "it took longer than {limit} s; move the work into a code step",
    "H0104": "it needs more than {limit} MiB; take less at once, or move the work into a code step",
    "H0105": "a text would be longer than {limit} characters; make it shorter",
    "H0106": "a list would hold more than {limit} values; take fewer at once",
    "H0107": "the result is larger than {limit} MiB; hand on less",
    "H0108": "the result is nested deeper than {limit} levels",
    "H0109": "the expression is longer than {limit} characters; move the work into a code step",
    "H0110": "the expression is nested deeper than {limit} levels; divide it by := in brackets",
    "H0112": "a picture is longer than {limit} characters",
    "H0113": "{value} of $formatNumber is one character",
    "H0114": "a time is out of range (the years 1 to 9999)",
    "H0111": "the regular expression is too large; write a simpler one",
    "H0116": "${token} cannot work on so large or so unusual a value; test the value before",
    "H0117": "an expression has more than {limit} %; bind what they stand for by @ or :=",
    "H0115": "this reads all that is in scope, and by no name; write the names that it reads",
}
"""By JSONata's own codes; those that begin with H are Halflap's."""


_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:T|$)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WANTED = {
    "s": "a text",
    "n": "a number",
    "b": "true or false",
    "l": "null",
    "a": "a list",
    "o": "an object",
    "f": "a function",
}


class Fault(Exception):
    """Something is wrong; whoever knows the place and the text makes an `ExpressionError` of it."""

    def __init__(self, code: str, at: int | None = None, **facts: Any) -> None:
        super().__init__(code)
        self.code = code
        self.at = at
        self.facts = facts

    def explained(self, text: str) -> ExpressionError:
        """The error that its author reads."""
        facts = {
            name: shown(value, name) for name, value in self.facts.items() if name not in _NAMES
        }
        for name in ("token", "value", "value2", "index", "type", "exp", "limit"):
            facts.setdefault(name, "?")
        facts |= self._operands()
        template = MESSAGES[self.code]
        return ExpressionError(
            template.format_map(facts),
            code=self.code,
            text=text,
            offset=min(self.at or 0, len(text)),
        )

    def _operands(self) -> dict[str, str]:
        """Describe what is wrong, by its name in the expression, and how to mend it."""
        value, other = self.facts.get("value"), self.facts.get("value2")
        token, side = self.facts.get("token", "it"), self.facts.get("side", "left")
        names = {name: self.facts.get(name) or "" for name in ("left", "right")}
        if self.code in ("T2002", "T2004") or (self.code == "T2009" and isinstance(other, str)):
            side = "right"
        wrong = other if self.code == "T2009" and side == "right" else value
        wanted = str(self.facts.get("wanted", "n")).strip("()")
        found = {name: text or f"what stands {name} of {token}" for name, text in names.items()}
        return found | {
            "found": described(value),
            "found2": described(other),
            "side": found[side],
            "wanted": " or ".join(_WANTED[each] for each in wanted if each in _WANTED)
            or "another value",
            "mend": _mend(wrong, names[side] or "…", wanted),
        }


_NAMES = ("left", "right", "side", "wanted")


def _mend(value: Any, name: str, wanted: str) -> str:
    """Say what to write for a value of the types wanted, the letters of a signature."""
    numeric, single = "n" in wanted, not {*"asbox"} & {*wanted}
    match value:
        case str() if numeric and _TIME.match(value):
            return f"; use $toMillis({name}): a day has 86400000"
        case str() if numeric and _NUMBER.fullmatch(value.strip()):
            return f"; use $number({name})"
        case str() if numeric and single:
            return "; the text is no number: correct it where it comes from"
        case None if numeric:
            return f"; where it may be missing, say what stands for it: {name} ?: 0"
        case None if "s" in wanted:
            return f"; where it may be missing, say what stands for it: {name} ?: ''"
        case list() if numeric and single:
            return f"; add its items up, $sum({name}), or take one of them, {name}[0]"
        case dict() if single:
            return f"; take one of its fields, {name}.field"
        case bool() if numeric and single:
            return f"; {name} ? 1 : 0 makes a number of it"
        case _ if wanted == "s" and not isinstance(value, list | dict):
            return f"; use $string({name})"
        case _:
            return ""


def fail(code: str, at: int | None = None, **facts: Any) -> Never:
    """Raise a fault."""
    raise Fault(code, at, **facts)


def shown(value: Any, name: str = "") -> str:
    """A value as an error shows it: short, and never a secret."""
    if name in ("token", "type", "index", "limit"):
        return str(value)
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            text = value if name == "value" and _plain(value) else f'"{value}"'
        case dict():
            return "an object"
        case list():
            return "a list"
        case float():
            return "a float of Python (codec.decode reads JSON exactly)"
        case int():
            text = f"{value}" if abs(value) < 10**40 else "a large number"
        case _:
            text = str(value) if type(value).__name__ == "Decimal" else "a function"
    return text if len(text) <= 60 else f"{text[:57]}…"


def described(value: Any) -> str:
    """A value as a sentence has it: `the text "twelve"`, `a list of 3`."""
    match value:
        case str():
            return f"the text {shown(value, 'text')}"
        case list():
            return f"a list of {len(cast('list[Any]', value))}"
        case Decimal() | int() if not isinstance(value, bool):
            return f"the number {shown(value)}"
        case _:
            return "nothing" if value is UNSET else shown(value)


def _plain(value: str) -> bool:
    return len(value) <= 2 or " " in value
