"""Infer a code step's result, as far as its text alone is certain."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from halflap.lowcode.code.rules import bindings
from halflap.lowcode.lint.scope import (
    NULL,
    NUMBER,
    TEXT,
    Schema,
    carried,
    either,
    fields_of,
    joined,
    listed,
    literal,
    types_of,
)
from halflap.sdk.syntax import parse

INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
MOST_DEPTH = 20
_TEXTS, _LISTS, _OBJECTS = frozenset(("string",)), frozenset(("array",)), frozenset(("object",))
_NUMBERS, _WHOLE = frozenset(("number", "integer")), frozenset(("integer",))

_MADE: Mapping[str, Schema] = {
    "str": TEXT, "repr": TEXT, "format": TEXT, "chr": TEXT, "hex": TEXT, "bin": TEXT, "oct": TEXT,
    "int": INTEGER, "len": INTEGER, "ord": INTEGER, "float": NUMBER, "bool": BOOLEAN,
    "any": BOOLEAN, "all": BOOLEAN, "isinstance": BOOLEAN, "hasattr": BOOLEAN,
    "list": {"type": "array"}, "sorted": {"type": "array"}, "dict": {"type": "object"},
}  # fmt: skip
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def returned(
    code: str, inputs: Mapping[str, Schema | None], action: Callable[[str], Schema | None]
) -> Schema | None:
    """Return the type of the code's result; None where it may be anything.

    inputs: what is known of its inputs. action: what an action of a name gives.
    """
    try:
        tree = parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _Returned(tree, inputs, action).result()


class _Returned:
    def __init__(
        self,
        tree: ast.Module,
        inputs: Mapping[str, Schema | None],
        action: Callable[[str], Schema | None],
    ) -> None:
        self._tree = tree
        self._inputs = inputs
        self._action = action
        self._bound, self._assigned = _bindings(tree)
        self._plain = not any(isinstance(each, ast.ClassDef) for each in ast.walk(tree))
        self._looking: set[str] = set()

    def result(self) -> Schema | None:
        """All that is returned, joined."""
        ends = [each for each in _own(self._tree.body) if isinstance(each, ast.Return)]
        ends.sort(key=lambda each: (each.lineno, each.col_offset))
        found = [NULL if each.value is None else self.of(each.value) for each in ends]
        if not _ends(self._tree.body):
            found.append(NULL)
        return joined(found)

    def of(self, node: ast.expr, depth: int = 0) -> Schema | None:
        """Return the type of an expression."""
        if depth > MOST_DEPTH:
            return None
        match node:
            case ast.Constant(value=float()):
                return NUMBER
            case ast.Constant(value=None | int() | str() as value):
                return literal(value)
            case ast.JoinedStr():
                return TEXT
            case ast.Dict():
                return self._object(node, depth)
            case ast.DictComp():
                return {"type": "object"}
            case ast.List(elts=items):
                return listed(joined([self.of(each, depth + 1) for each in items]))
            case ast.ListComp():
                return {"type": "array"}
            case ast.IfExp(body=one, orelse=other):
                return joined([self.of(one, depth + 1), self.of(other, depth + 1)])
            case ast.BoolOp(values=values):
                return joined([self.of(each, depth + 1) for each in values])
            case ast.UnaryOp(op=ast.Not()):
                return BOOLEAN
            case ast.Compare() if self._plain:
                return BOOLEAN
            case ast.BinOp(left=left, op=operator, right=right):
                return _calculated(operator, self.of(left, depth + 1), self.of(right, depth + 1))
            case ast.Name(id=name):
                return self._variable(name, depth)
            case ast.Subscript(value=value, slice=ast.Constant(value=str() as key)):
                return _field(self.of(value, depth + 1), key)
            case ast.Await(value=ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name))):
                shadowed = owner in self._bound or owner in self._inputs
                return None if shadowed else self._action(f"{owner}.{name}")
            case ast.Call(func=ast.Name(id=name)):
                return self._made(name)
            case _:
                return None

    def _object(self, node: ast.Dict, depth: int) -> Schema:
        fields: dict[str, Schema] = {}
        closed = True
        for key, value in zip(node.keys, node.values, strict=True):
            told = self.of(value, depth + 1)
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                fields[key.value] = {} if told is None else told
            else:
                closed = False
                fields.clear()  # what it brings in may take the place of those before
        made: Schema = {"type": "object", "properties": fields}
        return made if closed else {**made, "additionalProperties": True}

    def _made(self, name: str) -> Schema | None:
        if name in self._bound:
            return NUMBER if self._bound[name] else None
        return None if name in self._inputs else _MADE.get(name)

    def _variable(self, name: str, depth: int) -> Schema | None:
        """The kind of what a name of the code holds, whatever is done to it; or of an input."""
        if name not in self._bound:
            found = self._inputs.get(name)
            return None if found is None else _kinds([found])
        assigned = self._assigned.get(name)
        if assigned is None or name in self._looking or name in self._inputs:
            return None
        self._looking.add(name)
        try:
            found = _kinds([self.of(each, depth + 1) for each in assigned.values])
            for operator, value in assigned.changes:
                found = _changed(operator, found, self.of(value, depth + 1))
            return found
        finally:
            self._looking.discard(name)


@dataclass(slots=True)
class _Assigned:
    """The assignments to a name, and what is added to it and the like."""

    values: list[ast.expr] = field(default_factory=list[ast.expr])
    changes: list[tuple[ast.operator, ast.expr]] = field(
        default_factory=list[tuple[ast.operator, ast.expr]]
    )


def _bindings(tree: ast.Module) -> tuple[dict[str, bool], dict[str, _Assigned]]:
    """The names that the code binds, true of `decimal.Decimal`; and what is assigned to those
    that are only ever assigned, each by itself, in the code's own body."""
    assigned: dict[str, _Assigned] = {}
    simple: set[ast.AST] = set()
    for each in _own(tree.body):
        targets: Sequence[ast.expr] = ()
        match each:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                targets = (target,)
            case ast.AugAssign(target=ast.Name(id=name) as target, op=operator, value=value):
                simple.add(target)
                assigned.setdefault(name, _Assigned()).changes.append((operator, value))
                continue
            case _:
                continue
        for target in targets:
            if isinstance(target, ast.Name):
                simple.add(target)
                assigned.setdefault(target.id, _Assigned()).values.append(value)
    others = {name for node, name in bindings(tree) if node not in simple}
    decimals = {
        each.asname or each.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "decimal"
        for each in node.names
        if each.name == "Decimal"
    }
    decimals -= {name for node, name in bindings(tree) if not isinstance(node, ast.alias)}
    bound = dict.fromkeys((*assigned, *others), False) | dict.fromkeys(decimals, True)
    return bound, {name: each for name, each in assigned.items() if name not in others}


