"""Compare a value of JSON with a schema: where it deviates, and how, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from halflap.sdk.schema import File

if TYPE_CHECKING:
    from halflap.sdk.linear import Pattern

Schema = Mapping[str, Any]

DEVIATIONS = Counter[str]()
"""By action, the deviations of the answers that it got in this process."""

MOST_NODES = 50_000
"""The number of values that are compared at most; a longer answer is compared up to there."""
TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float, Decimal), "a number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), "a list"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}

SHOWN = 12
"""The choices that a message shows at most."""
PATTERN_BYTES = 1 << 20
PATTERN_SECONDS = 0.25
"""The seconds that all patterns of a comparison may take at worst; what is beyond is left to the app."""
INTEGERS = {"int32": 31, "int64": 63}
TEXT_FORMATS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "date": (date.fromisoformat, "a date as 2026-01-31"),
    "date-time": (datetime.fromisoformat, "a time as 2026-01-31T12:00:00Z"),
    "uuid": (UUID, "a UUID"),
    "ipv4": (IPv4Address, "an address of IPv4"),
    "ipv6": (IPv6Address, "an address of IPv6"),
}
PATTERN_FORMATS = {
    "email": (r"^[^@\s]+@[^@\s]+$", "an address of mail"),
    "uri": (r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s]+$", "a whole address as https://example.com"),
}
BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minLength": ("string", lambda value, bound: len(value) >= bound, "at least {} characters"),
    "maxLength": ("string", lambda value, bound: len(value) <= bound, "at most {} characters"),
    "minItems": ("array", lambda value, bound: len(value) >= bound, "at least {} items"),
    "maxItems": ("array", lambda value, bound: len(value) <= bound, "at most {} items"),
    "minProperties": ("object", lambda value, bound: len(value) >= bound, "at least {} fields"),
    "maxProperties": ("object", lambda value, bound: len(value) <= bound, "at most {} fields"),
    "minimum": ("number", lambda value, bound: value >= bound, "{} at least"),
    "maximum": ("number", lambda value, bound: value <= bound, "{} at most"),
    "exclusiveMinimum": ("number", lambda value, bound: value > bound, "more than {}"),
    "exclusiveMaximum": ("number", lambda value, bound: value < bound, "less than {}"),
    "multipleOf": ("number", lambda value, bound: is_multiple(value, bound), "a multiple of {}"),
}
"""By rule, what it is of, when it is kept, and what a value has to have or to be."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A place in a value, as a JSON pointer, and what is wrong there: its kind, or something of it."""

    place: str
    message: str
    is_kind: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def deviations(value: Any, schema: Schema) -> Iterator[Deviation]:
    """Yield where a value deviates from a schema, in the order of the value."""
    return _Comparison().compare(value, schema, "")


def first_fault(value: Any, schema: Schema) -> Deviation | None:
    """Return why a value that is to be sent does not fit, by all rules of its schema; None if it fits."""
    return next(_Comparison(every_rule=True).compare(value, schema, ""), None)


def unmet(alternatives: Schema, given: Collection[str]) -> str | None:
    """Return which fields are missing, or too many, of those of which some are needed (`of`).

    With `exactly`, one of the alternatives alone.
    """
    ways: list[list[str]] = alternatives["of"]
    met = [each for each in ways if set(each) <= {*given}]
    if len(met) == 1 or (met and not alternatives["exactly"]):
        return None
    words = ", or ".join(" and ".join(each) for each in ways)
    return f"takes only one of these: {words}" if met else f"needs {words}"


