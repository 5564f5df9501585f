"""What is known of values by the types that a source declares, without running it.

A project's own models and actions are read from their text; those of installed components are
asked for, as lint does.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from halflap.lowcode.outline import known
from halflap.lowcode.outline.calls import Meanings, argument
from halflap.sdk._survey import Function, Module
from halflap.sdk.connection import Connection
from halflap.sdk.schema import Input, Unset

Base = Literal[
    "text", "integer", "decimal", "boolean", "null", "list", "model", "object", "json", "closed"
]


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model of the project, by its text."""

    module: Module
    node: ast.ClassDef

    def __hash__(self) -> int:
        return hash((self.module.name, self.node.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnModel) and self.node is other.node


@dataclass(frozen=True, slots=True)
class Kind:
    """A value's kind. `closed` is one that can be handed on, and not looked into.

    null: it may be None. missing: where Python has a default, an expression may find nothing; `default`
    is that default. promised: the flow declares it, and nothing checks it in YAML.
    """

    base: Base
    null: bool = False
    missing: bool = False
    of: Any = None
    """A list's items, or the model."""
    default: Any = None
    promised: bool = False

    def nullable(self) -> Kind:
        """The same, or None."""
        return replace(self, null=True)

    def sure(self) -> Kind:
        """The same, where it was found not to be None."""
        return replace(self, null=False, missing=False)

    @property
    def is_number(self) -> bool:
        """Whether it can be computed with."""
        return self.base in ("integer", "decimal") and not self.null


TEXT, INTEGER, DECIMAL, BOOLEAN = Kind("text"), Kind("integer"), Kind("decimal"), Kind("boolean")
NULL, JSON, OBJECT, CLOSED = (
    Kind("null", null=True),
    Kind("json", null=True),
    Kind("object"),
    Kind("closed"),
)
_NAMES: dict[str, Kind] = {
    "str": TEXT, "int": INTEGER, "decimal.Decimal": DECIMAL, "bool": BOOLEAN,
    "typing.Any": JSON, "halflap.Json": JSON, "object": CLOSED, "dict": OBJECT,
}  # fmt: skip
_TYPES: dict[Any, Kind] = {str: TEXT, int: INTEGER, Decimal: DECIMAL, bool: BOOLEAN, dict: OBJECT}


@dataclass(frozen=True, slots=True)
class Callee:
    """An action or a trigger: its inputs by name, in their order, and what it gives."""

    name: str
    inputs: tuple[str, ...]
    required: frozenset[str]
    parameters: tuple[str, ...]
    """The inputs, and the connection among them."""
    connection: str | None
    output: Kind
    model: Any = None
    """The type that it gives, to tell whether a flow declares the same."""


class Types:
    """Finds the kinds of what a project's sources declare."""

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        self._survey = meanings.survey

    # Annotations ------------------------------------------------------------------------------

    def declared(self, node: ast.expr | None, module: Module) -> Kind:
        """The kind of what an annotation in a source declares."""
        match node:
            case None:
                return JSON
            case ast.Constant(value=None):
                return NULL
            case ast.Constant(value=str(text)):
                return self.declared(ast.parse(text, mode="eval").body, module)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._union([self.declared(left, module), self.declared(right, module)])
            case ast.Subscript(value=value, slice=inner):
                return self._generic(self._named(value, module), inner, module)
            case _:
                return self._class(node, module)

    def _generic(self, name: str, inner: ast.expr, module: Module) -> Kind:
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        match name.rpartition(".")[2]:
            case "Annotated":
                return self.declared(items[0], module)
            case "Optional":
                return self.declared(items[0], module).nullable()
            case "list" | "Sequence" | "List":
                return Kind("list", of=self.declared(items[0], module))
            case "dict" | "Dict" | "Mapping":
                return OBJECT
            case "Literal":
                texts = all(
                    isinstance(each, ast.Constant) and isinstance(each.value, str) for each in items
                )
                return TEXT if texts else CLOSED
            case _:
                return CLOSED

    def _union(self, kinds: list[Kind]) -> Kind:
        null = any(each.null for each in kinds)
        bases = [each for each in kinds if each.base != "null"]
        found = bases[0] if bases else NULL
        if any(replace(each, null=False) != replace(found, null=False) for each in bases):
            found = CLOSED
        return replace(found, null=null or found.null)

    def _named(self, node: ast.expr, module: Module) -> str:
        name = self._survey.canonical(module.meaning(node)) or ast.unparse(node)
        classes = (each.name for each in module.tree.body if isinstance(each, ast.ClassDef))
        return f"{module.name}.{name}" if name in classes else name

    def _class(self, node: ast.expr, module: Module) -> Kind:
        name = self._named(node, module)
        if name in _NAMES:
            return _NAMES[name]
        if (own := self.own_model(name, module)) is not None:
            return Kind("model", of=own)
        found = self._installed(name)
        return CLOSED if found is None else self.typed(found)

    def own_model(self, name: str, module: Module) -> OwnModel | None:
        """A model of the project, where it is written as its fields say."""
        owner, rest = self._survey.split(name)
        owner, rest = (module, name) if owner is None else (owner, rest)
        for node in owner.tree.body:
            if isinstance(node, ast.ClassDef) and node.name == rest and self._is_plain(node, owner):
                return OwnModel(owner, node)
        return None

    def _is_plain(self, node: ast.ClassDef, module: Module) -> bool:
        bases = [self._named(each, module) for each in node.bases]
        if node.keywords or node.decorator_list or bases != ["halflap.Model"]:
            return False
        return all(
            isinstance(each, ast.AnnAssign | ast.Pass)
            or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
            for each in node.body
        )

    def _installed(self, name: str) -> Any:
        """A class of an installed component's module."""
        component, short = known.component_in(name)
        if component is None or (found := known.component(component)) is None:
            return None
        return _class_in(found, short)

    def typed(self, annotation: Any) -> Kind:
        """The kind of what a type of an installed component declares."""
        origin = get_origin(annotation)
        if origin is Annotated:
            return self.typed(get_args(annotation)[0])
        if annotation in (None, NoneType):
            return NULL
        if annotation is Any:
            return JSON
        if origin is Literal:
            return TEXT if all(isinstance(e, str) for e in get_args(annotation)) else CLOSED
        if origin is list:
            return Kind("list", of=self.typed(get_args(annotation)[0]))
        if origin is dict:
            return OBJECT
        if origin in (Union, UnionType):
            kinds = [self.typed(each) for each in get_args(annotation) if each is not Unset]
            return self._union(kinds)
        if isinstance(annotation, type):
            if annotation in _TYPES:
                return _TYPES[annotation]
            if issubclass(annotation, BaseModel):
                made = annotation.__pydantic_decorators__
                if not (made.model_serializers or made.field_serializers):
                    return Kind("model", of=annotation)
        return CLOSED

    # Fields -----------------------------------------------------------------------------------

    def field(self, kind: Kind, name: str) -> tuple[str, Kind] | None:
        """The app's name of a model's field, and its kind."""
        found = self.fields(kind).get(name)
        if found is None:
            return None
        shown, made = found
        if not kind.promised:
            return shown, replace(made, missing=False)
        return shown, replace(made, promised=True)

    def fields(self, kind: Kind) -> dict[str, tuple[str, Kind]]:
        """A model's fields: the app's name, and the kind."""
        if isinstance(kind.of, OwnModel):
            return self._own_fields(kind.of)
        model: type[BaseModel] = kind.of
        found: dict[str, tuple[str, Kind]] = {}
        for name, each in model.model_fields.items():
            default = each.get_default(call_default_factory=True, validated_data={})
            optional = default is not PydanticUndefined
            made = self.typed(each.annotation)
            if optional:
                made = replace(made, missing=True, default=default)
            found[name] = (each.serialization_alias or each.alias or name, made)
        return found

    def _own_fields(self, model: OwnModel) -> dict[str, tuple[str, Kind]]:
        found: dict[str, tuple[str, Kind]] = {}
        for each in model.node.body:
            if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
                continue
            kind = self.declared(each.annotation, model.module)
            alias, default = each.target.id, each.value
            for call in _field_calls(each, model.module):
                given = argument(call, 99, "alias") or argument(call, 99, "serialization_alias")
                if given is not None:
                    alias = constant_text(given) or ""
                default = argument(call, 0, "default") if call is each.value else default
            if not alias:
                continue
            if default is not None and not _is_dots(default):
                kind = _defaulted(kind, default)
            found[each.target.id] = (alias, kind)
        return found

    # Actions and triggers ---------------------------------------------------------------------

    def action(self, name: str) -> Callee | None:
        """An action, as the outline names it: `acme.create_account`."""
        return self._callee(name, "actions")

    def trigger(self, name: str) -> Callee | None:
        """A trigger."""
        return self._callee(name, "triggers")

    def _callee(self, name: str, verb: Literal["actions", "triggers"]) -> Callee | None:
        owner, _, short = name.partition(".")
        for module in self._survey.modules.values():
            functions: list[Function] = getattr(module, verb)
            for each in functions:
                if each.name == short and self._meanings.component_of(module, each) == owner:
                    return self._own(name, each, module)
        component = known.component(owner)
        found: Any = None if component is None else getattr(component, verb).get(short)
        if found is None:
            return None
        shape = found.shape
        given: tuple[Input, ...] = shape.inputs
        parameters = getattr(found, "parameters", None) or tuple(each.name for each in given)
        return Callee(
            name,
            tuple(each.name for each in given),
            frozenset(each.name for each in given if each.required),
            tuple(each for each in parameters if each not in shape.skipped),
            shape.connection,
            self.typed(shape.output),
            shape.output,
        )

    def _own(self, name: str, function: Function, module: Module) -> Callee | None:
        arguments = function.args
        if arguments.vararg or arguments.kwarg:
            return None
        placed = [*arguments.posonlyargs, *arguments.args]
        required = len(placed) - len(arguments.defaults)
        defaults = [each is not None for each in arguments.kw_defaults]
        every = [(each, at >= required) for at, each in enumerate(placed)]
        every += list(zip(arguments.kwonlyargs, defaults, strict=True))
        wanted = self.connection_of(module)
        connection: str | None = None
        inputs: list[tuple[str, bool]] = []
        for each, optional in every:
            kind = "" if each.annotation is None else self._named(each.annotation, module)
            if wanted is not None and kind == wanted:
                connection = each.arg
            elif kind not in ("halflap.Request", "halflap.sdk.request.Request"):
                inputs.append((each.arg, optional))
        output = self.declared(function.returns, module)
        return Callee(
            name,
            tuple(each for each, _ in inputs),
            frozenset(each for each, optional in inputs if not optional),
            tuple(each.arg for each, _ in every),
            connection,
            output,
            output.of if output.base == "model" else None,
        )

    def connection_of(self, module: Module) -> str | None:
        """The dotted name of the class that connects a project's own component."""
        made = self._meanings.variables(module).get("component")
        given = argument(made, 99, "connection") if isinstance(made, ast.Call) else None
        return None if given is None else self._named(given, module)

    def connects(self, node: ast.expr, module: Module) -> str | None:
        """The component whose connection a field of the config is."""
        name = self._named(node, module)
        for each in self._survey.modules.values():
            if self.connection_of(each) == name:
                made = self._meanings.variables(each)["component"]
                given = argument(made, 0, "name") if isinstance(made, ast.Call) else None
                return None if given is None else constant_text(given)
        found = self._installed(name)
        if not (isinstance(found, type) and issubclass(found, Connection)):
            return None
        component, _ = known.component_in(name)
        made = None if component is None else known.component(component)
        return component if made is not None and made.connection is found else None


def _class_in(component: Any, name: str) -> Any:
    """A class that the functions of a component, or its module, name."""
    import sys

    where = {each.function.__module__ for each in component.actions.values()}
    where |= {each.function.__module__ for each in component.triggers.values()}
    packages = {each.rpartition(".")[0] for each in where}
    for each in (*packages, *where):
        found = getattr(sys.modules.get(each), name, None)
        if isinstance(found, type):
            return found
    return None


def _field_calls(node: ast.AnnAssign, module: Module) -> list[ast.Call]:
    inside = [each for each in ast.walk(node.annotation) if isinstance(each, ast.Call)]
    given = [node.value] if isinstance(node.value, ast.Call) else []
    return [
        each
        for each in (*inside, *given)
        if (module.meaning(each.func) or "").rpartition(".")[2] == "Field"
    ]


def _defaulted(kind: Kind, default: ast.expr) -> Kind:
    try:
        return replace(kind, missing=True, default=ast.literal_eval(default))
    except ValueError:
        return CLOSED


def constant_text(node: ast.expr) -> str | None:
    """A text that is written out; None for all else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return None


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
