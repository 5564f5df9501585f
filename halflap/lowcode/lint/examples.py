"""Types of events and answers that no component declares: a document's schemas, samples and tests.

A `schema` is taken at its word. A `sample` and the events and stubs of tests are examples: their
objects may have other fields, and what tests show of texts and numbers is not held against an input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from halflap.lowcode import kinds as doc
from halflap.lowcode.document import Document, Triggered
from halflap.lowcode.kinds.walk import every
from halflap.lowcode.lint.scope import NULL, SEEN_IN, TEXT, Schema, either, joined, literal

AS_SENT = "webhook.request"
"""The trigger whose event is the body that a test sends; others may read something else of it."""
MOST_EXAMPLES = 100
"""Of how many tests the events and answers of one flow or action are looked at."""
MOST_FIELDS = 500
TYPES = ("string", "number", "integer", "boolean", "null", "array", "object")


class Examples:
    """The types that a document shows of its events and answers."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def event(self, name: str, flow: Triggered, own: Schema | None) -> Schema | None:
        """Return the type of a flow's event: `own` of its trigger, completed by what is shown."""
        if flow.declared is not None:
            return refined(own, normalised(flow.declared))
        if flow.sample is not None:
            return refined(own, seen([flow.sample], "sample"))
        if flow.trigger != AS_SENT:
            return own
        tests = (each for each in self._document.tests if each.flow == name)
        events = [each.event for each in tests if "event" in each.model_fields_set]
        if not events:
            return own
        alone = name not in self._given_others  # else other events may have other fields
        return refined(own, seen(events[:MOST_EXAMPLES], "tests", alike=alone))

    def answer(self, step: doc.ActionStep, own: Schema | None) -> Schema | None:
        """Return the type of an action's result: `own`, completed by what is shown."""
        shown = step.answers
        if shown is not None and shown.declared is not None:
            return refined(own, normalised(shown.declared))
        if shown is not None and shown.sample is not None:
            return refined(own, seen([shown.sample], "sample"))
        stubs = self._stubs.get(step.action)
        if not stubs:
            return own
        alone = self._called[step.action] == 1  # else each call may have answers of its own
        return refined(own, seen(stubs, "tests", alike=alone))

    @cached_property
    def _given_others(self) -> frozenset[str]:
        """The flows whose events do not all come from the app: they are called, or continue."""
        found: set[str] = set()
        for name, flow in self._document.flows.items():
            for _, step in every(flow.steps):
                if isinstance(step, doc.CallStep):
                    found.add(step.call)
                elif isinstance(step, doc.ContinueStep):
                    found.add(name)
        return frozenset(found)

    @cached_property
    def _stubs(self) -> Mapping[str, list[Any]]:
        """The answers that tests give, by action."""
        found: dict[str, list[Any]] = {}
        for test in self._document.tests:
            for name, answer in test.stubs.items():
                answers = found.setdefault(name, [])
                if len(answers) < MOST_EXAMPLES:
                    answers += [each for each in _answers(answer) if not _fails(each)]
        return found

    @cached_property
    def _called(self) -> Mapping[str, int]:
        """The number of calls of each action in the document."""
        found: dict[str, int] = {}
        for flow in self._document.flows.values():
            for _, step in every(flow.steps):
                if isinstance(step, doc.ActionStep):
                    found[step.action] = found.get(step.action, 0) + 1
        return found


def _answers(stub: Any) -> list[Any]:
    """Return what a stub answers, one after the other."""
    if isinstance(stub, dict):
        several = cast("dict[str, Any]", stub).get("$sequence")
        if isinstance(several, list):
            return cast("list[Any]", several)
    return [stub]


def _fails(answer: Any) -> bool:
    return isinstance(answer, dict) and "$error" in answer


def seen(values: Sequence[Any], where: str, *, alike: bool = True) -> Schema:
    """Return the type of which these values are examples, shown in `where`.

    alike: they are of one kind, so that a field which some have not may be missing.
    """
    forms: list[Schema] = []
    objects = [cast("dict[Any, Any]", each) for each in values if isinstance(each, dict)]
    if objects:
        names = list(dict.fromkeys(str(name) for each in objects for name in each))[:MOST_FIELDS]
        fields: dict[str, Schema] = {}
        for name in names:
            given = [each[name] for each in objects if name in each]
            field = seen(given, where, alike=alike)
            fields[name] = either(field, NULL) if alike and len(given) < len(objects) else field
        forms.append(
            {"type": "object", "properties": fields, "additionalProperties": True, SEEN_IN: where}
        )
    lists = [cast("list[Any]", each) for each in values if isinstance(each, list)]
    if lists:
        items = [one for each in lists for one in each]
        made: Schema = {"type": "array"}
        forms.append({**made, "items": seen(items, where, alike=alike)} if items else made)
    scalars = (each for each in values if not isinstance(each, dict | list))
    forms += ({"type": literal(each)["type"]} for each in scalars)
    if where == "tests" and not objects and not lists:
        forms.append({})  # a test may say "1" where the app sends a number
    return either(*forms) if forms else {}


