"""Infer the results of steps that no schema declares: of other flows, and of awaited answers."""

from __future__ import annotations

from collections.abc import Callable

from halflap.lowcode import kinds as doc
from halflap.lowcode.document import Document
from halflap.lowcode.lint.examples import Examples
from halflap.lowcode.lint.scope import NULL, TEXT, Schema, either, joined

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
