"""Typed declarations from which forms, docs, validation and lint are made."""

from __future__ import annotations

import enum
import inspect
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    SecretStr,
    TypeAdapter,
    create_model,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticUndefined, core_schema

from halflap.errors import DefinitionError
from halflap.sdk.condition import When, condition_faults, condition_of, hidden
from halflap.sdk.duration import Worded
from halflap.sdk.reference import ConfigMeta, name_of_type


class Model(BaseModel):
    """A typed value of an app: a record, an answer, an event.

    Fields that an app sends and the model does not name are dropped; a field may be given by its
    name or by the app's alias for it.
    """

    model_config = ConfigDict(
        extra="ignore", validate_by_alias=True, validate_by_name=True, use_attribute_docstrings=True
    )


class Config(BaseModel, metaclass=ConfigMeta):
    """A customer's settings for an instance: plain fields and connections."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_hidden(cls, values: Any) -> Any:
        """Leave out the fields that are not shown, and demand those that are."""
        conditions = conditions_of(cls)
        if not conditions or not isinstance(values, Mapping):
            return values
        given = dict(cast("Mapping[str, Any]", values))
        gone = hidden_fields(cls, given)
        for name in conditions:
            info = cls.model_fields[name]
            key = info.alias or name
            if name in gone or (info.is_required() and given.get(key) is None):
                given.pop(key, None)
            if name in gone:
                given[key] = None
        return given


def conditions_of(config: type[Config]) -> dict[str, When]:
    """Return the fields of a config that are shown on a condition."""
    found = ((name, condition_of(info)) for name, info in config.model_fields.items())
    return {name: each for name, each in found if each is not None}


def hidden_fields(config: type[Config], values: Mapping[str, Any]) -> set[str]:
    """Return the fields of a config that are not shown with these values, and its defaults."""

    def value_of(name: str) -> Any:
        info = config.model_fields[name]
        key = info.alias or name
        if key in values or info.is_required():
            return values.get(key)
        return info.get_default(call_default_factory=True, validated_data={})

    return hidden(conditions_of(config), value_of)


def shown_values(config: type[Config], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a config without those of fields that are not shown."""
    gone = hidden_fields(config, values)
    keys = gone | {config.model_fields[each].alias for each in gone}
    return {name: value for name, value in values.items() if name not in keys}


def check_conditions(config: type[Config]) -> None:
    """Refuse conditions of fields that never hold, or that hide what has to be there."""
    conditions = conditions_of(config)
    for name, other, message in condition_faults(conditions, config.model_fields):
        raise DefinitionError(f"When({other}=…) of the config field {name!r}: {message}")
    for name in conditions:
        annotation = config.model_fields[name].annotation
        if type(None) not in get_args(annotation):
            raise DefinitionError(
                f"the config field {name!r} is None where it is not shown; write its type as "
                f"{name_of_type(annotation)} | None"
            )


class Unset(enum.Enum):
    """The type of `UNSET`: an input that was left alone, where `None` would clear it."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"not": {}}


UNSET = Unset.UNSET

Json = Any
"""A value of JSON: what an app sent, before it has a type. Fractions are `Decimal`."""


class FieldSpec(Model):
    """One field of an app's record type, for `DynamicFields` and for the sides of a mapping."""

    name: str
    title: str = ""
    type: Literal["string", "integer", "number", "boolean", "date", "datetime"] = "string"
    required: bool = False
    choices: list[str] | None = None


class Choice(Model):
    """A value that a field may have, and the label that people read.

    `field`: what is known of it, where it is a field of an app's record.
    """

    value: Any
    label: str = ""
    field: FieldSpec | None = None


class ChoicePage(Model):
    """Some of the choices of a field; `next` is the cursor of those that follow."""

    choices: list[Choice]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The choices of a config's field or of an action's input, listed by the connected app.

    `Annotated[str, Source(list_fields)]`: `list` is an action that returns strings, `(value, label)`
    pairs, models with `id` and `name`, `FieldSpec`s, or a `ChoicePage`. Where it has an input
    `search`, it is given what people type, else the labels are searched; where it has an input
    `cursor`, it pages. A mapping has one for each of its sides:
    `dict[Annotated[str, Source(…)], Annotated[str, Source(…)]]`.

    depends: the fields (or inputs) that have to be filled in first. They are given to the action as
    inputs of their names, or as the mapping says: `{"project": "board_project"}` gives the input
    `project` the field `board_project`.
    inputs: what else the action is given.
    open: other values may be written, too; else one that is not listed is refused.
    connection: the config's connection that lists, where several are of the action's type.
    """

    list: Callable[..., Awaitable[Any]]
    depends: tuple[str, ...] | Mapping[str, str] = field(default=(), hash=False)
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    open: bool = False
    connection: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The fields that have to be filled in first, by the input that each is given to."""
        if isinstance(self.depends, tuple):
            return {each: each for each in self.depends}
        return dict(self.depends)

    def published(self) -> dict[str, Any]:
        """Return what a form's schema says of it, under `x-source`."""
        known = self.fields
        shape: Shape | None = getattr(self.list, "shape", None)
        return {
            "kind": "choices",
            "action": getattr(self.list, "name", getattr(self.list, "__name__", "")),
            "depends": [*dict.fromkeys(known.values())],
            "with": {name: f"={each}" for name, each in known.items()} | dict(self.inputs),
            "open": self.open,
            "search": shape is not None and any(each.name == "search" for each in shape.inputs),
        }

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "x-source": self.published()}


