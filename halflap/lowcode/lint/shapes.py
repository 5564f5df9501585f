"""Shapes of the components that a document names: of their objects, or of what was stored of them."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from halflap.errors import DefinitionError
from halflap.lowcode.lint.scope import json_type
from halflap.lowcode.registry import Components
from halflap.sdk import codec, registry
from halflap.sdk.action import Action
from halflap.sdk.component import Component
from halflap.sdk.connection import Connection
from halflap.sdk.schema import InputField, Shape, is_secret, without_unset
from halflap.sdk.trigger import Trigger

if TYPE_CHECKING:
    from halflap.lowcode.lint.declared import DeclaredEvents

_DEFINES = re.compile(r"\s*(async )?def ")


Lineage = tuple[str, ...]
"""The names of a class of connections and of those that it is made of, the class first."""


@dataclass(frozen=True, slots=True)
class InputShape:
    """An input; its `type` where the component is loaded, what is `known` of it where it is not."""

    name: str
    required: bool
    type: InputField | None = None
    known: Mapping[str, Any] | None = None
    is_secret: bool = False
    accepts: frozenset[str] = frozenset()
    """The types of JSON of which it takes a value, where it is known so: more than its schema says."""
    _kept: list[Mapping[str, Any] | None] = field(
        default_factory=list[Mapping[str, Any] | None], repr=False, compare=False
    )

    def schema(self) -> Mapping[str, Any] | None:
        """Return its inputs' JSON Schema; None where that is not known."""
        if not self._kept:
            made = self.known if self.type is None else _input_schema(self.type)
            self._kept.append(made)
        return self._kept[0]

    @property
    def secret(self) -> bool:
        """True if it takes a secret."""
        return self.is_secret if self.type is None else is_secret(self.type.annotation)

    def takes(self, value: Any) -> bool:
        """Return whether it takes a value, for all that is known of it."""
        if self.type is None:
            return json_type(value) in self.accepts
        try:
            self.type.adapter.validate_python(value)
        except Exception:  # a validator of the component's own may raise anything
            return False
        return True


SAMPLES: Mapping[str, list[Any]] = {
    "number": [Decimal("1.5"), 1],
    "integer": [1],
    "boolean": [True, False],
    "string": ["a", "1"],
    "array": [[]],
    "object": [{}],
    "null": [None],
}
"""Values of each type of JSON, the most telling first; any will do to see whether it is taken."""


@dataclass(frozen=True, slots=True)
class CallShape:
    """An action or a trigger; `trigger` where its component is loaded."""

    inputs: tuple[InputShape, ...] | None
    output: Mapping[str, Any] | None = None
    connection: Lineage | Literal[False] | None = None
    trigger: Trigger[..., Any] | None = None
    title: str = ""
    description: str = ""
    file: str | None = None
    line: int | None = None
    """Where its function stands, of one of the project's own."""
    alternatives: Mapping[str, Any] | None = None
    """The inputs of which some are needed, or exclude each other."""


@dataclass(frozen=True, slots=True)
class ComponentShape:
    """A component. `open`: it may have more than what is known of it."""

    name: str
    actions: Mapping[str, CallShape] = field(default_factory=dict[str, CallShape])
    triggers: Mapping[str, CallShape] = field(default_factory=dict[str, CallShape])
    connection: Lineage | Literal[False] | None = None
    open: bool = False
    file: str | None = None


class Shapes:
    """Finds components by name: a project's own as they are described, others by their objects."""

    def __init__(
        self,
        components: Components | None = None,
        own: Mapping[str, ComponentShape] | None = None,
        declared: DeclaredEvents | None = None,
    ) -> None:
        self.declared = declared
        self.components = components or Components()
        self._own = own or {}
        self._known: dict[str, ComponentShape] = {}

    @property
    def complete(self) -> bool:
        """True if all components are known by their objects, so that the integration can be built."""
        return not self._own

    def names(self) -> list[str]:
        """The components that are known by name: installed, read, or named before."""
        return sorted({*registry.names(), *self._own, *self._known})

    def component(self, name: str) -> ComponentShape | None:
        """A component; None where there is none of that name."""
        if name in self._own:
            return self._own[name]
        if name not in self._known:
            try:
                self._known[name] = shape_of(self.components.component(name))
            except DefinitionError as error:
                if error.where is None and name not in registry.names():
                    return None
                return ComponentShape(name, open=True)  # it is there, and does not load
        return self._known[name]


