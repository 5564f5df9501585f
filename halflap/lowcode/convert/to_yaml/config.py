"""Says the class of a config as the pages of a document."""

from __future__ import annotations

import ast
from typing import Any, cast

from halflap.lowcode.config import PATTERNS
from halflap.lowcode.convert.to_yaml.names import Field
from halflap.lowcode.convert.to_yaml.refusal import Refusals, Refused
from halflap.lowcode.convert.to_yaml.types import (
    BOOLEAN,
    CLOSED,
    DECIMAL,
    INTEGER,
    TEXT,
    Kind,
    Types,
)
from halflap.sdk._survey import Module

_TYPES: dict[str, tuple[str | None, Kind]] = {
    "str": (None, TEXT),
    "int": ("integer", INTEGER),
    "decimal.Decimal": ("decimal", DECIMAL),
    "bool": ("boolean", BOOLEAN),
    "datetime.date": ("date", CLOSED),
    "datetime.datetime": ("datetime", CLOSED),
}
_ORDER = (
    *("type", "title", "description", "required", "default", "minimum", "maximum", "choices"),
    *("multiple", "source", "depends", "of", "to"),
)
_BOUNDS = {"ge": "minimum", "le": "maximum", "min_length": "minimum", "max_length": "maximum"}


def config_of(
    node: ast.ClassDef, module: Module, types: Types, refusals: Refusals
) -> tuple[dict[str, Any], dict[str, Field]]:
    """The pages of a config's class, and what each field is."""
    pages: dict[str, Any] = {}
    fields: dict[str, Field] = {}
    body = node.body
    for at, each in enumerate(body):
        with refusals.collected():
            match each:
                case ast.AnnAssign(target=ast.Name(id=name)):
                    reader = _Reader(module, types)
                    data, fields[name] = reader.field(name, each)
                    told = _told(body[at + 1]) if at + 1 < len(body) else None
                    if told is not None:
                        data.setdefault("description", told)
                    usual = "Options" if fields[name].connects is None else "Connect"
                    pages.setdefault(reader.page or usual, {})[name] = data
                case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                    pass
                case _:
                    raise Refused(each, "a config has fields; its checks have no YAML")
    return pages, fields


def _told(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).split())
    return None


