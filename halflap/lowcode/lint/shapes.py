"""What the components that a document names look like: of their objects, or of their text alone."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from halflap.errors import DefinitionError
from halflap.lowcode.lint.annotations import Annotations
from halflap.lowcode.registry import Components
from halflap.sdk import registry
from halflap.sdk._survey import Function, Module, Survey
from halflap.sdk.component import Component
from halflap.sdk.schema import Input, Shape
from halflap.sdk.trigger import Trigger


@dataclass(frozen=True, slots=True)
class InputShape:
    """An input; its `type` where the component is loaded, what is `read` of it where it is not."""

    name: str
    required: bool
    type: Input | None = None
    read: Mapping[str, Any] | None = None
    _kept: list[Mapping[str, Any] | None] = field(
        default_factory=list[Mapping[str, Any] | None], repr=False, compare=False
    )

    def schema(self) -> Mapping[str, Any] | None:
        """What it takes, as JSON Schema; None where that is not known."""
        if not self._kept:
            made = self.read if self.type is None else _schema(self.type.adapter.json_schema)
            self._kept.append(made)
        return self._kept[0]

    def takes(self, value: Any) -> bool:
        """Whether it takes a value; no where its type is not known."""
        if self.type is None:
            return False
        try:
            self.type.adapter.validate_python(value)
        except Exception:  # a validator of the component's own may raise anything
            return False
        return True


@dataclass(frozen=True, slots=True)
class CallShape:
    """An action or a trigger. None stands for what the text alone does not say."""

    inputs: tuple[InputShape, ...] | None
    output: Mapping[str, Any] | None = None
    connection: type[Any] | Literal[False] | None = None
    trigger: Trigger[..., Any] | None = None
    title: str = ""
    description: str = ""
    file: str | None = None
    line: int | None = None
    """Where its text says so: the source and the line of its function."""


@dataclass(frozen=True, slots=True)
class ComponentShape:
    """A component. `open`: it may have more than what is known of it."""

    name: str
    actions: Mapping[str, CallShape] = field(default_factory=dict[str, CallShape])
    triggers: Mapping[str, CallShape] = field(default_factory=dict[str, CallShape])
    connection: type[Any] | Literal[False] | None = None
    open: bool = False
    file: str | None = None


class Shapes:
    """Finds components by name: a project's own as their text says, others by their objects."""

    def __init__(
        self, components: Components | None = None, own: Mapping[str, ComponentShape] | None = None
    ) -> None:
        self.components = components or Components()
        self._own = own or {}
        self._known: dict[str, ComponentShape] = {}

    @property
    def complete(self) -> bool:
        """Whether all components are known by their objects, so that the integration can be built."""
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


def shape_of(component: Component) -> ComponentShape:
    """What a component's object says."""
    return ComponentShape(
        component.name,
        {
            name: CallShape(
                tuple(InputShape(each.name, each.required, each) for each in action.shape.inputs),
                _output(action.shape),
                action.shape.connection_type or False,
                title=action.title,
                description=action.shape.description,
            )
            for name, action in component.actions.items()
        },
        {
            name: CallShape(
                tuple(InputShape(each.name, each.required, each) for each in trigger.shape.inputs),
                _output(trigger.shape),
                trigger=trigger,
                title=trigger.title,
                description=trigger.shape.description,
            )
            for name, trigger in component.triggers.items()
        },
        component.connection or False,
    )


class _Values(GenerateJsonSchema):
    """Results as expressions see them: a decimal is a number, with all its digits."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "number"}


def _output(shape: Shape) -> Mapping[str, Any] | None:
    adapter = shape.output_adapter
    return _schema(lambda: adapter.json_schema(mode="serialization", schema_generator=_Values))


def _schema(make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a default that JSON has no word for is left out
        try:
            return make()
        except Exception:  # Pydantic's errors have no common base: a type without one says nothing
            return None


# By their text --------------------------------------------------------------------------------


def read_components(files: Mapping[str, str]) -> dict[str, ComponentShape]:
    """The components of a project's sources, by the name of their module; nothing is run."""
    found: dict[str, ComponentShape] = {}
    modules: dict[str, Module] = {}
    for path, text in files.items():
        with suppress(SyntaxError, ValueError, RecursionError):
            modules[path] = Module.read(path, text)
    types = Annotations(Survey.of(iter(modules.values())))
    for path in files:
        package = path.endswith("/__init__.py")
        name = path.removesuffix(".py").removesuffix("/__init__")
        if not path.endswith(".py") or "/" in name:
            continue
        module = modules.get(path)
        if module is None:
            found[name] = ComponentShape(name, open=True)
        elif "component" in module.variables or "component" in module.aliases:
            inside = [each for at, each in modules.items() if at.startswith(f"{name}/")]
            read = _read(name, inside if package else [module], types)
            found[name] = replace(read, file=path)
    return found


def _read(name: str, modules: Sequence[Module], types: Annotations) -> ComponentShape:
    """A component, of one module or of those of its package."""
    made = [value for module in modules for value in _made(module)]
    if len(made) != 1 or not isinstance(made[0], ast.Call):
        return ComponentShape(name, open=True)
    kind = next((each.value for each in made[0].keywords if each.arg == "connection"), None)
    decorators = sum(1 for module in modules for _ in _registering(module.tree))
    actions = [(each, module) for module in modules for each in module.actions]
    triggers = [(each, module) for module in modules for each in module.triggers]
    return ComponentShape(
        name,
        {each.name: _call(each, kind, module, types) for each, module in actions},
        {each.name: _call(each, kind, module, types) for each, module in triggers},
        False if kind is None else None,
        open=decorators > len(actions) + len(triggers),
    )


def _made(module: Module) -> Iterator[ast.expr]:
    """What a module makes its component of."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Name) and each.id == "component" for each in node.targets
        ):
            yield node.value


def _call(
    function: Function, connection: ast.expr | None, module: Module, types: Annotations
) -> CallShape:
    """What a function's text says of an action or a trigger."""
    said = (ast.get_docstring(function) or "").partition("\n")[0]
    title = function.name.replace("_", " ").capitalize()
    inputs, given = _inputs(function, connection), None
    if len(function.decorator_list) == 1:  # another decorator may make another function of it
        arguments = function.args
        listed = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        read = {each.arg: types.of(each.annotation, module) for each in listed}
        inputs = None if inputs is None else tuple(replace(x, read=read[x.name]) for x in inputs)
        given = types.of(function.returns, module)
    return CallShape(
        inputs, given, title=title, description=said, file=module.path, line=function.lineno
    )


def _registering(tree: ast.Module) -> Iterator[ast.AST]:
    """Every place that says `.action` or `.trigger`: more than there are decorators is more than
    can be read from the text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("action", "trigger"):
            yield node


def _inputs(function: Function, connection: ast.expr | None) -> tuple[InputShape, ...] | None:
    """The inputs of a function's signature; None where the connection among them is not clear."""
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        return None
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [
        *zip(positional, [*defaults, *arguments.defaults], strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    kinds = {"Request", *(() if connection is None else (_last(connection),))}
    found = [
        InputShape(each.arg, default is None)
        for each, default in pairs
        if each.annotation is None or _last(each.annotation) not in kinds
    ]
    if connection is not None and len(found) == len(pairs):
        return None  # a subclass of the connection, perhaps
    return tuple(found)


def _last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]
