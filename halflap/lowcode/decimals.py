"""The decimals of a declared type in its JSON, where a whole one is written as any whole number is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel

from halflap.sdk.schema import Unset

Read = Callable[[Any], Any]


def decimals_of(annotation: Any) -> Read | None:
    """Reads JSON of a type: `7` where the type has a `Decimal` is `Decimal(7)`, as in a model of it.

    None where the type has none.
    """
    return _read_of(annotation, {})


def _read_of(annotation: Any, known: dict[Any, Read]) -> Read | None:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Decimal:
        return _decimal
    if origin is Annotated:
        return _read_of(args[0], known)
    if origin in (Union, UnionType):
        options = [each for each in args if each not in (NoneType, Unset)]
        return _read_of(options[0], known) if len(options) == 1 else None
    if origin is list:
        return _of_items(_read_of(args[0], known))
    if origin is dict:
        return _of_members(_read_of(args[1], known))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation, known)
    return None


def _decimal(value: Any) -> Any:
    return Decimal(value) if type(value) is int else value


def _of_items(read: Read | None) -> Read | None:
    if read is None:
        return None
    return lambda value: (
        [read(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value
    )


def _of_members(read: Read | None) -> Read | None:
    if read is None:
        return None

    def members(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: read(each) for name, each in cast("dict[str, Any]", value).items()}

    return members


def _of_model(model: type[BaseModel], known: dict[Any, Read]) -> Read | None:
    if model in known:
        return known[model]
    fields: dict[str, Read] = {}

    def read(value: Any) -> Any:
        return _with_fields(cast("dict[str, Any]", value), fields) if type(value) is dict else value

    known[model] = read
    for name, field in model.model_fields.items():
        found = _read_of(field.annotation, known)
        if found is not None:
            fields[field.serialization_alias or field.alias or name] = found
    return read if fields else None


def _with_fields(value: dict[str, Any], fields: Mapping[str, Read]) -> dict[str, Any]:
    return value | {name: read(value[name]) for name, read in fields.items() if name in value}
