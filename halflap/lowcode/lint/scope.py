"""The names that an expression can see, and what is known of their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from halflap.lowcode.expressions import tree
from halflap.lowcode.lint.conditions import NONE, Fields
from halflap.lowcode.source import Path

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
NULL: Schema = {"type": "null"}


OPAQUE = frozenset(("password", "binary", "base64", "base64url", "byte", "duration"))
"""Formats of values that expressions do not see as the JSON type that the schema names."""


_COMPOSED = frozenset(("$defs", "$ref", "anyOf", "oneOf", "allOf"))
_FLAT = frozenset(("string", "number", "integer", "boolean", "null"))


SEEN_IN = "x-seen-in"
"""The key of an object's schema that names where its fields were seen: `sample` or `tests`."""
MOST_FORMS = 50
"""The most different values that one may be, so that something is inferred of it."""


@dataclass(frozen=True, slots=True)
class ScopedName:
    """A name in scope: where it is given (None for the flow's own), the schema of its value.

    absent: why it may be null, "" where it may not. declared: its schema is one that is declared, so
    that its fields may be null where that says so. rests: the paths that decide what it is.
    """

    path: Path | None = None
    schema: Schema | None = None
    variable: bool = False
    absent: str = ""
    declared: bool = True
    rests: Fields = NONE


Names = Mapping[str, ScopedName]


@dataclass(frozen=True, slots=True)
class LintLambda:
    """A function of the expression, with what its body sees."""

    node: tree.FunctionDefinition
    env: Env


@dataclass(frozen=True, slots=True)
class Env:
    """The values of `$names`, and of `$` and plain names within a path."""

    bound: Mapping[str, Schema | LintLambda | None] = field(
        default_factory=dict[str, "Schema | LintLambda | None"]
    )
    context: Schema | None = None
    inside: bool = False

    def with_(self, bound: Mapping[str, Schema | LintLambda | None]) -> Env:
        """The same, with more names."""
        return Env({**self.bound, **bound}, self.context, self.inside)

    def within(self, context: Schema | None) -> Env:
        """In a step of a path, or a filter: names are those of its value."""
        return Env(self.bound, context, inside=True)


def function_of(node: tree.Node, env: Env) -> LintLambda | None:
    """The function of the expression that a part is, or names."""
    if isinstance(node, tree.FunctionDefinition):
        return LintLambda(node, env)
    found = env.bound.get(node.name) if isinstance(node, tree.Variable) else None
    return found if isinstance(found, LintLambda) else None


def record(*fields: str) -> Schema:
    """The schema of an object that has these fields and no others."""
    return {"type": "object", "properties": {name: {} for name in fields}}


def missing(schema: Schema | None, path: Sequence[str]) -> tuple[str, list[str], str] | None:
    """Return the first field of a path that a value does not have, and those that it has; and where
    they were seen, "" where they are declared.
    """
    here = schema
    for name in path:
        if here is None or name == "*":
            return None
        found, others = fields_of(here)
        if name in found:
            here = found[name]
            continue
        objects = _objects(here)
        if objects and all(SEEN_IN in each for each in objects):
            return name, list(found), str(objects[0][SEEN_IN])
        return None if others or not found else (name, list(found), "")
    return None


def _objects(schema: Schema) -> list[Schema]:
    """Return the objects that a value may be, or that its items may be."""
    found: list[Schema] = []
    for form in forms_of(schema):
        if form.get("type") == "object":
            found.append(form)
        elif form.get("type") == "array" and "items" in form:
            found += _objects(form["items"])
    return found


def within(schema: Schema | None, path: tuple[str, ...]) -> Schema | None:
    """The schema of a field of a value, where it is known."""
    for name in path:
        if schema is None:
            return None
        schema = fields_of(schema)[0].get(name)
    return schema


def items_of(schema: Schema | None) -> Schema | None:
    """Return the type of each value: of a list its items, of anything else itself."""
    if schema is None:
        return None
    found: list[Schema] = []
    for form in forms_of(schema):
        if form.get("type") != "array":
            found.append(form)
        elif "items" in form:
            found.append(carried(form["items"], form))
        else:
            return None
    return either(*found) if found else None


def listed(item: Schema | None) -> Schema:
    """A list of these."""
    return {"type": "array"} if item is None else {"type": "array", "items": item}


def literal(value: Any) -> Schema:
    """The schema of a value that is written out."""
    match value:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean", "const": value}
        case int():
            return {"type": "integer", "const": value}
        case Decimal() | float():
            return {"type": "number", "const": value}
        case _:
            return {"type": "string", "const": value}


