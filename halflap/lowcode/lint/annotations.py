"""The types of a project's sources, as JSON Schema, as far as their annotations say them for certain."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from halflap.lowcode.lint.env import NULL, NUMBER
from halflap.lowcode.lint.scope import Schema, either
from halflap.sdk._survey import Module, Survey

TEXT: Schema = {"type": "string"}
PLAIN: Mapping[str, Schema] = {
    "str": TEXT,
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": NUMBER,
    "decimal.Decimal": NUMBER,
    "datetime.date": {"type": "string", "format": "date"},
    "datetime.datetime": {"type": "string", "format": "date-time"},
    "dict": {"type": "object"},
    "list": {"type": "array"},
    "None": NULL,
}
_UNSET = frozenset(("halflap.Unset", "halflap.sdk.schema.Unset"))
_MODELS = frozenset(("halflap.Model", "halflap.sdk.schema.Model"))
_FIELD = frozenset(("pydantic.Field", "pydantic.fields.Field"))
_HARMLESS = frozenset(("property", "staticmethod", "classmethod"))
_OTHERWISE = frozenset(("validation_alias", "serialization_alias", "exclude", "discriminator"))
MOST_DEPTH = 8


@dataclass(slots=True)
class Annotations:
    """Reads annotations of a project's modules. None is what is not certain."""

    survey: Survey
    _reading: list[str] = field(default_factory=list[str])

    def of(self, node: ast.expr | None, module: Module) -> Schema | None:
        """The values of an annotation."""
        if node is None or len(self._reading) > MOST_DEPTH:
            return None
        match node:
            case ast.Constant(value=None):
                return NULL
            case ast.Constant(value=str() as text):
                try:
                    return self.of(ast.parse(text, mode="eval").body, module)
                except SyntaxError:
                    return None
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self._either([left, right], module)
            case ast.Subscript(value=value, slice=inner):
                return self._made(self._meaning(value, module), inner, module)
            case ast.Name() | ast.Attribute():
                return self._named(self._meaning(node, module), module)
            case _:
                return None

    def _meaning(self, node: ast.expr, module: Module) -> str:
        own = isinstance(node, ast.Name) and _class(module, node.id) is not None
        name = f"{module.name}.{node.id}" if own and isinstance(node, ast.Name) else None
        return self.survey.canonical(name or module.meaning(node)) or ""

    def _either(self, nodes: Sequence[ast.expr], module: Module) -> Schema | None:
        there = [each for each in nodes if self._meaning(each, module) not in _UNSET]
        found = [self.of(each, module) for each in there]
        known = [each for each in found if each is not None]
        return either(*known) if known and len(known) == len(found) else None

    def _made(self, name: str, inner: ast.expr, module: Module) -> Schema | None:
        parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        match name.rpartition(".")[2]:
            case "list" | "List" | "Sequence":
                item = self.of(parts[0], module)
                return {"type": "array"} if item is None else {"type": "array", "items": item}
            case "dict" | "Dict" | "Mapping":
                value = self.of(parts[-1], module)
                return {"type": "object", "additionalProperties": value or True}
            case "Optional":
                return self._either([*parts, ast.Constant(None)], module)
            case "Union":
                return self._either(parts, module)
            case "Annotated" if all(self._is_field(each, module) for each in parts[1:]):
                return self.of(parts[0], module)
            case "Literal":
                values = [each.value for each in parts if isinstance(each, ast.Constant)]
                texts = len(values) == len(parts) and all(isinstance(each, str) for each in values)
                return {"type": "string", "enum": values} if texts else None
            case _:
                return None

    def _is_field(self, node: ast.expr, module: Module) -> bool:
        """Whether it is `Field(…)` of a kind that leaves the values as they are."""
        if not isinstance(node, ast.Call) or self._meaning(node.func, module) not in _FIELD:
            return False
        return not any(each.arg is None or each.arg in _OTHERWISE for each in node.keywords)

    def _named(self, name: str, module: Module) -> Schema | None:
        if name in PLAIN and not self._own(name, module):
            return PLAIN[name]
        if name in self._reading:
            return None
        where, rest = self.survey.split(name)
        if where is None or not rest or "." in rest:
            return None
        self._reading.append(name)
        try:
            found = _class(where, rest)
            if found is not None:
                return self._model(found, where)
            alias = _alias(where, rest)
            return None if alias is None else self.of(alias, where)
        finally:
            self._reading.pop()

    def _own(self, name: str, module: Module) -> bool:
        """Whether a module gives a built-in name to something else."""
        return name in module.variables or name in module.functions

    # Models -------------------------------------------------------------------------------------

    def _model(self, node: ast.ClassDef, module: Module) -> Schema | None:
        fields = self._fields(node, module)
        if fields is None:
            return None
        return {
            "type": "object",
            "title": node.name,
            "properties": {name: schema for name, schema, _ in fields},
            "required": [name for name, _, needed in fields if needed],
        }

    def _fields(self, node: ast.ClassDef, module: Module) -> list[tuple[str, Schema, bool]] | None:
        """The fields of a model, and of those that it builds on; None where it is not only fields."""
        if len(node.bases) != 1 or node.keywords or node.decorator_list:
            return None
        base = self._meaning(node.bases[0], module)
        inherited: list[tuple[str, Schema, bool]] | None = []
        if base not in _MODELS:
            where, rest = self.survey.split(base)
            above = None if where is None else _class(where, rest)
            if where is None or above is None or len(self._reading) > MOST_DEPTH:
                return None
            self._reading.append(base)
            inherited = self._fields(above, where)
            self._reading.pop()
        if inherited is None:
            return None
        made = {name: (name, schema, needed) for name, schema, needed in inherited}
        for each in node.body:
            match each:
                case ast.AnnAssign(target=ast.Name(id=name)) if name.startswith("_"):
                    continue
                case ast.AnnAssign(annotation=ast.Subscript(value=kind)) if (
                    self._meaning(kind, module) == "typing.ClassVar"
                ):
                    continue
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    found = self._field(name, annotation, value, module)
                    if found is None:
                        return None
                    made[found[0]] = found
                case ast.FunctionDef() | ast.AsyncFunctionDef() if not each.name.startswith("__"):
                    names = {self._meaning(one, module) for one in each.decorator_list}
                    if not names <= _HARMLESS:
                        return None
                case ast.Pass() | ast.Expr(value=ast.Constant()):
                    continue
                case _:
                    return None
        return list(made.values())

    def _field(
        self, name: str, annotation: ast.expr, value: ast.expr | None, module: Module
    ) -> tuple[str, Schema, bool] | None:
        inside = annotation.slice if isinstance(annotation, ast.Subscript) else None
        marks = list(inside.elts[1:]) if isinstance(inside, ast.Tuple) else []
        calls = [each for each in (*marks, value) if isinstance(each, ast.Call)]
        given = value is not None and not isinstance(value, ast.Call)
        for each in calls:
            if not self._is_field(each, module):
                return None
            named = {one.arg: one.value for one in each.keywords}
            given = given or "default" in named or "default_factory" in named
            if each is value and each.args:
                given = given or not _is_ellipsis(each.args[0])
            if "alias" in named:
                alias = named["alias"]
                if not isinstance(alias, ast.Constant) or not isinstance(alias.value, str):
                    return None
                name = alias.value
        return name, self.of(annotation, module) or {}, not given


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _class(module: Module, name: str) -> ast.ClassDef | None:
    """The class of a name, where the module defines it once, and by itself."""
    found = [
        each for each in module.tree.body if isinstance(each, ast.ClassDef) and each.name == name
    ]
    return found[0] if len(found) == 1 and name not in module.variables else None


def _alias(module: Module, name: str) -> ast.expr | None:
    """What a name stands for: `Kind = Literal["a", "b"]`."""
    found = list(_assigned(module.tree.body, name))
    return found[0] if len(found) == 1 else None


def _assigned(body: Sequence[ast.stmt], name: str) -> Iterator[ast.expr]:
    for each in body:
        match each:
            case ast.Assign(targets=targets, value=value) if any(
                isinstance(one, ast.Name) and one.id == name for one in targets
            ):
                yield value
            case ast.AnnAssign(target=ast.Name(id=other), value=ast.expr() as value) if (
                other == name
            ):
                yield value
            case _:
                pass