def shape_of(component: Component, root: Path | None = None) -> ComponentShape:
    """Return what a component's object says; functions below `root` are told with their place."""

    def call(name: str, made: Action[..., Any] | Trigger[..., Any]) -> CallShape:
        file, line = _place(made.function, root)
        return CallShape(
            tuple(InputShape(each.name, each.required, each) for each in made.shape.inputs),
            output_schema(made.shape),
            _lineage(made.shape.connection_type),
            made if isinstance(made, Trigger) else None,
            made.title,
            made.shape.description,
            file,
            line,
            made.shape.alternatives,
        )

    return ComponentShape(
        component.name,
        {name: call(name, each) for name, each in component.actions.items()},
        {name: call(name, each) for name, each in component.triggers.items()},
        _lineage(component.connection),
    )


def _lineage(kind: type[Any] | None) -> Lineage | Literal[False]:
    """The names of a class of connections and of what it is made of; False where there is none."""
    if kind is None:
        return False
    within = kind.__mro__[: kind.__mro__.index(Connection)] if kind is not Connection else (kind,)
    return tuple(f"{each.__module__}.{each.__qualname__}" for each in within)


def _place(function: Callable[..., Any], root: Path | None) -> tuple[str | None, int | None]:
    code = getattr(function, "__code__", None)
    if root is None or code is None or not Path(code.co_filename).is_relative_to(root):
        return None, None
    lines, first = inspect.getsourcelines(function)
    at = next((at for at, each in enumerate(lines) if _DEFINES.match(each)), 0)
    return Path(code.co_filename).relative_to(root).as_posix(), first + at


class _Values(GenerateJsonSchema):
    """Values as expressions see them: a decimal is a number, with all its digits."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        made: JsonSchemaValue = {"type": "number"}
        self.update_with_validations(made, schema, self.ValidationsMapping.numeric)
        return made


def output_schema(shape: Shape) -> Mapping[str, Any] | None:
    """Return the JSON Schema of a call's result as expressions see it; None where it has none."""
    return _schema(lambda: shape.output_schema(_Values))


def _input_schema(given: InputField) -> Mapping[str, Any] | None:
    annotation = without_unset(given.annotation)
    adapter = given.adapter if annotation is given.annotation else TypeAdapter[Any](annotation)
    return _schema(lambda: adapter.json_schema(schema_generator=_Values))


def _schema(make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that JSON has no word for is left out
        try:
            return make()
        except Exception:  # Pydantic's errors have no common base: a type without one says nothing
            return None


# As data --------------------------------------------------------------------------------------


def dump_shapes(components: Mapping[str, ComponentShape]) -> bytes:
    """Write components as JSON, which `read_shapes` reads: what is stored of a version's own ones."""
    return codec.encode({name: _component_data(each) for name, each in components.items()})


def _component_data(component: ComponentShape) -> dict[str, Any]:
    return {
        "open": component.open,
        "connection": component.connection,
        "file": component.file,
        "actions": {name: _call_data(each) for name, each in component.actions.items()},
        "triggers": {name: _call_data(each) for name, each in component.triggers.items()},
    }


def _call_data(call: CallShape) -> dict[str, Any]:
    inputs = [
        {
            "name": each.name,
            "required": each.required,
            "secret": each.secret,
            "schema": each.schema(),
            "accepts": [name for name, some in SAMPLES.items() if each.takes(some[0])],
        }
        for each in call.inputs or ()
    ]
    parts = ("output", "connection", "title", "description", "file", "line", "alternatives")
    return {"inputs": inputs} | {part: getattr(call, part) for part in parts}


def read_shapes(data: bytes) -> dict[str, ComponentShape]:
    """Read components that `dump_shapes` wrote."""
    return {
        name: ComponentShape(
            name,
            {each: _read_call(call) for each, call in found["actions"].items()},
            {each: _read_call(call) for each, call in found["triggers"].items()},
            _read_connection(found["connection"]),
            found["open"],
            found["file"],
        )
        for name, found in codec.decode(data).items()
    }


def _read_call(found: Mapping[str, Any]) -> CallShape:
    inputs = tuple(
        InputShape(
            each["name"],
            each["required"],
            known=each["schema"],
            is_secret=each["secret"],
            accepts=frozenset(each["accepts"]),
        )
        for each in found["inputs"]
    )
    parts = {part: found[part] for part in ("output", "title", "description", "file", "line")}
    parts["alternatives"] = found.get("alternatives")  # what was stored before has none
    return CallShape(inputs, connection=_read_connection(found["connection"]), **parts)


def _read_connection(found: Any) -> Lineage | Literal[False]:
    return tuple(found) if found else False