@dataclass(frozen=True, slots=True)
class DynamicFields:
    """Inputs that the connected app's own schema defines.

    `Annotated[dict[str, Any], DynamicFields(describe)]`: `describe` is an action that returns
    `FieldSpec`s; `depends` names inputs that it needs first (the object's type, say).
    """

    describe: Callable[..., Awaitable[Any]]
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file: what it holds, what the app calls it (never a path), its MIME type.

    A step's inputs name it by its digest; a step's result holds it, so that it is there on resume.
    """

    data: bytes = field(repr=False)
    name: str = "file"
    content_type: str = "application/octet-stream"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def read(value: Any) -> File:
            if isinstance(value, File):
                return value
            if not isinstance(value, dict) or "$file" not in value:
                raise ValueError("expected a File")
            held = cast(dict[str, str], value["$file"])
            return File(b64decode(held["data"]), held["name"], held["content_type"])

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: {
                    "$file": {
                        "name": value.name,
                        "content_type": value.content_type,
                        "data": b64encode(value.data).decode(),
                    }
                }
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "format": "file"}


@dataclass(frozen=True, slots=True)
class InputField:
    """One input of an action or trigger, read from its signature."""

    name: str
    annotation: Any
    required: bool
    default: Any
    adapter: TypeAdapter[Any]
    source: Source | DynamicFields | None


@dataclass(frozen=True, slots=True)
class Shape:
    """The declared shape of an author's function: inputs, connection, output. Read once, at
    definition.
    """

    inputs: tuple[InputField, ...]
    connection: str | None
    connection_type: type[Any] | None
    output: Any
    output_adapter: TypeAdapter[Any]
    description: str
    skipped: tuple[str, ...]
    alternatives: Mapping[str, Any] | None = None
    """The inputs of which some are needed, or exclude each other (see `conformity.unmet`)."""
    by_name: Mapping[str, InputField] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.inputs})

    def json_schema(self) -> dict[str, Any]:
        """The inputs as a JSON Schema object: the form."""
        fields: dict[str, Any] = {
            each.name: (
                without_unset(each.annotation),
                ... if each.required else (None if each.default is UNSET else each.default),
            )
            for each in self.inputs
        }
        schema = create_model("Inputs", **fields).model_json_schema()
        schema.pop("title", None)
        for each in self.inputs:
            if isinstance(each.source, DynamicFields) and each.name in schema.get("properties", {}):
                schema["properties"][each.name]["x-source"] = {
                    "kind": "fields",
                    "depends": list(each.source.depends),
                }
        return schema

    def output_schema(
        self, generator: type[GenerateJsonSchema] = GenerateJsonSchema
    ) -> dict[str, Any]:
        """The output as JSON Schema."""
        return self.output_adapter.json_schema(mode="serialization", schema_generator=generator)


def source_of(annotation: Any, metadata: Iterable[Any] = ()) -> Source | None:
    """Return the source of a field's choices: of its values, or of the items of a list of them."""
    for each in metadata:
        if isinstance(each, Source):
            return each
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return source_of(arguments[0], arguments[1:])
    if origin is list or origin in (Union, UnionType):
        return next(filter(None, map(source_of, arguments)), None)
    return None


SIDES = ("of", "to")
"""The sides of a mapping: its keys, and its values."""


def sides_of(annotation: Any) -> dict[str, Source]:
    """Return the sources of a mapping's sides, `of` and `to`; none where it is no mapping."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        sides = zip(SIDES, map(source_of, arguments), strict=True)
        return {side: source for side, source in sides if source is not None}
    if origin is Annotated:
        return sides_of(arguments[0])
    found: dict[str, Source] = {}
    for each in arguments if origin in (Union, UnionType) else ():
        found = found or sides_of(each)
    return found


def without_unset(annotation: Any) -> Any:
    """The annotation with `Unset` taken out of its union."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        return Annotated[(without_unset(inner), *extras)]
    arguments = get_args(annotation)
    if Unset in arguments:
        rest = [each for each in arguments if each is not Unset]
        merged = rest[0]
        for each in rest[1:]:
            merged = merged | each
        return merged
    return annotation


