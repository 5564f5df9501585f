"""What is known of a value in the Python that is written: its kind, by the types that are declared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel

from halflap.sdk.schema import Unset

Base = Literal["text", "integer", "decimal", "boolean", "list", "model", "json", "closed", "never"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A value's kind.

    `json` is any value of JSON, as expressions see it; `closed` is one that only an expression may
    look into, which sees it as JSON. `never` is that of a variable of which nothing is known yet.
    null: it may be None. missing: an expression would find nothing where Python has None.
    """

    base: Base
    null: bool = False
    missing: bool = False
    of: Any = None
    """The model, or the kind of a list's items."""

    def nullable(self) -> Kind:
        """The same, or None."""
        return replace(self, null=True)

    def known(self) -> Kind:
        """The same, where it was found not to be None."""
        return replace(self, null=False, missing=False)

    def joined(self, other: Kind) -> Kind:
        """What a value is that is of one kind or the other."""
        if self.base == "never":
            return replace(other, null=self.null or other.null)
        if other.base == "never":
            return replace(self, null=self.null or other.null)
        null = self.null or other.null
        if (self.base, self.of) == (other.base, other.of):
            return replace(self, null=null, missing=False)
        if {self.base, other.base} == {"integer", "decimal"}:
            return Kind("decimal", null)
        plain = {"text", "integer", "boolean", "json"}
        return Kind("json" if {self.base, other.base} <= plain else "closed", null=True)


TEXT, INTEGER, DECIMAL, BOOLEAN = Kind("text"), Kind("integer"), Kind("decimal"), Kind("boolean")
NULL = Kind("never", null=True)
JSON = Kind("json", null=True)
MAYBE = Kind("json", null=True, missing=True)
CLOSED = Kind("closed", null=True)
NEVER = Kind("never")
NUMBERS = ("integer", "decimal")

_PLAIN: dict[Any, Kind] = {str: TEXT, int: INTEGER, Decimal: DECIMAL, bool: BOOLEAN}


def kind_of(annotation: Any) -> Kind:
    """The kind of what an annotation declares."""
    if get_origin(annotation) is Annotated:
        return kind_of(get_args(annotation)[0])
    if annotation in (None, NoneType):
        return NULL
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if get_origin(annotation) is Literal:
        return TEXT if all(isinstance(each, str) for each in get_args(annotation)) else CLOSED
    if get_origin(annotation) is list:
        return Kind("list", of=kind_of(get_args(annotation)[0]))
    if get_origin(annotation) in (Union, UnionType):
        options = get_args(annotation)
        if Unset in options:
            return CLOSED
        found = NEVER
        for each in options:
            found = found.joined(kind_of(each))
        return found
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and is_plain(annotation):
        return Kind("model", of=annotation)
    return CLOSED


def is_plain(model: type[BaseModel]) -> bool:
    """Whether a model is written as its fields say, and no other way."""
    made = model.__pydantic_decorators__
    return not (made.model_serializers or made.field_serializers or made.computed_fields)


def field_of(model: type[BaseModel], name: str) -> tuple[str, Kind] | None:
    """The attribute that holds a field by the app's name, and its kind."""
    for attribute, field in model.model_fields.items():
        if (field.serialization_alias or field.alias or attribute) == name:
            return attribute, kind_of(field.annotation)
    return None


def takes(annotation: Any, kind: Kind) -> bool:
    """Whether every value of a kind fits an input of this type, and is the same in it."""
    if annotation is Any:
        return kind.base in ("text", "integer", "boolean", "json", "decimal")
    if get_origin(annotation) in (Union, UnionType):
        options = [each for each in get_args(annotation) if each is not Unset]
        if kind.null and NoneType not in options:
            return False
        return any(takes(each, kind.known()) for each in options if each is not NoneType)
    if kind.null or kind.missing:
        return False
    if kind.base == "list":
        item = get_args(annotation)[:1] if get_origin(annotation) is list else ()
        return bool(item) and takes(item[0], cast(Kind, kind.of))
    if kind.base == "model":
        return annotation is kind.of
    return kind.base in ("text", "integer", "decimal", "boolean") and _PLAIN.get(annotation) == kind


def is_like(annotation: Any, value: Any) -> bool:
    """Whether a value that fits an input is of its type already, so that a type checker takes it."""
    if get_origin(annotation) is Annotated:
        return is_like(get_args(annotation)[0], value)
    if get_origin(annotation) in (Union, UnionType):
        return any(is_like(each, value) for each in get_args(annotation))
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if value is None:
        return annotation in (None, NoneType, Any)
    if isinstance(value, list | dict):
        return (get_origin(annotation) or annotation) in (type(cast(Any, value)), Any)
    return annotation is Any or annotation is type(value)
