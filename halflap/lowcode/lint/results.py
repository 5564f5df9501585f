"""Infer the results of steps that no schema declares: other flows, state, and awaited answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from halflap.lowcode import kinds as doc
from halflap.lowcode.document import Document
from halflap.lowcode.kinds.walk import every
from halflap.lowcode.lint.examples import Examples
from halflap.lowcode.lint.scope import NULL, TEXT, Schema, either, joined
from halflap.lowcode.template import is_expression

Cell = tuple[str, str, str]
"""A value of the state: its scope, the flow where it is the flow's own, and its key."""
MOST_PUTS = 200
"""Of how many `put`s it is compared what a value is."""
MOST_DEPTH = 8
"""The depth to which flows that call each other are followed."""


@dataclass(slots=True)
class WalkFindings:
    """The findings of one walk of a flow: its answers, and its writes to the state."""

    answers: list[Schema | None] = field(default_factory=list[Schema | None])
    puts: dict[Cell | None, list[Schema | None]] = field(
        default_factory=dict[Cell | None, list[Schema | None]]
    )
    """By the value that is put, where its key is written out."""


class Results:
    """Walks flows for what others read of them, each once; one that is being walked says nothing."""

    def __init__(
        self, document: Document, walk: Callable[[str], WalkFindings], endless: frozenset[str]
    ) -> None:
        self._document = document
        self.endless = endless
        self.examples = Examples(document)
        self._walk = walk
        self._told: dict[str, WalkFindings] = {}
        self._walking: set[str] = set()

    def call(self, step: doc.CallStep) -> Schema | None:
        """Return the type of a `call`."""
        if not step.wait:
            return or_null(TEXT) if step.on_failure == "ignore" else TEXT
        told = self._of(step.call) if step.call in self._document.flows else None
        if told is None:
            return None
        found = joined(told.answers)
        return or_null(found) if step.on_failure == "ignore" else found

    def state(self, flow: str, step: doc.StateStep, default: Schema | None) -> Schema | None:
        """Return the type of `state: get`: what the document puts there, or the default."""
        cell = cell_of(flow, step)
        if cell is None:
            return None
        puts: list[Schema | None] = []
        scope, owner, _ = cell
        for name in dict.fromkeys((*self._puts.get(cell, ()), *self._puts.get((scope, owner), ()))):
            told = self._of(name)
            if told is None:
                return None
            puts += [*told.puts.get(cell, ()), *told.puts.get(None, ())]
            if len(puts) > MOST_PUTS:
                return None
        given = [] if step.default is None else [default]
        return joined([*puts, *given]) if puts else None

    def _of(self, name: str) -> WalkFindings | None:
        if name in self._walking or len(self._walking) >= MOST_DEPTH:
            return None
        if name not in self._told:
            self._walking.add(name)
            try:
                self._told[name] = self._walk(name)
            finally:
                self._walking.discard(name)
        return self._told[name]

    @cached_property
    def _puts(self) -> Mapping[tuple[str, ...], dict[str, None]]:
        """The flows that put to a value; or, where the key is not known, to its scope and owner."""
        found: dict[tuple[str, ...], dict[str, None]] = {}
        for name, flow in self._document.flows.items():
            for _, each in every(flow.steps):
                if isinstance(each, doc.StateStep) and each.state == "put":
                    anywhere = (each.scope, name if each.scope == "flow" else "")
                    found.setdefault(cell_of(name, each) or anywhere, {})[name] = None
        return found


def cell_of(flow: str, step: doc.StateStep) -> Cell | None:
    """The value that a step reads or writes, where its key is written out."""
    if isinstance(step.key, bool) or not isinstance(step.key, str | int) or is_expression(step.key):
        return None
    return step.scope, flow if step.scope == "flow" else "", str(step.key)


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
