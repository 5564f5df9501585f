"""Between expressions and schemas: a result as an input takes it, a value with what is absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from halflap.sdk.conformity import SHOWN, TYPES, nearest
from halflap.sdk.schema import UNSET, InputField

Schema = Mapping[str, Any]

_MOST = 64
"""The depth to which a schema is followed; one that refers to itself ends there."""


def fit(value: Any, schema: Schema) -> Any:
    """The value as the schema of an input has it: what JSONata made of a list is a list again.

    One value becomes a list of one where the schema says list, at any depth. Nothing else is
    converted: a number that is given for a text stays one, and is refused by the input.
    """
    return _Fitting(schema).fit(value, schema, 0)


def complete(value: Any, schema: Schema) -> Any:
    """The value with the optional fields of the schema that are absent: their default, else null.

    So that an absent field reads as null, as it does in Python.
    """
    return _Fitting(schema).complete(value, schema, 0)


_lists: WeakKeyDictionary[TypeAdapter[Any], Schema | None] = WeakKeyDictionary()
# Of each input that takes lists, its schema: making one takes longer than using it.


def fit_input(given: InputField, value: Any) -> Any:
    """A value as an input of an action takes it; `ValidationError` where it does not fit."""
    adapter = given.adapter
    value = without_unset(value)
    if adapter not in _lists:
        schema = adapter.json_schema()
        _lists[adapter] = schema if "'array'" in repr(schema) else None
    lists = _lists[adapter]
    return adapter.validate_python(value if lists is None else fit(value, lists))


def without_unset(value: Any) -> Any:
    """Return the value without members that are `UNSET`; an item of a list that is becomes null."""
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value).items()
        return {name: without_unset(each) for name, each in members if each is not UNSET}
    if type(value) is list:
        values = cast(list[Any], value)
        return [None if each is UNSET else without_unset(each) for each in values]
    return value


def misfit(error: ValidationError, value: Any) -> str:
    """Return the message about a value that does not fit: what is wrong, and what to write."""
    path, message = wrong_part(error, value)
    return f"{'.'.join(map(str, path))}: {message}" if path else message


def wrong_part(error: ValidationError, value: Any) -> tuple[tuple[str | int, ...], str]:
    """Return where in a value that does not fit it is wrong, and what to write there."""
    found = error.errors(include_url=False, include_input=False)
    placed = [(path_in(value, each), cast("Mapping[str, Any]", each)) for each in found]
    deepest = max((path for path, _ in placed), key=len)
    here = [each for path, each in placed if path == deepest]
    part = _at(value, deepest)
    said = list(dict.fromkeys(worded(each, part) for each in here if each["type"] not in _VAGUE))
    message = " or ".join([*said[:1], *(each.removeprefix("has to be ") for each in said[1:])])
    message = message or worded(here[0])
    if any(each["type"] == "string_type" for each in here) and type(part) in (int, Decimal, bool):
        shown = str(part).lower() if type(part) is bool else str(part)
        message += f'; quote it, "{shown}", or write =$string(…)'
    if part is None:
        said = "" if message.endswith("and is null") else ", and it is null"
        message += f"{said}: what it is read from is missing"
    return deepest, message


_VAGUE = frozenset(("none_required", "is_instance_of", "callable_type"))
"""Faults of one way to read a value, beside which another one says more."""


def path_in(data: Any, error: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return an error's place in the data, without what only the models are named by."""
    path: list[str | int] = []
    here = data
    places = cast("tuple[str | int, ...]", error["loc"])
    for at, each in enumerate(places):
        if isinstance(here, Mapping) and each in here:
            here = cast("Mapping[Any, Any]", here)[each]
        elif isinstance(here, list) and isinstance(each, int):
            here = cast("list[Any]", here)[each]
        elif at < len(places) - 1 or error["type"] != "missing":
            continue
        path.append(each)
    return tuple(path)


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for each in path:
        try:
            value = value[each]
        except (KeyError, IndexError, TypeError):
            return None
    return value


_HAS_TO_BE: Mapping[str, str] = {
    "string": "a text", "int": "a whole number", "float": "a number", "decimal": "a number",
    "bool": "true or false", "list": "a list", "tuple": "a list", "set": "a list",
    "frozen_set": "a list", "dict": "a mapping, `name: value`", "mapping": "a mapping, `name: value`",
    "model": "a mapping, `name: value`", "dataclass": "a mapping, `name: value`",
    "datetime": "a time: 2026-03-01T12:00:00Z", "date": "a date: 2026-03-01",
    "time": "a time of day: 12:30", "url": "a URL", "bytes": "a text", "none": "null",
    "uuid": "a UUID", "finite": "a number", "time_delta": "a duration: 30s, 5 min",
    "timezone": "a time with its zone: 2026-03-01T12:00:00Z",
}  # fmt: skip
"""By the beginning of a fault's name, what a value has to be."""