def refined(own: Schema | None, shown: Schema) -> Schema:
    """Return a declared type, with what is shown of the parts that it leaves open."""
    if own is None or is_open(own):
        return shown
    fields = own.get("properties")
    others = shown.get("properties")
    if not isinstance(fields, dict) or not isinstance(others, dict):
        return own
    members = cast("dict[str, Schema]", fields)
    known = cast("dict[str, Schema]", others)
    made = {
        name: refined(each, known[name]) if name in known else each
        for name, each in members.items()
    }
    return {**own, "properties": made}


def is_open(schema: Schema) -> bool:
    """Return whether a type says nothing of its values."""
    return not any(
        key in schema for key in ("type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf")
    )


def normalised(schema: Mapping[str, Any]) -> Schema:
    """Return a JSON Schema as lint reads it: a list of types, `nullable`, and what is not required.

    Where an object names required fields, its others may be missing.
    """
    made: dict[str, Any] = dict(schema)
    for key in ("properties", "$defs"):
        members = made.get(key)
        if isinstance(members, dict):
            made[key] = {
                str(name): normalised(cast("Mapping[str, Any]", each))
                if isinstance(each, dict)
                else {}
                for name, each in cast("dict[Any, Any]", members).items()
            }
    required = made.get("required")
    if isinstance(required, list) and isinstance(made.get("properties"), dict):
        fields = cast("dict[str, Schema]", made["properties"])
        made["properties"] = {
            name: each if name in required else either(each, NULL) for name, each in fields.items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = normalised(made[key])
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(made.get(key), list):
            choices = cast("list[Any]", made[key])
            made[key] = [
                normalised(cast("Mapping[str, Any]", each)) if isinstance(each, dict) else {}
                for each in choices
            ]
    kinds = made.get("type")
    if not isinstance(kinds, list) and kinds not in (None, *TYPES):
        return {}
    if isinstance(kinds, list):
        forms = [{**made, "type": each} for each in cast("list[Any]", kinds)]
        return either(*forms) if forms else {}
    return either({**made, "nullable": False}, NULL) if made.get("nullable") is True else made


def unknown_types(schema: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the places in a JSON Schema whose `type` is none of JSON's."""
    if isinstance(schema, list):
        several = cast("list[Any]", schema)
        return [each for at, one in enumerate(several) for each in unknown_types(one, (*path, at))]
    if not isinstance(schema, dict):
        return []
    members = cast("dict[str, Any]", schema)
    kind = members.get("type")
    kinds = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
    found = [] if kind is None or all(each in TYPES for each in kinds) else [(*path, "type")]
    for name in ("properties", "$defs"):
        inner = members.get(name)
        if isinstance(inner, dict):
            for key, each in cast("dict[str, Any]", inner).items():
                found += unknown_types(each, (*path, name, key))
    for name in ("items", "additionalProperties", "anyOf", "oneOf", "allOf"):
        found += unknown_types(members.get(name), (*path, name))
    return found


# Results of steps that no schema declares: of other flows, and of awaited answers -------------

MOST_DEPTH = 8
"""The depth to which flows that call each other are followed."""


class Results:
    """Walks flows for what others read of them, each once; one that is being walked says nothing."""

    def __init__(
        self,
        document: Document,
        walk: Callable[[str], list[Schema | None]],
        endless: frozenset[str],
    ) -> None:
        self._document = document
        self.endless = endless
        self.examples = Examples(document)
        self._walk = walk
        self._told: dict[str, list[Schema | None]] = {}
        self._walking: set[str] = set()

    def call(self, step: doc.CallStep) -> Schema | None:
        """Return the type of a `call`."""
        if not step.wait:
            return or_null(TEXT) if step.on_failure == "ignore" else TEXT
        told = self._of(step.call) if step.call in self._document.flows else None
        if told is None:
            return None
        found = joined(told)
        return or_null(found) if step.on_failure == "ignore" else found

    def _of(self, name: str) -> list[Schema | None] | None:
        if name in self._walking or len(self._walking) >= MOST_DEPTH:
            return None
        if name not in self._told:
            self._walking.add(name)
            try:
                self._told[name] = self._walk(name)
            finally:
                self._walking.discard(name)
        return self._told[name]


def answer_of_links(choices: list[str]) -> Schema:
    """Return the type of a signal that links were made for; others may send anything in its name."""
    choice: Schema = {
        "anyOf": [{"type": "string", "enum": choices}, {}],
        "description": f"What was chosen of {', '.join(choices)}.",
    }
    return {"anyOf": [{"type": "object", "properties": {"choice": choice}}, {}]}


def or_null(schema: Schema | None) -> Schema | None:
    """This, or null."""
    return None if schema is None else either(schema, NULL)
