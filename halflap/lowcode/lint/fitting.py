"""Check that an expression's result can fit an input: what surely cannot is a finding, no more."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from halflap.lowcode.lint.scope import Schema, carried, choices_of, forms_of, types_of
from halflap.sdk.fit import worded

_TIMES = frozenset(("date", "date-time", "time", "duration"))
_TRUE_OR_FALSE = frozenset(
    ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0")
)
MOST_DEPTH = 12


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that does not fit, and where in it: `given` is there, or `lacks` is not."""

    path: tuple[str | int, ...]
    given: Schema
    wanted: Schema
    lacks: str = ""
    written: bool = False
    """It is written out in the document, and no expression."""
    bound: str = ""
    """The bound that a value goes beyond, in words."""


def misfit(given: Schema | None, wanted: Schema, depth: int = 0) -> Misfit | None:
    """Why no value of `given` can fit `wanted`, after one value has become a list where lists are wanted.

    None where one may, or where too little is known. Null is passed by: a value may always be missing.
    """
    if depth > MOST_DEPTH or given is None or types_of(given) is None:
        return None
    gives = forms_of(given)
    takes = forms_of(wanted)
    if not gives:
        return None
    deepest: Misfit | None = None
    for one in gives:
        for form in takes:
            found = _one(one, form, depth)
            if found is None:
                return None
            if deepest is None or len(found.path) > len(deepest.path) or found.lacks:
                deepest = found
    if deepest is not None and len(gives) == 1 and len(takes) == 1:
        return deepest
    return Misfit((), given, wanted)


def _one(given: Schema, wanted: Schema, depth: int) -> Misfit | None:
    """Why one form does not fit another."""
    kind, takes = given.get("type"), wanted.get("type")
    wrong = Misfit((), given, wanted)
    if not isinstance(takes, str):
        return wrong if choices_of(wanted) and not _chosen(given, wanted) else None
    if takes == "array":
        return _items(given, wanted, depth)
    match kind:
        case "object" if takes == "object":
            return _fields(given, wanted, depth)
        case "string" if takes == "string":
            return None if _chosen(given, wanted) else wrong
        case "string":
            return None if takes != "object" and _reads_as(given, takes) else wrong
        case "number" | "integer":
            fits = takes in ("number", "integer", "boolean") or wanted.get("format") in _TIMES
            fits = fits and (takes != "integer" or _is_whole(given))
            return None if fits and _chosen(given, wanted) else wrong
        case "boolean":
            return None if takes in ("boolean", "number", "integer") else wrong
        case _:
            return wrong


_BOUNDS: tuple[tuple[str, str, str, Callable[[Any, Any], bool]], ...] = (
    ("minimum", "greater_than_equal", "ge", operator.ge),
    ("maximum", "less_than_equal", "le", operator.le),
    ("exclusiveMinimum", "greater_than", "gt", operator.gt),
    ("exclusiveMaximum", "less_than", "lt", operator.lt),
    ("multipleOf", "multiple_of", "multiple_of", lambda value, of: not value % Decimal(str(of))),
    ("minLength", "string_too_short", "min_length", lambda value, least: len(value) >= least),
    ("maxLength", "string_too_long", "max_length", lambda value, most: len(value) <= most),
)
"""Bounds of a JSON Schema: the fault of a value beyond, the bound's name there, and the test."""


_ALIKE = {
    "string": ("string",),
    "integer": ("integer", "number"),
    "number": ("integer", "number"),
}


def beyond(given: Schema | None, wanted: Schema) -> str:
    """Return which bound a value goes beyond, in words; empty where one form takes it."""
    said = ""
    if given is None or "const" not in given:
        return said
    for form in forms_of(wanted):
        if form.get("type") not in _ALIKE.get(given["type"], ()):
            continue
        broken = [
            worded({"type": fault, "ctx": {name: form[key]}})
            for key, fault, name, holds in _BOUNDS
            if key in form and not holds(given["const"], form[key])
        ]
        if not broken:
            return ""
        said = said or broken[0]
    return said


def _items(given: Schema, wanted: Schema, depth: int) -> Misfit | None:
    if "items" not in wanted:
        return None
    inner = carried(wanted["items"], wanted)
    if given.get("type") != "array":
        return misfit(given, inner, depth + 1)
    if "items" not in given:
        return None
    found = misfit(carried(given["items"], given), inner, depth + 1)
    return None if found is None else Misfit((), given, wanted)


def _fields(given: Schema, wanted: Schema, depth: int) -> Misfit | None:
    fields = cast("Mapping[str, Schema]", wanted.get("properties", {}))
    has = given.get("properties")
    if not isinstance(has, dict) or not (fields or others_of(wanted)):
        return None
    members = cast("Mapping[str, Schema]", has)
    for name, each in members.items():
        takes = fields.get(name) or others_of(wanted)
        if takes:
            found = misfit(carried(each, given), carried(takes, wanted), depth + 1)
            if found is not None:
                return Misfit((name, *found.path), found.given, found.wanted, found.lacks)
    # A field that is not known by this name may be a needed one by its other name.
    if given.get("additionalProperties") or not members.keys() <= fields.keys():
        return None
    for name in cast("list[str]", wanted.get("required", [])):
        if name not in members:
            return Misfit((), given, wanted, lacks=name)
    return None


def others_of(schema: Schema) -> Schema:
    """Return the schema of an object's other fields; empty where there is none."""
    others: Any = schema.get("additionalProperties")
    return cast("Schema", others) if isinstance(others, dict) else {}


def _chosen(given: Schema, wanted: Schema) -> bool:
    """Return whether one of the values, where they are known, is one of the allowed ones."""
    gives, takes = choices_of(given), choices_of(wanted)
    return not gives or not takes or any(each in takes for each in gives)


def _is_whole(given: Schema) -> bool:
    """Return whether one of the numbers, where they are known, is a whole one."""
    values = choices_of(given)
    return not values or any(each == int(each) for each in values)


def _reads_as(given: Schema, kind: str) -> bool:
    """Return whether a text can be read as a number, or as true or false."""
    values = choices_of(given)
    return not values or any(_reads(str(each), kind) for each in values)


def _reads(text: str, kind: str) -> bool:
    if kind == "boolean":
        return text.lower() in _TRUE_OR_FALSE
    try:
        Decimal(text.strip().replace("_", ""))
    except InvalidOperation:
        return False
    return True
