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
    compared = _SchemaComparison(before, after)
    found = list(compared.changes(before, after, "", frozenset()))
    return found if compared.left >= 0 else [*found, "the schema is too large to be compared"]


class _SchemaComparison:
    """A comparison of two schemas, each of which may refer to itself, of a bounded size."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self.left = MOST_COMPARED

    def changes(
        self, before: Any, after: Any, at: str, seen: frozenset[tuple[str, str]]
    ) -> Iterator[str]:
        """Yield what a part says otherwise than before; `seen` are the references around it."""
        if self.left < 0:
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
        was, now = _resolved(first, self._old), _resolved(second, self._new)
        self.left -= 1 + len(was) + len(now)
        yield from self._properties(was, now, at, seen)
        for key in sorted(was.keys() | now.keys()):
            if key in DESCRIBES or key in ("properties", "required", "$defs", "definitions"):
                continue
            place = f"{at}.{key}" if at else key
            one, other = was.get(key), now.get(key)
            if key in ("items", "additionalProperties") and one is not None and other is not None:
                yield from self.changes(one, other, place, seen)
            elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and _are_alike(one, other):
                for number, each in enumerate(zip(cast(Any, one), cast(Any, other), strict=True)):
                    yield from self.changes(*each, f"{place}[{number}]", seen)
            elif one != other:
                yield f"{place} was {_shown(one)} and is {_shown(other)}"

    def _properties(
        self, was: Schema, now: Schema, at: str, seen: frozenset[tuple[str, str]]
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
                yield from self.changes(fields[name], others[name], place, seen)


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
