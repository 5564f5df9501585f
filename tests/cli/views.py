"""Answers of the API for what commands print: with what a test says, and all else empty."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

AT = "2026-03-01T10:00:00.000000Z"
TIMES = ("accepted_at", "changed_at", "created_at", "ended_at", "made_at", "started_at", "since")
ViewT = TypeVar("ViewT", bound=BaseModel)


def made(kind: type[ViewT], /, **given: Any) -> ViewT:
    """Return an answer; the fields that are not given are empty, and times are `AT`."""
    kind.model_rebuild()  # of those that it has
    empty = {
        name: AT if field.annotation is str and name in TIMES else none_of(field.annotation)
        for name, field in kind.model_fields.items()
        if field.is_required() and name not in given
    }
    return kind.model_validate({**empty, **given})


def none_of(annotation: Any) -> Any:
    """Return the empty value of a field: None where it may be, else nothing, 0, or the first choice."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return None if NoneType in arguments else none_of(arguments[0])
    if origin is Literal:
        return arguments[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return made(annotation)
    kind = origin or annotation
    return kind() if isinstance(kind, type) and kind is not Any else None