class _Comparison:
    """A comparison with types, choices and fields; with every rule, for what is to be sent."""

    def __init__(self, every_rule: bool = False) -> None:
        self._left = MOST_NODES
        self._seconds = PATTERN_SECONDS
        self._every_rule = every_rule

    def compare(self, value: Any, schema: Schema, at: str) -> Iterator[Deviation]:
        self._left -= 1
        if self._left <= 0:
            return
        options = cast("list[Schema] | None", schema.get("anyOf"))
        if options:
            yield from self._any(value, options, at)
            if "type" not in schema and "properties" not in schema:
                return
        kind = schema.get("type")
        if isinstance(kind, str) and kind in TYPES:
            types, words = TYPES[kind]
            fits = isinstance(value, types) and (kind == "boolean" or not isinstance(value, bool))
            if kind == "integer" and isinstance(value, Decimal | float):
                fits = value == int(value)
            if kind in ("string", "object") and isinstance(value, File):
                fits = schema.get("format") in ("binary", "file")
            if not fits:
                is_part = kind == "integer" and isinstance(value, Decimal | float)
                told = "has a fraction" if is_part else f"is {kind_of(value)}"
                yield Deviation(at, f"has to be {words}, and {told}", is_kind=True)
                return
        if (choices := schema.get("enum")) and value not in choices:
            choices = nearest(value, choices) if self._every_rule else choices
            known = ", ".join(str(each) or '""' for each in choices[:SHOWN]) + (
                ", …" if len(choices) > SHOWN else ""
            )
            yield Deviation(at, f"has to be one of: {known}")
            return
        if self._every_rule:
            yield from (Deviation(at, each) for each in broken_rules(value, schema, self._matches))
        if isinstance(value, dict):
            yield from self._object(cast("dict[str, Any]", value), schema, at)
        elif isinstance(value, list) and (items := schema.get("items")):
            for number, each in enumerate(cast("list[Any]", value)):
                yield from self.compare(each, items, f"{at}/{number}")

    def _matches(self, value: str, pattern: str) -> bool:
        """Return whether a text matches; True where RE2 does not read it, or may take too long."""
        from halflap.sdk.linear import longest_search

        compiled = _compiled(pattern)
        if compiled is None:
            return True
        self._seconds -= (seconds := longest_search(compiled, value))
        if self._seconds < 0:
            self._seconds += seconds
            return True
        try:
            return compiled.search(value) is not None
        except UnicodeError:
            return False

    def _any(self, value: Any, options: list[Schema], at: str) -> Iterator[Deviation]:
        closest: Deviation | None = None
        for option in options:
            found = next(self.compare(value, option, at), None)
            if found is None:
                return
            if closest is None or rank_of(found) > rank_of(closest):
                closest = found
        kinds = [TYPES[each["type"]][1] for each in options if each.get("type") in TYPES]
        if closest and closest.place == at and closest.is_kind and len(kinds) == len(options) > 1:
            wanted = " or ".join(dict.fromkeys(kinds))
            closest = Deviation(at, f"has to be {wanted}, and is {kind_of(value)}")
        if closest is not None:
            yield closest

    def _object(self, value: dict[str, Any], schema: Schema, at: str) -> Iterator[Deviation]:
        fields: Mapping[str, Schema] = schema.get("properties") or {}
        others: Any = schema.get("additionalProperties")
        if self._every_rule and (ways := schema.get("x-alternatives")):
            fault = unmet(ways, [name for name, each in value.items() if each is not None])
            if fault is not None:
                yield Deviation(at, fault)
        for name in schema.get("required") or ():
            if name not in value and not fields.get(name, {}).get("writeOnly"):
                yield Deviation(f"{at}/{name}", "is missing")
        for name, each in value.items():
            if name in fields:
                yield from self.compare(each, fields[name], f"{at}/{name}")
            elif isinstance(others, Mapping):
                yield from self.compare(each, cast(Schema, others), f"{at}/{name}")
            elif others is False and fields:
                known = ", ".join(list(fields)[:8])
                yield Deviation(f"{at}/{name}", f"is not known here; there are: {known}")


def rank_of(deviation: Deviation) -> tuple[int, bool]:
    """Return how near a deviation is to what was meant: deep, and of the right kind."""
    return len(deviation.place), not deviation.is_kind


def broken_rules(value: Any, schema: Schema, matches: Callable[[str, str], bool]) -> Iterator[str]:
    """Yield which rules a value breaks (bounds, pattern, format), each with the rule's name."""
    kind = "number"
    if isinstance(value, str):
        kind = "string"
        yield from _broken_by_text(value, schema, matches)
    elif isinstance(value, list):
        kind = "array"
        items = [repr(each) for each in cast("list[Any]", value)]
        if schema.get("uniqueItems") is True and len({*items}) < len(items):
            yield "has the same item twice (uniqueItems)"
    elif isinstance(value, dict):
        kind = "object"
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return
    bits = INTEGERS.get(str(schema.get("format")), 0) if kind == "number" else 0
    if bits and not -(1 << bits) <= cast(Decimal, value) < 1 << bits:
        yield f"has to be a number of {bits + 1} bits (format {schema['format']})"
    for rule, (of, keeps, words) in BOUNDS.items():
        bound: Any = schema.get(rule)
        if of != kind or isinstance(bound, bool) or not isinstance(bound, int | float | Decimal):
            continue
        if schema.get(f"exclusive{rule.capitalize()}") is True:  # as OpenAPI 3.0 has it
            rule = f"exclusive{rule.capitalize()}"
            _, keeps, words = BOUNDS[rule]
        if not keeps(value, bound):
            verb = "be" if kind == "number" else "have"
            yield f"has to {verb} {words.format(bound)} ({rule})"


def is_multiple(value: Any, of: Any) -> bool:
    """Return whether a number is a multiple of another; True where that cannot be computed."""
    try:
        return Decimal(str(value)) % Decimal(str(of)) == 0
    except ArithmeticError:
        return True


def _broken_by_text(
    value: str, schema: Schema, matches: Callable[[str, str], bool]
) -> Iterator[str]:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not matches(value, pattern):
        yield f"has to match {pattern} (pattern)"
    format = str(schema.get("format"))
    if (found := PATTERN_FORMATS.get(format)) and not matches(value, found[0]):
        yield f"has to be {found[1]} (format {format})"
    if known := TEXT_FORMATS.get(format):
        try:
            known[0](value)
        except ValueError:
            yield f"has to be {known[1]} (format {format})"


@lru_cache(maxsize=1_000)
def _compiled(pattern: str) -> Pattern | None:
    from halflap.sdk.linear import UnreadablePattern, compiled

    try:
        return compiled(pattern, memory=PATTERN_BYTES)
    except UnreadablePattern:
        return None


def nearest(value: Any, choices: Collection[Any]) -> list[Any]:
    """Return the choices, those that are most like a value first."""
    from difflib import SequenceMatcher

    wanted = SequenceMatcher(b=str(value).lower()[:100])

    def likeness(choice: Any) -> float:
        wanted.set_seq1(str(choice).lower()[:100])
        return wanted.ratio()

    return sorted(choices, key=likeness, reverse=True)


def kind_of(value: Any) -> str:
    """Return what kind of value it is: the value itself may be a customer's, and is not told."""
    for types, words in TYPES.values():
        if isinstance(value, types) and (types == (bool,) or not isinstance(value, bool)):
            return words
    return f"a {type(value).__name__}"
