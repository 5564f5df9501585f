"""Large values written piece by piece, so that the event loop goes on between two pieces.

An encoder in C, and a walk in Python, hold the loop for as long as a value is large: a second for a
million values. So a large value is written as texts that are short in the making, and whoever works
through pieces has half of the loop's time at the most.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

PIECE = 1_000
"""The weight of a piece: its values, and each 64 characters of its texts."""

HEAVY = 4 * PIECE
"""The weight above which a value is large."""

LARGE = 256 * 1024
"""The bytes from which what is recorded is dealt with piece by piece."""

T = TypeVar("T")

_OBJECT: Any = dict
_LISTS: Any = (list, tuple)
_SCALARS: frozenset[type[Any]] = frozenset({int, bool, type(None), float, Decimal})


def is_large(value: Any) -> bool:
    """Return whether a value, as JSON, is about as long as `LARGE`, or as long in the making."""
    kind = value.__class__
    if kind is str:
        return len(value) >> 6 > HEAVY
    return kind not in _SCALARS and weigh(value, HEAVY) > HEAVY


def weigh(value: Any, most: int, other: int = 0) -> int:
    """Return the weight of a value; where it is more than `most`, some number above that.

    `other` is the weight of a value of a type that JSON does not have.
    """
    weight = 0
    rest: list[Any] = [value.values() if value.__class__ is _OBJECT else (value,)]
    for children in rest:
        weight += len(children)
        if weight > most:
            break
        for each in children:
            if each.__class__ is str:
                weight += len(each) >> 6
            elif each.__class__ in _SCALARS:
                continue
            elif isinstance(each, _OBJECT):
                rest.append(each.values())
            elif isinstance(each, str):
                weight += len(each) >> 6
            elif isinstance(each, _LISTS):
                rest.append(each)
            else:
                weight += other
    return weight


def texts(value: Any, encode: Callable[[Any], bytes], *, sort: bool = False) -> Iterator[bytes]:
    """Yield what `encode` writes for a value, in texts of which each is short in the making.

    With `sort`, objects are written in the order of their keys, as `encode` does then. A `TypeError`
    is raised for an object whose keys are not all texts.
    """
    kind = value.__class__
    if kind not in (str, dict, list) or weigh(value, PIECE) <= PIECE:
        yield encode(value)
    elif kind is str:
        yield b'"'
        for begin in range(0, len(value), PIECE << 6):
            yield encode(value[begin : begin + (PIECE << 6)])[1:-1]
        yield b'"'
    else:
        yield from _cut(value, encode, sort)


def _cut(value: Any, encode: Callable[[Any], bytes], sort: bool) -> Iterator[bytes]:
    is_object = isinstance(value, dict)
    pairs: Iterable[tuple[Any, Any]] = (
        cast(dict[Any, Any], value).items() if is_object else zip(value, value, strict=True)
    )
    if is_object and sort:
        batches: list[list[str]] = []
        names: Iterator[str] = iter(cast(Any, value))
        while batch := sorted(itertools.islice(names, PIECE)):
            batches.append(batch)
            yield b""
        held = cast(dict[str, Any], value)
        pairs = ((name, held[name]) for name in heapq.merge(*batches))
    yield b"{" if is_object else b"["
    run: list[Any] = []
    weight, comma = 0, b""
    for name, each in pairs:
        if is_object and type(name) is not str:
            raise TypeError(f"a {type(name).__name__} as a key")
        heavy = weigh(each, PIECE)
        if run and weight + heavy > PIECE:
            if text := encode(dict(run) if is_object else run)[1:-1]:
                yield comma + text
                comma = b","
            run, weight = [], 0
        if heavy > PIECE:
            yield comma + (encode({name: 0})[1:-2] if is_object else b"")
            comma = b","
            yield from texts(each, encode, sort=sort)
        else:
            run.append((name, each) if is_object else each)
            weight += heavy
    if text := encode(dict(run) if is_object else run)[1:-1]:
        yield comma + text
    yield b"}" if is_object else b"]"


async def in_pieces(value: Any, encode: Callable[[Any], bytes], *, sort: bool = False) -> bytes:
    """Return what `encode` writes for a value; for a large one, with the loop's turns between."""
    if is_large(value):
        try:
            return b"".join(await paced(texts(value, encode, sort=sort)))
        except (TypeError, ValueError, RuntimeError):
            pass  # for the whole, the error names the place
    return encode(value)


async def paced(pieces: Iterable[T]) -> list[T]:
    """Return what is yielded, with the loop's turns between: all that is paced has half of its time."""
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    found: list[T] = []
    rest = iter(pieces)
    while True:
        async with turns:
            began = time.perf_counter()
            try:
                found.append(next(rest))
            except StopIteration:
                return found
            await asyncio.sleep(time.perf_counter() - began)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
