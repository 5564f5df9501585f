"""Writes the config of a document as the `Config` that a developer would declare."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container
from decimal import Decimal
from types import NoneType
from typing import Any

from halflap.lowcode.config import PATTERNS, source_in
from halflap.lowcode.convert.context import WrittenModule
from halflap.lowcode.convert.layout import (
    Brackets,
    Piece,
    call,
    call_with,
    joined,
    lines,
    text,
)
from halflap.lowcode.convert.names import OTHERS, RESERVED, STANDARD
from halflap.lowcode.convert.values import PythonScope, constant
from halflap.lowcode.document import ConnectionField, DocumentPicker, PlainField
from halflap.lowcode.names import components_in
from halflap.lowcode.source import Path

_TYPES = {"text": "str", "integer": "int", "boolean": "bool", "url": "str", "email": "str"}
_IMPORTED = {"decimal": "Decimal", "date": "date", "datetime": "datetime"}

Named = list[tuple[str, Piece]]


def settings(module: WrittenModule) -> list[str]:
    """The class, line by line."""
    made = [f"class {module.settings}({module.names.use('Config')}):"]
    made += ['    """The settings that a customer fills in to activate the integration."""', ""]
    meant = {*RESERVED, *STANDARD, *OTHERS, "Source", *components_in(module.source.data)}
    for page, members in module.document.config.items():
        for name, field in members.items():
            path: Path = ("config", page, name)
            for each in module.remarks.of(path):
                made.append(f"    # {each}")
            written = _Field(module, name, page, meant)
            if isinstance(field, ConnectionField):
                made += written.connection(field)
            else:
                made += written.plain(field)
    return made


class _Field:
    """Writes one field."""

    def __init__(self, module: WrittenModule, name: str, page: str, meant: Container[str]) -> None:
        self._module = module
        self._meant = meant
        """Names that mean something else, in the class too."""
        self._scope = PythonScope(module)
        self._name = name
        self._extra: list[Piece] = [joined('"x-page": ', text(page))]

    def connection(self, field: ConnectionField) -> list[str]:
        """A connection that the customer makes."""
        kind = self._module.components.component(field.connection).connection
        assert kind is not None
        shown = self._module.connection(kind, field.connection)
        return self._lines(shown, self._described(field), [], None)

    def plain(self, field: PlainField) -> list[str]:
        """A field that the customer fills in."""
        kind, limits, source = self._kind(field)
        held = self._module.config.model_fields[self._name]
        default = None if held.is_required() else self._default(held.default)
        optional = NoneType in getattr(held.annotation, "__args__", ()) and default == "None"
        if (field.multiple or optional) and limits:
            kind, limits = self._annotated(kind, limits, []), []
        if field.multiple:
            kind = Brackets("list[", (kind,), "]")
        if optional:
            kind = joined(kind, " | None")
        if isinstance(field.to, list):
            self._add("x-to", field.to)
        return self._lines(kind, [*self._described(field), *limits], source, default)

    def _described(self, field: ConnectionField | PlainField) -> Named:
        title = field.title or self._name.replace("_", " ").capitalize()
        named: Named = [("title", text(title))]
        if field.description:
            named.append(("description", text(field.description)))
        return named

    def _kind(self, field: PlainField) -> tuple[Piece, Named, list[Piece]]:
        """The type, its limits, and where its choices come from."""
        uses = self._module.names.use
        if field.type == "mapping":
            sides = [
                "str"
                if given is None or isinstance(given, list)
                else self._annotated("str", [], [self._source(given, field)])
                for given in (field.of, field.to)
            ]
            kind: Piece = Brackets("dict[", tuple(sides), "]")
        else:
            kind = _TYPES.get(field.type) or uses(_IMPORTED[field.type])
        limits: Named = []
        if field.type in PATTERNS:
            limits.append(("pattern", f"r{text(PATTERNS[field.type])}".replace("\\\\", "\\")))
        names = ("min_length", "max_length") if field.type == "text" else ("ge", "le")
        for name, limit in zip(names, (field.minimum, field.maximum), strict=True):
            if limit is not None:
                limits.append((name, constant(self._scope, limit)))
        source: list[Piece] = []
        if field.choices is not None:
            kind, limits = Brackets(f"{uses('Literal')}[", tuple(map(text, field.choices)), "]"), []
            if isinstance(field.choices, dict):
                self._add("x-labels", field.choices)
        if field.source is not None:
            source.append(self._source(field.source, field))
        return kind, limits, source

    def _source(self, given: str | DocumentPicker, field: PlainField) -> Piece:
        made = source_in(given, field, self._module.components)
        action = self._module.components.action(given if isinstance(given, str) else given.action)
        args: list[Piece] = [self._module.member(action)]
        if made.depends:
            args.append(constant(self._scope, made.depends))
        named: Named = []
        if made.inputs:
            named.append(("inputs", constant(self._scope, made.inputs)))
        if made.open:
            named.append(("open", "True"))
        if made.connection is not None:
            named.append(("connection", text(made.connection)))
        return call_with(self._module.names.use("Source"), args, named)

    def _add(self, name: str, value: Any) -> None:
        self._extra.append(joined(f"{text(name)}: ", constant(self._scope, value)))

    def _default(self, value: Any) -> Piece:
        uses = self._module.names.use
        match value:
            case dt.datetime():
                return call(f"{uses('datetime')}.fromisoformat", text(value.isoformat()))
            case dt.date():
                return call(uses("date"), str(value.year), str(value.month), str(value.day))
            case Decimal():
                return call(uses("Decimal"), f'"{value}"')
            case _:
                return constant(self._scope, value)

    def _annotated(self, kind: Piece, named: Named, source: list[Piece]) -> Piece:
        parts: list[Piece] = [kind, *source]
        if named:
            parts.append(call_with(self._module.names.use("Field"), [], named))
        return Brackets(f"{self._module.names.use('Annotated')}[", tuple(parts), "]")

    def _lines(
        self, kind: Piece, named: Named, source: list[Piece], default: Piece | None
    ) -> list[str]:
        if default is not None and self._name in self._meant:
            named, default = [*named, ("default", default)], None  # it stays what it means here
        extra = Brackets("{", tuple(self._extra), "}", "display")
        annotated = self._annotated(kind, [*named, ("json_schema_extra", extra)], source)
        made = joined(f"{self._name}: ", annotated)
        return lines(made if default is None else joined(made, " = ", default), 4)
