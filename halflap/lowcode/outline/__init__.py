"""The outline of an integration: what its flows may do, as a tree, read from its text.

One shape for Python (`python`, `flow`, `values`) and YAML (`document`), for diagrams, reviews, the
designer, and whoever wants to know what a version does without running it.
"""

from __future__ import annotations

from collections.abc import Mapping

from halflap.errors import DefinitionError
from halflap.lowcode.outline.calls import Meanings
from halflap.lowcode.outline.changes import FlowChange, StepChange, ValueChange, compare_outlines
from halflap.lowcode.outline.document import outline_document
from halflap.lowcode.outline.nodes import FlowOutline, NodeBlock, Outline, OutlineNode, Span, within
from halflap.lowcode.outline.python import outline_python, survey_of
from halflap.lowcode.outline.text import as_text, flow_lines
from halflap.lowcode.source import read

__all__ = [
    "FlowChange",
    "FlowOutline",
    "NodeBlock",
    "Outline",
    "OutlineNode",
    "Span",
    "StepChange",
    "ValueChange",
    "as_text",
    "compare_outlines",
    "flow_lines",
    "outline",
    "outline_document",
    "within",
]


def outline(files: Mapping[str, str], entry: str) -> Outline:
    """Return the outline of the integration that a project's files hold; nothing of them is run.

    `files` maps paths below the project's folder to text. `entry` is where the integration starts:
    `warehouse:integration`, or the path of a YAML document. `DefinitionError` where it cannot be read.
    """
    survey = survey_of(files)
    if ":" in entry:
        return outline_python(survey, entry)
    if entry not in files:
        raise DefinitionError("there is no such document", where=entry)
    return outline_document(read(files[entry], entry), Meanings(survey).title)
