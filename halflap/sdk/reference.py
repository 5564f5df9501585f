"""References to the fields of a config: `schedule.every(minutes=Settings.every)`.

A field that is read of the config's class, not of a config, is a reference. A trigger takes one in
the place of an input's value; each instance puts its own value there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic._internal._model_construction import ModelMetaclass

_making: ContextVar[bool] = ContextVar("making", default=False)
"""While a config's class is made, Pydantic looks for values that its fields may have inherited."""

NUMBERS: dict[Any, tuple[type, ...]] = {float: (int,), Decimal: (int,)}
"""The types that a number also fits into."""


@dataclass(frozen=True, slots=True)
class FieldReference:
    """A field of a config, in the place of its value."""

    config: type[Any]
    name: str

    @property
    def annotation(self) -> Any:
        """The type of its values."""
        return self.config.model_fields[self.name].annotation

    @property
    def default(self) -> Any:
        """Its default; None where it has none."""
        field = self.config.model_fields[self.name]
        return None if field.is_required() else field.get_default(call_default_factory=True)

    def __repr__(self) -> str:
        return f"config.{self.name}"

    def __str__(self) -> str:
        return f"{self.config.__name__}.{self.name}"


class ConfigMeta(ModelMetaclass):
    """The class of configs' classes: what it has of a field is a `FieldReference`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> type:
        token = _making.set(True)
        try:
            return super().__new__(cls, *args, **kwargs)
        finally:
            _making.reset(token)

    if not TYPE_CHECKING:  # to a type checker, a field of the class has the type of its values

        def __getattr__(cls, name: str) -> Any:  # noqa: N805
            fields = cls.__dict__.get("__pydantic_fields__", {})
            if name in fields and not _making.get():
                return FieldReference(cls, name)
            return super().__getattr__(name)


def accepts(wanted: Any, given: Any) -> bool:
    """Return whether every value of one type is one of another type."""
    wanted, given = bare(wanted), bare(given)
    if wanted is Any or wanted is object or wanted == given:
        return True
    if is_union(given):
        return all(accepts(wanted, each) for each in get_args(given))
    if get_origin(given) is Literal:
        return all(map(check_of(wanted), get_args(given)))
    if is_union(wanted):
        return any(accepts(each, given) for each in get_args(wanted))
    kind, of = get_origin(wanted) or wanted, get_origin(given) or given
    if not (isinstance(kind, type) and isinstance(of, type)):
        return False
    if of in NUMBERS.get(kind, ()):
        return True
    if not issubclass(of, kind) or (of is bool and kind is int):
        return False
    inner, parts = get_args(wanted), get_args(given)
    return not inner or (len(inner) == len(parts) and all(map(accepts, inner, parts)))


def check_of(wanted: Any) -> Callable[[Any], bool]:
    """Return the test whether a value is one of a type."""
    adapter = TypeAdapter[Any](wanted)

    def fits(value: Any) -> bool:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True

    return fits


def bare(annotation: Any) -> Any:
    """Return a type without what `Annotated` adds to it."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def is_union(annotation: Any) -> bool:
    """Return whether a type is one of several."""
    return get_origin(annotation) in (Union, UnionType)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types of which a type is one, without None."""
    annotation = bare(annotation)
    parts = get_args(annotation) if is_union(annotation) else (annotation,)
    return tuple(each for each in parts if each is not type(None))


def name_of_type(annotation: Any) -> str:
    """Return a type as an author writes it."""
    annotation = bare(annotation)
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
