"""JSON in and out, exactly: no digit of a number is lost and nothing is turned into something else.

Integers are `int` at any size up to 500 digits, fractions are `Decimal` with every digit that was
sent (`1.10` stays `1.10`). Of two equal keys the last one wins, as in every browser; `-0` is `0`.
What JSON cannot say is refused with `NotJson`, never approximated.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any, cast

import msgspec
from pydantic import BaseModel, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic_core import to_jsonable_python

from halflap.sdk._json import (
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    TOO_DEEP,
    TOO_LONG,
    NotJson,
    fits,
    long_number,
    on_fresh_stack,
)
from halflap.sdk._json import decode_json as decode
from halflap.sdk.schema import UNSET, File

__all__ = ["MAX_CONTAINERS", "MAX_DEPTH", "MAX_DIGITS", "MAX_VALUES", "NotJson", "decode", "encode"]
__all__ += ["decode_json", "encode_json"]


def encode(value: Any, *, sort: bool = False) -> bytes:
    """Write a value as JSON: what `decode` reads back equal, or as the text that stands for it.

    Dates, times, UUIDs and URLs become text; enums their value; files what they hold; dataclasses
    and models (by alias) objects, without the fields that are `UNSET`; sets sorted arrays; keys
    text. A `float` is written with the digits that identify it. With `sort`, objects are sorted by
    key, so that equal values have equal bytes. Raises `NotJson`, naming the path, for bytes,
    secrets, NaN, infinity and types that have no JSON.
    """
    encoder = _SORTING_ENCODER if sort else _ENCODER
    try:
        plain = _is_plain(value)
        try:
            data = encoder.encode(value if plain else _plain(value, "$", 0))
        except RecursionError:  # so that it does not depend on how deep the writer already is
            value = value if plain else on_fresh_stack(_plain, value, "$", 0)
            data = on_fresh_stack(encoder.encode, value)
    except RecursionError as error:
        raise NotJson(TOO_DEEP) from error
    except UnicodeEncodeError as error:
        raise NotJson(
            f"a text holds half a surrogate pair (U+{ord(error.object[error.start]):X})"
        ) from error
    except ValueError as error:
        if isinstance(error, NotJson):
            raise
        long = "int_max_str_digits" in str(error)
        raise NotJson(TOO_LONG if long else str(error)) from error
    if len(data) > MAX_DIGITS and long_number(data) is not None:
        raise NotJson(TOO_LONG)
    return data


def encode_json(value: Any) -> bytes:
    """Return a value as JSON, with every digit of its numbers: what a body that is signed is made of."""
    return encode(value)


def decode_json(text: bytes | str) -> Any:
    """Return the value of a JSON text from outside, with every digit of its numbers.

    `ValueError` says why it is none; more than 256 levels, 1,048,576 values or 250,000 arrays and
    objects are refused.
    """
    return decode(text, bounded=True)


_TEXT: frozenset[type] = frozenset({str})
_LEAVES = frozenset({str, int, bool, type(None)})


_FILES = TypeAdapter(File)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SORTING_ENCODER = msgspec.json.Encoder(decimal_format="number", order="deterministic")


def _is_plain(value: Any) -> bool:
    """Return whether the encoder may write this as it is; refuse what is too deep."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is dict:
            if not _TEXT.issuperset(map(type, item)):
                return False
            children: Iterable[Any] = item.values()
        elif kind is list:
            children = item
        elif kind is Decimal:
            if not fits(item):
                return False
            continue
        elif kind is float:
            if not math.isfinite(item):
                return False
            continue
        elif kind in _LEAVES:
            continue
        else:
            return False
        if depth == MAX_DEPTH:
            raise NotJson(TOO_DEEP)
        if not _LEAVES.issuperset(map(type, children)):
            stack += [(each, depth + 1) for each in children if type(each) not in _LEAVES]
    return True


def _plain(value: Any, path: str, depth: int) -> Any:
    """The same value, made of what the encoder writes faithfully."""
    # Loops, not comprehensions: in Python 3.11 each of those costs a second frame a level.
    if depth > MAX_DEPTH:
        raise NotJson(TOO_DEEP)
    if not isinstance(value, Mapping | Sequence | Set) or isinstance(
        value, str | bytes | bytearray
    ):
        known, scalar = _scalar(value, path)
        if known:
            return scalar
        value = scalar
        if not isinstance(value, Mapping | list):
            return _plain(value, path, depth + 1)
    if isinstance(value, Mapping):
        fields: dict[str, Any] = {}
        for key, child in cast(Mapping[Any, Any], value).items():
            if child is UNSET:
                continue
            name = _key(key, path)
            if name in fields:
                raise NotJson(f"{path}: two keys are written {name!r}; name them apart")
            fields[name] = _plain(child, f"{path}.{name}", depth + 1)
        return fields
    items: list[Any] = []
    for index, child in enumerate(cast(Iterable[Any], value)):
        items.append(_plain(child, f"{path}[{index}]", depth + 1))
    if isinstance(value, Set):
        items.sort(key=_SORTING_ENCODER.encode)
    return items


def _scalar(value: Any, path: str) -> tuple[bool, Any]:
    """(True, what to write), or (False, the object, array or other value to look at instead)."""
    match value:
        case enum.Enum():
            if value is UNSET:
                raise NotJson(f"{path}: UNSET has no JSON; leave the field out")
            return False, value.value
        case None | bool():
            return True, value
        case str():
            return True, str.__str__(value)
        case int():
            return True, int(value)
        case float():
            if not math.isfinite(value):
                raise NotJson(f"{path}: {float(value)} has no JSON; send None or text")
            return True, float(value)
        case Decimal():
            if not fits(value):
                raise NotJson(
                    f"{path}: NaN, infinity and numbers beyond 1e±{MAX_DIGITS} have no JSON"
                )
            return True, Decimal(value)
        case bytes() | bytearray() | memoryview():
            raise NotJson(f"{path}: bytes have no JSON; pass text (base64, for example) or a File")
        case SecretStr() | SecretBytes() | Secret():
            raise NotJson(f"{path}: a secret is not written; pass its connection instead")
        case dt.datetime() | dt.time():
            return True, re.sub(r"\+00:00$", "Z", value.isoformat())
        case dt.date():
            return True, value.isoformat()
        case uuid.UUID():
            return True, str(value)
        case File():
            return False, _FILES.dump_python(value)
        case BaseModel():
            return False, value.model_dump(mode="python", by_alias=True)
        case _:
            return _other(value, path)


def _other(value: Any, path: str) -> tuple[bool, Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return False, {name: getattr(value, name) for name in names}
    if not hasattr(value, "__next__") and not isinstance(value, type):
        try:
            # URLs, addresses, paths, durations: as Pydantic writes them.
            written = to_jsonable_python(value)
        except (ValueError, TypeError):
            pass
        else:
            if isinstance(written, str | int | float):
                return True, written
    raise NotJson(f"{path}: a {type(value).__name__} has no JSON; pass a model, a dict or text")


def _key(key: object, path: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int | float | Decimal | dt.date | dt.time | uuid.UUID):
        return str(_scalar(key, path)[1])
    raise NotJson(f"{path}: a {type(key).__name__} cannot be a key; use text")
