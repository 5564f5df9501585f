"""Schemas of event types: which may be declared, and the check of events' data, bounded in what it costs.

A schema is written by a program that has the right to declare, and data by whatever the product passes
on: neither may hold up the server. References are resolved as a type is declared, patterns are RE2's, and
a check ends after so many seconds of the processor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import anyio.to_thread

from halflap.sdk import codec
from halflap.sdk.budget import Budget, OverBudget, afford, spend

if TYPE_CHECKING:
    from halflap.sdk.linear import Pattern

LARGEST_DATA = 256 * 1024
"""The most bytes of an event's data."""
LARGEST_SCHEMA = 64 * 1024
"""The most bytes of a type's schema, and of its example."""
LARGEST_AT_ONCE = 4 * 1024
"""The most bytes of data that are checked without a thread of their own."""
MOST_APPLIED = 1_000
"""The most schemas that are applied to one value."""
PATTERN_BYTES = 1_000_000
SHOWN = 3
AT_ONCE, MOST_SECONDS = 0.01, 3.0
"""Seconds of the processor for a check without a thread of its own, and in one."""
TOO_LONG = "takes too long to check against the schema of its type"

LISTS = ("allOf", "anyOf", "oneOf")
ALSO = ("not", "if", "then", "else")
DEEPER = (
    *("items", "additionalProperties", "propertyNames", "contains"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
OF_WHOLE = ("$id", "$schema")
NAMED = ("properties", "patternProperties", "$defs", "definitions")

Schema = Mapping[str, Any]


async def data_faults(schema: Schema, data: Any, room: asyncio.Semaphore) -> dict[str, str]:
    """Return what of an event's data does not fit a schema.

    In a thread, where there is room for one, unless it is done at once.
    """
    size = len(codec.encode(data))
    if size > LARGEST_DATA:
        return {"data": f"has more than {LARGEST_DATA:,} bytes"}
    if size <= LARGEST_AT_ONCE:
        try:
            return checked(schema, data, Budget(AT_ONCE))
        except OverBudget:
            pass
    async with room:
        return await anyio.to_thread.run_sync(faults_of_data, schema, data)


def faults_of_data(schema: Schema, data: Any) -> dict[str, str]:
    """Return what of data does not fit a schema, with its path; within the largest budget."""
    try:
        return checked(schema, data, Budget(MOST_SECONDS))
    except OverBudget:
        return {"data": TOO_LONG}


def checked(schema: Schema, data: Any, budget: Budget) -> dict[str, str]:
    """Check data within a budget; raises `OverBudget`."""
    import referencing
    from referencing.exceptions import Unresolvable

    found: dict[str, str] = {}
    # By `$schema` another validator would be chosen for what refers to the whole, without a budget.
    whole = {name: each for name, each in schema.items() if name != "$schema"}
    registry: Any = cast(Any, referencing).Registry()
    try:
        with budget.running():
            for error in validator_type()(whole, registry=registry).iter_errors(data):
                place = "".join(f".{each}" for each in error.absolute_path)
                found[f"data{place}"] = error.message[:300]
                if len(found) == SHOWN:
                    break
    except RecursionError:
        return {"data": "is nested too deeply"}
    except (Unresolvable, ValueError) as error:
        return {"data": f"cannot be checked, as the schema of its type is not valid: {error}"[:300]}
    return found


@cache
def validator_type() -> Any:
    """Return the validator of JSON Schema 2020-12 that counts its steps, and whose steps are bounded."""
    from jsonschema import Draft202012Validator, validators

    extend = cast(Any, validators).extend
    bounded = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = cast("dict[str, Any]", {**Draft202012Validator.VALIDATORS, **bounded})
    return extend(Draft202012Validator, {name: counted(each) for name, each in keywords.items()})


def counted(keyword: Callable[..., Iterable[Any] | None]) -> Callable[..., Iterable[Any]]:
    """Return the check of a keyword that takes a step of the budget."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterable[Any]:
        spend()
        return keyword(validator, value, instance, schema) or ()

    return check


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not is_found(pattern, instance):
        yield ValidationError(f"{instance[:100]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Schema, instance: Any, _: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, schema in patterns.items():
            for name, value in cast("dict[str, Any]", instance).items():
                if is_found(pattern, name):
                    yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, other: Any, instance: Any, schema: Schema
) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    members = cast("dict[str, Any]", instance)
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name
        for name in members
        if name not in known and not any(is_found(each, name) for each in patterns)
    ]
    if isinstance(other, dict):
        for name in extras:
            yield from validator.descend(members[name], other, path=name)
    elif other is False and extras:
        yield ValidationError(f"may not have {', '.join(map(repr, extras[:SHOWN]))}")


def _unique_items(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list):
        items = cast("list[Any]", instance)
        if len({comparable(each) for each in items}) < len(items):
            yield ValidationError("has the same item twice")


def comparable(value: Any) -> Any:
    """Return what is equal for values that JSON Schema takes for the same, and can be hashed."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return ("object", frozenset((name, comparable(each)) for name, each in members.items()))
    if isinstance(value, list):
        return ("array", tuple(comparable(each) for each in cast("list[Any]", value)))
    return (isinstance(value, bool), value)


@lru_cache(maxsize=1_000)
def linear(pattern: str) -> Pattern:
    """Return a pattern of RE2; raises `UnreadablePattern`, which is a `ValueError`."""
    from halflap.sdk.linear import compiled

    return compiled(pattern, memory=PATTERN_BYTES)


def is_found(pattern: str, text: str) -> bool:
    """Return whether a text has a pattern; `OverBudget` where the search may take too long."""
    from halflap.sdk.linear import longest_search

    compiled = linear(pattern)
    afford(longest_search(compiled, text))
    return compiled.search(text) is not None


def schema_fault(schema: Schema) -> str:
    """Return why a schema may not be declared; empty where it may be."""
    from jsonschema import Draft202012Validator, SchemaError

    if len(codec.encode(schema)) > LARGEST_SCHEMA:
        return f"has more than {LARGEST_SCHEMA:,} bytes"
    try:
        Draft202012Validator.check_schema(schema)
        every = list(subschemas(schema))
        there = {id(each) for each in every}
        for each in every:
            if fault := _fault_of(each, schema, there):
                return fault
        applied: dict[int, int] = {}
        if max((count_applied(each, schema, applied) for each in every), default=0) > MOST_APPLIED:
            return f"applies more than {MOST_APPLIED:,} schemas to one value, by its references"
        names = {name for each in every for name in each}
        if "patternProperties" in names and any(each.startswith("unevaluated") for each in names):
            return "has patternProperties beside unevaluatedProperties; say additionalProperties"
    except SchemaError as error:
        return f"is no JSON Schema: {error.json_path}: {error.message[:300]}"
    except RecursionError:
        return "is nested too deeply, or refers to itself without end"
    return ""


def _fault_of(schema: Schema, root: Schema, there: Set[int]) -> str:
    """Return what is wrong with one of a document's schemas (`there`, by `id`), not with those in it."""
    if "$dynamicRef" in schema or (schema is not root and not schema.keys().isdisjoint(OF_WHOLE)):
        return "has a $dynamicRef, or an $id or $schema within; refer by #/$defs/…"
    if (ref := schema.get("$ref")) is not None:
        if not ref.startswith("#"):
            return "refers to another document; put what it refers to under $defs"
        found = referred(root, ref)
        if not isinstance(found, bool) and id(found) not in there:
            return f"refers to {ref[:100]}, which is not there"
    for each in (schema.get("pattern", ""), *schema.get("patternProperties", {})):
        try:
            linear(each)
        except ValueError as error:
            return f"has a pattern that RE2 does not take ({error}): {each[:100]}"
    return ""


def referred(root: Schema, ref: str) -> Any:
    """Return the schema that a reference to the same document names, by a JSON pointer; or None."""
    found: Any = root
    if ref != "#" and not ref.startswith("#/"):
        return None
    for part in unquote(ref).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(cast(Any, found)):
            found = cast("list[Any]", found)[int(name)]
        elif isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(name)
        else:
            return None
    return cast(Any, found) if isinstance(found, dict | bool) else None


def subschemas(schema: Any) -> Iterator[Schema]:
    """Yield a schema and all that are in it, but for those that are true or false."""
    rest: list[Any] = [schema]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            yield members
            rest += beside(members)
            rest += [members[name] for name in DEEPER if name in members]
            rest += members.get("prefixItems", ())
            rest += [e for name in NAMED for e in members.get(name, {}).values()]


def beside(schema: Schema) -> list[Any]:
    """Return the schemas in a schema that are applied to the same value."""
    found = [each for name in LISTS for each in schema.get(name, ())]
    found += [schema[name] for name in ALSO if name in schema]
    return [*found, *schema.get("dependentSchemas", {}).values()]


def count_applied(schema: Any, root: Schema, known: dict[int, int]) -> int:
    """Return how many schemas are applied to one value; `RecursionError` where they refer in a circle."""
    if not isinstance(schema, dict):
        return 1
    members = cast("dict[str, Any]", schema)
    if (count := known.get(id(members))) is not None:
        if not count:
            raise RecursionError
        return count
    known[id(members)] = 0
    also = beside(members)
    if "$ref" in members:
        also.append(referred(root, members["$ref"]))
    count = 1 + sum(count_applied(each, root, known) for each in also)
    known[id(members)] = count
    return count
