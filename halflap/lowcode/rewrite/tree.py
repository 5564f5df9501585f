"""Where in a document's text each value begins and ends: what an edit of the text goes by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from halflap.lowcode.source import events_of

_DASH = re.compile(r"(?:\s|#[^\n]*)*-")
_COLON = re.compile(r"\s*:")


@dataclass(slots=True)
class TextNode:
    """A value in the text, from `start` to `end`; `style` is a scalar's quote, or `|` or `>`."""

    kind: Literal["scalar", "alias", "list", "mapping"]
    start: int
    end: int
    flow: bool = False
    style: str | None = None
    entries: list[Entry] = field(default_factory=list["Entry"])


@dataclass(slots=True)
class Entry:
    """A member or an item: `start` is its key's or its dash's place, `marker` the end of `:` or `-`."""

    name: Any
    start: int
    key_end: int
    marker: int
    value: TextNode


def tree_of(text: str, data: Any) -> TextNode | None:
    """The places of a document that was read, and so is known to be sound; None where it is empty."""
    events = events_of(text)
    for each in events:
        if isinstance(each, DocumentStartEvent):
            return _Maker(text, events).node(next(events), data)
    return None


class _Maker:
    def __init__(self, text: str, events: Iterator[Event]) -> None:
        self._text = text
        self._events = events

    def node(self, event: Any, data: Any) -> TextNode:
        start, end = event.start_mark.index, event.end_mark.index
        match event:
            case AliasEvent():
                return TextNode("alias", start, end)
            case ScalarEvent():
                style = cast(Any, event).style or None
                return TextNode("scalar", start, self._scalar_end(event), style=style)
            case SequenceStartEvent():
                return self._list(event, data)
            case MappingStartEvent():
                return self._mapping(event, data)
            case _:
                raise AssertionError(event)

    def _scalar_end(self, event: Any) -> int:
        """A block ends with its last line: what is blank after it is not its own, unless it says so."""
        start, end = event.start_mark.index, event.end_mark.index
        if event.style not in ("|", ">"):
            return end
        head = self._text[start:end].partition("\n")[0].partition("#")[0]
        held = self._text[start:end]
        kept = re.sub(r"\r?\n[ ]*\Z", "", held) if "+" in head else held.rstrip()
        return start + len(kept)

    def _list(self, event: Any, data: list[Any]) -> TextNode:
        made = TextNode("list", event.start_mark.index, 0, flow=bool(event.flow_style))
        at = made.start
        while not isinstance(event := self._next(), SequenceEndEvent):
            index = len(made.entries)
            if made.flow:
                value = self.node(event, data[index])
                entry = Entry(index, value.start, value.start, value.start, value)
            else:
                found = _DASH.match(self._text, at)
                assert found is not None
                value = self.node(event, data[index])
                entry = Entry(index, found.end() - 1, found.end() - 1, found.end(), value)
            at = max(value.end, entry.marker)
            made.entries.append(entry)
        made.end = cast(Any, event).end_mark.index if made.flow else at
        return made

    def _mapping(self, event: Any, data: dict[Any, Any]) -> TextNode:
        made = TextNode("mapping", event.start_mark.index, 0, flow=bool(event.flow_style))
        at = made.start
        for name in data:
            key: Any = next(self._events)
            start, end = key.start_mark.index, key.end_mark.index
            found = _COLON.match(self._text, end)
            value = self.node(next(self._events), data[name])
            marker = found.end() if found is not None else end
            made.entries.append(Entry(name, start, end, marker, value))
            at = max(value.end, marker)
        closing = self._next()
        assert isinstance(closing, MappingEndEvent)
        made.end = cast(Any, closing).end_mark.index if made.flow else at
        return made

    def _next(self) -> Any:
        return next(self._events)
