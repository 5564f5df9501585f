"""Between expressions and schemas: a result as an input takes it, a value with what is absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from halflap.sdk.schema import UNSET, Input

Schema = Mapping[str, Any]

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, Decimal),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
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


def fit_input(given: Input, value: Any) -> Any:
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
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    told = f"{place}: {first['msg']}" if place else str(first["msg"])
    if first["type"] == "string_type" and type(value) in (int, Decimal):
        return f'{told}; quote it, "{value}", or write =$string(…)'
    if value is None:
        return f"{told}, and it is null: what it is read from is missing"
    return told


class _Fitting:
    def __init__(self, schema: Schema) -> None:
        self._definitions = cast(Schema, schema.get("$defs", {}))

    def fit(self, value: Any, schema: Schema, depth: int) -> Any:
        if value is UNSET or value is None or depth > _MOST:
            return value
        options = list(self._options(schema, depth))
        for option in options:
            if _takes(option, value):
                return self._inside(value, option, depth)
        lists = [option for option in options if "array" in _types(option)]
        for option in lists if _list(value) is None else ():
            return [self.fit(value, cast(Schema, option.get("items", {})), depth + 1)]
        return value

    def _inside(self, value: Any, schema: Schema, depth: int) -> Any:
        if (values := _list(value)) is not None:
            each = cast(Schema, schema.get("items") or {})
            return [self.fit(item, each, depth + 1) for item in values]
        if (given := _object(value)) is not None:
            fields, others = _fields(schema)
            return {
                name: self.fit(item, fields.get(name, others), depth + 1)
                for name, item in given.items()
            }
        return value

    def complete(self, value: Any, schema: Schema, depth: int) -> Any:
        values, given = _list(value), _object(value)
        for option in self._options(schema, depth) if depth <= _MOST else ():
            if not _takes(option, value):
                continue
            if values is not None:
                each = cast(Schema, option.get("items") or {})
                return [self.complete(item, each, depth + 1) for item in values]
            if given is None:
                return value
            fields, others = _fields(option)
            required = cast(list[str], option.get("required", ()))
            made = {
                name: self.complete(item, fields.get(name, others), depth + 1)
                for name, item in given.items()
            }
            for name, field in fields.items():
                if name not in made and name not in required:
                    made[name] = field.get("default")
            return made
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


def _list(value: object) -> list[Any] | None:
    return cast(list[Any], value) if isinstance(value, list) else None


def _object(value: object) -> dict[str, Any] | None:
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def _types(schema: Schema) -> tuple[str, ...]:
    named = schema.get("type", ())
    return (named,) if isinstance(named, str) else tuple(cast(list[str], named))


def _takes(schema: Schema, value: Any) -> bool:
    named = _types(schema)
    if not named:
        return True
    kinds = tuple(kind for name in named for kind in _KINDS.get(name, ()))
    return isinstance(value, kinds) and (type(value) is not bool or "boolean" in named)


def _fields(schema: Schema) -> tuple[Mapping[str, Schema], Schema]:
    others: object = schema.get("additionalProperties")
    return (
        cast(Mapping[str, Schema], schema.get("properties") or {}),
        cast(Schema, others) if isinstance(others, dict) else {},
    )
