"""Times: now, and to and from milliseconds since 1970, by ISO 8601 or by a picture.

https://www.w3.org/TR/xpath-functions-31/#rules-for-datetime-formatting is the language of pictures.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from halflap.lowcode.expressions.error import fail
from halflap.lowcode.expressions.frame import VariableFrame
from halflap.lowcode.expressions.library import integers
from halflap.lowcode.expressions.library.declared import function, of_value
from halflap.lowcode.expressions.library.integers import MAX_PICTURE, Picture
from halflap.lowcode.expressions.number import Number
from halflap.lowcode.expressions.value import UNDEFINED
from halflap.sdk.linear import compiled

_DEFAULTS = {
    "Y": "1", "M": "1", "D": "1", "d": "1", "F": "n", "W": "1", "w": "1", "X": "1", "x": "1",
    "H": "1", "h": "1", "P": "n", "m": "01", "s": "01", "f": "1", "Z": "01:01", "z": "01:01",
    "C": "n", "E": "n",
}  # fmt: skip
_NUMBERS = "YMDdFWwXxHhmsf"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_ISO = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]"
_TIMESTAMP = re.compile(
    r"(\d{4})(?:-([01]\d))?(?:-([0-3]\d))?(?:T([0-2]\d):([0-5]\d):([0-5]\d))?(\.\d+)?"
    r"([+-][0-2]\d:?[0-5]\d|Z)?",
    re.ASCII,
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MEMORY = 4 * 1024 * 1024


@dataclass(slots=True)
class _Part:
    """A literal, or a component of a time and how it is written."""

    literal: str = ""
    component: str = ""
    names: str = ""
    narrow: int | None = None
    second: str = ""
    picture: Picture | None = None
    modulus: int = 0


def _read(text: str) -> list[_Part]:
    if len(text) > MAX_PICTURE:
        fail("H0112", limit=MAX_PICTURE)
    parts: list[_Part] = []
    at = 0
    while at < len(text):
        opening = text.find("[", at)
        literal = text[at:] if opening < 0 else text[at:opening]
        if literal:
            parts.append(_Part(literal.replace("]]", "]")))
        if opening < 0:
            break
        if text.startswith("[[", opening):
            parts.append(_Part("["))
            at = opening + 2
            continue
        closing = text.find("]", opening)
        if closing < 0:
            fail("D3135")
        part = _marker("".join(text[opening + 1 : closing].split()))
        before = parts[-1].picture if parts else None
        if part.picture and part.component not in "Zz" and before:
            before.width = before.digits
        parts.append(part)
        at = closing + 1
    return parts


def _marker(text: str) -> _Part:
    component, rest = text[:1], text[1:]
    part = _Part(component=component)
    presentation, comma, widths = rest.rpartition(",")
    if not comma:
        presentation, widths = rest, ""
    least, _, most = widths.partition("-")
    narrow = _width(most)
    part.narrow = narrow
    if len(presentation) > 1 and presentation[-1] in "atco":
        presentation, part.second = presentation[:-1], presentation[-1]
    presentation = presentation or _DEFAULTS.get(component, "")
    if component not in _DEFAULTS or not presentation:
        fail("D3132", value=component)
    if presentation[0] == "n":
        part.names = "lower"
    elif presentation[0] == "N":
        part.names = "title" if presentation[1:2] == "n" else "upper"
    elif component in _NUMBERS:
        picture = integers.read(presentation + (f";{part.second}" if part.second else ""))
        picture.digits = max(picture.digits, _width(least) or 0)
        if component == "Y":
            wide = picture.digits + picture.optional
            part.modulus = wide if wide >= 2 else 0
            if narrow is not None:
                part.modulus = picture.digits = narrow
        part.picture = picture
    if component in "Zz":
        part.picture = integers.read(presentation)
    return part


def _width(text: str) -> int | None:
    return min(int(text), MAX_PICTURE) if text.isdecimal() else None


# The components of a time -------------------------------------------------------------------


def _week_of_month(day: dt.date) -> tuple[int, int]:
    """Return the month that the day's week belongs to (its Thursday's), and its number in it."""
    thursday = day + dt.timedelta(days=3 - day.weekday())
    return thursday.month, (thursday.day - 1) // 7 + 1


_COMPONENTS: dict[str, Callable[[dt.datetime], int]] = {
    "Y": lambda time: time.year,
    "M": lambda time: time.month,
    "D": lambda time: time.day,
    "d": lambda time: time.timetuple().tm_yday,
    "F": lambda time: time.isoweekday(),
    "W": lambda time: time.isocalendar().week,
    "X": lambda time: time.isocalendar().year,
    "w": lambda time: _week_of_month(time.date())[1],
    "x": lambda time: _week_of_month(time.date())[0],
    "H": lambda time: time.hour,
    "h": lambda time: time.hour % 12 or 12,
    "P": lambda time: int(time.hour >= 12),
    "m": lambda time: time.minute,
    "s": lambda time: time.second,
    "f": lambda time: time.microsecond // 1000,
}


def _written(time: dt.datetime, part: _Part, minutes: int) -> str:
    component = part.component
    if not component:
        return part.literal
    if component in "Zz":
        return _zone(minutes, part)
    if component in "CE":
        return "ISO"
    value = _COMPONENTS[component](time)
    if component == "P":
        half = "pm" if value else "am"
        return half.upper() if part.names == "upper" else half
    if part.names:
        return _name(value, part)
    if part.modulus:
        value %= 10**part.modulus
    return integers.written(value, cast(Picture, part.picture))


def _name(value: int, part: _Part) -> str:
    if part.component not in "MxF":
        fail("D3133", value=part.component)
    name = (_DAYS if part.component == "F" else _MONTHS)[value - 1]
    name = {"upper": name.upper(), "lower": name.lower()}.get(part.names, name)
    return name if part.narrow is None else name[: part.narrow]


def _zone(minutes: int, part: _Part) -> str:
    picture = cast(Picture, part.picture)
    hours, rest = divmod(abs(minutes), 60)
    sign = -1 if minutes < 0 else 1
    if picture.every or picture.digits in (3, 4):
        text = integers.written(sign * (hours * 100 + rest), picture)
    elif picture.digits in (1, 2):
        text = integers.written(sign * hours, picture)
        text += f":{rest:02}" if rest else ""
    else:
        fail("D3134")
    text = text if minutes < 0 else f"+{text}"
    if minutes == 0 and part.second == "t":
        return "Z"
    return f"GMT{text}" if part.component == "z" else text


def _formatted(millis: int, picture: str, zone: Any) -> str:
    minutes = 0
    if zone is not UNDEFINED:
        found = re.match(r"\s*([-+]?)(\d{1,4})", zone, re.ASCII)
        if found is None:
            fail("D3110", value=zone)
        hours, rest = divmod(int(found.group(2)), 100)
        minutes = (hours * 60 + rest) * (-1 if found.group(1) == "-" else 1)
    try:
        time = _EPOCH + dt.timedelta(milliseconds=millis, minutes=minutes)
    except OverflowError:
        fail("H0114")
    return "".join(_written(time, part, minutes) for part in _read(picture))


# The other way ------------------------------------------------------------------------------


def _pattern(part: _Part) -> str:
    if not part.component:
        return re.escape(part.literal)
    if part.component in "Zz":
        separator = _separator(part)
        pattern = "[-+][0-9]+" + (re.escape(separator) + "[0-9]+" if separator else "")
        return "GMT" + pattern if part.component == "z" else pattern
    if part.component == "f":
        return "[0-9]+"
    if part.component not in "MxFP" and not part.picture:
        fail("D3133", value=part.component)
    return integers.pattern(part.picture) if part.picture else "[a-zA-Z]+"


def _separator(part: _Part) -> str:
    picture = cast(Picture, part.picture)
    return picture.separators[0][1] if picture.every else ""


def _value(text: str, part: _Part) -> int | None:
    if part.component in "Zz":
        return _minutes(text.removeprefix("GMT"), _separator(part))
    if part.component == "f":
        return int(text[:3].ljust(3, "0"))
    if part.picture:
        return integers.parsed(text, part.picture)
    if part.component == "P":
        return {"am": 0, "AM": 0, "pm": 1, "PM": 1}.get(text)
    names = _DAYS if part.component == "F" else _MONTHS
    shown = [name[: part.narrow] if part.narrow else name for name in names]
    return shown.index(text) + 1 if text in shown else None


def _minutes(text: str, separator: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text[1:]
    if separator:
        hours, _, rest = digits.partition(separator)
    else:
        hours, rest = digits[:2], digits[2:]
    return sign * (int(hours[:4]) * 60 + int(rest[:4] or 0))


def _parsed(text: str, picture: str, now: Callable[[], dt.datetime]) -> Any:
    parts = _read(picture)
    pattern = "^" + "".join(f"({_pattern(part)})" for part in parts) + "$"
    found = compiled(pattern, memory=_MEMORY, ignore_case=True).match(text)
    if found is None:
        return UNDEFINED
    given: dict[str, int] = {}
    for part, matched in zip(parts, found.groups(), strict=True):
        if part.component:
            value = _value(matched, part)
            if value is not None:
                given[part.component] = value
    return _millis(given, now) if given else UNDEFINED


def _components(given: dict[str, int]) -> str:
    """Return the components of the time that are given, which decide between the ways to write a
    date.
    """
    date = {name for name in "YXMxWwdD" if given.get(name)}
    clock = {name for name in "PHhmsf" if given.get(name)}
    if date and date <= set("YMD"):
        way = "YMD"
    elif date and date <= set("Yd"):
        way = "Yd"
    elif date and date <= set("Xxw"):
        way = "XxwF"
    else:
        way = "XWF" if date and date <= set("XW") else "YMD"
    halves = clock and not clock <= set("Hmsf") and clock <= set("Phmsf")
    return way + ("Phmsf" if halves else "Hmsf")


def _millis(given: dict[str, int], now: Callable[[], dt.datetime]) -> int:
    """The time that is said: what is larger than what is given is now's, what is smaller begins."""
    components = _components(given)
    begun = ended = False
    for name in components:
        if name in given:
            if ended:
                fail("D3136")
            begun = True
        elif begun:
            ended = True
            given[name] = 1 if name in "MDd" else 0
        else:
            given[name] = _COMPONENTS[name](now())
    if "X" in components:
        fail("D3136")
    if "P" in components:
        given["H"] = given["h"] % 12 + 12 * given["P"]
    year, month = given["Y"], max(given.get("M", 1), 1) - 1
    year += 1900 if 0 <= year <= 99 else 0
    try:
        start = dt.datetime(year + month // 12, month % 12 + 1, 1, tzinfo=dt.UTC)
        time = start + dt.timedelta(
            days=(given["d"] if "d" in components else given["D"]) - 1,
            hours=given["H"],
            minutes=given["m"] - (given.get("Z") or given.get("z") or 0),
            seconds=given["s"],
            milliseconds=given["f"],
        )
    except (ValueError, OverflowError):
        fail("H0114")
    return (time - _EPOCH) // dt.timedelta(milliseconds=1)


def _iso(text: str) -> int:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        fail("D3110", value=text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        time = dt.datetime(int(year), int(month or 1), int(day or 1), tzinfo=dt.UTC)
        hours = int(hour or 0)
        if hours > 24:
            fail("D3110", value=text)
        time += dt.timedelta(hours=hours, minutes=int(minute or 0), seconds=int(second or 0))
        time += dt.timedelta(milliseconds=int((fraction or ".0")[1:4].ljust(3, "0")))
        if zone and zone != "Z":
            time -= dt.timedelta(minutes=_minutes(zone.replace(":", ""), ""))
    except (ValueError, OverflowError):
        fail("D3110", value=text)
    return (time - _EPOCH) // dt.timedelta(milliseconds=1)


# The functions ------------------------------------------------------------------------------


def _now(frame: VariableFrame) -> dt.datetime:
    now = frame.evaluation.now
    return fail("H0002") if now is None else now.astimezone(dt.UTC)


def _now_millis(frame: VariableFrame) -> int:
    return (_now(frame) - _EPOCH) // dt.timedelta(milliseconds=1)


@function("millis", "<:n>")
def millis(frame: VariableFrame) -> int:
    """The time of the execution, in milliseconds since 1970."""
    return _now_millis(frame)


@function("now", "<s?s?:s>")
def now(frame: VariableFrame, picture: Any = UNDEFINED, zone: Any = UNDEFINED) -> str:
    """The time of the execution."""
    return _formatted(_now_millis(frame), _ISO if picture is UNDEFINED else picture, zone)


@of_value("fromMillis", "<n-s?s?:s>")
def from_millis(
    _: VariableFrame, value: Number, picture: Any = UNDEFINED, zone: Any = UNDEFINED
) -> str:
    """A time in milliseconds since 1970, as text."""
    return _formatted(math.floor(value), _ISO if picture is UNDEFINED else picture, zone)


@of_value("toMillis", "<s-s?:n>")
def to_millis(frame: VariableFrame, text: str, picture: Any = UNDEFINED) -> Any:
    """A time as text, in milliseconds since 1970."""
    if picture is UNDEFINED:
        return _iso(text)
    frame.evaluation.meter.take(1 + len(text) // 16)
    return _parsed(text, picture, lambda: _now(frame))
