"""The config of a document as the `Config` model that a Python integration would declare."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError, create_model

from halflap.errors import DefinitionError
from halflap.lowcode.document import ConnectionField, Document, DocumentPicker, PlainField
from halflap.lowcode.registry import Components
from halflap.lowcode.source import Path
from halflap.lowcode.source import SourceText as Text
from halflap.lowcode.template import is_expression, unquoted
from halflap.sdk.condition import When, condition_faults
from halflap.sdk.fit import misfit
from halflap.sdk.record import adapter_of
from halflap.sdk.reference import FieldReference, accepts
from halflap.sdk.schema import Config, Source, without_unset
from halflap.sdk.trigger import Trigger

PATTERNS = {"url": r"^https?://\S+$", "email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$"}
"""The pattern of a text of each type."""

_TYPES: dict[str, Any] = {
    "text": str,
    "integer": int,
    "decimal": Decimal,
    "boolean": bool,
    "date": dt.date,
    "datetime": dt.datetime,
    **{name: Annotated[str, Field(pattern=each)] for name, each in PATTERNS.items()},
    "mapping": dict[str, str],
}


def config_of(document: Document, text: Text, components: Components) -> type[Config]:
    """The config's model; `DefinitionError` at the field that cannot be one."""
    fields: dict[str, Any] = {}
    for page, members in document.config.items():
        for name, field in members.items():
            path = ("config", page, name)
            if name in fields:
                raise DefinitionError(
                    f"the field {name} stands on two pages; name them apart", where=text.where(path)
                )
            try:
                fields[name] = _field(name, page, field, components)
            except (DefinitionError, ValueError, TypeError) as error:
                said = error.message if isinstance(error, DefinitionError) else str(error)
                raise DefinitionError(f"{name}: {said}", where=text.where(path)) from error
    for name, other, message in condition_faults(conditions_in(document), fields):
        page = next(page for page, members in document.config.items() if name in members)
        raise DefinitionError(message, where=text.where(("config", page, name, "when", other)))
    title = "".join(each.capitalize() for each in document.name.split("-"))
    # Else Pydantic would look for docstrings of the fields in the source of a caller.
    without = {"use_attribute_docstrings": False}
    model: Any = create_model(f"{title}Config", __base__=Config, __cls_kwargs__=without, **fields)
    return cast("type[Config]", model)


def _field(
    name: str, page: str, field: ConnectionField | PlainField, components: Components
) -> Any:
    title = field.title or name.replace("_", " ").capitalize()
    extra: dict[str, Any] = {"x-page": page}
    if isinstance(field, ConnectionField):
        kind = components.component(field.connection).connection
        if kind is None:
            raise DefinitionError(f"{field.connection} needs no connection; leave the field out")
        return kind, Field(
            title=title, description=field.description or None, json_schema_extra=extra
        )
    annotation: Any = _annotation(field, components, extra)
    default: Any = ...
    if field.default is not None:
        default = default_of(field)
    elif field.required is False:
        annotation, default = annotation | None, None
    if field.when:
        annotation = Annotated[annotation | None, When(**field.when)]
    if field.source is not None:
        annotation = Annotated[annotation, source_in(field.source, field, components)]
    return annotation, Field(
        default,
        title=title,
        description=field.description or None,
        json_schema_extra=extra,
    )


def _annotation(field: PlainField, components: Components, extra: dict[str, Any]) -> Any:
    if isinstance(field.choices, dict):
        extra["x-labels"] = field.choices
    if field.type == "mapping":
        if isinstance(field.to, list):
            extra["x-to"] = field.to
        of, to = (
            str if given is None or isinstance(given, list) else side_in(given, field, components)
            for given in (field.of, field.to)
        )
        return dict[of, to]
    return _type(field)


def _type(field: PlainField, *, one: bool = False) -> Any:
    """Return the type of a field's value, or of one of several, without where its choices come from."""
    annotation = _TYPES[field.type]
    if field.minimum is not None or field.maximum is not None:
        if field.type == "text":
            low = None if field.minimum is None else int(field.minimum)
            high = None if field.maximum is None else int(field.maximum)
            annotation = Annotated[annotation, Field(min_length=low, max_length=high)]
        else:
            annotation = Annotated[annotation, Field(ge=field.minimum, le=field.maximum)]
    if field.choices is not None:
        annotation = Literal[tuple(field.choices)]
    return list[annotation] if field.multiple and not one else annotation


