"""The event types that the team's own product declares, as lint and a designer know them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from halflap.lowcode.fixes import instead_of
from halflap.lowcode.lint import rules
from halflap.lowcode.lint.examples import normalised
from halflap.lowcode.lint.expressions import leaves
from halflap.lowcode.lint.rules import Findings, suggest
from halflap.lowcode.lint.scope import Schema
from halflap.lowcode.source import Path
from halflap.lowcode.template import is_expression
from halflap.sdk import codec
from halflap.sdk.event_type import is_pattern, takes

NAMED_BY = {"app.event": "type", "app.events": "types"}
"""The triggers that are given such events, each with the input that names their types."""
MOST_OFFERED = 500
"""The most types that are offered, and that one event may be of."""


@dataclass(frozen=True, slots=True)
class DeclaredEvents:
    """Versions of event types by name, the newest first: `schema`, `title`, `version`, `example`."""

    types: Mapping[str, Sequence[Mapping[str, Any]]]

    @classmethod
    def read(cls, data: bytes) -> DeclaredEvents | None:
        """Read types that were written as JSON; None where they are not known."""
        found = codec.decode(data)
        return None if found is None else cls(found)

    def offered(self) -> list[str]:
        """Return what a trigger may name: each type, and what several begin with, such as `order.*`."""
        names = list(self.types)[:MOST_OFFERED]
        heads = Counter(name.rpartition(".")[0] for name in names if "." in name)
        return [*names, *sorted(f"{each}.*" for each, count in heads.items() if count > 1)]

    def choices(self, schema: Schema, inputs: Mapping[str, Any]) -> Schema:
        """Return the schema of an input that names types, as a choice; what it names now is one.

        It is an open one (`x-open`): patterns, and types that are declared later, may be written.
        """
        offered = self.offered()
        if not offered:
            return schema
        items = schema.get("items")
        now = [name for trigger in NAMED_BY for _, name in named(trigger, inputs)]
        chosen: dict[str, Any] = {"type": "string", "x-open": True}
        chosen["enum"] = list(dict.fromkeys([*offered, *now]))
        if items is not None:
            chosen["enum"] = ["*", *(each for each in chosen["enum"] if each != "*")]
        return {**schema, **chosen} if items is None else {**schema, "items": chosen}

    def check(self, trigger: str, inputs: Mapping[str, Any], path: Path, add: Findings) -> None:
        """Find names of types that are not declared."""
        for place, name in named(trigger, inputs):
            is_declared = any(takes([name], each) for each in self.types)
            if is_declared or name == "*" or not is_pattern(name):
                continue
            known = self.offered()
            what = suggest(name, known) if known else "it has declared none yet"
            said = f"your product declares no event type {name!r}; {what}"
            mend = instead_of(name, known)
            add.add(rules.UNDECLARED, (*path, "with", *place), said, mend=mend)

    def event(self, trigger: str, inputs: Mapping[str, Any], own: Schema | None) -> Schema | None:
        """Return the type of a trigger's events: `own`, with the data of the types that it names.

        Of every version, as each may be published: a field that one of them has is no mistake.
        """
        names = [name for _, name in named(trigger, inputs)]
        found = [
            (name, each)
            for name, versions in self.types.items()
            if takes(names, name)
            for each in versions
        ]
        if own is None or not found or len(found) > MOST_OFFERED:
            return own
        defs: dict[str, Any] = dict(own.get("$defs", {}))
        data = [data_of(f"{name}@{each['version']}", each, defs) for name, each in found]
        _, first = found[0]
        known = {
            "type": {"type": "string", "enum": list(dict.fromkeys(name for name, _ in found))},
            "version": {"type": "integer", "examples": [first["version"]]},
            "data": data[0] if len(data) == 1 else {"anyOf": data},
        }
        return {**own, "$defs": defs, "properties": {**own.get("properties", {}), **known}}


def named(trigger: str, inputs: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the types that a trigger's inputs name, each with its place among them."""
    field = NAMED_BY.get(trigger)
    if field is not None:
        for each, place in leaves(inputs.get(field), (field,)):
            if isinstance(each, str) and not is_expression(each):
                yield place, each


def data_of(name: str, type: Mapping[str, Any], defs: dict[str, Any]) -> Schema:
    """Return the schema of a type's data; what it refers to goes to `defs`, under its name."""
    schema = cast("dict[str, Any]", type["schema"])
    for key in ("$defs", "definitions"):
        for part, each in cast("dict[str, Any]", schema.get(key, {})).items():
            defs[f"{name}:{part}"] = normalised(renamed(each, name))
    found = {key: each for key, each in schema.items() if key not in ("$defs", "definitions")}
    example = {} if type["example"] is None else {"examples": [type["example"]]}
    return {**normalised(renamed(found, name)), **example}


def renamed(schema: Any, name: str) -> Any:
    """Return a schema whose references are to `$defs` of this type; to other places, to anything."""
    if isinstance(schema, list):
        return [renamed(each, name) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    members = cast("dict[str, Any]", schema)
    ref = members.get("$ref")
    if isinstance(ref, str):
        head, _, part = ref.rpartition("/")
        return {"$ref": f"#/$defs/{name}:{part}"} if head in ("#/$defs", "#/definitions") else {}
    return {key: renamed(each, name) for key, each in members.items()}
