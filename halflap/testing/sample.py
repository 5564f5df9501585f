"""Made-up values for what a test leaves out: a connection's fields, a config's connections."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from halflap.errors import DefinitionError
from halflap.sdk.condition import condition_of
from halflap.sdk.connection import Connection
from halflap.sdk.trigger import first_line

PLAIN: dict[Any, Any] = {int: 1, float: 1.0, bool: False, list: [], dict: {}, tuple: ()}
ConnectionT = TypeVar("ConnectionT", bound=Connection)


def sample_connection(kind: type[ConnectionT], fields: Mapping[str, Any]) -> ConnectionT:
    """A connection with these fields, and made-up values for the required ones that are left out."""
    made = sample_fields(kind, skip=fields)
    try:
        try:
            return kind.model_validate({**made, **fields})
        except ValidationError as error:
            if any(not each["loc"] or each["loc"][0] not in made for each in error.errors()):
                raise
            # What is made up need not keep a rule (a pattern, a length) that nobody can guess.
            return kind.model_construct(**{**made, **kept(kind, made, fields)})
    except ValueError as error:
        raise DefinitionError(
            f"no {kind.__name__} can be made up for this test ({first_line(error)}); give its "
            f"fields: fake.connection({kind.__name__}, …)"
        ) from error


def kept(
    kind: type[BaseModel], made: Mapping[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the given inputs, validated as far as possible without the rest."""
    loose = kind.model_construct(**made)
    for name, value in fields.items():
        kind.__pydantic_validator__.validate_assignment(loose, name, value)
    return {name: getattr(loose, name) for name in fields}


def sample_fields(kind: type[BaseModel], skip: Mapping[str, Any]) -> dict[str, Any]:
    """A made-up value for each required field."""
    return {
        name: sample(shown_type(field), name)
        for name, field in kind.model_fields.items()
        if field.is_required() and name not in skip
    }


def shown_type(field: FieldInfo) -> Any:
    """Return the type of a field's value where it is shown."""
    if condition_of(field) is None:
        return field.annotation
    rest = [each for each in get_args(field.annotation) if each is not types.NoneType]
    return Union[tuple(rest)]  # noqa: UP007 (of a tuple)


def sample(annotation: Any, name: str) -> Any:
    """A value that an annotation takes: text says what it is, addresses lead nowhere."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return sample(arguments[0], name)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in arguments else sample(arguments[0], name)
    if origin is list:
        return [sample(arguments[0], name)]
    if origin is dict:
        return {"a": sample(arguments[1], name)}
    if not isinstance(annotation, type):
        return None
    if issubclass(annotation, BaseModel):
        return annotation.model_construct(**sample_fields(annotation, {}))
    if issubclass(annotation, enum.Enum):
        return next(iter(annotation))
    if annotation is SecretStr:
        return SecretStr(f"secret-{name}")
    if annotation is str:
        return "https://app.example" if "url" in name else f"a-{name}"
    return PLAIN.get(annotation)