def default_of(field: PlainField) -> Any:
    """Return a field's default as the config holds it; raises `DefinitionError` where it is none."""
    try:
        return TypeAdapter(_type(field)).validate_python(field.default)
    except ValidationError as error:
        raise DefinitionError(f"`default` {misfit(error, field.default)}") from error


def conditions_in(document: Document) -> dict[str, When]:
    """Return the fields of a document's config that are shown on a condition."""
    fields = (each for members in document.config.values() for each in members.items())
    return {
        name: When(**field.when)
        for name, field in fields
        if isinstance(field, PlainField) and field.when
    }


def check_condition(field: PlainField, value: Any) -> None:
    """Raise `DefinitionError` where a field never has the value on which another one is shown."""
    try:
        TypeAdapter(_type(field, one=True)).validate_python(value)
    except ValidationError as error:
        raise DefinitionError(misfit(error, value)) from error


def trigger_inputs(
    trigger: Trigger[..., Any],
    given: Mapping[str, Any],
    path: Path,
    text: Text,
    config: type[Config],
) -> dict[str, Any]:
    """Return a trigger's inputs; `=config.every` is a reference to the config's field."""
    takes = {each.name: each.annotation for each in trigger.shape.inputs}
    found: dict[str, Any] = {}
    for name, value in given.items():
        field = field_read(value)
        if field is None:
            found[name] = unquoted(value)
        elif field in config.model_fields:
            found[name] = reference = FieldReference(config, field)
            if name in takes and not accepts(without_unset(takes[name]), reference.annotation):
                message = (
                    f"the input {name} is {in_words(takes[name])}, and config.{field} is "
                    f"{in_words(reference.annotation)}; give the field the `type` that the input takes"
                )
                raise DefinitionError(message, where=text.at((*path, name)))
        else:
            where = text.at((*path, name))
            if not field:
                raise DefinitionError(ONLY_A_FIELD, where=where)
            has = ", ".join(config.model_fields) or "none"
            raise DefinitionError(f"the config has no field {field!r}; it has: {has}", where=where)
    return found


def in_words(annotation: Any) -> str:
    """Return a type in the words of documents."""
    from halflap.lowcode.lint.words import words  # which imports what builds documents

    return words(adapter_of(without_unset(annotation)).json_schema()) or "something else"


ONLY_A_FIELD = (
    "a trigger's input is a value, or one field of the config, as in `=config.every`; it is known "
    "before there is an event, so it is not computed"
)


def field_read(value: Any) -> str | None:
    """Return the config's field that a trigger's input is; "" for any other expression."""
    if not is_expression(value):
        return None
    found = re.fullmatch(r"=\s*config\.([A-Za-z_][A-Za-z0-9_]*)\s*", value)
    return "" if found is None else found[1]


def side_in(given: str | DocumentPicker, field: PlainField, components: Components) -> Any:
    """Return the annotation of a mapping's side that the connected app lists."""
    return Annotated[str, source_in(given, field, components)]


def source_in(given: str | DocumentPicker, field: PlainField, components: Components) -> Source:
    """Return where a field's choices come from, as a Python integration would write it."""
    action: Callable[..., Any]
    if isinstance(given, str):
        action = components.action(given)
        return Source(action, tuple(field.depends), open=field.open)
    action = components.action(given.action)
    depends, inputs = picked(given, field.depends)
    return Source(action, depends, inputs, field.open, given.connection)


def picked(
    given: DocumentPicker, depends: list[str]
) -> tuple[tuple[str, ...] | dict[str, str], dict[str, Any]]:
    """Return the fields that a picker's action needs, and its other inputs."""
    fields: dict[str, str] = {}
    inputs: dict[str, Any] = {}
    for name, value in given.inputs.items():
        found = re.fullmatch(r"=\s*(?:config\.)?([A-Za-z_][A-Za-z0-9_]*)\s*", str(value))
        if found is not None:
            fields[name] = found[1]
        elif is_expression(value):
            raise DefinitionError(
                f"{given.action}: {name} is a value, or one field of the config, as in `=project`"
            )
        else:
            inputs[name] = value
    for each in depends:
        if each not in fields.values():
            fields[each] = each
    if all(name == each for name, each in fields.items()):
        return tuple(fields), inputs
    return fields, inputs
