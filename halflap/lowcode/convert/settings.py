"""Writes the config of a document as the `Config` that a developer would declare."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from halflap.lowcode.convert.flow import PythonScope
from halflap.lowcode.document import ConnectionField
from halflap.lowcode.python import call, indented, text
from halflap.sdk.condition import When
from halflap.sdk.schema import Source

_LIMITS = ("ge", "le", "min_length", "max_length", "pattern")


def settings(scope: PythonScope) -> list[str]:
    """Return the class, line by line.

    A default stands in its `Field`, so that no field takes a name that another's type needs.
    """
    module = scope.module
    made = [f"class {module.settings}({module.names.use('Config')}):"]
    made += ['    """The settings that a customer fills in to activate the integration."""', ""]
    for page, members in module.document.config.items():
        for name, part in members.items():
            made += indented(module.comments("config", page, name))
            field = module.config.model_fields[name]
            if isinstance(part, ConnectionField):
                kind = module.connection(module.connections[name], part.connection)
            else:
                kind = _type(scope, field.annotation)
            made.append(f"    {name}: {_annotated(scope, kind, [field, *field.metadata])}")
    return made


def _type(scope: PythonScope, annotation: Any) -> str:
    """Return a type as it is written."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = (y for x in args[1:] for y in (x.metadata if isinstance(x, FieldInfo) else [x]))
        return _annotated(scope, _type(scope, args[0]), limits)
    if origin in (Union, UnionType):
        return " | ".join(_type(scope, each) for each in args)
    if origin is Literal:
        return f"{scope.use('Literal')}[{', '.join(map(text, args))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(_type(scope, each) for each in args)}]"
    if annotation is type(None):
        return "None"
    return (
        annotation.__name__
        if annotation.__module__ == "builtins"
        else scope.use(annotation.__name__)
    )


def _annotated(scope: PythonScope, kind: str, metadata: Iterable[Any]) -> str:
    """Return a type with its source of choices, and with all else that is known of it as a `Field`."""
    parts, named = [kind], dict[str, str]()
    for each in metadata:
        if isinstance(each, Source):
            parts.append(_source(scope, each))
        if isinstance(each, When):
            wanted = (
                (name, some[0] if len(some) == 1 else [*some]) for name, some in each.fields.items()
            )
            parts.append(call(scope.use("When"), named=[(n, scope.constant(v)) for n, v in wanted]))
        names = _LIMITS
        if isinstance(each, FieldInfo):
            names = ("title", "description", "json_schema_extra")
            if each.default is not PydanticUndefined:
                named["default"] = scope.constant(each.default)
        values = {name: getattr(each, name, None) for name in names}
        named |= {name: scope.constant(each) for name, each in values.items() if each is not None}
    if named:
        parts.append(call(scope.use("Field"), named=named.items()))
    return kind if len(parts) == 1 else f"{scope.use('Annotated')}[{', '.join(parts)}]"


def _source(scope: PythonScope, source: Source) -> str:
    args = [scope.module.member(cast(Any, source.list))]
    if source.depends:
        args.append(scope.constant(source.depends))
    named = [
        (name, scope.constant(value))
        for name in ("inputs", "open", "connection")
        if (value := getattr(source, name))
    ]
    return call(scope.use("Source"), args, named)
