"""Lint of YAML documents: one engine for the commands, publishing, the API and editors."""

from halflap.lowcode.lint.declared import DeclaredEvents
from halflap.lowcode.lint.engine import lint, lint_text, over_budget
from halflap.lowcode.lint.rules import RULES
from halflap.lowcode.lint.shapes import Shapes, read_shapes

__all__ = [
    "RULES",
    "DeclaredEvents",
    "Shapes",
    "lint",
    "lint_text",
    "over_budget",
    "read_shapes",
]
