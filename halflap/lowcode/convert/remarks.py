"""The comments of a document, which stand in the Python at the place where they stood."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

from halflap.lowcode.kinds.raw import holds_steps
from halflap.lowcode.source import Path, SourceText

_EXCUSE = re.compile(r"#\s*(halflap: ignore|yaml-language-server:)")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'")
_DEPTHS: dict[str | int, int] = {"flows": 2, "preprocess": 2, "pairs": 2, "config": 3, "tests": 2}


def remarks_of(source: SourceText) -> dict[Path, list[str]]:
    """Return the comments by the part of the document (a step, a flow, a field) that they are about.

    That is the part whose line they stand on, or whose line comes next; the first ones, before the
    document, are those of `()`.
    """
    owners: dict[int, Path] = {}
    places = (*source.values.items(), *source.keys.items())
    for path, place in sorted(places, key=lambda each: len(each[0])):
        owners[place.line] = _owner(path)
    found: dict[Path, list[str]] = {}
    first, lines = min(each.line for each in source.keys.values()), sorted(owners)
    for number, comment in _comments(source):
        at = min(bisect_left(lines, number), len(lines) - 1)
        found.setdefault(() if number < first else owners[lines[at]], []).append(comment)
    return found


def _owner(path: Path) -> Path:
    """The part that a place belongs to: its step, its flow, its field."""
    for end in range(len(path), 1, -1):
        held = path[: end - 1]
        if isinstance(path[end - 1], int) and (holds_steps(held) or held[-1] == "routes"):
            return path[:end]
    return path[: _DEPTHS.get(path[0], 1)] if path else ()


def _comments(source: SourceText) -> Iterator[tuple[int, str]]:
    blocks = [source.place(path).line for path in source.blocks]
    inside = 0
    for number, line in enumerate(source.lines, 1):
        indent = len(line) - len(line.lstrip())
        if inside and (not line.strip() or indent >= inside):
            continue
        inside = indent + 1 if number in blocks else 0
        bare = _QUOTED.sub(lambda found: "x" * len(found[0]), line)
        found = re.search(r"(?:^|(?<=\s))#", bare)
        if found is not None and not _EXCUSE.match(line[found.start() :]):
            yield number, line[found.start() :].lstrip("#").strip()