class _Reader:
    def __init__(self, module: Module, types: Types) -> None:
        self._module = module
        self._types = types
        self._data: dict[str, Any] = {}
        self.page: str | None = None

    def field(self, name: str, node: ast.AnnAssign) -> tuple[dict[str, Any], Field]:
        """A field."""
        annotation, extras = node.annotation, list[ast.expr]()
        match annotation:
            case ast.Subscript(value=value, slice=ast.Tuple(elts=[inner, *extras])) if (
                self._meaning(value) == "typing.Annotated"
            ):
                annotation = inner
            case _:
                pass
        default = node.value
        component = self._types.connects(annotation, self._module)
        if component is not None:
            for each in [*extras, *([] if default is None else [default])]:
                self._extras(each, default=False)
            if self._data.get("title") == name.replace("_", " ").capitalize():
                del self._data["title"]
            return {"connection": component, **self._data}, Field(CLOSED, component)
        kind = self._annotation(node.annotation)
        if isinstance(default, ast.Call) and self._meaning(default.func) == "pydantic.Field":
            self._extras(default, default=True)
        elif default is not None:
            self._default(default, kind)
        if kind.null and "default" not in self._data and self._data.get("required") is not False:
            raise Refused(node, "a field that may be None has the default None in YAML")
        if self._data.get("title") == name.replace("_", " ").capitalize():
            del self._data["title"]
        return {k: self._data[k] for k in sorted(self._data, key=_ORDER.index)}, Field(kind)

    def _meaning(self, node: ast.expr) -> str:
        return self._module.meaning(node) or ""

    def _annotation(self, node: ast.expr) -> Kind:
        match node:
            case ast.Subscript(value=value, slice=ast.Tuple(elts=[inner, *extras])) if (
                self._meaning(value) == "typing.Annotated"
            ):
                kind = self._annotation(inner)
                for each in extras:
                    is_source = isinstance(each, ast.Call) and (
                        self._meaning(each.func) == "halflap.Source"
                    )
                    if not is_source:  # which `x-source` tells, too
                        self._extras(each, default=False)
                return kind
            case ast.Subscript(value=value, slice=inner) if (
                self._meaning(value) == "typing.Literal"
            ):
                items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                texts = [each.value for each in items if isinstance(each, ast.Constant)]
                if len(texts) < len(items) or not all(isinstance(each, str) for each in texts):
                    raise Refused(node, "choices in YAML are texts")
                self._data.setdefault("choices", texts)
                return TEXT
            case ast.Subscript(value=ast.Name(id="list"), slice=inner):
                self._data["multiple"] = True
                return Kind("list", of=self._annotation(inner))
            case ast.Subscript(value=ast.Name(id="dict")):
                self._data["type"] = "mapping"
                return Kind("object")
            case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
                return self._annotation(left).nullable()
            case _:
                found = _TYPES.get(self._meaning(node))
                if found is None:
                    raise Refused(
                        node,
                        "a field of YAML is a str, int, Decimal, bool, date, datetime, a Literal of "
                        "texts, or a component's connection",
                    )
                if found[0] is not None:
                    self._data["type"] = found[0]
                return found[1]

    def _more(self, node: ast.expr) -> None:
        """What a field's schema says to forms: its page, labels, and what lists its choices."""
        try:
            told: dict[str, Any] = ast.literal_eval(node)
        except ValueError:
            raise Refused(node, "this is written out in YAML") from None
        for key, value in told.items():
            match key:
                case "x-page":
                    self.page = value
                case "x-labels":
                    self._data["choices"] = value
                case "x-source" | "x-of" | "x-to":
                    self._data[key.removeprefix("x-")] = _picker(value)
                    if isinstance(value, dict) and "depends" in value and value["depends"]:
                        self._data["depends"] = cast(Any, value["depends"])
                case _:
                    raise Refused(node, f"a field of YAML has no {key}")

    def _default(self, node: ast.expr, kind: Kind) -> None:
        match node:
            case ast.Constant(value=None) if kind.null:
                self._data["required"] = False
            case ast.Call(func=function, args=[ast.Constant(value=value)]) if (
                self._meaning(function) == "decimal.Decimal"
            ):
                self._data["default"] = (
                    value if isinstance(value, int) else _number(node, str(value))
                )
            case ast.Constant(value=str() | int() as value):
                self._data["default"] = value
            case ast.List():
                self._data["default"] = ast.literal_eval(node)
            case _:
                raise Refused(node, "a default is written out")

    def _extras(self, node: ast.expr, *, default: bool) -> None:
        """What `Field(…)` says."""
        if not isinstance(node, ast.Call) or self._meaning(node.func) != "pydantic.Field":
            raise Refused(node, "YAML has no field with this; write Field(title=…, ge=…, le=…)")
        if node.args:
            if not default:
                raise Refused(node.args[0], "write the default behind =")
            self._default(node.args[0], TEXT)
        for each in node.keywords:
            value = each.value
            if each.arg in ("title", "description"):
                self._data[each.arg] = _constant(value)
            elif each.arg in _BOUNDS:
                self._data[_BOUNDS[each.arg]] = _constant(value)
            elif each.arg == "default" and default:
                self._default(value, TEXT)
            elif each.arg == "json_schema_extra":
                self._more(value)
            elif (
                each.arg == "pattern"
                and (kind := _types_by_pattern().get(_constant(value))) is not None
            ):
                self._data["type"] = kind
            else:
                raise Refused(value, f"a field of YAML has no {each.arg}")


def _types_by_pattern() -> dict[str, str]:
    return {pattern: name for name, pattern in PATTERNS.items()}


def _picker(told: Any) -> Any:
    """An action that lists choices, as a document names it."""
    if not isinstance(told, dict):
        return told
    given = cast("dict[str, Any]", told)
    action, depends, inputs = given["action"], given["depends"], given["with"]
    if inputs == {each: f"={each}" for each in depends}:
        return action
    return {"action": action, "with": inputs}


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
        return node.value
    raise Refused(node, "this is written out in YAML")


def _number(node: ast.expr, text: str) -> Any:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refused(node, "this is no number") from None
