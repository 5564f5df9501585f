"""What the module of a document says of itself where nobody wrote more."""

from __future__ import annotations


def about(name: str, title: str | None, description: str | None) -> str:
    """The docstring's text, by what the document says of its integration."""
    shown = title or name.replace("-", " ").capitalize()
    said = f"{shown}: {description}" if description else shown
    return said if said.endswith((".", "!", "?")) else f"{said}."
