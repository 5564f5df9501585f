"""Find the JSON Schema of a place of a document: followed along a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from halflap.lowcode.document import json_schema
from halflap.lowcode.kinds import KINDS, kind_of
from halflap.lowcode.source import Path, value_at

Schema = Mapping[str, Any]

_STEP_MODELS = {each.__name__ for each in KINDS.values()}


def expected(path: Path, data: Any) -> list[Schema]:
    """Return the schemas of a path, given its siblings."""
    here = list(_meant(json_schema(), data))
    for each in path:
        data = value_at(data, (each,))
        here = [
            found for one in here for inner in _inside(one, each) for found in _meant(inner, data)
        ]
    return here


def members(schemas: list[Schema]) -> dict[str, Schema]:
    """The keys that a mapping may have, with what stands under each."""
    found: dict[str, Schema] = {}
    for each in schemas:
        found |= {name: one for name, one in _properties(each).items() if name not in found}
    return found


def described(schema: Schema) -> str:
    """Return the description of a key or a value, from its docstring."""
    said = schema.get("description")
    return str(said) if said else ""


def choices(schemas: list[Schema]) -> list[Any]:
    """The values that there are to choose from."""
    found: list[Any] = []
    for each in schemas:
        found += [one for one in cast("list[Any]", each.get("enum", [])) if one not in found]
        if "const" in each and each["const"] not in found:
            found.append(each["const"])
        if each.get("type") == "boolean" and "const" not in each:
            found += [one for one in (True, False) if one not in found]
    return found


def is_step(schemas: list[Schema]) -> bool:
    """Return whether a step stands there."""
    return any(each.get("title") in _STEP_MODELS for each in schemas)


def takes_steps(schemas: list[Schema]) -> bool:
    """Return whether a list of steps stands there."""
    return any(is_step(list(_meant(each["items"], None))) for each in schemas if "items" in each)


def holds_many(schema: Schema) -> bool:
    """Return whether what stands there is a list or a mapping, and so begins on the next line."""
    return any(
        each.get("type") in ("array", "object") for each in _meant(schema, None)
    ) and not any(each.get("type") in ("string", "integer") for each in _meant(schema, None))


def _properties(schema: Schema) -> Mapping[str, Schema]:
    return cast("Mapping[str, Schema]", schema.get("properties", {}))


def _inside(schema: Schema, name: str | int) -> Iterator[Schema]:
    if isinstance(name, int):
        items = schema.get("items")
        if isinstance(items, dict):
            yield cast("Schema", items)
        return
    known = _properties(schema)
    if name in known:
        yield known[name]
        return
    yield from cast("Mapping[str, Schema]", schema.get("patternProperties", {})).values()
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        yield cast("Schema", others)


def _meant(schema: Schema, data: Any, depth: int = 0) -> Iterator[Schema]:
    """A schema without references and choices; of steps and fields, the one that the data is."""
    if depth > 10:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        definitions = cast("Mapping[str, Schema]", json_schema()["$defs"])
        yield from _meant(definitions[reference.rpartition("/")[2]], data, depth + 1)
        return
    options = cast("list[Schema]", schema.get("anyOf") or schema.get("oneOf") or [])
    if not options:
        yield schema
        return
    wanted = _tag(data)
    names = [str(each.get("$ref", "")).rpartition("/")[2] for each in options]
    for name, each in zip(names, options, strict=True):
        if wanted is None or wanted not in names or name == wanted:
            yield from _meant(each, data, depth + 1)


def _tag(data: Any) -> str | None:
    """The model that a mapping is of, where its keys say it."""
    if not isinstance(data, dict):
        return None
    kind = kind_of(data)
    if kind is not None:
        return KINDS[kind].__name__
    return "ConnectionField" if "connection" in data else "PlainField" if data else None
