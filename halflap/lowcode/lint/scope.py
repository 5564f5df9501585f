"""The names that an expression can see, and what is known of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halflap.lowcode.source import Path

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A name in scope: where it is given (None for the flow's own), the schema of its value."""

    path: Path | None = None
    schema: Schema | None = None
    variable: bool = False


def record(*fields: str) -> Schema:
    """The schema of an object that has these fields and no others."""
    return {"type": "object", "properties": {name: {} for name in fields}}


def missing(schema: Schema | None, path: tuple[str, ...]) -> tuple[str, list[str]] | None:
    """The first field of a path that a value does not have, and those that it has."""
    here = schema
    for name in path:
        if here is None or name == "*":
            return None
        found, others = fields_of(here)
        if name in found:
            here = found[name]
        elif others or not found:
            return None
        else:
            return name, list(found)
    return None


def within(schema: Schema | None, path: tuple[str, ...]) -> Schema | None:
    """The schema of a field of a value, where it is known."""
    for name in path:
        if schema is None:
            return None
        schema = fields_of(schema)[0].get(name)
    return schema


def item_of(schema: Schema | None) -> Schema | None:
    """The schema of a list's items."""
    forms = [] if schema is None else forms_of(schema)
    if len(forms) != 1 or forms[0].get("type") != "array" or "items" not in forms[0]:
        return None
    return carried(forms[0]["items"], forms[0])


def types_of(schema: Schema) -> frozenset[str] | None:
    """The JSON types that a value may have; None where that is not said."""
    found: set[str] = set()
    for each in forms_of(schema, nulls=True):
        kind = each.get("type")
        if not isinstance(kind, str):
            return None
        found.add(kind)
    return frozenset(found)


def fields_of(schema: Schema) -> tuple[Mapping[str, Schema], bool]:
    """The fields of an object, or of a list's objects, and whether there may be others.

    Of what may be one of several, the fields of all; none where one of them is not known.
    """
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
    if "$defs" in schema or "$defs" not in holder:
        return schema
    return {**schema, "$defs": holder["$defs"]}


def forms_of(schema: Schema, *, nulls: bool = False) -> list[Schema]:
    """What a value may be, each without references and choices; null only where it is asked for."""
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
