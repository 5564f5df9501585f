"""Read an unchecked document's name, and the components that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from halflap.lowcode.code import components_of
from halflap.lowcode.source import Place, SourceText, held, mapping_of

_FLOWS = re.compile(rb"^flows[ \t]*:", re.MULTILINE)
_NAMES = ("action", "trigger", "source", "of", "to")


def heading(content: bytes) -> bool:
    """Return whether a YAML file may be an integration, so that others need no reading."""
    return _FLOWS.search(content) is not None


def name_in(source: SourceText) -> tuple[str, Place] | None:
    """The integration's name and where it stands; None where the file is no integration."""
    data: Any = source.data
    if not isinstance(data, dict):
        return None
    data = cast("dict[Any, Any]", data)
    name = data.get("name")
    if "flows" not in data or not isinstance(name, str):
        return None
    return name, source.key(("name",))


def components_in(data: Any) -> frozenset[str]:
    """The components that a document names: those of its actions, triggers and connections."""
    return frozenset(_named(data))


def _named(data: Any) -> Iterator[str]:
    for each, _ in held(data):
        members = mapping_of(each)
        for key, value in members.items():
            if key in _NAMES and isinstance(value, str) and "." in value:
                yield value.partition(".")[0]
            elif key == "connection" and isinstance(value, str):
                yield value
            elif key == "code" and isinstance(value, str):
                yield from components_of(value, mapping_of(members.get("with")))
