"""The names that an expression can see, and what is known of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

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
    if schema is None:
        return None
    here: Schema = schema
    for name in path:
        found = _fields(here, schema)
        if found is None or name == "*":
            return None
        if name not in found:
            return name, list(found)
        here = found[name]
    return None


def within(schema: Schema | None, path: tuple[str, ...]) -> Schema | None:
    """The schema of a field of a value, where it is known."""
    if schema is None:
        return None
    here: Schema = schema
    for name in path:
        found = _fields(here, schema)
        if found is None or name not in found:
            return None
        here = found[name]
    return {**here, "$defs": schema.get("$defs", {})}


def item_of(schema: Schema | None) -> Schema | None:
    """The schema of a list's items."""
    if schema is None:
        return None
    kinds = _meant(schema, schema)
    if len(kinds) != 1 or kinds[0].get("type") != "array" or "items" not in kinds[0]:
        return None
    return {**kinds[0]["items"], "$defs": schema.get("$defs", {})}


def types_of(schema: Schema) -> frozenset[str] | None:
    """The JSON types that a value may have; None where that is not said."""
    found: set[str] = set()
    for each in _meant(schema, schema, nulls=True):
        kind = each.get("type")
        if not isinstance(kind, str):
            return None
        found.add(kind)
    return frozenset(found)


def _fields(schema: Schema, root: Schema) -> Mapping[str, Schema] | None:
    """The fields of an object, or of a list's objects; None where there may be others."""
    kinds = _meant(schema, root)
    if len(kinds) != 1:
        return None
    kind = kinds[0]
    if kind.get("type") == "array":
        items = kind.get("items")
        return None if not isinstance(items, dict) else _fields(cast("Schema", items), root)
    fields = kind.get("properties")
    if kind.get("type") != "object" or not isinstance(fields, dict):
        return None
    return None if kind.get("additionalProperties") else cast("Mapping[str, Schema]", fields)


def _meant(schema: Schema, root: Schema, *, nulls: bool = False, depth: int = 0) -> list[Schema]:
    """What a schema may stand for, without references, and without null."""
    if depth > 20:
        return []
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
        return _meant(target, root, nulls=nulls, depth=depth + 1)
    choices: Iterable[Schema] | None = schema.get("anyOf") or schema.get("oneOf")
    if choices is None:
        return [] if schema.get("type") == "null" and not nulls else [schema]
    return [found for each in choices for found in _meant(each, root, nulls=nulls, depth=depth + 1)]
