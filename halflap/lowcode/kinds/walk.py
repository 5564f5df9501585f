"""Walks over steps, by the roles of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_origin

from pydantic import BaseModel

from halflap.lowcode.kinds.role import Asks, Block, Gives, Refers
from halflap.lowcode.source import Path

R = TypeVar("R", Block, Asks, Gives, Refers)


@dataclass(frozen=True, slots=True)
class RoleField:
    """A field of a part: its attribute, its key in a document, its roles.

    many: it is a mapping, of templates by name or of blocks by case.
    """

    attribute: str
    key: str
    many: bool
    roles: tuple[object, ...]

    def role(self, kind: type[R]) -> R | None:
        """The field's role of a kind."""
        return next((each for each in self.roles if isinstance(each, kind)), None)


@cache
def fields_of(part: type[BaseModel]) -> tuple[RoleField, ...]:
    """The fields of a part, as they are declared."""
    part.model_rebuild()  # steps hold each other, so none is complete before it is needed
    return tuple(
        RoleField(
            name, each.alias or name, get_origin(each.annotation) is dict, tuple(each.metadata)
        )
        for name, each in part.model_fields.items()
    )


def _held(part: BaseModel, kind: type[R]) -> Iterator[tuple[RoleField, Any, R]]:
    """Yield the fields of a role that hold anything, with it."""
    for field in fields_of(type(part)):
        role, value = field.role(kind), getattr(part, field.attribute)
        if role is not None and value is not None:
            yield field, value, role


def blocks(step: BaseModel) -> Iterator[tuple[Path, Sequence[Any], Block]]:
    """Yield the lists of steps in a step, with where each stands in it."""
    for field, value, role in _held(step, Block):
        if isinstance(value, dict):
            for case, steps in cast("dict[Any, Sequence[Any]]", value).items():
                yield (field.key, case), steps, role
        else:
            yield (field.key,), value, role


def templates(part: BaseModel) -> Iterator[tuple[Path, Any, Asks]]:
    """Yield the values of a step in which expressions may stand, with where each stands in it."""
    for field in fields_of(type(part)):
        value: Any = getattr(part, field.attribute)
        role = field.role(Asks)
        if isinstance(value, BaseModel):
            for path, each, asked in templates(value):
                yield (field.key, *path), each, asked
        elif role is None:
            continue
        elif field.many:
            for name, each in cast("dict[str, Any]", value).items():
                yield (field.key, name), each, role
        elif field.attribute in part.model_fields_set:
            yield (field.key,), value, role


def names_given(step: BaseModel) -> Iterator[tuple[Path, str, Gives]]:
    """Yield the names that a step gives, with where each stands in it."""
    for field, value, role in _held(step, Gives):
        if isinstance(value, str):
            yield (field.key,), value, role
        else:
            for name in value:
                yield (field.key, name), name, role


def referred(step: BaseModel, to: str) -> Iterator[tuple[Path, str]]:
    """Yield the names by which a step refers to flows, pairs, actions or connections, each with its
    place in it.
    """
    for field, value, role in _held(step, Refers):
        if role.to == to and isinstance(value, str):
            yield (field.key,), value


def every(steps: Iterable[Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the steps of a list and of the blocks in them, in the document's order."""
    for at, step in enumerate(steps):
        yield (*path, at), step
        for inner, each, _ in blocks(step):
            yield from every(each, (*path, at, *inner))