def json_type(value: Any) -> str:
    """Return the type of a value in the words of JSON Schema."""
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list) else str(literal(value)["type"])


def either(*schemas: Schema) -> Schema:
    """One of these; anything, where there are too many."""
    different: list[Schema] = []
    for each in schemas:
        if each not in different:
            different.append(each)
        if len(different) > MOST_FORMS:
            return {}
    return different[0] if len(different) == 1 else {"anyOf": different}


def joined(found: Sequence[Schema | None]) -> Schema | None:
    """One of these; None where one of them may be anything, or there is none."""
    known = [each for each in found if each is not None]
    return either(*known) if known and len(known) == len(found) else None


MANY = "x-one-or-many"
"""The key of a type that is one value or a list of several, by how many there happen to be."""


def one_or_many(item: Schema | None) -> Schema | None:
    """Return the type of what gives its one value by itself, and several as a list."""
    return None if item is None else {"anyOf": [item, listed(item)], MANY: True}


def is_one_or_many(schema: Schema) -> bool:
    """Return whether a value may be one by itself or a list of several."""
    return MANY in schema or any(map(is_one_or_many, schema.get("anyOf", ())))


def choices_of(form: Schema) -> list[Any]:
    """Return the values that a form of a type names; none where it does not."""
    return [form["const"]] if "const" in form else list(form.get("enum", ()))


def types_of(schema: Schema | None) -> frozenset[str] | None:
    """The JSON types that a value may have; None where that is not said."""
    if schema is None:
        return None
    found: set[str] = set()
    for each in forms_of(schema, nulls=True):
        kind = each.get("type")
        if not isinstance(kind, str) or each.get("format") in OPAQUE:
            return None
        found.add(kind)
    return frozenset(found) or None


def fields_of(schema: Schema) -> tuple[Mapping[str, Schema], bool]:
    """The fields of an object, or of a list's objects, and whether there may be others.

    Of what may be one of several, the fields of all; none where one of them is not known.
    """
    if schema.get("type") == "object" and not schema.keys() & _COMPOSED:
        members: Mapping[str, Schema] = schema.get("properties", {})
        return members, "properties" not in schema or bool(schema.get("additionalProperties"))
    found: dict[str, Schema] = {}
    others = False
    for form in forms_of(schema):
        match form:
            case {"type": "array", "items": _}:
                inner, more = fields_of(carried(form["items"], form))
            case {"type": "object", "properties": _}:
                members: Mapping[str, Schema] = form["properties"]
                inner = {name: carried(each, form) for name, each in members.items()}
                more = bool(form.get("additionalProperties"))
            case {"type": "string" | "number" | "integer" | "boolean"}:
                continue
            case _:
                inner, more = {}, True
        others = others or more
        for name, each in inner.items():
            found[name] = {"anyOf": [found[name], each]} if name in found else each
    return found, others


def carried(schema: Schema, holder: Schema) -> Schema:
    """A part of a schema, with the definitions that it refers to."""
    if "$defs" in schema or "$defs" not in holder or schema.get("type") in _FLAT:
        return schema
    return {**schema, "$defs": holder["$defs"]}


def forms_of(schema: Schema, *, nulls: bool = False) -> list[Schema]:
    """Return the alternatives of a value, each without references and choices; null only where it
    is asked for.
    """
    found: list[Schema] = []
    _add_forms(schema, found, 0)
    return found if nulls else [each for each in found if each.get("type") != "null"]


def _add_forms(schema: Schema, found: list[Schema], depth: int) -> None:
    if depth > 20:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target: Schema = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
        _add_forms(carried(target, schema), found, depth + 1)
        return
    choices: list[Schema] | None = schema.get("anyOf") or schema.get("oneOf")
    if choices is None and len(schema.get("allOf", ())) == 1:
        choices = schema["allOf"]
    if choices is None:
        found.append(schema)
        return
    for each in choices:
        _add_forms(carried(each, schema), found, depth + 1)


def nullable(schema: Schema) -> bool:
    """Return whether a schema says that a value may be null."""
    return any(each.get("type") == "null" for each in forms_of(schema, nulls=True))


def takes_null(schema: Schema) -> bool:
    """Return whether null fits, or may."""
    for each in forms_of(schema, nulls=True):
        chosen = choices_of(each)
        if None in chosen or (each.get("type") in (None, "null") and not chosen):
            return True
    return False


def covers(schema: Schema, values: Collection[Any]) -> bool:
    """Return whether these are all the values that there can be."""
    for each in forms_of(schema, nulls=True):
        chosen = choices_of(each) or ([True, False] if each.get("type") == "boolean" else [])
        if not chosen or not all(one in values for one in chosen):
            return False
    return True
