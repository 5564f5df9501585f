"""Knows which texts and keys of a document name something that is declared elsewhere."""

from __future__ import annotations

from typing import Any

from halflap.lowcode.kinds.raw import field_at
from halflap.lowcode.kinds.role import Refers
from halflap.lowcode.source import Path, mapping_of, value_at

PAIRING = ("paired", "pair", "unpair")
FIELDS = ("field", "connection")
"""The sorts of things that a field of the config is named as."""


def referred_at(data: Any, path: Path) -> str | None:
    """Return the sort of thing that the text at a path names; None where it names none."""
    field = field_at(data, path)
    if field is not None:
        refers = field.role(Refers)
        return None if refers is None else refers.to
    match path:
        case ("flows" | "preprocess", _, "trigger"):
            return "trigger"
        case ("tests", int(), "flow") | ("preprocess", _, "routes", int(), "flow"):
            return "flow"
        case ("flows", _, "pairs"):
            return "pairs"
        case ("config", _, _, "source" | "of" | "to"):
            return "action"
        case ("config", _, _, "source" | "of" | "to", "action"):
            return "action"
        case ("config", _, _, "connection"):
            return "component"
        case ("config", _, _, "source" | "of" | "to", "connection") | ("pairs", _, "master"):
            return "connection"
        case ("config", _, _, "depends", *_):
            return "field"
        case _:
            return None


def referred_by_keys(data: Any, path: Path) -> str | None:
    """Return the sort of thing that the keys of the mapping at a path name; None where none."""
    match path:
        case ("tests", int(), "stubs") | ("tests", int(), "expect", int()):
            return "call"
        case ("tests", int(), "urls" | "secrets"):
            return "flow"
        case ("tests", int(), "paired") | ("tests", int(), "after", "paired"):
            return "pairs"
        case ("tests", int(), "config") | ("preprocess", _, "routes", int(), "config"):
            return "field"
        case ("config", _, _, "when"):
            return "field"
        case ("pairs", _, "sides") | ("tests", int(), *_, "paired", _, int()):
            return "connection"
        case ("flows", *step, "with"):
            named = mapping_of(value_at(data, ("flows", *step)))
            return None if named.keys().isdisjoint(PAIRING) else "connection"
        case _:
            return None
