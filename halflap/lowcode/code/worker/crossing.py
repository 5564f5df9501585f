"""Values that leave the sandbox: exactly what JSON can say, or an error that says what to write."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, cast

from pydantic_monty import MontyClassProxy, MontyStdTypeProxy

from .wire import MAX_DEPTH, MAX_DIGITS, fits

BITS = int(MAX_DIGITS * math.log2(10))


class NoData(ValueError):
    """The value cannot leave the sandbox; the message says which, and what to write."""


class ValueTooLarge(ValueError):
    """The value is larger than the limit."""


def outward(value: object, left: int, most: int) -> tuple[Any, int]:
    """The same value, of what arrives as it was sent.

    Nothing is approximated: integers and Decimals keep every digit. Tuples become lists, dates and
    times their text. With it comes how many bytes it is written in, of which `left` of `most` are
    left. Raises `NoData` and `TooLarge`.
    """
    crossing = _Crossing(left, most)
    made = crossing.outward(value, "", 0)
    return made, left - crossing.left


class _Crossing:
    def __init__(self, left: int, most: int) -> None:
        self.left, self._most = left, most
        self._seen: dict[int, tuple[Any, int]] = {}
        """Values that several lists share: walked once, and paid for as often as they would be
        written.
        """

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise ValueTooLarge(f"more than {self._most:,} bytes")

    def outward(self, value: object, path: str, depth: int) -> Any:
        kind = cast(type[Any], type(value))
        if kind is str:
            text = cast(str, value)
            self.spend(len(text) + 2 if text.isascii() else len(text.encode()) + 2)
            return text
        if value is None or kind is bool:
            self.spend(4)
            return value
        if kind is int or kind is float or kind is Decimal:
            return _number(cast(int | float | Decimal, value), path, self.spend)
        if kind is list or kind is tuple or kind is dict:
            if depth == MAX_DEPTH:
                raise NoData(f"nested deeper than {MAX_DEPTH} levels")
            known = self._seen.get(id(value))
            if known is not None:
                self.spend(known[1])
                return known[0]
            before = self.left
            self.spend(2)
            made = (
                self._fields(cast(dict[object, object], value), path, depth)
                if kind is dict
                else self._items(cast(Sequence[object], value), path, depth)
            )
            self._seen[id(value)] = made, before - self.left
            return made
        return _scalar(value, path, self.spend)

    def _items(self, value: Sequence[object], path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        for index, item in enumerate(value):
            self.spend(1)
            items.append(self.outward(item, f"{path}[{index}]", depth + 1))
        return items

    def _fields(self, value: dict[object, object], path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is not str:
                raise NoData(f"{_at(path)}a key is {named(key)}; write `str(key)`")
            self.spend(len(key.encode()) + 4)
            fields[key] = self.outward(item, f"{path}.{key}" if path else key, depth + 1)
        return fields


def _number(
    value: int | float | Decimal, path: str, spend: Callable[[int], None]
) -> int | float | Decimal:
    if isinstance(value, int):
        if value.bit_length() > BITS:
            raise NoData(f"{_at(path)}a number of more than {MAX_DIGITS:,} digits")
        spend(value.bit_length() // 3 + 1)
        return value
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        raise NoData(f"{_at(path)}{value} has no JSON: write `None`, or a text")
    if isinstance(value, Decimal):
        if not fits(value):
            raise NoData(f"{_at(path)}a number of more than {MAX_DIGITS:,} digits")
        spend(len(str(value)))
    else:
        spend(24)
    return value


def _scalar(value: object, path: str, spend: Callable[[int], None]) -> str:
    match value:
        case dt.datetime() | dt.time():
            spend(40)
            return re.sub(r"\+00:00$", "Z", value.isoformat())
        case dt.date():
            spend(12)
            return value.isoformat()
        case set() | frozenset():
            raise NoData(f"{_at(path)}a set has no order: write `sorted(…)`")
        case bytes():
            raise NoData(f"{_at(path)}bytes have no JSON: write `.decode()`, or base64")
        case dt.timedelta():
            raise NoData(f"{_at(path)}a timedelta has no JSON: write `.total_seconds()`")
        case tuple():
            raise NoData(f"{_at(path)}a named tuple is no data: write `x._asdict()`")
        case MontyClassProxy(is_dataclass=True):
            raise NoData(f"{_at(path)}a {value.name} is no data: write `dataclasses.asdict(x)`")
        case BaseException():
            raise NoData(f"{_at(path)}an exception is no data: write `str(error)`, or raise it")
        case _:
            raise NoData(f"{_at(path)}{named(value)} is no data: write a dict, a list or text")


def named(value: object) -> str:
    """Return the name of a value: its class's or its own."""
    match value:
        case MontyClassProxy() | MontyStdTypeProxy():
            return f"`{value.name}`"
        case _:
            return f"a {type(value).__name__}"


def _at(path: str) -> str:
    return f"at `{path[:100]}`: " if path else ""
