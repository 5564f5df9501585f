"""The model of an edit, on plain data: the measure of what it has made of the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from decimal import Decimal
from typing import Any, cast

from halflap.errors import DefinitionError
from halflap.lowcode.source import Path


def plain(value: Any) -> Any:
    """A value as a document has it: lists, mappings, texts, exact numbers."""
    match value:
        case None | bool() | str() | int() | Decimal():
            return value
        case float():
            return Decimal(repr(value))
        case Mapping():
            held = cast("Mapping[Any, Any]", value).items()
            return {name: plain(each) for name, each in held}
        case list() | tuple():
            return [plain(each) for each in cast("list[Any]", value)]
        case _:
            raise DefinitionError(f"a document holds JSON, and no {type(value).__name__}")


def same(one: Any, other: Any) -> bool:
    """Return whether two values are one; members in any order, and true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        first, second = cast("dict[Any, Any]", one), cast("dict[Any, Any]", other)
        typed = {(type(name), name) for name in first} == {(type(name), name) for name in second}
        return typed and all(same(each, second[name]) for name, each in first.items())
    if isinstance(one, list) and isinstance(other, list):
        items = cast("list[Any]", one), cast("list[Any]", other)
        return len(items[0]) == len(items[1]) and all(map(same, *items))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def value_at(data: Any, path: Path, refused: Callable[[str, Path], Exception]) -> Any:
    """A value by its path."""
    for length, name in enumerate(path, start=1):
        try:
            data = data[name]
        except (KeyError, IndexError, TypeError):
            raise refused(f"there is no {'.'.join(map(str, path[:length]))} here", path) from None
    return data


def _holder(data: Any, path: Path) -> tuple[Any, Any]:
    """A copy of the data, and what in it a path leads to."""
    copy = deepcopy(data)
    here = copy
    for name in path:
        here = here[name]
    return copy, here


def replaced(data: Any, path: Path, value: Any) -> Any:
    """The data with another value."""
    copy, here = _holder(data, path[:-1])
    here[path[-1]] = value
    return copy


def added(data: Any, path: Path, name: Any, value: Any) -> Any:
    """The data with another member."""
    return replaced(data, (*path, name), value)


def inserted(data: Any, path: Path, at: int, value: Any) -> Any:
    """The data with another item."""
    copy, here = _holder(data, path)
    here.insert(at, value)
    return copy


def deleted(data: Any, path: Path) -> Any:
    """The data without a member or an item."""
    copy, here = _holder(data, path[:-1])
    del here[path[-1]]
    return copy


def renamed(data: Any, path: Path, name: str) -> Any:
    """The data with a member of another name."""
    copy, here = _holder(data, path[:-1])
    here[name] = here.pop(path[-1])
    return copy


def shifted(path: Path, to: Path, at: int) -> tuple[Path, int]:
    """Where an item goes, once it is taken out of where it was."""
    depth, place = len(path) - 1, cast(int, path[-1])
    if to == path[:-1]:
        return to, at - (at > place)
    if to[:depth] == path[:-1] and cast(int, to[depth]) > place:
        return (*to[:depth], cast(int, to[depth]) - 1, *to[depth + 1 :]), at
    return to, at