_BOUNDS: Mapping[str, str] = {
    "greater_than": "has to be greater than {gt}",
    "greater_than_equal": "has to be at least {ge}",
    "less_than": "has to be less than {lt}",
    "less_than_equal": "has to be at most {le}",
    "too_short": "has to have at least {min_length}",
    "too_long": "has to have at most {max_length}",
    "string_too_short": "has to have at least {min_length} characters",
    "string_too_long": "has to have at most {max_length} characters",
    "literal_error": "has to be one of {expected}",
    "enum": "has to be one of {expected}",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "is_instance_of": "cannot be given here",
    "callable_type": "cannot be given here",
    "multiple_of": "has to be a multiple of {multiple_of}",
    "string_pattern_mismatch": "does not fit the pattern {pattern}",
}


MANY = 8
"""The number of choices above which those that are most like a value come first, and others are cut."""
_CHOICE = re.compile(r"'((?:[^'\\]|\\.)*)'")


def worded(error: Mapping[str, Any], value: Any = None) -> str:
    """Return a fault of validation in plain words: `has to be a whole number`.

    Of many choices those that are most like the `value` come first.
    """
    kind = str(error["type"])
    if kind in ("literal_error", "enum") and isinstance(value, str):
        choices: list[str] = _CHOICE.findall(str(error["msg"]))
        if len(choices) > MANY:
            known = ", ".join(f"'{each}'" for each in nearest(value, choices)[:SHOWN])
            return f"has to be one of: {known}" + (", …" if len(choices) > SHOWN else "")
    if kind in _BOUNDS:
        return _BOUNDS[kind].format_map(error.get("ctx") or {})
    if kind in ("value_error", "assertion_error"):
        return str(error["msg"]).partition(", ")[2]
    while kind not in _HAS_TO_BE and "_" in kind:
        kind = kind.rpartition("_")[0]
    if kind in _HAS_TO_BE:
        return f"has to be {_HAS_TO_BE[kind]}"
    message = str(error["msg"])
    return message.replace("Input should be", "has to be").replace("a valid string", "a text")


class _Fitting:
    def __init__(self, schema: Schema) -> None:
        self._definitions = cast(Schema, schema.get("$defs", {}))

    def fit(self, value: Any, schema: Schema, depth: int) -> Any:
        if value is UNSET or value is None or depth > _MOST:
            return value
        options = list(self._options(schema, depth))
        for option in options:
            if _takes(option, value):
                return self._inside(self.fit, value, option, depth)
        lists = [option for option in options if "array" in _types(option)]
        for option in lists if not isinstance(value, list) else ():
            return [self.fit(value, cast(Schema, option.get("items", {})), depth + 1)]
        return cast(Any, value)

    @staticmethod
    def _inside(part: Callable[..., Any], value: Any, schema: Schema, depth: int) -> Any:
        if isinstance(value, list):
            each = cast(Schema, schema.get("items") or {})
            return [part(item, each, depth + 1) for item in cast(list[Any], value)]
        if isinstance(value, dict):
            fields, others = _fields(schema)
            return {
                name: part(item, fields.get(name, others), depth + 1)
                for name, item in cast(dict[str, Any], value).items()
            }
        return value

    def complete(self, value: Any, schema: Schema, depth: int) -> Any:
        for option in self._options(schema, depth) if depth <= _MOST else ():
            if not _takes(option, value):
                continue
            made = self._inside(self.complete, value, option, depth)
            if isinstance(made, dict):
                given, required = cast(dict[str, Any], made), option.get("required", ())
                for name, field in _fields(option)[0].items():
                    if name not in given and name not in required:
                        given[name] = field.get("default")
            return cast(Any, made)
        return value

    def _options(self, schema: Schema, depth: int) -> Iterator[Schema]:
        """The schemas of which a value fits one."""
        for _ in range(_MOST):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            schema = cast(Schema, self._definitions.get(reference.rpartition("/")[2], {}))
        choices = cast(list[Schema], schema.get("anyOf") or schema.get("oneOf") or ())
        if choices and depth <= _MOST:
            for choice in choices:
                yield from self._options(choice, depth + 1)
        elif len(every := cast(list[Schema], schema.get("allOf") or ())) == 1:
            yield from self._options(every[0], depth + 1)
        else:
            yield schema


def _types(schema: Schema) -> tuple[str, ...]:
    named = schema.get("type", ())
    return (named,) if isinstance(named, str) else tuple(cast(list[str], named))


def _takes(schema: Schema, value: Any) -> bool:
    named = _types(schema)
    if not named:
        return True
    kinds = tuple(kind for name in named if name in TYPES for kind in TYPES[name][0])
    return isinstance(value, kinds) and (type(value) is not bool or "boolean" in named)


def _fields(schema: Schema) -> tuple[Mapping[str, Schema], Schema]:
    others: object = schema.get("additionalProperties")
    return (
        cast(Mapping[str, Schema], schema.get("properties") or {}),
        cast(Schema, others) if isinstance(others, dict) else {},
    )
