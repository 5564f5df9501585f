"""Walks over steps as a document writes them, which may be unfinished: mappings, by their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, cast

from halflap.lowcode.kinds import KINDS, kind_of
from halflap.lowcode.kinds.role import Block, Gives
from halflap.lowcode.kinds.walk import RoleField, fields_of
from halflap.lowcode.source import Path, value_at


def fields_in(step: Mapping[Any, Any]) -> Mapping[str, RoleField]:
    """Return the fields that a step may have, by key; none of what is no step."""
    kind = kind_of(step)
    return {} if kind is None else _fields(kind)


@cache
def _fields(kind: str) -> Mapping[str, RoleField]:
    return {each.key: each for each in fields_of(KINDS[kind])}


def field_at(data: Any, path: Path) -> RoleField | None:
    """Return the field of a step that stands at a path of a document; None of what is no step's."""
    if len(path) < 3 or not holds_steps(path[:-2]):
        return None
    step = value_at(data, path[:-1])
    if not isinstance(step, dict):
        return None
    return fields_in(cast("dict[Any, Any]", step)).get(str(path[-1]))


def gives_at(data: Any, path: Path) -> Gives | None:
    """Return what a name at a path of a document is given to; None where none is given."""
    field = field_at(data, path)
    return None if field is None else field.role(Gives)


def blocks_in(step: Mapping[Any, Any]) -> Iterator[tuple[Path, list[Any]]]:
    """Yield the lists of steps in a step, in the order of its kind, with where each stands in it."""
    for key, field in fields_in(step).items():
        if key in step and field.role(Block) is not None:
            yield from blocks_under(field, step[key])


def blocks_under(field: RoleField, value: Any) -> Iterator[tuple[Path, list[Any]]]:
    """Yield the lists of steps that the value of a field holds."""
    if field.many and isinstance(value, dict):
        for case, steps in cast("dict[Any, Any]", value).items():
            if isinstance(steps, list):
                yield (field.key, case), cast("list[Any]", steps)
    elif isinstance(value, list) and not field.many:
        yield (field.key,), cast("list[Any]", value)


@cache
def _block_keys() -> tuple[frozenset[str], frozenset[str]]:
    """The keys of lists of steps, and those of mappings of such lists."""
    lists, cases = {"steps"}, set[str]()
    for kind in KINDS.values():
        for field in fields_of(kind):
            if field.role(Block) is not None:
                (cases if field.many else lists).add(field.key)
    return frozenset(lists), frozenset(cases)


def holds_steps(path: Path) -> bool:
    """Return whether a list of steps stands at a path of a document."""
    lists, cases = _block_keys()
    return bool(path) and (path[-1] in lists or (len(path) > 1 and path[-2] in cases))


@cache
def needed_blocks(kind: str) -> tuple[str, ...]:
    """The keys of the blocks that a kind of step cannot be without."""
    model = KINDS[kind]
    return tuple(
        each.key
        for each in fields_of(model)
        if each.role(Block) is not None and model.model_fields[each.attribute].is_required()
    )