def _own(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body and of the blocks in it, without those of functions and classes."""
    stack = list(body)
    while stack:
        each = stack.pop()
        yield each
        if isinstance(each, _NESTED):
            continue
        for name in ("body", "orelse", "finalbody"):
            stack += cast("list[ast.stmt]", getattr(each, name, []))
        for holder in (*getattr(each, "handlers", ()), *getattr(each, "cases", ())):
            stack += cast("list[ast.stmt]", holder.body)


def _ends(body: Sequence[ast.stmt]) -> bool:
    """Return whether a body always returns or raises."""
    for each in body:
        match each:
            case ast.Return() | ast.Raise():
                return True
            case ast.If(body=one, orelse=other) if _ends(one) and _ends(other):
                return True
            case ast.Try(body=tried, handlers=handlers, orelse=rest, finalbody=last):
                caught = all(_ends(handler.body) for handler in handlers)
                if _ends(last) or ((_ends(tried) or _ends(rest)) and caught):
                    return True
            case ast.With(body=inner) if _ends(inner):
                return True
            case _:
                pass
    return False


def _field(schema: Schema | None, name: str) -> Schema | None:
    if schema is None or types_of(schema) != _OBJECTS:
        return None
    fields, others = fields_of(schema)
    return None if others or name not in fields else carried(fields[name], schema)


def _kinds(found: Sequence[Schema | None]) -> Schema | None:
    """The kinds of values alone: what a variable holds may have been added to since."""
    kinds = types_of(joined(found))
    return None if kinds is None else either(*({"type": each} for each in sorted(kinds)))


def _calculated(operator: ast.operator, left: Schema | None, right: Schema | None) -> Schema | None:
    """Return the type of an operator's result for two values whose kinds are known."""
    one, other = types_of(left), types_of(right)
    if isinstance(operator, ast.Mod) and one == _TEXTS:
        return TEXT
    if one is None or other is None:
        return None
    if isinstance(operator, ast.Add) and one == other and one in (_TEXTS, _LISTS):
        return _kinds([left])
    if one | other <= _NUMBERS:
        whole = one | other == _WHOLE and isinstance(operator, ast.Add | ast.Sub | ast.Mult)
        return INTEGER if whole else NUMBER
    return None


def _changed(operator: ast.operator, before: Schema | None, value: Schema | None) -> Schema | None:
    """The kind of a variable after `+=` and the like, as often as it may be done."""
    kinds = types_of(before)
    if kinds is None or not isinstance(operator, ast.Add | ast.Sub):
        return None
    if kinds in (_TEXTS, _LISTS):
        return before
    if kinds <= _NUMBERS:
        whole = kinds == _WHOLE and types_of(value) == _WHOLE
        return INTEGER if whole else NUMBER
    return None
