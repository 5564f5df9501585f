"""Analyse a document that is being written: its values, and the names at each place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halflap.lowcode.assist.loose import read_loosely
from halflap.lowcode.document import Document
from halflap.lowcode.lint.engine import names_at
from halflap.lowcode.lint.scope import Names
from halflap.lowcode.lint.shapes import CallShape, Shapes
from halflap.lowcode.outline import Outline, outline_document
from halflap.lowcode.outline.known import titled
from halflap.lowcode.repair import repaired
from halflap.lowcode.source import Path, SourceText


@dataclass(slots=True)
class Analysis:
    """A text, read as far as it can be. `fitting` is its source with what fits into a document."""

    text: str
    source: SourceText
    shapes: Shapes
    fitting: SourceText | None = None
    document: Document | None = None
    _names: dict[Path, Names] = field(default_factory=dict[Path, Names])

    def names_at(self, path: Path) -> Names:
        """The names that an expression at a place sees."""
        if self.fitting is None or self.document is None:
            return {}
        if path not in self._names:
            self._names[path] = names_at(self.fitting, self.document, self.shapes, path)
        return self._names[path]

    def outline(self) -> Outline:
        """The outline of the text, as far as it can be read."""
        return outline_document(self.source, titles_of(self.shapes))


def analyse(text: str, file: str, shapes: Shapes) -> Analysis:
    """Read a text, whatever it is; nothing is run."""
    source = read_loosely(text, file)
    made = repaired(source)
    return Analysis(text, source, shapes, *(made if made is not None else (None, None)))


def titles_of(shapes: Shapes) -> Callable[[str, str], str]:
    """Return what gives the title of an action by the names of its component and its own."""

    def title(component: str, action: str) -> str:
        found = find(shapes, "action", f"{component}.{action}")
        return titled(action) if found is None else found.title

    return title


def find(shapes: Shapes, kind: str, name: str) -> CallShape | None:
    """The action or trigger of a dotted name."""
    owner, _, short = name.partition(".")
    component = shapes.component(owner)
    if component is None:
        return None
    return (component.actions if kind == "action" else component.triggers).get(short)


def called_in(analysis: Analysis, holder: Mapping[Any, Any]) -> CallShape | None:
    """Return the action or trigger that a step, or a flow, calls."""
    for kind in ("action", "trigger"):
        name = holder.get(kind)
        if isinstance(name, str):
            return find(analysis.shapes, kind, name)
    return None


_FLOWS = re.compile(r"^(flows|preprocess)\s*:", re.MULTILINE)
_MARK = re.compile(r"#\s*yaml-language-server:\s*\$schema=\S*integration")
_KEY = re.compile(r"^([A-Za-z_][\w-]*)\s*:?", re.MULTILINE)


def is_document(text: str, *, begun: bool = False) -> bool:
    """Return whether a text is an integration, and not some other YAML; or `begun`, may become one."""
    if _FLOWS.search(text) or _MARK.search(text):
        return True
    keys = {each[1] for each in _KEY.finditer(text)}
    return begun and len(keys - Document.model_fields.keys()) <= 1
