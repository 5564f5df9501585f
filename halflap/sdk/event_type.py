"""Event types of the team's own product: their names, and which changes of a schema break nobody.

Who publishes and who listens are deployed at different times, so a schema may only be changed so that
what the one before let in is still let in, and what it promised is still kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

NAME = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"
_IS_PATTERN = re.compile(rf"\*|{NAME}(\.\*)?").fullmatch

DESCRIBES = frozenset(
    {"$comment", "$id", "$schema", "default", "deprecated", "description", "example", "examples"}
    | {"format", "title"}
)
"""The members of a schema that neither refuse a value nor promise anything of one."""

MOST_COMPARED = 20_000
"""The most members of schemas that are compared, those behind references as often as they are named."""

Schema = Mapping[str, Any]


def is_pattern(text: str) -> bool:
    """Return whether a text names event types: `order.created`, `order.*` or `*`."""
    return _IS_PATTERN(text) is not None


def takes(patterns: Sequence[str], type: str) -> bool:
    """Return whether an event's type is one of those that patterns name."""
    return any(
        each in ("*", type) or (each.endswith(".*") and type.startswith(each[:-1]))
        for each in patterns
    )


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """Return what of a schema's change would break somebody, each with its place.

    Optional properties may be added, and whatever describes may change; all else is breaking.
    """
    if before == after:
        return []
    left = [MOST_COMPARED]
    changes = list(_changes(before, after, before, after, "", frozenset(), left))
    return changes if left[0] >= 0 else [*changes, "the schema is too large to be compared"]


def _changes(
    before: Any,
    after: Any,
    old: Schema,
    new: Schema,
    at: str,
    seen: frozenset[tuple[str, str]],
    left: list[int],
) -> Iterator[str]:
    if left[0] < 0:
        return
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        if before != after:
            yield f"{at or 'the schema'} is another one"
        return
    first, second = cast(Schema, before), cast(Schema, after)
    pair = (str(first.get("$ref", "")), str(second.get("$ref", "")))
    if any(pair):
        if pair in seen:
            return
        seen |= {pair}
    was, now = _resolved(first, old), _resolved(second, new)
    left[0] -= 1 + len(was) + len(now)
    yield from _properties(was, now, old, new, at, seen, left)
    for key in sorted(was.keys() | now.keys()):
        if key in DESCRIBES or key in ("properties", "required", "$defs", "definitions"):
            continue
        place = f"{at}.{key}" if at else key
        one, other = was.get(key), now.get(key)
        if key in ("items", "additionalProperties") and one is not None and other is not None:
            yield from _changes(one, other, old, new, place, seen, left)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and _are_alike(one, other):
            for number, each in enumerate(zip(cast(Any, one), cast(Any, other), strict=True)):
                yield from _changes(*each, old, new, f"{place}[{number}]", seen, left)
        elif one != other:
            yield f"{place} was {_shown(one)} and is {_shown(other)}"


def _properties(
    was: Schema,
    now: Schema,
    old: Schema,
    new: Schema,
    at: str,
    seen: frozenset[tuple[str, str]],
    left: list[int],
) -> Iterator[str]:
    fields, others = was.get("properties", {}), now.get("properties", {})
    needed, needs = set(was.get("required", ())), set(now.get("required", ()))
    for name in sorted({*fields, *others, *needed, *needs}):
        place = f"{at}.{name}" if at else name
        if name in fields and name not in others:
            yield f"{place} is gone"
        elif name in needs - needed:
            yield f"{place} is required now: what is published without it would be refused"
        elif name in needed - needs:
            yield f"{place} is required no more: who reads it may miss it"
        elif name in fields and name in others:
            yield from _changes(fields[name], others[name], old, new, place, seen, left)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Return a schema with the one of the same document that it refers to."""
    hops = 0
    while isinstance(ref := schema.get("$ref"), str) and ref.startswith("#/") and hops < 20:
        found: Any = root
        for part in ref[2:].split("/"):
            found = cast(Schema, found).get(part, {}) if isinstance(found, Mapping) else {}
        schema = {**found, **{key: each for key, each in schema.items() if key != "$ref"}}
        hops += 1
    return schema


def _are_alike(first: Any, second: Any) -> bool:
    both = isinstance(first, list) and isinstance(second, list)
    return both and len(cast(list[Any], first)) == len(cast(list[Any], second))


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
