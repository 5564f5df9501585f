"""The comments of a document, which stand in the Python at the place where they stood."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from halflap.lowcode.kinds.raw import holds_steps
from halflap.lowcode.source import Path, SourceText

_EXCUSE = re.compile(r"#\s*(halflap: ignore|yaml-language-server:)")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'")


class Remarks:
    """Finds the comments before a part of a document, and those on its line; each is taken once."""

    def __init__(self, source: SourceText) -> None:
        self._lines = source.text.splitlines()
        self._found = dict(self._comments(source))
        self._source = source
        self._owned: dict[Path, set[int]] = {}
        for path, place in (*source.keys.items(), *source.values.items()):
            self._owned.setdefault(_owner(path), set()).add(place.line)
        for path, place in source.values.items():  # a list begins where its first step does
            if _holds_parts(path):
                self._owned[_owner(path)].discard(place.line)
        for path, place in source.keys.items():
            self._owned[_owner(path)].add(place.line)

    def _comments(self, source: SourceText) -> Iterator[tuple[int, str]]:
        blocks = [source.place(path).line for path in source.blocks]
        inside = 0
        for number, line in enumerate(self._lines, 1):
            indent = len(line) - len(line.lstrip())
            if inside and (not line.strip() or indent >= inside):
                continue
            inside = 0
            if number in blocks:
                inside = indent + 1
            at = _comment(line)
            if at is not None and not _EXCUSE.match(line[at:]):
                yield number, line[at:].lstrip("#").strip()

    def first(self) -> list[str]:
        """The comments at the beginning, before the document."""
        return self._take(range(1, min(self._key_lines(), default=1)))

    def _key_lines(self) -> list[int]:
        return [each.line for each in self._source.keys.values()]

    def of(self, path: Path) -> list[str]:
        """The comments of a part: those above its lines, and at their ends, in their order."""
        found: set[int] = set()
        for line in self._owned.get(path, ()):
            found.add(line)
            above = line - 1
            while above > 0 and self._lines[above - 1].strip().startswith("#"):
                found.add(above)
                above -= 1
        return self._take(sorted(found))

    def _take(self, numbers: Iterable[int]) -> list[str]:
        return [text for each in numbers if (text := self._found.pop(each, None))]


def _owner(path: Path) -> Path:
    """The part that a place belongs to: its step, its flow, its field."""
    for end in range(len(path), 1, -1):
        if isinstance(path[end - 1], int) and _holds_parts(path[: end - 1]):
            return path[:end]
    return path[: _DEPTHS.get(path[0], 1)] if path else ()


def _holds_parts(path: Path) -> bool:
    return holds_steps(path) or path[-1:] == ("routes",)


_DEPTHS: dict[str | int, int] = {"flows": 2, "preprocess": 2, "pairs": 2, "config": 3, "tests": 2}


def _comment(line: str) -> int | None:
    """Where a line's comment begins."""
    bare = _QUOTED.sub(lambda found: "x" * len(found[0]), line)
    found = re.search(r"(?:^|(?<=\s))#", bare)
    return found.start() if found else None
