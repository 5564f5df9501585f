"""Compare a value of JSON with a schema: where it deviates, and how, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from halflap.sdk.schema import File

Schema = Mapping[str, Any]

DEVIATIONS = Counter[str]()
"""By action, the deviations of the answers that it got in this process."""

MOST_NODES = 50_000
"""The number of values that are compared at most; a longer answer is compared up to there."""
TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float, Decimal), "a number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), "a list"),
    "object": ((dict,), "an object"),
    "null": ((type(None),), "null"),
}


@dataclass(frozen=True, slots=True)
class Deviation:
    """A place in a value, as a JSON pointer, and what is wrong there."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


def deviations(value: Any, schema: Schema) -> Iterator[Deviation]:
    """Yield where a value deviates from a schema, in the order of the value."""
    return _Comparison().compare(value, schema, "")


def first_deviation(value: Any, schema: Schema) -> Deviation | None:
    """Return the first deviation of a value; None where it has none."""
    return next(deviations(value, schema), None)


class _Comparison:
    def __init__(self) -> None:
        self._left = MOST_NODES

    def compare(self, value: Any, schema: Schema, at: str) -> Iterator[Deviation]:
        self._left -= 1
        if self._left <= 0:
            return
        options = cast("list[Schema] | None", schema.get("anyOf"))
        if options:
            yield from self._any(value, options, at)
            return
        kind = schema.get("type")
        if isinstance(kind, str) and kind in TYPES:
            types, words = TYPES[kind]
            fits = isinstance(value, types) and (kind == "boolean" or not isinstance(value, bool))
            if kind == "integer" and isinstance(value, Decimal | float):
                fits = value == int(value)
            if kind in ("string", "object") and isinstance(value, File):
                fits = schema.get("format") in ("binary", "file")
            if not fits:
                yield Deviation(at, f"has to be {words}, and is {kind_of(value)}")
                return
        if (choices := schema.get("enum")) and value not in choices:
            known = ", ".join(map(str, choices[:12])) + (", …" if len(choices) > 12 else "")
            yield Deviation(at, f"has to be one of: {known}")
            return
        if isinstance(value, dict):
            yield from self._object(cast("dict[str, Any]", value), schema, at)
        elif isinstance(value, list) and (items := schema.get("items")):
            for number, each in enumerate(cast("list[Any]", value)):
                yield from self.compare(each, items, f"{at}/{number}")

    def _any(self, value: Any, options: list[Schema], at: str) -> Iterator[Deviation]:
        closest: Deviation | None = None
        for option in options:
            found = next(self.compare(value, option, at), None)
            if found is None:
                return
            if closest is None or len(found.place) > len(closest.place):
                closest = found
        kinds = [TYPES[each["type"]][1] for each in options if each.get("type") in TYPES]
        if closest and closest.place == at and len(kinds) == len(options) > 1:
            wanted = " or ".join(dict.fromkeys(kinds))
            closest = Deviation(at, f"has to be {wanted}, and is {kind_of(value)}")
        if closest is not None:
            yield closest

    def _object(self, value: dict[str, Any], schema: Schema, at: str) -> Iterator[Deviation]:
        fields: Mapping[str, Schema] = schema.get("properties") or {}
        others: Any = schema.get("additionalProperties")
        for name in schema.get("required") or ():
            if name not in value and not fields.get(name, {}).get("writeOnly"):
                yield Deviation(f"{at}/{name}", "is missing")
        for name, each in value.items():
            if name in fields:
                yield from self.compare(each, fields[name], f"{at}/{name}")
            elif isinstance(others, Mapping):
                yield from self.compare(each, cast(Schema, others), f"{at}/{name}")
            elif others is False and fields:
                known = ", ".join(list(fields)[:8])
                yield Deviation(f"{at}/{name}", f"is not known here; there are: {known}")


def kind_of(value: Any) -> str:
    """Return what kind of value it is: the value itself may be a customer's, and is not told."""
    for types, words in TYPES.values():
        if isinstance(value, types) and (types == (bool,) or not isinstance(value, bool)):
            return words
    return f"a {type(value).__name__}"