def _worded(annotation: Any) -> Any:
    """Return the annotation of a duration so that words such as `2 h` are taken."""
    if annotation is timedelta:
        return Worded
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        return Annotated[(_worded(inner), *extras)]
    if get_origin(annotation) in (Union, UnionType) and timedelta in get_args(annotation):
        return Union[tuple(map(_worded, get_args(annotation)))]  # noqa: UP007 (of a tuple)
    return annotation


def summary(function: Callable[..., Any]) -> str:
    """A docstring's first paragraph, on one line."""
    text = inspect.getdoc(function) or ""
    return " ".join(text.split("\n\n")[0].split())


def where(function: Callable[..., Any]) -> str:
    """`file:line` of a function's definition, for errors."""
    code = getattr(function, "__code__", None)
    if code is None:
        return getattr(function, "__qualname__", repr(function))
    return f"{code.co_filename}:{code.co_firstlineno}"


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The function's annotations, resolved; a name that is not there is a `DefinitionError`."""
    from typing import get_type_hints

    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{function.__qualname__}: an annotation names {error.name!r}, which is not defined "
            "at module level; import it there (not only under TYPE_CHECKING)",
            where=where(function),
        ) from error


def read_signature(
    function: Callable[..., Any],
    *,
    connection_type: type[Any] | None,
    skip: Callable[[inspect.Parameter, Any], bool] = lambda _p, _a: False,
) -> Shape:
    """Read what a function declares; a missing annotation is a `DefinitionError`."""
    hints = hints_of(function)
    inputs: list[InputField] = []
    skipped: list[str] = []
    connection: str | None = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"{function.__qualname__}: inputs are named; replace *{name} by named, annotated "
                "inputs (or one dict with DynamicFields)",
                where=where(function),
            )
        if name not in hints:
            raise DefinitionError(
                f"{function.__qualname__}: the input {name!r} has no annotation; write its type",
                where=where(function),
            )
        annotation = hints[name]
        if skip(parameter, annotation):
            skipped.append(name)
            continue
        if (
            connection is None
            and connection_type is not None
            and isinstance(annotation, type)
            and issubclass(annotation, connection_type)
        ):
            connection = name
            connection_type = annotation
            continue
        inputs.append(read_input(function, name, annotation, parameter.default))
    output = hints.get("return", PydanticUndefined)
    if output is PydanticUndefined:
        raise DefinitionError(
            f"{function.__qualname__}: the result has no annotation; write -> and its type "
            "(-> None where there is none)",
            where=where(function),
        )
    return Shape(
        inputs=tuple(inputs),
        connection=connection,
        connection_type=connection_type if connection else None,
        output=output,
        output_adapter=adapter_for(function, "result", output),
        description=summary(function),
        skipped=tuple(skipped),
    )


def read_input(
    function: Callable[..., Any], name: str, annotation: Any, default: Any
) -> InputField:
    """One parameter as an input."""
    source = next(
        (
            each
            for each in (get_args(annotation)[1:] if get_origin(annotation) is Annotated else ())
            if isinstance(each, Source | DynamicFields)
        ),
        None,
    )
    required = default is inspect.Parameter.empty
    return InputField(
        name=name,
        annotation=annotation,
        required=required,
        default=None if required else default,
        adapter=adapter_for(function, name, _worded(annotation)),
        source=source,
    )


def adapter_for(function: Callable[..., Any], name: str, annotation: Any) -> TypeAdapter[Any]:
    """A validator for an annotation; one that Pydantic cannot read is a `DefinitionError`."""
    if annotation is bytes:
        raise DefinitionError(
            f"{function.__qualname__}: {name} is bytes, which a record cannot hold; use File",
            where=where(function),
        )
    try:
        return TypeAdapter(annotation, config=None)
    except Exception as error:
        raise DefinitionError(
            f"{function.__qualname__}: the type of {name} ({annotation!r}) has no schema: {error}",
            where=where(function),
        ) from error


def is_secret(annotation: Any) -> bool:
    """Return whether a field of this type is write-only."""
    if get_origin(annotation) is Annotated:
        return is_secret(get_args(annotation)[0])
    return annotation is SecretStr or SecretStr in get_args(annotation)


def tell_unasked(schema: dict[str, Any], kind: type[BaseModel]) -> None:
    """Name in a form's schema the addresses that it does not ask for, but takes: of a sandbox, say."""
    shown = {*schema.get("properties", ()), *getattr(kind, "granted", ())}
    hidden = [
        name
        for name, field in kind.model_fields.items()
        if name.endswith("_url") and field.annotation is str and name not in shown
    ]
    if hidden:
        schema["x-unasked"] = hidden
