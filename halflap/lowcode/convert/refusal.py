"""Why a document cannot be written as Python, and where."""

from __future__ import annotations

from halflap.errors import DefinitionError


class NotConvertible(DefinitionError):
    """A part of the document has no Python that does the same; `where` is its place."""
